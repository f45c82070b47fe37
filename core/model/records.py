"""Values stored beside jobs: requests and their responses, event rows, deliveries, lines of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Identifies a request that may be repeated: its MessageID, and a digest of its content."""

    message_id: str
    digest: str


class EventRow(NamedTuple):
    """One stored event: `seq` orders all events of the server."""

    seq: int
    token: JobToken
    kind: str
    at: datetime
    fields: dict[str, Any]


class Delivery(NamedTuple):
    """One granted output of a filter, `published` or not yet. `document` is None for an output of the whole job."""

    position: int
    document: int | None
    destination: str
    name: str
    published: bool


class StoredResponse(NamedTuple):
    """The response to a request of *owner*: the verb, and the text that it carries. `ticks` is when it was stored."""

    owner: str
    request: RequestKey
    verb: str
    result: str
    ticks: float


class AuditLine(NamedTuple):
    """One action of a caller, or an attempt; `seq` is 0 until the line is stored."""

    at: datetime
    who: str
    proof: str
    verb: str
    token: str
    outcome: str
    detail: str
    seq: int = 0

    @classmethod
    def of(
        cls, by: Principal, verb: str, token: str, at: datetime, outcome: str = "done", detail: str = ""
    ) -> AuditLine:
        """Return a line about an action of *by*."""
        return cls(at, by.name, by.proof, verb, token[:255], outcome, detail)
