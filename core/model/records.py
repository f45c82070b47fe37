"""Values stored beside jobs: requests and their responses, event rows, deliveries, audit trail, origins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal

REMEMBERED: Final = 30 * 86_400.0
"""Seconds for which the key of an origin is remembered, and as long as its job is, unless its source asks for less."""


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
    """One granted output of a filter, `published` or not yet.

    `document` is None for an output of the whole job. `at` is when it was granted; None before it is stored.
    """

    position: int
    document: int | None
    destination: str
    name: str
    published: bool
    at: datetime | None = None


class JobLogLine(NamedTuple):
    """One line that a filter has logged: of the filter at this position, in this attempt.

    `dropped_bytes` are missing at its end. With `dropped_lines` it is a line without text, about so many lines that are
    missing, with these bytes.
    """

    at: datetime
    position: int
    attempt: int
    level: str
    text: str
    dropped_lines: int = 0
    dropped_bytes: int = 0


class JobLogPage(NamedTuple):
    """A part of the log of a job; the next part begins behind `end`."""

    lines: tuple[JobLogLine, ...]
    end: int


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


class OriginProof(StrEnum):
    """How a source has proven who sends pages."""

    DEVICE = "device"  # an address, a network or a UUID
    CLEAR = "clear"  # an account and a password that could be read on their way
    PASSWORD = "password"  # noqa: S105  (the same over TLS)
    CERTIFICATE = "certificate"
    LOCAL = "local"  # a folder of this machine

    @property
    def names_account(self) -> bool:
        """Whether an account is proven, not only a device or a folder."""
        return self in (OriginProof.CLEAR, OriginProof.PASSWORD, OriginProof.CERTIFICATE)


@dataclass(frozen=True, slots=True)
class JobOrigin:
    """Where the pages of one job come from: through which inlet, by which key of it, from whom, to which destination.

    `key` is the SHA-256 of the source's key in hex, "" once the key is free again. It is remembered until the tick
    `until`; `with_job` says that it is remembered as long as its job, too. `destination` is a name of the settings.
    `told` is what the origin said to a cancel, "" if it has said nothing.
    """

    token: JobToken
    inlet: str
    key: str
    proof: OriginProof
    subject: str
    account: str
    destination: str
    until: float
    with_job: bool
    told: str = ""


def key_hash(key: str) -> str:
    """Return the SHA-256 of a key in hex."""
    return hashlib.sha256(key.encode()).hexdigest()
