"""How a press ends. Source: ws-scan.md sections 8 and 9."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from postscan.soap.wsscan.scan_job.ticket import TicketChange


class OutcomeKind(StrEnum):
    """What became of a press: its job is stored, cancelled or failed, or there is no new job.

    `CANCELLED` is what people did: here, at the panel, or by an empty feeder. `FAILED` is everything else; its job is
    Aborted, or Canceled if the device created none.
    """

    STORED = "stored"
    CANCELLED = "cancelled"
    FAILED = "failed"
    TAKEN = "taken"
    BUSY = "busy"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """The end of a press: the JobToken ("" without a job), its pages, why it ended so, what differs from the ticket."""

    kind: OutcomeKind
    job: str = ""
    pages: int = 0
    reason: str = ""
    changes: tuple[TicketChange, ...] = ()


class ScanFailed(Exception):
    """The scan cannot go on; the text is the reason for the job."""


class ScanCancelled(Exception):
    """The scan ended before its first image, or was cancelled at the device; the text is the reason for the job."""


class ScanNotStarted(ScanCancelled):
    """The device created no job: ours is cancelled, and the press has failed."""


class SourceStopped(Exception):
    """The source is being stopped and the scan did not end in time."""

    def __init__(self) -> None:
        super().__init__("the source was stopped")
