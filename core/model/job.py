"""The job, and the values that it consists of.

`Job` is the only entity: its verbs follow the tables of `postscan.core.model.states`, collect events, and do no I/O.
Everything else here is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, NewType

from postscan.core.errors import InvalidArgument, JobCanceled, WrongState
from postscan.core.model.events import Event, FilterStateChanged, ImageReceived, JobEnded, JobStateChanged
from postscan.core.model.principal import Principal, User
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.core.model.states import (
    FilterReason,
    FilterState,
    FilterVerb,
    JobReason,
    JobState,
    Verb,
    after,
    filter_after,
)

_ENDED_ALREADY = (JobState.PENDING, JobState.HELD, JobState.STARTED, JobState.PROCESSING)

JobToken = NewType("JobToken", str)
"""Identifies a job on the wire: a random (version 4) GUID in lower case. Opaque; compared exactly."""


class JobTurn(NamedTuple):
    """One turn of a job: from its claim, or from a resumption, to the next one. A run changes its job in its turn only.

    Turns are counted for each job, from 1 on.
    """

    token: JobToken
    turn: int


@dataclass(frozen=True, slots=True)
class JobDocument:
    """One image file of a job: `size` in bytes, `sha256` in hex; `blob` is the key of its file in the spool."""

    id: int
    format: str
    size: int
    sha256: str
    blob: str


class RunStatus(StrEnum):
    """How a filter's run ended, as the server observed it; the value is what the receipt shows."""

    NOT_STARTED = "not-started"
    COMPLETED = "completed"  # it finished, perhaps with warnings
    FAILED = "failed"  # it reported a failure, or raised an exception
    STOPPED = "stopped"  # at its own token check, after a cancel
    KILLED = "killed"  # it did not stop in time, violated the protocol, or its server died
    DIED = "died"  # its process ended without a report


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server observed of a filter's run; `status` is None until it has ended.

    `checks` counts the token checks, `longest_gap` is the longest time between two of them, `stopped_after` the time
    from the cancel to the end of the run, both in seconds.
    """

    status: RunStatus | None = None
    checks: int = 0
    longest_gap: float = 0.0
    stopped_after: float | None = None


NO_RECEIPT: Final = Receipt()


@dataclass(frozen=True, slots=True)
class FilterStep:
    """One filter of a job.

    `attempt` numbers its runs and only grows; `crashes` counts those that had ended by a crash, of their worker or of
    the server, when the last one began. `suspended` says that the last run ended because its server was stopped.
    `detail` describes an error, `progress` how far it is. `documents` are those for the filters after it, if it has
    changed them; else None.
    """

    position: int
    instructions: FilterInstructions
    state: FilterState = FilterState.PENDING
    reasons: tuple[str, ...] = ()
    detail: str = ""
    attempt: int = 0
    progress: str = ""
    receipt: Receipt = NO_RECEIPT
    documents: tuple[JobDocument, ...] | None = None
    crashes: int = 0
    suspended: bool = False

    @property
    def dialect(self) -> str:
        """The namespace that identifies the filter."""
        return self.instructions.dialect

    @property
    def crashed(self) -> int:
        """How many runs have ended by a crash: a last run that is Processing, and is over, ended so if not suspended.

        Valid while no run of the filter is in progress.
        """
        return self.crashes + (self.state is FilterState.PROCESSING and not self.suspended)


@dataclass(slots=True)
class Job:
    """A PostScan job. Change it only through its verbs; the store saves it with the events it collected.

    `deadline` is the tick at which a job that is still `Creating` expires. `images_kept` becomes False when the images
    of an ended job are removed. `holder` identifies the process that runs the job, or ran it last; empty before that.
    `turn` counts its claim and its resumptions.
    """

    token: JobToken
    owner: Principal
    user: User
    process_id: str
    process_name: str
    document_root: str
    continue_on_error: bool
    created: datetime
    steps: list[FilterStep]
    state: JobState = JobState.CREATING
    reasons: tuple[str, ...] = ()
    documents: list[JobDocument] = field(default_factory=list)
    completed: datetime | None = None
    deadline: float = 0.0
    images_kept: bool = True
    version: int = 0
    holder: str = ""
    turn: int = 0
    events: list[Event] = field(default_factory=list)

    @classmethod
    def create(
        cls,
        token: JobToken,
        owner: Principal,
        user: User,
        process: ScanProcess,
        instructions: Instructions,
        at: datetime,
    ) -> Job:
        """Create a job in state Creating from a scan process and the instructions that the device sent."""
        job = cls(
            token=token,
            owner=owner,
            user=user,
            process_id=process.identifier,
            process_name=process.display_name,
            document_root=instructions.document_root,
            continue_on_error=instructions.continue_on_error,
            created=at,
            steps=[FilterStep(n, filter) for n, filter in enumerate(instructions.filters)],
        )
        job._add_event(JobStateChanged(job.state, (), at))
        return job

    @property
    def images_received(self) -> int:
        """How many documents the job has received."""
        return len(self.documents)

    def documents_for(self, position: int) -> Sequence[JobDocument]:
        """Return the documents for the filter at *position*: those of the last filter before it that changed them."""
        made = (step.documents for step in reversed(self.steps[:position]) if step.documents is not None)
        return next(made, self.documents)

    @property
    def made(self) -> list[JobDocument]:
        """The documents that filters have made; the images of the device are not among them."""
        sent = {document.blob for document in self.documents}
        new = {one.blob: one for step in self.steps for one in step.documents or () if one.blob not in sent}
        return list(new.values())

    @property
    def kept_bytes(self) -> int:
        """The size of the files in the spool: images until they are removed, what filters have made until the end."""
        images = sum(document.size for document in self.documents) if self.images_kept else 0
        return images if self.state.ended else images + sum(document.size for document in self.made)

    def check(self, verb: Verb) -> None:
        """Raise `WrongState` or `JobCanceled` if the state does not allow *verb*; change nothing."""
        self._next(verb)

    def receive(self, document: JobDocument, at: datetime) -> bool:
        """Add a document; return False if it is an identical resend.

        Raises `InvalidArgument` (DocumentId) for other bytes under a known id.
        """
        self._step(Verb.RECEIVE)
        for known in self.documents:
            if known.id != document.id:
                continue
            if (known.format, known.sha256) == (document.format, document.sha256):
                return False
            raise InvalidArgument("DocumentId", str(document.id), "an id that this job does not have yet")
        self.documents.append(document)
        self.documents.sort(key=lambda one: one.id)
        self._add_event(ImageReceived(document.id, document.size, document.sha256, at))
        return True

    def end(self, at: datetime) -> bool:
        """Move to Pending and take no more images; return False if the job has ended its images before."""
        if self.state in _ENDED_ALREADY:
            return False
        self._move(Verb.END, at)
        return True

    def hold(self, at: datetime) -> None:
        """Hold a pending job."""
        self._move(Verb.HOLD, at)

    def release(self, at: datetime) -> None:
        """Move a held job to Pending."""
        self._move(Verb.RELEASE, at)

    def claim(self, at: datetime, holder: str = "") -> None:
        """Move a pending job to Started, as the first turn of its holder."""
        self._move(Verb.CLAIM, at)
        self.holder = holder
        self.turn += 1

    def begin(self, at: datetime) -> bool:
        """Move to Processing, or stay there; return False if the job has been cancelled."""
        self._move(Verb.RUN, at)
        return self.state is not JobState.TERMINATING

    def start(self, position: int, at: datetime) -> bool:
        """Start the filter at *position*; return False, and start nothing, if the job has been cancelled."""
        if not self.begin(at):
            return False
        step = self.steps[position]
        begun = replace(
            step,
            attempt=step.attempt + 1,
            crashes=step.crashed,
            suspended=False,
            reasons=(),
            detail="",
            progress="",
            receipt=NO_RECEIPT,
        )
        self._step_filter(begun, FilterVerb.START, at)
        return True

    def suspend(self, position: int) -> None:
        """Record that the run of the filter at *position* ended because the server stops, and not by a crash."""
        self.steps[position] = replace(self.steps[position], suspended=True)

    def report(
        self,
        position: int,
        verb: FilterVerb,
        at: datetime,
        reasons: Sequence[str] = (),
        detail: str = "",
        progress: str = "",
        receipt: Receipt = NO_RECEIPT,
        documents: tuple[JobDocument, ...] | None = None,
    ) -> None:
        """Record how the filter at *position* ended, and the documents for the filters after it."""
        reported = replace(
            self.steps[position],
            reasons=tuple(reasons),
            detail=detail,
            progress=progress or self.steps[position].progress,
            receipt=receipt,
            documents=documents,
            crashes=self.steps[position].crashes + (receipt.status is RunStatus.DIED),
        )
        self._step_filter(reported, verb, at)

    def finish(self, at: datetime) -> None:
        """Close the job after its last filter: Completed, or Canceled if it was cancelled meanwhile."""
        self._close(Verb.FINISH, self._completion_reason(), at)

    def fail(self, reason: JobReason, at: datetime) -> None:
        """Close the job after an error: Aborted, or Canceled if it was cancelled meanwhile."""
        self._close(Verb.FAIL, reason, at)

    def break_off(self, at: datetime) -> None:
        """Close a job whose source failed before its last image: Aborted; raise `WrongState` if it takes no images."""
        self.check(Verb.RECEIVE)
        self._close(Verb.FAIL, JobReason.SEND_IMAGE_FAILED, at)

    def expire(self, at: datetime) -> None:
        """Close a job whose device has sent nothing until the deadline: Aborted."""
        self._close(Verb.EXPIRE, JobReason.TIMED_OUT, at)

    def cancel(self, at: datetime) -> None:
        """Cancel the job: Canceled at once if no filter runs, else Terminating until its filters have stopped."""
        if self._next(Verb.CANCEL).ended:
            self._close(Verb.CANCEL, JobReason.CANCELED, at)
        else:
            self._move(Verb.CANCEL, at)

    def _completion_reason(self) -> JobReason:
        states = {step.state for step in self.steps}
        if FilterState.ERRORS in states:
            return JobReason.ERRORS
        if FilterState.WARNINGS in states:
            return JobReason.WARNINGS
        return JobReason.SUCCEEDED

    def _close(self, verb: Verb, reason: JobReason, at: datetime) -> None:
        """End the job. Every way to end a job goes through this method."""
        self.state = self._next(verb)
        self.reasons = (JobReason.CANCELED if self.state is JobState.CANCELED else reason,)
        self.completed = max(at, self.created)  # the wall clock may have been set back meanwhile
        for step in self.steps:
            if not step.state.ended:
                status = RunStatus.NOT_STARTED if step.state is FilterState.PENDING else RunStatus.KILLED
                self.report(step.position, FilterVerb.CANCEL, at, receipt=Receipt(status))
        self._add_event(JobStateChanged(self.state, self.reasons, at))
        self._add_event(JobEnded(self.state, self.reasons, self.completed))

    def _move(self, verb: Verb, at: datetime) -> None:
        """Move to a state that does not end the job; add an event if it is another state."""
        state = self._next(verb)
        if state is self.state:
            return
        self.state = state
        self.reasons = (JobReason.CANCELED,) if state is JobState.TERMINATING else ()
        self._add_event(JobStateChanged(state, self.reasons, at))

    def _step(self, verb: Verb) -> None:
        self.state = self._next(verb)

    def _next(self, verb: Verb) -> JobState:
        try:
            return after(self.state, verb)
        except WrongState:
            if self.state in (JobState.CANCELED, JobState.TERMINATING):
                raise JobCanceled(verb, self.state) from None
            raise

    def _step_filter(self, step: FilterStep, verb: FilterVerb, at: datetime) -> None:
        state = filter_after(step.state, verb)
        reasons = step.reasons
        if state is FilterState.ERRORS and not reasons:
            reasons = (FilterReason.UNKNOWN_ERROR,)
        self.steps[step.position] = replace(step, state=state, reasons=reasons)
        self._add_event(FilterStateChanged(step.position, state, reasons, at))

    def _add_event(self, event: Event) -> None:
        self.events.append(event)
