"""Short runs of the campaigns of panels; the long ones are `python -m campaigns presses` and `panel_cancels`."""

from __future__ import annotations

from pathlib import Path

from campaigns.panels import presses
from campaigns.panels.cancel_totals import CancelTotals
from campaigns.panels.cancels_at_panel import cancel_at_panel
from campaigns.panels.cancels_from_here import SITUATIONS, cancel_behind_scans, cancel_from_here


def test_presses_are_one_job_each_beside_restarts_of_either_side(tmp_path: Path) -> None:
    """WSS-019, WSS-027: a source, a server and a scanner restart; one live subscription, and few Subscribes."""
    totals = presses.campaign(tmp_path, count=9, scanners=1, every=3, seed=4)

    assert totals.violations == []
    assert set(totals.restarts) == {"source", "server", "device"}
    assert len(totals.seconds) == 6
    assert all(0 < seconds < 10 for seconds in totals.seconds)


def test_a_cancel_reaches_the_device_in_each_situation(tmp_path: Path) -> None:
    """WSS-060, WSS-063, WSS-064: the job is Canceled at once, and what the device answers is shown."""
    totals = CancelTotals()
    cancel_from_here(tmp_path / "here", [one for one in SITUATIONS if one.told], 1, totals)
    cancel_behind_scans(tmp_path / "behind", 1, totals)

    # How long it takes is measured by the campaign: a busy machine says nothing about that.
    assert [one for one in totals.violations if "the job is Canceled after" not in one] == []
    assert set(totals.told) == {one.name for one in SITUATIONS if one.told}
    assert set(totals.canceled) == {*totals.told, "Pending", "Processing"}


def test_stop_at_the_panel_cancels_before_the_last_page_and_not_behind_it(tmp_path: Path) -> None:
    """WSS-062: no filter runs before; behind it the job goes on."""
    totals = CancelTotals()
    cancel_at_panel(tmp_path / "panel", 12, 20, totals)

    assert totals.violations == []
    assert totals.ends["cancelled"] + totals.ends["too late"] == 12
    assert totals.ends["cancelled"] > 0
