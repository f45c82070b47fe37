"""The devices of a campaign: they scan, have mails sent, cancel, and repeat each request that is refused temporarily.

Each device has an address of its own and sends one job after the other. Jobs to be cancelled in the outage are prepared
before it: some whose filter runs, and some that are still receiving images.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from acceptance.scanning import instructions
from acceptance.server import Server
from device import Fault

from campaigns.whole_job import FILTERS, STEPS, Job, NoAnswer, Refused

TEMPORARY: Final = "dsp:ServerErrorTemporaryError"
KINDS: Final = ("delivered", "mailed", "withdrawn", "stopped")
PATIENCE: Final = 420.0  # seconds for a response, and for a state; longer than every outage
INTERVAL: Final = 1.0  # seconds between two last steps of prepared jobs
_PAUSE: Final = 0.5  # seconds before a refused request is repeated, as a device does
_BETWEEN: Final = 0.2  # seconds between two jobs of a device


@dataclass(frozen=True)
class Request:
    """A request that was answered: when it was sent (`time.monotonic()`), the seconds, and the subcode of its fault."""

    job: Job
    step: str
    begun: float
    seconds: float
    subcode: str

    @property
    def ended(self) -> float:
        """When its response came."""
        return self.begun + self.seconds

    def __str__(self) -> str:
        return f"{self.step} of {self.job.token or 'a new job'}: {self.subcode or 'done'} after {self.seconds:.2f} s"


@dataclass
class Record:
    """What the devices sent and what they got."""

    jobs: list[Job] = field(default_factory=list)
    finished: list[Job] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Traffic:
    """Devices in threads of their own; `record` is complete when `running` has ended."""

    def __init__(self, server: Server) -> None:
        self.record = Record()
        self._server = server
        self._over = threading.Event()
        self._prepared: list[Job] = []
        self._threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let the devices send jobs while the body runs; then let them end the jobs that they have begun."""
        for filters in FILTERS.values():
            self._server.store(instructions(*filters))  # by one thread: the devices find it then
        for number, kind in enumerate(KINDS, 10):
            self._start(self._scan, kind, f"127.0.0.{number}")
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def prepare(self, kinds: Sequence[str]) -> None:
        """Begin a job of each of these kinds, up to its last step."""
        for number, kind in enumerate(kinds, 40):
            job = self._job(kind, f"127.0.0.{number}")
            self._finish(job, before=STEPS[kind][-1])
            self._prepared.append(job)

    def finish_prepared(self) -> None:
        """Do the last steps of the prepared jobs, one every `INTERVAL`, each in a thread of its own."""
        for job in self._prepared:
            self._start(self._finish, job)
            time.sleep(INTERVAL)

    def finished(self, kind: str) -> int:
        """Return how many jobs of this kind have come to their end."""
        return sum(job.kind == kind for job in list(self.record.finished))

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))
        self._threads[-1].start()

    def _scan(self, kind: str, address: str) -> None:
        while not self._over.is_set():
            self._finish(self._job(kind, address))
            time.sleep(_BETWEEN)

    def _finish(self, job: Job, before: str = "") -> None:
        """Go on with a job until its end, or the step *before*, whatever is refused meanwhile."""
        while True:
            try:
                job.go_on(before)
            except Refused as refused:
                if refused.subcode != TEMPORARY:
                    self.record.broken.append(f"{job.token} ({job.kind}) was refused for good: {refused}")
                    return
            except NoAnswer as error:
                self.record.broken.append(f"{error} of {job.token} ({job.kind}) got no answer: {error.__cause__!r}")
                if self._over.is_set():
                    return  # the server is gone
            except AssertionError as error:
                self.record.broken.append(str(error))
                return
            else:
                if not before:
                    self.record.finished.append(job)
                return
            time.sleep(_PAUSE)

    def _job(self, kind: str, address: str) -> Job:
        def observe(step: str, seconds: float, fault: Fault | None) -> None:
            subcode = fault[1] if fault else ""
            self.record.requests.append(Request(job, step, time.monotonic() - seconds, seconds, subcode))

        job = Job(self._server, kind, address=address, patience=PATIENCE, observe=observe)
        self.record.jobs.append(job)
        return job
