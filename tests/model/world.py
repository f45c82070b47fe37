"""The model: what the requests on jobs mean, written down once more and without any of the server's code.

Pure values. `World.judge` says what a request is answered and what becomes of its job; nothing here knows of
databases, threads or time. Sources: the edges of docs/invariants.md with rulings 1 and 2, and
O-8 to O-14 of ws-dsp.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from postscan.core.model.principal import Principal, Proof

ENDED: Final = frozenset({"Completed", "Aborted", "Canceled"})
IN_HAND: Final = frozenset({"Started", "Processing", "Terminating"})
FILTER_ENDED: Final = frozenset({"Canceled", "CompletedSuccessfully", "CompletedWithErrors", "CompletedWithWarnings"})
CANCELED: Final = "PostScanJobCanceled"
TIMED_OUT: Final = "PostScanJobTimedOut"
DONE: Final = MappingProxyType(
    {
        "CompletedSuccessfully": "PostScanJobCompletedSuccessfully",
        "CompletedWithWarnings": "PostScanJobCompletedWithWarnings",
        "CompletedWithErrors": "PostScanJobCompletedWithErrors",
    }
)

EDGES: Final = frozenset(
    {("Creating", "Pending"), ("Creating", "Canceled"), ("Creating", "Aborted")}
    | {("Pending", "Started"), ("Pending", "Pending-Held"), ("Pending", "Canceled"), ("Pending", "Aborted")}
    | {("Pending-Held", "Pending"), ("Pending-Held", "Canceled"), ("Pending-Held", "Aborted")}
    | {("Started", "Processing"), ("Started", "Aborted"), ("Started", "Terminating")}
    | {("Processing", "Completed"), ("Processing", "Aborted"), ("Processing", "Terminating")}
    | {("Terminating", "Canceled")}
)
FILTER_EDGES: Final = frozenset(
    {("Pending", "Processing"), ("Pending", "Canceled")}
    | {("Pending", "CompletedWithErrors"), ("Pending", "CompletedWithWarnings"), ("Processing", "Processing")}
    | {("Processing", end) for end in FILTER_ENDED}
)

# Two devices, one that has the first one's name but not its proof, and an administrator.
ANNA: Final = Principal("device:a", Proof.ADDRESS)
BORIS: Final = Principal("device:b", Proof.ADDRESS)
MIMIC: Final = Principal("device:a", Proof.CERTIFICATE)
ADMIN: Final = Principal("local:root", Proof.LOCAL, admin=True)
EVERYBODY: Final = (ANNA, BORIS, MIMIC, ADMIN)

OPEN_JOBS: Final = 3
IMAGES: Final = 2
"""The limits that the engine is given: small enough to be met."""


class Verb(StrEnum):
    """What can be asked of the service."""

    CREATE = "create"
    SEND = "send"
    END = "end"
    CANCEL = "cancel"
    GET = "get"
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `filters` and `go_on` count for Create only; `document` and `content` for Send.

    `message` names a request that is sent again; empty: it has no name.
    """

    verb: Verb
    by: Principal
    token: str = ""
    document: int = 1
    content: bytes = b"page one"
    filters: tuple[str, ...] = ("urn:model:a", "urn:model:b")
    go_on: bool = False
    message: str = ""

    def __str__(self) -> str:
        who = f"{self.by.name}/{self.by.proof}"
        what = f" {self.document} {self.content!r}" if self.verb is Verb.SEND else ""
        name = f" as {self.message}" if self.message else ""
        return f"{who} {self.verb} {self.token[:8]}{what}{name}"


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a job."""

    dialect: str
    state: str = "Pending"
    attempt: int = 0
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """What everybody may know of a job; `images` pairs document ids with contents."""

    owner: Principal
    filters: tuple[Filter, ...]
    go_on: bool
    state: str = "Creating"
    reasons: tuple[str, ...] = ()
    images: tuple[tuple[int, bytes], ...] = ()

    @property
    def ended(self) -> bool:
        """True for the states that nothing leaves."""
        return self.state in ENDED

    def canceled(self) -> Job:
        """Return it as it is when a cancel has ended it."""
        left = tuple(one if one.state in FILTER_ENDED else replace(one, state="Canceled") for one in self.filters)
        return replace(self, state="Canceled", reasons=(CANCELED,), filters=left)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a request is answered (`ok`, or the name of the error), its job afterwards, and the job that it makes."""

    answer: str
    after: Job | None = None
    made: Job | None = None


UNKNOWN: Final = Judgement("JobNotFound")


@dataclass(slots=True)
class World:
    """All jobs by token, the ended ones whose images were removed, and the named requests that were answered.

    A new request of the protocol is one more function in `_RULES`.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    answered: dict[tuple[Principal, str], Ask] = field(default_factory=dict)

    def judge(self, ask: Ask) -> Judgement:
        """Say what *ask* would be answered now, and what it would change."""
        first = self.answered.get((ask.by, ask.message)) if ask.message else None
        if first is not None:
            return Judgement("ok" if first == ask else "RequestReused")
        if ask.verb is Verb.CREATE:
            # The limit counts by name: a name with two proofs gets no more than a name with one.
            mine = [job for job in self.jobs.values() if job.owner.name == ask.by.name and not job.ended]
            if len(mine) >= OPEN_JOBS:
                return Judgement("Unavailable")
            return Judgement("ok", made=Job(ask.by, tuple(Filter(dialect) for dialect in ask.filters), ask.go_on))
        job = self.jobs.get(ask.token)
        if job is None or not (ask.by.admin or job.owner == ask.by):
            return UNKNOWN
        if ask.verb is Verb.RELEASE and TIMED_OUT in job.reasons and ask.token not in self.removed:
            again = tuple(Filter(one.dialect) for one in job.filters)
            return Judgement("ok", made=replace(job, state="Pending", reasons=(), filters=again))
        return _RULES[ask.verb](job, ask)


def _send(job: Job, ask: Ask) -> Judgement:
    if job.state != "Creating":
        return Judgement("JobCanceled" if job.state in ("Canceled", "Terminating") else "WrongState")
    images = dict(job.images)
    if ask.document not in images and len(images) >= IMAGES:
        return Judgement("InvalidArgument DocumentId")
    if not ask.content:
        return Judgement("InvalidArgument ImageData")
    if ask.document in images:
        return Judgement("ok" if images[ask.document] == ask.content else "InvalidArgument DocumentId")
    return Judgement("ok", replace(job, images=tuple(sorted({**images, ask.document: ask.content}.items()))))


def _end(job: Job, _ask: Ask) -> Judgement:
    if job.state == "Creating":
        return Judgement("ok", replace(job, state="Pending"))
    if job.state in ("Canceled", "Terminating"):
        return Judgement("JobCanceled")
    return Judgement("WrongState" if job.ended else "ok")


def _cancel(job: Job, _ask: Ask) -> Judgement:
    if job.ended:
        return UNKNOWN
    if job.state == "Terminating":
        return Judgement("ok")
    if job.state in IN_HAND:
        return Judgement("ok", replace(job, state="Terminating", reasons=(CANCELED,)))
    return Judgement("ok", job.canceled())


def _get(_job: Job, _ask: Ask) -> Judgement:
    return Judgement("ok")


def _hold(job: Job, _ask: Ask) -> Judgement:
    return _moved(job, "Pending", "Pending-Held")


def _release(job: Job, _ask: Ask) -> Judgement:
    return _moved(job, "Pending-Held", "Pending")


def _moved(job: Job, source: str, target: str) -> Judgement:
    if job.state == source:
        return Judgement("ok", replace(job, state=target))
    return Judgement("JobCanceled" if job.state in ("Canceled", "Terminating") else "WrongState")


_RULES: Final = MappingProxyType(
    {
        Verb.SEND: _send,
        Verb.END: _end,
        Verb.CANCEL: _cancel,
        Verb.GET: _get,
        Verb.HOLD: _hold,
        Verb.RELEASE: _release,
    }
)
