"""All that is done with one source and its origin, and what has to be true afterwards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from postscan.core.filters.source.messages import (
    EndRequest,
    InletBusy,
    OpenRequest,
    PageRequest,
    Reply,
    Request,
    SourceFailed,
)
from postscan.core.model.states import JobState
from postscan.plugins.testing.defects import SourceDefectKind
from postscan.plugins.testing.sources.drive import Drive, NotPossible, why
from postscan.plugins.testing.sources.faults import BUSY_SECONDS, FaultAtStep, StepFault, is_step
from postscan.plugins.testing.sources.origin import Origin
from postscan.plugins.testing.sources.process import SourceProcess

_LOOK: Final = 1.0  # seconds for which a source without an origin has to run
_LATE: Final = 5.0  # seconds beyond the grace period: the machine may be busy
_HOLD: Final = 0.3  # seconds in which it is seen whether an origin is acknowledged that must not be
_AGAIN: Final = 20  # of so many origins that were cut, one comes again, whole


class Examination:
    """Does one thing after another with a source; the defects are in `Drive.found`."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._steps: list[str] = []

    # --- without an origin ---------------------------------------------------------------------------------------

    def run_and_stop(self) -> None:
        """Run the source, take nothing, and stop it."""
        with self._drive.process() as process:
            process.server.on_request = _takes_nothing
            if process.ended(_LOOK) and not self._drive.source.once:
                raise self._drive.broken(SourceDefectKind.ENDS, f"it ended by itself: {why(process)}")
            process.server.stop()
            self._ends(process, "it was stopped")

    def run_and_lose_the_server(self) -> None:
        """Run the source, and close its socket."""
        with self._drive.process() as process:
            process.server.on_request = _takes_nothing
            process.server.die()
            self._ends(process, "the server had gone")

    # --- with one ------------------------------------------------------------------------------------------------

    def bring_whole(self) -> int:
        """Bring one origin; return the number of steps. Raises `NotPossible` if no job comes of it."""
        drive = self._drive
        with drive.process() as process:
            steps: list[Request] = []

            def watch(request: Request) -> None:
                if is_step(request):
                    steps.append(request)
                if isinstance(request, PageRequest | EndRequest):
                    self._is_not_acknowledged(request)

            process.server.on_request = watch
            content = drive.next_page()
            with drive.bringing(drive.origin.bring, content, arrived=lambda: steps or process.ended(0)):
                come = drive.comes(lambda: drive.stored(content) or process.ended(0))
            if process.ended(0):
                raise drive.broken(SourceDefectKind.ENDS, f"at the first origin it ended by itself: {why(process)}")
            if not come:
                raise NotPossible(f"no job came of the first origin within {drive.seconds:g} s: {why(process)}")
            self._is_taken(process, content, "the first origin")
            self._check_jobs(process, "an origin came")
            self._steps = [request.type for request in steps]
            return len(steps)

    def bring_with(self, fault: StepFault, step: int) -> None:
        """Bring one origin, let a fault happen at a step, and let the origin come again."""
        drive = self._drive
        where = f"{fault.words} {self._steps[step]!r}"
        content = drive.next_page()
        with drive.process() as process:
            at = FaultAtStep(process, fault, step)
            with drive.bringing(drive.origin.bring, content, arrived=at.begun.is_set):
                if not drive.comes(at.happened.is_set):
                    raise NotPossible(f"an origin did not come as far as {self._steps[step]!r}: {why(process)}")
                if fault in (StepFault.SERVER_DIES, StepFault.STOP):
                    self._ends(process, where)
                if not fault.ends_the_process:
                    drive.comes(lambda: not process.server.in_state(JobState.CREATING) or process.ended(0))
            if not fault.ends_the_process:
                self._goes_on(process, at, fault, where, content)
                return
        self._is_stored_if_acknowledged(content, where)
        with drive.process() as process:
            self._comes_again(process, content, where)

    def cut(self, sizes: Sequence[int]) -> None:
        """Cut origins after so many bytes: images, whose structure says it, and files of which nothing says it."""
        drive = self._drive
        with drive.process() as process:
            for number, size in enumerate(sizes):
                image = number % 2 == 0
                content = drive.next_page(whole=False, image=image)
                where = f"after {size} of {len(content)} bytes the origin broke off"
                with drive.bringing(drive.origin.cut, content, size):
                    pass
                self._check_jobs(process, where)
                self._is_stored_if_acknowledged(content, where, SourceDefectKind.HALF)
                if image and number % _AGAIN == 0:
                    drive.whole.add(content)
                    self._comes_again(process, content, where)
            content = drive.next_page()
            with drive.bringing(drive.origin.bring, content):
                pass
            self._is_taken(process, content, f"after {len(sizes)} origins that broke off, a whole one")
            self._check_jobs(process, "an origin broke off")

    def cancel_at_the_origin(self) -> None:
        """Let an origin cancel its job, if it can."""
        drive = self._drive
        if type(drive.origin).cancel is Origin.cancel:
            return
        with drive.process() as process:
            content = drive.next_page(whole=False)
            with drive.bringing(drive.origin.cancel, content):
                pass
            drive.comes(lambda: not process.server.in_state(JobState.CREATING))
            if any(content in job.pages for job in process.server.in_state(JobState.PENDING)):
                drive.add(
                    SourceDefectKind.CANCEL,
                    "the origin cancelled, and its job is processed: call job.cancel, or raise in the block",
                )

    # --- what has to be ------------------------------------------------------------------------------------------

    def _goes_on(self, process: SourceProcess, at: FaultAtStep, fault: StepFault, where: str, content: bytes) -> None:
        """Check that the source has survived the fault, and what became of the origin; then bring another one."""
        drive = self._drive
        if process.ended(0):
            raise drive.broken(SourceDefectKind.ENDS, f"{where}, and it ended: {why(process)}; catch the error")
        if fault is StepFault.REFUSE:
            drive.comes(drive.origin.acknowledged, _HOLD)
            self._is_stored_if_acknowledged(content, where, SourceDefectKind.LOSES)
        if fault is StepFault.BUSY:
            self._is_stored_if_acknowledged(content, where, SourceDefectKind.LOSES)
            time.sleep(BUSY_SECONDS)
            self._comes_again(process, content, where)
        another = drive.next_page()
        with drive.bringing(drive.origin.bring, another):
            pass
        self._is_taken(process, another, f"{where}; the next origin")
        if fault is StepFault.CANCEL:
            self._stays_cancelled(process, at, where, content)
        self._check_jobs(process, where)

    def _stays_cancelled(self, process: SourceProcess, at: FaultAtStep, where: str, content: bytes) -> None:
        seen = [f"it sent {request.type!r} as well" for request in at.late]
        seen += [
            "it made another job of the origin" for job in process.server.in_state("Pending") if content in job.pages
        ]
        if seen:
            sentence = f"{where}, and {seen[0]}: let Ended leave the block, and tell the origin to stop"
            self._drive.add(SourceDefectKind.CANCEL, sentence)

    def _comes_again(self, process: SourceProcess, content: bytes, where: str) -> None:
        """Let the origin come again, and check that there is one job of it then."""
        drive = self._drive
        self._is_taken(process, content, f"{where}; the origin came again, and")
        number = len(drive.stored(content))
        if number > 1:
            drive.add(
                SourceDefectKind.TWICE,
                f"{where}; the origin came again, and there are {number} jobs of it: make the key of what the origin "
                "itself says, and never of a clock or a counter",
            )

    def _is_taken(self, process: SourceProcess, content: bytes, what: str) -> None:
        """Let an origin come again until it is acknowledged; record it as lost if it is not."""
        drive = self._drive

        def taken() -> bool:
            if drive.origin.acknowledged() or process.ended(0):
                return True
            with drive.bringing(drive.origin.again):
                pass
            return drive.origin.acknowledged()

        if not drive.comes(taken):
            raise drive.broken(
                SourceDefectKind.LOSES, f"{what} was not taken within {drive.seconds:g} s: {why(process)}"
            )
        if process.ended(0):
            raise drive.broken(SourceDefectKind.ENDS, f"{what} was not taken, since it ended: {why(process)}")
        self._is_stored_if_acknowledged(content, what, SourceDefectKind.LOSES)

    def _is_not_acknowledged(self, request: Request) -> None:
        """Hold a step for a moment; nothing is stored yet."""
        time.sleep(_HOLD)
        if self._drive.origin.acknowledged():
            self._drive.add(
                SourceDefectKind.EARLY,
                f"the origin was acknowledged before {request.type!r} was carried out: answer, unlink and acknowledge "
                "behind the block of the job",
            )

    def _is_stored_if_acknowledged(
        self, content: bytes, where: str, kind: SourceDefectKind = SourceDefectKind.EARLY
    ) -> None:
        explained = {SourceDefectKind.EARLY, SourceDefectKind.HALF} & self._drive.found.keys()
        if self._drive.origin.acknowledged() and not self._drive.stored(content) and not explained:
            self._drive.add(kind, f"{where}; the origin is acknowledged, and no job of it is stored")

    def _check_jobs(self, process: SourceProcess, where: str) -> None:
        """Check that every job that is stored has one whole page of an origin that came whole."""
        drive = self._drive
        for job in process.server.in_state(JobState.PENDING):
            if len(job.pages) != 1 or job.pages[0] not in drive.whole:
                drive.add(
                    SourceDefectKind.HALF,
                    f"{where}, and there is a job of {len(job.pages)} pages that no origin brought whole: raise inside "
                    "the block when the origin breaks off, and set whole only when the protocol has marked the end",
                )
        if undeclared := {job.request.proof for job in process.server.jobs} - set(drive.source.proofs):
            drive.add(SourceDefectKind.PROOF, f"it used {', '.join(sorted(undeclared))}: name each proof in proofs")

    def _ends(self, process: SourceProcess, where: str) -> None:
        """Wait for the end of a process that has to stop."""
        drive = self._drive
        longest = drive.source.grace + _LATE
        if not process.ended(longest):
            sentence = f"{where}, and it had not ended {longest:g} s later: wait by token.wait, and end what it started"
            raise drive.broken(SourceDefectKind.STOP, sentence)
        if isinstance(process.server.end, SourceFailed):
            drive.add(SourceDefectKind.ENDS, f"{where}, and run raised an error: {process.server.end.error}")


def _takes_nothing(request: Request) -> Reply | None:
    return InletBusy(id=request.id, seconds=60.0) if isinstance(request, OpenRequest) else None
