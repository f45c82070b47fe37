"""Events of a job or of the repository: values in the past tense, stored with the change itself.

The event table is outbox, job history and audit trail at once; `to_record` gives the form that is stored.
The repository is the whole server, in the terms of WS-DSC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, get_args


@dataclass(frozen=True, slots=True)
class JobStateChanged:
    """The job moved to `state`."""

    state: str
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class ImageReceived:
    """The spool has one more document of the job."""

    document_id: int
    size: int
    sha256: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FilterStateChanged:
    """The filter at `position` (0 is the first) moved to `state`."""

    position: int
    state: str
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job reached its last state; exactly one per job, and the last event of all."""

    state: str
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class RepositoryStatusChanged:
    """The repository moved to `state`: "Processing" while any job is in progress, else "Idle"."""

    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RepositoryConfigurationChanged:
    """A server has started with other usable filters than the last one; `filters` holds their dialects, sorted."""

    filters: tuple[str, ...]
    at: datetime


Event = JobStateChanged | ImageReceived | FilterStateChanged | JobEnded
"""Events of a job."""

RepositoryEvent = RepositoryStatusChanged | RepositoryConfigurationChanged
"""Events of the repository."""

_KINDS: Final[dict[str, type[Event | RepositoryEvent]]] = {
    kind.__name__: kind for kind in (*get_args(Event), *get_args(RepositoryEvent))
}


def to_record(event: Event | RepositoryEvent) -> tuple[str, dict[str, Any]]:
    """Return the event's kind and its fields without the time, ready for JSON."""
    values = {field.name: getattr(event, field.name) for field in fields(event) if field.name != "at"}
    return type(event).__name__, values


def from_record(kind: str, fields: Mapping[str, Any], at: datetime) -> Event | RepositoryEvent:
    """Return the stored event; the inverse of `to_record`, through JSON and back."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return _KINDS[kind](**values, at=at)
