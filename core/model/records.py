"""What the store keeps beside jobs: requests and their responses, event rows, deliveries, lines of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Names a request that may be sent again: its MessageID, and a digest of everything that it asks for."""

    message_id: str
    digest: str


class EventRow(NamedTuple):
    """One event as it is stored: `seq` orders all events of the server."""

    seq: int
    token: JobToken
    kind: str
    at: datetime
    fields: dict[str, Any]


class Delivery(NamedTuple):
    """One output of a filter: granted, and since then perhaps `published`. `document` is None for the whole job."""

    position: int
    document: int | None
    destination: str
    name: str
    published: bool


class StoredResponse(NamedTuple):
    """What a request of *owner* was answered with: the verb, and the one text that the answer needs."""

    owner: str
    request: RequestKey
    verb: str
    result: str
    ticks: float


class AuditLine(NamedTuple):
    """Who did what, or tried to; `seq` is 0 until it is stored."""

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
        """Make a line about what *by* did."""
        return cls(at, by.name, by.proof, verb, token[:255], outcome, detail)
