"""Press a destination at the panels of simulated WSD scanners again and again, while either side is restarted.

    python -m campaigns presses [--count 1000] [--scanners 2] [--every 12] [--seed N]

A real server has an inlet of `wsscan` for each scanner. A person loads three pages that no other scan has, presses, and
waits for the end that the panel shows. Behind one press in twelve, at a random moment, the process of the source is
killed, or the server is, or the scanner restarts and has forgotten its jobs and subscriptions; then the person presses
again until the pages have arrived. The promises:

* a press is exactly one job, Completed, with its pages in their order, each once on the share. Beside a restart all
  other jobs with one of these pages are Aborted or Canceled, and nothing of them is delivered;
* after each restart a scanner has exactly one live subscription for presses, with each destination once;
* a scanner gets one Subscribe for presses at the begin, and at most one for each restart of either side;
* the median from a press to its job's Pending is below 300 ms, or three times that of the transfer alone, which a
  client makes that does nothing with the pages.

A source that is killed behind the last page cannot say so: the panel shows Completed, and the job is Aborted. The
report counts these.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from acceptance.scanner_inlets import serving

from campaigns.panels.bare_client import transfer_seconds
from campaigns.panels.panel import PAGES, RESTARTS, PressedPanel, PressTotals, picture
from postscan.cli.device.wsscan import WsdScanner

GRANT_SECONDS: Final = 6.0
"""The longest subscription: a scanner that restarts without a Hello is noticed at the next Renew."""

IDLE_SECONDS: Final = 5.0
"""For so long a scanner waits for the next request of a job, or for the job of a press; real ones wait for 60 s."""

SCAN_SECONDS: Final = 0.4
"""Restarts come within so many seconds of the press."""

PENDING_SECONDS: Final = 0.3


def run(*arguments: str) -> int:
    """Run the campaign, print totals and violations; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m campaigns presses")
    parser.add_argument("--count", type=int, default=1000, help="number of presses")
    parser.add_argument("--scanners", type=int, default=2, help="number of scanners")
    parser.add_argument("--every", type=int, default=12, help="one press in so many has a restart; 0: none")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="to repeat a campaign")
    chosen = parser.parse_args(arguments)
    print(f"{chosen.count} presses at {chosen.scanners} scanners, seed {chosen.seed}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="presses-") as home:
        totals = campaign(Path(home), chosen.count, chosen.scanners, chosen.every, chosen.seed)
    check_median(totals)
    print(f"{time.monotonic() - begun:.0f} s; {totals.presses} presses")
    print("the panels showed: " + ", ".join(f"{n} {end}" for end, n in totals.ends.most_common()))
    print("restarts: " + (", ".join(f"{n} of the {what}" for what, n in totals.restarts.most_common()) or "none"))
    print(f"Completed at the panel, and Aborted here, since the source was killed: {totals.unnoticed}")
    for name, (count, most) in totals.subscribes.items():
        print(f"{name}: {count} Subscribes for presses, of at most {most}")
    print(f"press to Pending: {_figures(totals.seconds)}; the transfer alone: {_figures(totals.transfers)}")
    for violation in totals.violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(totals.violations)} violations")
    return 1 if totals.violations else 0


def campaign(home: Path, count: int, scanners: int, every: int, seed: int) -> PressTotals:
    """Press so often at so many scanners, on a server with its data below *home*."""
    totals = PressTotals()
    dice = random.Random(seed)
    with contextlib.ExitStack() as stack:
        devices = {
            f"scanner{n}": stack.enter_context(
                WsdScanner(
                    [picture(0)],
                    longest_grant=GRANT_SECONDS,
                    first_seconds=IDLE_SECONDS,
                    press_seconds=IDLE_SECONDS,
                )
            )
            for n in range(scanners)
        }
        server = stack.enter_context(
            serving(home, "wsscan", {name: {"device": device.url} for name, device in devices.items()})
        )
        panels = [PressedPanel(name, device, server, totals) for name, device in devices.items()]
        for panel in panels:
            panel.await_destination()
        for number in range(1, count + 1):
            panel, restart, after = dice.choice(panels), dice.choice(list(RESTARTS)), dice.uniform(0, SCAN_SECONDS)
            totals.presses += 1
            if every and number % every == 0:
                panel.scan_disturbed(number, restart, after, panels)
                for one in panels:
                    one.await_destination()
            else:
                panel.scan(number)
        for panel in panels:
            panel.check_subscribes()
            panel.scanner.load([picture(count + 1)] * PAGES)
            totals.transfers += [transfer_seconds(panel.scanner.service_url, PAGES) for _ in range(20)]
        totals.violations += [f"the server logged {line!r}" for line in server.server.tracebacks()]
    return totals


def check_median(totals: PressTotals) -> None:
    """Add a violation if jobs are Pending too late."""
    if totals.seconds and totals.transfers:
        most = max(PENDING_SECONDS, 3 * statistics.median(totals.transfers))
        if (median := statistics.median(totals.seconds)) > most:
            totals.violations.append(f"press to Pending took {median:.3f} s (median), of at most {most:.3f}")


def _figures(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    last = sorted(seconds)[int(len(seconds) * 0.99)]
    return f"{statistics.median(seconds) * 1000:.0f} ms (median), {last * 1000:.0f} ms (99th percentile)"
