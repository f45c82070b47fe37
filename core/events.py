"""What can have happened to a job: values in the past tense, stored with the change that they tell of.

The event table is outbox, job history and audit trail at once; `to_record` is the only form that it keeps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class JobStateChanged:
    """The job moved to `state`."""

    state: str
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class ImageReceived:
    """The spool holds one more document of the job."""

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


Event = JobStateChanged | ImageReceived | FilterStateChanged | JobEnded


def to_record(event: Event) -> tuple[str, dict[str, Any]]:
    """Return the event's kind and its fields without the time, ready for JSON."""
    fields = asdict(event)
    del fields["at"]
    return type(event).__name__, fields
