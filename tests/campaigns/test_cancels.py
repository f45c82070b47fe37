"""A short run of the cancel campaign; the long one is `python -m campaigns cancels --count 1000`."""

from __future__ import annotations

from pathlib import Path

from campaigns import cancels


def test_ten_jobs_cancelled_at_random_moments_keep_every_promise(tmp_path: Path) -> None:
    """Promises 3 to 6, with five kinds of filters, at the moments of one seed; busy machines get more time."""
    totals = cancels.campaign(tmp_path, count=10, at_once=4, seed=20260302, most_seconds=20, slack=20)

    assert totals.violations == []
    assert sum(totals.ends.values()) == 10
    assert sum(len(seconds) for seconds in totals.stopped_in.values()) >= 3
