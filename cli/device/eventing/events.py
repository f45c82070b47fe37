"""The messages to a subscriber, read from bytes: the two events of WS-DSP, and SubscriptionEnd.

Source: ws-dsp.md sections 2, 5, 13.7 and 13.8; dpws.md sections 8.3 and 11.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.cli.device.client import ReportedJob, filter_statuses, images_received, job_status
from postscan.cli.device.transport import DSP, SOAP, BadAnswer, header, parse

WSE: Final = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
STATUS: Final = f"{DSP}/PostScanJobStatusEvent"
END_STATE: Final = f"{DSP}/PostScanJobEndStateEvent"
SUBSCRIPTION_END: Final = f"{WSE}/SubscriptionEnd"

_NAMES: Final = {"dsp": DSP, "wse": WSE}


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """PostScanJobStatusEvent: the current status of a job."""

    token: str
    status: ReportedJob


@dataclass(frozen=True, slots=True)
class EndStateEvent:
    """PostScanJobEndStateEvent: a job has ended in `status.state`."""

    token: str
    status: ReportedJob


@dataclass(frozen=True, slots=True)
class SubscriptionEnd:
    """SubscriptionEnd: `status` is the last segment of its URI, `reason` a text."""

    status: str
    reason: str


EventContent = StatusEvent | EndStateEvent | SubscriptionEnd


@dataclass(frozen=True, slots=True)
class SubscriberMessage:
    """A message to a subscriber: its MessageID, its wse:Identifier, and its content."""

    id: str
    identifier: str
    content: EventContent


def read(data: bytes) -> SubscriberMessage:
    """Return the message in *data*; raise `BadAnswer` if it is not one to a subscriber."""
    root = parse(data)
    action, message_id = header(root, "Action"), header(root, "MessageID")
    if action not in _READERS:
        raise BadAnswer(f"has the Action {action or '(none)'}; expected an event of WS-DSP, or SubscriptionEnd")
    if not message_id:
        raise BadAnswer("has no MessageID")
    path, reader = _READERS[action]
    element = root.find(f"{{{SOAP}}}Body/{path}", _NAMES)
    if element is None:
        raise BadAnswer(f"has no {path} in its Body")
    identifier = root.findtext(f"{{{SOAP}}}Header/{{{WSE}}}Identifier", "").strip()
    return SubscriberMessage(message_id, identifier, reader(element))


def _status(element: etree._Element) -> StatusEvent:
    return StatusEvent(_text(element, "dsp:JobToken"), job_status(element))


def _end_state(element: etree._Element) -> EndStateEvent:
    reasons = element.iterfind("dsp:JobCompletedStateReasons/dsp:JobStateReason", _NAMES)
    ended = ReportedJob(
        state=_text(element, "dsp:JobCompletedState"),
        reasons=tuple((one.text or "").strip() for one in reasons),
        filters=filter_statuses(element, "FilterCompletedStatuses"),
        images=images_received(element),
    )
    return EndStateEvent(_text(element, "dsp:JobToken"), ended)


def _end(element: etree._Element) -> SubscriptionEnd:
    return SubscriptionEnd(_text(element, "wse:Status").rpartition("/")[2], _text(element, "wse:Reason"))


def _text(element: etree._Element, path: str) -> str:
    return element.findtext(path, "", _NAMES).strip()


_READERS: Final[dict[str, tuple[str, Callable[[etree._Element], EventContent]]]] = {
    STATUS: ("dsp:PostScanJobStatusEvent/dsp:JobStatus", _status),
    END_STATE: ("dsp:PostScanJobEndStateEvent/dsp:PostScanJobEndState", _end_state),
    SUBSCRIPTION_END: ("wse:SubscriptionEnd", _end),
}
