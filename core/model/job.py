"""The job and the values around it.

`Job` is the one entity: its verbs step the tables of `postscan.core.model.states`, collect events, and do no I/O.
Everything else here is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

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
"""Names a job on the wire: a random (version 4) GUID in lower case. Opaque; compared exactly."""


@dataclass(frozen=True, slots=True)
class JobDocument:
    """One image file of a job: `size` in bytes, `sha256` in hex; `blob` is the spool's key, never bytes."""

    id: int
    format: str
    size: int
    sha256: str
    blob: str


class RunStatus(StrEnum):
    """What became of a filter's run, as the server saw it: the words of its receipt."""

    NOT_STARTED = "not-started"
    COMPLETED = "completed"  # it came to its end, perhaps with warnings
    FAILED = "failed"  # it said that it could not, or broke
    STOPPED = "stopped"  # at its own check, after it was asked
    KILLED = "killed"  # it did not honour its token in time, or could not be talked to, or its server died
    DIED = "died"  # its process ended without a word


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server can prove of a filter's run; `fate` is None while it is not over.

    `checks` counts the looks at the token, `longest_gap` is the longest time between two of them, `stopped_after` the
    time from the cancel to the end of the run, both in seconds.
    """

    fate: RunStatus | None = None
    checks: int = 0
    longest_gap: float = 0.0
    stopped_after: float | None = None


NO_RECEIPT: Final = Receipt()


@dataclass(frozen=True, slots=True)
class FilterStep:
    """One filter of a job.

    `attempt` counts its starts; `detail` says in words what went wrong, `progress` how far it is. `documents` is what
    the filters after it get to see, if it made something else of what it got.
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

    @property
    def dialect(self) -> str:
        """The namespace that names the filter."""
        return self.instructions.dialect


@dataclass(slots=True)
class Job:
    """A PostScan job. Change it only through its verbs; the store saves it with the events it collected.

    `deadline` is the tick at which a job that is still `Creating` has been silent for too long. `images_kept` turns
    false when the images of an ended job were removed.
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
        """Make a job in state Creating out of a scan process and the instructions that the device sent."""
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
        job._say(JobStateChanged(job.state, (), at))
        return job

    @property
    def images_received(self) -> int:
        """How many documents the job has taken."""
        return len(self.documents)

    def documents_for(self, position: int) -> Sequence[JobDocument]:
        """Return what the filter at *position* gets to see: what the last filter before it made of the images."""
        made = (step.documents for step in reversed(self.steps[:position]) if step.documents is not None)
        return next(made, self.documents)

    @property
    def made(self) -> list[JobDocument]:
        """What filters have made of the images: documents that are no images of the device."""
        sent = {document.blob for document in self.documents}
        new = {one.blob: one for step in self.steps for one in step.documents or () if one.blob not in sent}
        return list(new.values())

    def check(self, verb: Verb) -> None:
        """Raise `WrongState` or `JobCanceled` if the state does not allow *verb*; change nothing."""
        self._next(verb)

    def receive(self, document: JobDocument, at: datetime) -> bool:
        """Take one more document; return False if it is the identical resend of one that is here already.

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
        self._say(ImageReceived(document.id, document.size, document.sha256, at))
        return True

    def end(self, at: datetime) -> bool:
        """Take no more images and wait to be processed; return False if that was said before."""
        if self.state in _ENDED_ALREADY:
            return False
        self._move(Verb.END, at)
        return True

    def hold(self, at: datetime) -> None:
        """Keep a waiting job from being processed."""
        self._move(Verb.HOLD, at)

    def release(self, at: datetime) -> None:
        """Let a held job be processed."""
        self._move(Verb.RELEASE, at)

    def claim(self, at: datetime) -> None:
        """Take a waiting job in hand."""
        self._move(Verb.CLAIM, at)

    def begin(self, at: datetime) -> bool:
        """Begin, or go on, to process a job in hand; return False if a cancel came first."""
        self._move(Verb.RUN, at)
        return self.state is not JobState.TERMINATING

    def start(self, position: int, at: datetime) -> bool:
        """Start the filter at *position*; return False if a cancel came first, and nothing was started."""
        if not self.begin(at):
            return False
        step = self.steps[position]
        begun = replace(step, attempt=step.attempt + 1, reasons=(), detail="", progress="", receipt=NO_RECEIPT)
        self._step_filter(begun, FilterVerb.START, at)
        return True

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
        """Note how the filter at *position* ended, and what it made of the documents."""
        told = replace(
            self.steps[position],
            reasons=tuple(reasons),
            detail=detail,
            progress=progress or self.steps[position].progress,
            receipt=receipt,
            documents=documents,
        )
        self._step_filter(told, verb, at)

    def finish(self, at: datetime) -> None:
        """Close the job after its last filter: Completed, or Canceled if a cancel came meanwhile."""
        self._close(Verb.FINISH, self._verdict(), at)

    def fail(self, reason: JobReason, at: datetime) -> None:
        """Close the job because it cannot go on: Aborted, or Canceled if a cancel came meanwhile."""
        self._close(Verb.FAIL, reason, at)

    def expire(self, at: datetime) -> None:
        """Close a job whose device fell silent before the end of its images."""
        self._close(Verb.EXPIRE, JobReason.TIMED_OUT, at)

    def cancel(self, at: datetime) -> None:
        """Cancel the job: at once where nothing runs, else it is Terminating until its filters have stopped."""
        if self._next(Verb.CANCEL).ended:
            self._close(Verb.CANCEL, JobReason.CANCELED, at)
        else:
            self._move(Verb.CANCEL, at)

    def _verdict(self) -> JobReason:
        states = {step.state for step in self.steps}
        if FilterState.ERRORS in states:
            return JobReason.ERRORS
        if FilterState.WARNINGS in states:
            return JobReason.WARNINGS
        return JobReason.SUCCEEDED

    def _close(self, verb: Verb, reason: JobReason, at: datetime) -> None:
        """End the job. This is the only place where a job ends, whatever ended it."""
        self.state = self._next(verb)
        self.reasons = (JobReason.CANCELED if self.state is JobState.CANCELED else reason,)
        self.completed = max(at, self.created)  # the wall clock may have been set back meanwhile
        for step in self.steps:
            if not step.state.ended:
                fate = RunStatus.NOT_STARTED if step.state is FilterState.PENDING else RunStatus.KILLED
                self.report(step.position, FilterVerb.CANCEL, at, receipt=Receipt(fate))
        self._say(JobStateChanged(self.state, self.reasons, at))
        self._say(JobEnded(self.state, self.reasons, self.completed))

    def _move(self, verb: Verb, at: datetime) -> None:
        """Step to a state that is not the last; tell of it if it is a new one."""
        state = self._next(verb)
        if state is self.state:
            return
        self.state = state
        self.reasons = (JobReason.CANCELED,) if state is JobState.TERMINATING else ()
        self._say(JobStateChanged(state, self.reasons, at))

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
        self._say(FilterStateChanged(step.position, state, reasons, at))

    def _say(self, event: Event) -> None:
        self.events.append(event)
