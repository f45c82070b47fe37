"""The checks of `postscan doctor` for pages: those that take long on request, one at a time in all.

An examination starts plugins and connects to other hosts, so no page waits for it: it runs in a thread of its own, and
pages show what the last one has found. The checks of this machine alone are cheap: pages run them, and their findings
are remembered for `MACHINE_SECONDS`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postscan.core.clock import Clock
from postscan.core.service.administration.remembered import Remembered
from postscan.doctor import examination
from postscan.doctor.discovery import SendProbe
from postscan.doctor.examination import SettingsSource
from postscan.doctor.findings import Finding, problem

MACHINE_SECONDS: Final = 60.0

log = logging.getLogger(__name__)

Examine = Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class DoctorExamination:
    """An examination of all but this machine: what it has found, when it began and ended; None if it still runs."""

    findings: tuple[Finding, ...]
    begun: datetime
    ended: datetime | None = None


class Examinations:
    """Runs *examine_others* on request, and *examine_machine* for pages. Usable from several threads."""

    def __init__(self, examine_others: Examine, examine_machine: Examine, clock: Clock) -> None:
        self._examine_others = examine_others
        self._clock = clock
        self._lock = threading.Lock()
        self._running: DoctorExamination | None = None
        self._last: DoctorExamination | None = None
        self._machine = Remembered(lambda: tuple(examine_machine()), MACHINE_SECONDS, clock.ticks)

    @property
    def running(self) -> DoctorExamination | None:
        """The examination that runs; None if none does."""
        with self._lock:
            return self._running

    @property
    def last(self) -> DoctorExamination | None:
        """The examination that ended last; None if none has."""
        with self._lock:
            return self._last

    def begin(self) -> bool:
        """Begin an examination in a thread of its own; return False if one runs, which goes on."""
        with self._lock:
            if self._running is not None:
                return False
            self._running = DoctorExamination((), self._clock.now())
        try:
            threading.Thread(target=self._run, name="examination", daemon=True).start()
        except RuntimeError:  # no further thread can be started
            with self._lock:
                self._running = None
            raise
        return True

    def current(self) -> tuple[Finding, ...]:
        """Return the findings about this machine, as they are now, and those of the last examination behind them."""
        last = self.last
        return self._machine.get() + (last.findings if last is not None else ())

    def _run(self) -> None:
        found: list[Finding] = []
        try:
            found.extend(self._examine_others())
        except Exception as error:  # its thread has no caller
            log.exception("examination failed")
            sentence = f"it ended with {type(error).__name__}; the log of the console has more"
            found.append(problem("examination", sentence, "postscan doctor"))
        finally:
            with self._lock:
                assert self._running is not None
                self._last = DoctorExamination(tuple(found), self._running.begun, self._clock.now())
                self._running = None
            self._machine.forget()


def of_settings(source: SettingsSource, clock: Clock, probe: SendProbe | None = None) -> Examinations:
    """Return the examinations of an installation; *probe* sends a Probe to a running server, None: none is sent."""
    return Examinations(
        lambda: examination.examine_others(source, probe), lambda: examination.examine_machine(source), clock
    )
