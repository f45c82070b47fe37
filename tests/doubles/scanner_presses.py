"""A source whose presses a test makes, on a real store: `bring` and nothing else of the source `wsscan`."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from works import until

from postscan.core.model.records import JobOrigin
from postscan.core.store.sources.origins import of_job
from postscan.plugins import CancellationToken, ScanTicket, Source, SourceContext
from postscan.plugins.testing import SourceRun, run_source
from postscan.soap.wsscan.faults import StaleToken
from postscan.soap.wsscan.model import Press, Scanner
from postscan.soap.wsscan.scan_job.elements_cache import ElementsCache
from postscan.soap.wsscan.scan_job.limits import ScanJobLimits
from postscan.soap.wsscan.scan_job.outcome import ScanOutcome
from postscan.soap.wsscan.scan_job.scan_jobs import ScanJobs
from postscan.soap.wsscan.transfer import bring

UUID = "urn:uuid:5d41402a-bc4b-4a76-b971-9d911017c592"
LIMITS = ScanJobLimits(warm_up_pause=0.05, cancel_seconds=2.0)


class PressedSource(Source):
    """Calls `bring` for each press that is put in, each in a thread of its own."""

    title = "Presses"
    proofs = ("device",)

    def __init__(self, scanner: Scanner, limits: ScanJobLimits) -> None:
        self.scanner = scanner
        self.limits = limits
        self.jobs = ScanJobs()
        self.elements = ElementsCache()
        self.outcomes: list[ScanOutcome | BaseException] = []
        self.presses: queue.Queue[Press | None] = queue.Queue()
        self.running = threading.Event()
        self.destinations: tuple[Any, ...] = ()

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Take presses until the stop, and wait for the open ones."""
        self.destinations = inlet.destinations
        self.running.set()
        threads = []
        while not token.cancelled:
            with contextlib.suppress(queue.Empty):
                press = self.presses.get(timeout=0.02)
                if press is not None:
                    threads.append(threading.Thread(target=self._bring, args=(inlet, press, token)))
                    threads[-1].start()
        for thread in threads:
            thread.join()

    def _bring(self, inlet: SourceContext, press: Press, token: CancellationToken) -> None:
        try:
            outcome = bring(
                inlet,
                self.scanner,
                press,
                token,
                settings=self.limits,
                jobs=self.jobs,
                elements=self.elements,
            )
            self.outcomes.append(outcome)
        except BaseException as error:  # what `bring` raises is what the test looks at
            self.outcomes.append(error)


class Presses:
    """What a test does: presses, and waiting for what becomes of them."""

    def __init__(self, source: PressedSource, run: SourceRun) -> None:
        self.source = source
        self.run = run
        self._number = 0

    def press(self, *, identifier: str = "", token: str = "destination-token", source: str = "ADF") -> None:
        """Press the button; the device sent an identifier of its own, unless it is given."""
        self._number += 1
        destination = self.source.destinations[0]
        self.source.presses.put(Press(destination, identifier or f"press-{self._number}", token, source))

    def pull(self) -> None:
        """Let an administrator ask for a scan."""
        self.source.presses.put(Press(self.source.destinations[0]))

    def outcome(self, number: int = 1) -> ScanOutcome:
        """Wait for the end of the press with this number and return it."""
        until(lambda: len(self.source.outcomes) >= number, "for the end of a press")
        outcome = self.source.outcomes[number - 1]
        assert isinstance(outcome, ScanOutcome), outcome
        return outcome

    def states(self) -> list[str]:
        """Return the states of all jobs; the pages of a cancelled one are gone."""
        return [str(job.state) for job in self.run._inlet.jobs()]

    def told(self) -> str:
        """Wait for what is stored of the device's answer to the cancel of the only job, and return it."""
        until(lambda: self.origin().told, "for the answer to a cancel")
        return self.origin().told

    def origin(self) -> JobOrigin:
        """Return where the only job came from, as it is stored."""
        (job,) = self.run._inlet.jobs()
        with self.run._inlet.core.store.reading() as db:
            origin = of_job(db, job.token)
        assert origin is not None
        return origin

    def stale(self) -> StaleToken:
        """Wait for the end of the first press, which is that its token is stale."""
        until(lambda: self.source.outcomes, "for the end of a press")
        outcome = self.source.outcomes[0]
        assert isinstance(outcome, StaleToken), outcome
        return outcome


@contextlib.contextmanager
def presses(
    service: str,
    *,
    ticket: ScanTicket | None = None,
    quirks: frozenset[str] = frozenset(),
    uuid: str = UUID,
    limits: Mapping[str, Any] | None = None,
    **server_keys: Any,
) -> Iterator[Presses]:
    """Run the source against the device with this scan service; *limits* replace some of `LIMITS`."""
    source = PressedSource(Scanner(uuid, "127.0.0.1", service, "Scanner", quirks), replace(LIMITS, **(limits or {})))
    with run_source(source, destinations={"Scans": ticket or ScanTicket()}, **server_keys) as run:
        until(source.running.is_set)
        yield Presses(source, run)
