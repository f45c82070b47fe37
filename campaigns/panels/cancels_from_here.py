"""Cancel the job of a press on the server, in each situation of the device."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acceptance.scanner_inlets import ADMIN, LABEL, ScannerServer, serving
from acceptance.server import SHARE
from works import until

from campaigns.panels.cancel_totals import CANCELED_SECONDS, CancelTotals
from campaigns.panels.panel import PATIENCE, picture
from postscan.cli.device.wsscan import WsdScanner
from postscan.core.model.job import Job
from postscan.core.model.states import JobState

INLET: Final = "scanner"
GRANT_SECONDS: Final = 6.0
"""The longest subscription: a scanner that was switched off gets the next one at the next Renew."""

PRESS_SECONDS: Final = 0.6
"""Seconds between two presses: the source takes 20 events of a subscription in 10 s."""

_NUMBERS: Final = itertools.count(1)


@dataclass(frozen=True)
class CancelSituation:
    """A scan at its cancel: the scanner was asked for the operation `at`, and treats cancels in some manner.

    `told` is what `jobs show` has at the end, "" if the scanner has no job that can be cancelled. `rounds` is the most
    of them, where each takes long.
    """

    name: str
    misbehaviours: tuple[str, ...]
    at: str
    told: str
    rounds: int = 1000


_WAITS, _SENDS = "late=3600", "slow=8000"

SITUATIONS: Final = (
    CancelSituation("before the first image", (_WAITS,), "RetrieveImage", "stopped"),
    CancelSituation("in an image", (_SENDS,), "RetrieveImage", "stopped"),
    CancelSituation("in an image, refused", (_SENDS, "deny-cancel"), "RetrieveImage", "refused"),
    CancelSituation("in an image, not answered", (_SENDS, "never-answer=CancelJob"), "RetrieveImage", "away", 5),
    CancelSituation("in an image, switched off", (_SENDS, "vanish=CancelJob"), "RetrieveImage", "away", 5),
    CancelSituation("while the device creates its job", ("never-answer=CreateScanJob",), "CreateScanJob", "", 3),
)


def cancel_from_here(home: Path, situations: Sequence[CancelSituation], rounds: int, totals: CancelTotals) -> None:
    """Cancel so many scans in each situation, on a server with its data in the new folder *home*."""
    home.mkdir()
    with (
        WsdScanner([picture(0)], longest_grant=GRANT_SECONDS) as scanner,
        serving(home, "wsscan", {INLET: {"device": scanner.url}}) as server,
    ):
        for situation in situations:
            for _ in range(min(rounds, situation.rounds)):
                _CancelledScan(server, scanner, situation, totals).run()
        totals.violations += [f"the server logged {line!r}" for line in server.server.tracebacks()]
        if delivered := server.delivered().total():
            totals.violations.append(f"{delivered} pages of cancelled scans were delivered")


def cancel_behind_scans(home: Path, rounds: int, totals: CancelTotals) -> None:
    """Cancel jobs whose scans are over: one that runs a filter, and one that waits for it."""
    home.mkdir()
    settings = {"running": {"slots": 1, "term_seconds": 0.3}}
    with (
        WsdScanner([picture(0)]) as scanner,
        serving(home, "wsscan", {INLET: {"device": scanner.url}}, settings, ("sleep 280", f"share {SHARE}")) as server,
    ):
        for _ in range(rounds):
            running, waiting = (_pressed(server, scanner) for _ in range(2))
            _await_filter(server, running)
            for state, job in (("Pending", waiting), ("Processing", running)):
                _cancel(server, job, state, totals)
        if told := [one.what for one in list(scanner.requests) if one.what.endswith("/CancelJob")]:
            totals.violations.append(f"a scanner whose jobs were over got {len(told)} CancelJobs")
        if delivered := server.delivered().total():
            totals.violations.append(f"{delivered} pages of cancelled jobs were delivered")


def _pressed(server: ScannerServer, scanner: WsdScanner) -> Job:
    """Press for a page, and return its job when it takes no more pages."""
    page = picture(next(_NUMBERS))
    until(lambda: LABEL in scanner.destinations and scanner.state == "Idle", "for the panel", PATIENCE)
    scanner.load([page])
    scanner.press(LABEL)
    found: list[Job] = []

    def is_pending() -> bool:
        found[:] = [job for job in server.jobs_of(page) if job.state != "Creating"]
        return bool(found)

    until(is_pending, "for the scan to be stored", PATIENCE)
    return found[0]


def _await_filter(server: ScannerServer, job: Job) -> None:
    until(lambda: server.has_run_filters(job), f"for a filter of job {job.token} to run", PATIENCE)


def _cancel(server: ScannerServer, job: Job, name: str, totals: CancelTotals) -> float:
    """Cancel a job, wait for its end and check it; return when the cancel was stored."""
    service = server.server.works.service
    begun = time.monotonic()
    service.cancel(job.token, ADMIN)
    stored = time.monotonic()
    ended: list[JobState] = []

    def has_ended() -> bool:
        ended[:] = [service.job(job.token, ADMIN).state]
        return ended[0].ended

    until(has_ended, f"for job {job.token} to end", PATIENCE)
    seconds = time.monotonic() - begun
    totals.canceled.setdefault(name, []).append(seconds)
    if ended != ["Canceled"] or seconds > CANCELED_SECONDS:
        totals.violations.append(f"{name}: the job is {ended[0]} after {seconds:.2f} s")
    return stored


class _CancelledScan:
    """One press, and the cancel of its job."""

    def __init__(
        self, server: ScannerServer, scanner: WsdScanner, situation: CancelSituation, totals: CancelTotals
    ) -> None:
        self._server, self._scanner, self._situation, self._totals = server, scanner, situation, totals

    def run(self) -> None:
        """Press, cancel where the situation says, and check; leave the scanner idle."""
        self._prepare()
        before, asked = {job.token for job in self._server.jobs()}, self._number_of(self._situation.at)
        self._scanner.press(LABEL)
        until(lambda: self._number_of(self._situation.at) > asked, f"for {self._situation.at}", PATIENCE)
        (job,) = [job for job in self._server.jobs() if job.token not in before]
        if job.state != "Creating":
            self._violation(f"the job was {job.state} at its cancel")
        told = self._number_of("CancelJob")
        stored = _cancel(self._server, job, self._situation.name, self._totals)
        if self._server.has_run_filters(job):
            self._violation("a filter has run")
        if self._situation.told:
            self._check_told(job, told, stored)
        self._clear()

    def _check_told(self, job: Job, before: int, stored: float) -> None:
        until(lambda: self._number_of("CancelJob") > before, "for CancelJob", PATIENCE)
        came = [one.at for one in list(self._scanner.requests) if one.what.endswith("/CancelJob")][before]
        self._totals.told.setdefault(self._situation.name, []).append(max(0.0, came - stored))
        origins = self._server.server.works.core.origins
        said: list[str] = []

        def is_said() -> bool:
            origin = origins.of_job(job.token, ADMIN)
            said[:] = [origin.told] if origin is not None and origin.told else []
            return bool(said)

        until(is_said, "for the answer to be recorded", PATIENCE)
        if said != [self._situation.told] or self._server.shown(job.token)["origin"]["told"] != self._situation.told:
            self._violation(f"jobs show has {said[0]!r} as the answer of the device")

    def _prepare(self) -> None:
        time.sleep(PRESS_SECONDS)
        until(lambda: LABEL in self._scanner.destinations and self._is_idle(), "for the panel", PATIENCE)
        self._scanner.load([picture(next(_NUMBERS))])
        for given in self._situation.misbehaviours:
            self._scanner.misbehaviours.add(given)

    def _clear(self) -> None:
        for given in self._situation.misbehaviours:
            self._scanner.misbehaviours.remove(given.partition("=")[0])
        self._scanner.cancel()  # a press whose job was not created
        if not self._scanner.is_on or not self._situation.told:
            self._scanner.power_off()  # with what it never answers
            self._scanner.power_on()

    def _is_idle(self) -> bool:
        return self._scanner.is_on and self._scanner.state == "Idle"

    def _number_of(self, operation: str) -> int:
        return sum(one.what.endswith(f"/{operation}") for one in list(self._scanner.requests))

    def _violation(self, text: str) -> None:
        self._totals.violations.append(f"{self._situation.name}: {text}")
