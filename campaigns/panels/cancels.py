"""Cancel scans that come from the panel of a simulated WSD scanner, from either side and at every moment.

    python -m campaigns panel_cancels [--count 500] [--rounds 10] [--seed N]

*From us*, so many rounds in each situation of `SITUATIONS`: while the device creates its job, before its first image,
and in the middle of an image; the device obeys, refuses, does not answer, or is switched off. The promises:

* the job is Canceled within a second from the begin of the request, whatever the device does, and nothing is delivered;
* CancelJob has reached the device 100 ms after the stored cancel (median of a situation; each within 0.5 s);
* `postscan jobs show` has what the device answered: `stopped`, `refused` or `away`.

*At the panel*, at so many random moments from the press until a moment behind the last page:

* before the last page is acknowledged the job is Canceled, or there is none; no filter has run, nothing is delivered;
* behind it the panel is told that the scan has ended, and the job goes on: it is Completed, and delivered once.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from campaigns.panels.cancel_totals import EACH_TOLD_SECONDS, TOLD_SECONDS, CancelTotals
from campaigns.panels.cancels_at_panel import cancel_at_panel
from campaigns.panels.cancels_from_here import SITUATIONS, cancel_behind_scans, cancel_from_here


def run(*arguments: str) -> int:
    """Run the campaign, print totals and violations; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m campaigns panel_cancels")
    parser.add_argument("--count", type=int, default=500, help="number of cancels at the panel")
    parser.add_argument("--rounds", type=int, default=10, help="number of cancels from us in each situation")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="to repeat the moments")
    chosen = parser.parse_args(arguments)
    print(
        f"{chosen.rounds} cancels in each of {len(SITUATIONS)} situations, {chosen.count} at the panel, "
        f"seed {chosen.seed}"
    )
    begun = time.monotonic()
    totals = CancelTotals()
    with tempfile.TemporaryDirectory(prefix="panel-cancels-") as home:
        cancel_from_here(Path(home) / "here", SITUATIONS, chosen.rounds, totals)
        cancel_behind_scans(Path(home) / "behind", chosen.rounds, totals)
        cancel_at_panel(Path(home) / "panel", chosen.count, chosen.seed, totals)
    check_medians(totals)
    print(f"{time.monotonic() - begun:.0f} s")
    for name, seconds in totals.canceled.items():
        told = totals.told.get(name, [])
        reached = f"CancelJob after {_figures(told)}" if told else "no job to cancel"
        print(f"{name:34} Canceled after {_figures(seconds)}; {reached}")
    for end, number in totals.ends.most_common():
        print(f"at the panel, {end}: {number}")
    for violation in totals.violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(totals.violations)} violations")
    return 1 if totals.violations else 0


def check_medians(totals: CancelTotals) -> None:
    """Add a violation for each situation whose device was told too late."""
    for name, seconds in totals.told.items():
        if statistics.median(seconds) > TOLD_SECONDS:
            totals.violations.append(f"{name}: CancelJob came {_figures(seconds)} after the cancel")
        if max(seconds) > EACH_TOLD_SECONDS:
            totals.violations.append(f"{name}: CancelJob came {max(seconds):.3f} s after the cancel")


def _figures(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms (median), {max(seconds) * 1000:.0f} ms (longest)"
