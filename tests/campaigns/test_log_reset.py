"""A short run of the race for the write-ahead log; the long one is `python -m campaigns reset 3600`."""

from __future__ import annotations

from campaigns import log_reset


def test_no_commit_is_lost_while_the_log_is_copied_and_begun_anew() -> None:
    """Two writers, two that copy. It takes seconds to half a minute to lose one without the lock, so this is short."""
    found = log_reset.race(commits=500)

    assert found.lost == ""
    assert found.commits >= 500
    assert found.copies > 0
