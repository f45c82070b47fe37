"""Read the events of a device. Source: ws-scan.md sections 5 and 8; WSS-026, WSS-062."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import fields
from postscan.soap.wsscan.messages.names import wscn


@dataclass(frozen=True, slots=True)
class ScanAvailableEvent:
    """The button was pressed: `client_context` names the destination, `scan_identifier` the press.

    `input_source` is a keyword, "" if there is none.
    """

    client_context: str
    scan_identifier: str
    input_source: str = ""


@dataclass(frozen=True, slots=True)
class JobEndStateEvent:
    """A job of the device has ended: its JobId, `Completed`, `Aborted` or `Canceled`, and reasons beside that."""

    job_id: int
    state: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobStatusEvent:
    """A job of the device is in another state."""

    job_id: int
    state: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ElementsChangeEvent:
    """Configuration or default ticket of the device have changed: what is kept of them is stale."""


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """An event of another kind; `name` is its local name."""

    name: str


ScannerEvent = ScanAvailableEvent | JobEndStateEvent | JobStatusEvent | ElementsChangeEvent | OtherEvent


def read_event(body: etree._Element) -> ScannerEvent:
    """Return the event in *body*, which the element inside the Body is; raise `InvalidAnswer` if a field is missing."""
    if body.tag == wscn("ScanAvailableEvent"):
        return _scan_available(body)
    if body.tag == wscn("JobEndStateEvent"):
        job = fields.find(body, "JobEndState")
        return JobEndStateEvent(*_job(job, "JobCompletedState", "JobCompletedStateReasons"))
    if body.tag == wscn("JobStatusEvent"):
        return JobStatusEvent(*_job(fields.find(body, "JobStatus"), "JobState", "JobStateReasons"))
    if body.tag == wscn("ScannerElementsChangeEvent"):
        return ElementsChangeEvent()
    return OtherEvent(str(body.tag).rpartition("}")[2][: fields.LONGEST])


def _scan_available(body: etree._Element) -> ScanAvailableEvent:
    context, identifier = fields.text(body, "ClientContext"), fields.text(body, "ScanIdentifier")
    if not context or not identifier:
        raise InvalidAnswer(
            "a ScanAvailableEvent without a ClientContext or a ScanIdentifier of at most 255 characters"
        )
    return ScanAvailableEvent(context, identifier, fields.text(body, "InputSource"))


def _job(job: etree._Element | None, state: str, reasons: str) -> tuple[int, str, tuple[str, ...]]:
    job_id, found = fields.number(job, "JobId"), fields.text(job, state)
    if job_id is None or not found:
        raise InvalidAnswer("an event about a job without a JobId or a state")
    return job_id, found, fields.texts(job, reasons, "JobStateReason")
