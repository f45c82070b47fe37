"""Press Stop at the panel at random moments of a scan, and look what the server has made of it at the end."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acceptance.scanner_inlets import LABEL, ScannerServer, serving, sha256
from works import until

from campaigns.panels.cancel_totals import CancelTotals
from campaigns.panels.cancels_from_here import PRESS_SECONDS
from campaigns.panels.panel import PATIENCE, picture
from postscan.cli.device.wsscan import WsdScanner
from postscan.core.model.job import Job

PAGES: Final = 3
SLOW: Final = "slow=60000"
MOST_SECONDS: Final = 0.8
"""Stop is pressed within so many seconds of the press; a scan takes most of them."""

AT_ONCE: Final = 4


@dataclass(frozen=True)
class StoppedPress:
    """A press: its pages, whether Stop cancelled it, and how many seconds after the press."""

    pages: tuple[bytes, ...]
    is_cancelled: bool
    after: float


def cancel_at_panel(home: Path, count: int, seed: int, totals: CancelTotals) -> None:
    """Press so often, and Stop behind each, on a server with its data in the new folder *home*."""
    home.mkdir()
    with contextlib.ExitStack() as stack:
        scanners = [
            stack.enter_context(WsdScanner([picture(0)], misbehaviours=[SLOW])) for _ in range(min(AT_ONCE, count))
        ]
        tables = {f"scanner{number}": {"device": scanner.url} for number, scanner in enumerate(scanners)}
        server = stack.enter_context(serving(home, "wsscan", tables))
        threads = stack.enter_context(ThreadPoolExecutor(len(scanners)))
        shares = [range(number, count, len(scanners)) for number in range(len(scanners))]
        futures = [
            threads.submit(_press_and_stop, scanner, numbers, random.Random(f"{seed} {numbers.start}"))
            for scanner, numbers in zip(scanners, shares, strict=True)
        ]
        presses = [press for future in futures for press in future.result()]
        until(lambda: all(job.state.ended for job in server.jobs()), "for all jobs to end", PATIENCE)
        _check(server, presses, totals)


def _press_and_stop(scanner: WsdScanner, numbers: Sequence[int], dice: random.Random) -> list[StoppedPress]:
    done = []
    for number in numbers:
        until(lambda: LABEL in scanner.destinations and scanner.state == "Idle", "for the panel", PATIENCE)
        pages = tuple(picture(number + 1, page) for page in range(PAGES))
        scanner.load(pages)
        after = dice.uniform(0, MOST_SECONDS)
        time.sleep(PRESS_SECONDS)
        press = scanner.press(LABEL)
        time.sleep(after)  # a random moment of the scan
        is_cancelled = scanner.cancel()
        press.wait(PATIENCE)
        done.append(StoppedPress(pages, is_cancelled, after))
    return done


def _check(server: ScannerServer, presses: Sequence[StoppedPress], totals: CancelTotals) -> None:
    jobs, share = server.jobs(), server.delivered()
    by_page = {document.sha256: job for job in jobs for document in job.documents}
    for press in presses:
        hashes = [sha256(page) for page in press.pages]
        found = {by_page[one].token: by_page[one] for one in hashes if one in by_page}
        broken = _of_cancelled(server, found, hashes, share) if press.is_cancelled else _of_late(found, hashes, share)
        totals.violations += [f"Stop {press.after:.3f} s after the press: {one}" for one in broken]
        totals.ends["cancelled" if press.is_cancelled else "too late"] += 1
    states = Counter(str(job.state) for job in jobs)
    totals.ends.update({f"jobs that are {state}": number for state, number in states.items()})
    late = sum(not press.is_cancelled for press in presses)
    if states["Completed"] != late or set(states) - {"Completed", "Canceled"}:
        totals.violations.append(f"{late} presses were too late to stop, and the jobs are {dict(states)}")
    totals.violations += [f"the server logged {line!r}" for line in server.server.tracebacks()]


def _of_cancelled(
    server: ScannerServer, found: dict[str, Job], hashes: Sequence[str], share: Counter[str]
) -> list[str]:
    """Check a scan that was stopped in time."""
    broken = [f"its job is {job.state}" for job in found.values() if job.state != "Canceled"]
    broken += ["a filter has run" for job in found.values() if server.has_run_filters(job)]
    return broken + ["a page was delivered" for one in hashes if share[one]]


def _of_late(found: dict[str, Job], hashes: Sequence[str], share: Counter[str]) -> list[str]:
    """Check a scan that had ended."""
    broken = [] if [str(job.state) for job in found.values()] == ["Completed"] else [f"its jobs are {list(found)}"]
    return broken + [f"a page was delivered {share[one]} times" for one in hashes if share[one] != 1]
