"""What is said about jobs in JSON: the same by `--json` of the command line and by the API of the console.

Times are in ISO 8601, sizes in bytes, durations in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from postscan.core.model.job import FilterStep, Job, JobDocument, Receipt
from postscan.core.model.principal import Principal, User
from postscan.core.model.records import AuditLine, Delivery, EventRow, JobLogLine, JobOrigin
from postscan.core.model.states import JobState
from postscan.core.service.administration.actions import JobAction
from postscan.core.service.administration.listing import HourOfJobs, ListedJob, ListedStep
from postscan.core.service.administration.reprocessing import PlannedFilter

Moment = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time as `datetime.isoformat` writes it."""


class JsonRecord(BaseModel):
    """Base class of the records."""

    model_config = ConfigDict(frozen=True)

    def plain(self) -> dict[str, Any]:
        """Return the record as plain values, its keys in their order."""
        return self.model_dump(mode="json")


class OwnerRecord(JsonRecord):
    """Who made a job, or subscribed: the name, and how it was proven."""

    name: str
    proof: str

    @classmethod
    def of(cls, owner: Principal) -> OwnerRecord:
        """Return the record of an owner."""
        return cls(name=owner.name, proof=str(owner.proof))


class UserRecord(JsonRecord):
    """For whom a job is."""

    sid: str
    name: str

    @classmethod
    def of(cls, user: User) -> UserRecord:
        """Return the record of a user."""
        return cls(sid=user.sid, name=user.name)


class ProcessOfJob(JsonRecord):
    """The scan process of a job."""

    id: str
    name: str


class ReceiptRecord(JsonRecord):
    """What the server observed of a filter's run: `fate` is how it ended, null before."""

    fate: str | None
    checks: int
    longest_gap: float
    stopped_after: float | None

    @classmethod
    def of(cls, receipt: Receipt) -> ReceiptRecord:
        """Return the record of a receipt."""
        return cls(
            fate=receipt.status,
            checks=receipt.checks,
            longest_gap=receipt.longest_gap,
            stopped_after=receipt.stopped_after,
        )


class StepFacts(JsonRecord):
    """What every record of a filter of a job begins with; `position` counts from 0."""

    position: int
    dialect: str
    state: str
    reasons: tuple[str, ...]
    detail: str
    progress: str
    attempt: int


class ListedStepRecord(StepFacts):
    """One filter of a job that was found."""

    @classmethod
    def of(cls, step: ListedStep) -> ListedStepRecord:
        """Return the record of a filter."""
        return cls(**_of_step(step))


class StepRecord(StepFacts):
    """One filter of a job, with the receipt of its last run."""

    receipt: ReceiptRecord

    @classmethod
    def of(cls, step: FilterStep) -> StepRecord:
        """Return the record of a filter."""
        return cls(**_of_step(step), receipt=ReceiptRecord.of(step.receipt))


class DocumentRecord(JsonRecord):
    """One image of a job."""

    id: int
    format: str
    size: int
    sha256: str

    @classmethod
    def of(cls, one: JobDocument) -> DocumentRecord:
        """Return the record of an image."""
        return cls(id=one.id, format=one.format, size=one.size, sha256=one.sha256)


class JobBasics(JsonRecord):
    """What every record of a job begins with; `document_root` begins the names of its files."""

    token: str
    state: str
    reasons: tuple[str, ...]
    owner: OwnerRecord
    user: UserRecord
    process: ProcessOfJob
    document_root: str
    created: Moment
    completed: Moment | None
    images_received: int
    images_kept: bool


class ListedJobRecord(JobBasics):
    """A job that was found, without the receipts and the images."""

    filters: tuple[ListedStepRecord, ...]

    @classmethod
    def of(cls, job: ListedJob) -> ListedJobRecord:
        """Return the record of a job that was found."""
        return cls(**_facts(job), filters=tuple(map(ListedStepRecord.of, job.steps)))


class WholeJob(JobBasics):
    """A job with its filters and images."""

    filters: tuple[StepRecord, ...]
    documents: tuple[DocumentRecord, ...]


class JobRecord(WholeJob):
    """A job, without what is stored beside it."""

    @classmethod
    def of(cls, job: Job) -> JobRecord:
        """Return the record of a job."""
        return cls(**_whole(job))


class OriginRecord(JsonRecord):
    """Where the pages of a source's job come from; `told` is what the origin said to a cancel."""

    source: str
    proof: str
    subject: str
    account: str | None
    destination: str
    told: str | None

    @classmethod
    def of(cls, origin: JobOrigin) -> OriginRecord:
        """Return the record of an origin, without its key."""
        return cls(
            source=origin.inlet,
            proof=str(origin.proof),
            subject=origin.subject,
            account=origin.account or None,
            destination=origin.destination,
            told=origin.told or None,
        )


class DeliveryRecord(JsonRecord):
    """One output that a filter was granted; `document` is null for an output of the whole job."""

    position: int
    document: int | None
    destination: str
    name: str
    published: bool
    at: Moment | None

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryRecord:
        """Return the record of an output."""
        return cls(**delivery._asdict())


class EventRecord(JsonRecord):
    """One event of a job; the further keys depend on its kind."""

    model_config = ConfigDict(extra="allow")

    at: Moment
    kind: str

    @classmethod
    def of(cls, event: EventRow) -> EventRecord:
        """Return the record of an event."""
        return cls(at=event.at, kind=event.kind, **event.fields)


class JobDetails(WholeJob):
    """A job with all that is stored with it; `actions` is what the caller may do with it now.

    `notes` are sentences of its source, as that the device did not scan what was asked for.
    """

    actions: tuple[JobAction, ...]
    origin: OriginRecord | None
    notes: tuple[str, ...]
    deliveries: tuple[DeliveryRecord, ...]
    events: tuple[EventRecord, ...]

    @classmethod
    def of(
        cls,
        job: Job,
        actions: Sequence[JobAction],
        origin: JobOrigin | None,
        notes: Sequence[str],
        deliveries: Iterable[Delivery],
        events: Iterable[EventRow],
    ) -> JobDetails:
        """Return the record of a job and of what is stored with it."""
        return cls(
            **_whole(job),
            actions=tuple(actions),
            origin=OriginRecord.of(origin) if origin else None,
            notes=tuple(notes),
            deliveries=tuple(map(DeliveryRecord.of, deliveries)),
            events=tuple(map(EventRecord.of, events)),
        )


class LogLineRecord(JsonRecord):
    """One line that a filter has logged; `dropped_lines` and `dropped_bytes` are missing there."""

    at: Moment
    position: int
    attempt: int
    level: str
    text: str
    dropped_lines: int
    dropped_bytes: int

    @classmethod
    def of(cls, line: JobLogLine) -> LogLineRecord:
        """Return the record of a line."""
        return cls(**line._asdict())


class AuditRecord(JsonRecord):
    """One line of the audit trail."""

    at: Moment
    who: str
    proof: str
    verb: str
    token: str
    outcome: str
    detail: str
    seq: int

    @classmethod
    def of(cls, line: AuditLine) -> AuditRecord:
        """Return the record of a line."""
        return cls(**line._asdict())


class PlannedFilterRecord(JsonRecord):
    """What a retry does with one filter of a job: `remakes` says that it runs only for the documents that it made.

    `published` are its outputs, which a filter that runs publishes again.
    """

    position: int
    dialect: str
    runs: bool
    remakes: bool
    published: int

    @classmethod
    def of(cls, one: PlannedFilter) -> PlannedFilterRecord:
        """Return the record of a filter of a plan."""
        return cls(
            position=one.step.position,
            dialect=one.step.dialect,
            runs=one.runs,
            remakes=one.remakes,
            published=len(one.published),
        )


class HourRecord(JsonRecord):
    """The jobs that were created in the hour from `begin` on, by their state now."""

    begin: Moment
    states: dict[JobState, int]


class CountsRecord(JsonRecord):
    """How many jobs are in each state, and those of the last 24 hours by the hour of their creation."""

    states: dict[JobState, int]
    hours: tuple[HourRecord, ...]

    @classmethod
    def of(cls, states: Mapping[JobState, int], hours: Iterable[HourOfJobs]) -> CountsRecord:
        """Return the record of the numbers."""
        return cls(
            states=dict(states), hours=tuple(HourRecord(begin=one.begin, states=dict(one.states)) for one in hours)
        )


def _whole(job: Job) -> dict[str, Any]:
    return {
        **_facts(job),
        "filters": tuple(map(StepRecord.of, job.steps)),
        "documents": tuple(map(DocumentRecord.of, job.documents)),
    }


def _facts(job: Job | ListedJob) -> dict[str, Any]:
    return {
        "token": job.token,
        "state": str(job.state),
        "reasons": tuple(job.reasons),
        "owner": OwnerRecord.of(job.owner),
        "user": UserRecord.of(job.user),
        "process": ProcessOfJob(id=job.process_id, name=job.process_name),
        "document_root": job.document_root,
        "created": job.created,
        "completed": job.completed,
        "images_received": job.images_received,
        "images_kept": job.images_kept,
    }


def _of_step(step: FilterStep | ListedStep) -> dict[str, Any]:
    return {
        "position": step.position,
        "dialect": step.dialect,
        "state": str(step.state),
        "reasons": tuple(step.reasons),
        "detail": step.detail,
        "progress": step.progress,
        "attempt": step.attempt,
    }
