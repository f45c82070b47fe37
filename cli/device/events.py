"""What a server tells a subscriber: the two events of WS-DSP, and the end of a subscription, read from bytes.

Source: ws-dsp.md sections 2, 5, 13.7 and 13.8; dpws.md sections 8.3 and 11.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.cli.device import transport
from postscan.cli.device.client import ReportedJob, filter_statuses, images_received, job_status
from postscan.cli.device.transport import DSP, SOAP, BadAnswer

WSE: Final = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
STATUS: Final = f"{DSP}/PostScanJobStatusEvent"
END_STATE: Final = f"{DSP}/PostScanJobEndStateEvent"
SUBSCRIPTION_END: Final = f"{WSE}/SubscriptionEnd"

_NAMES: Final = {"dsp": DSP, "wse": WSE}


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """A job is in this state now."""

    token: str
    status: ReportedJob


@dataclass(frozen=True, slots=True)
class EndStateEvent:
    """A job has ended, in `status.state`."""

    token: str
    status: ReportedJob


@dataclass(frozen=True, slots=True)
class SubscriptionEnd:
    """There will be no more events: `status` is the last word of its URI, `reason` is for people."""

    status: str
    reason: str


Notice = StatusEvent | EndStateEvent | SubscriptionEnd


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to a subscriber: its MessageID, the identifier that it was given to carry, and what it says."""

    id: str
    identifier: str
    notice: Notice


def read(data: bytes) -> Letter:
    """Return the message in *data*; raise `BadAnswer` if it is none that a subscriber gets."""
    root = transport.parsed(data)
    action, message_id = transport.header(root, "Action"), transport.header(root, "MessageID")
    if action not in _READERS:
        raise BadAnswer(f"has the Action {action or '(none)'}; expected an event of WS-DSP, or SubscriptionEnd")
    if not message_id:
        raise BadAnswer("has no MessageID")
    path, reader = _READERS[action]
    content = root.find(f"{{{SOAP}}}Body/{path}", _NAMES)
    if content is None:
        raise BadAnswer(f"has no {path} in its Body")
    identifier = root.findtext(f"{{{SOAP}}}Header/{{{WSE}}}Identifier", "").strip()
    return Letter(message_id, identifier, reader(content))


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


_READERS: Final[dict[str, tuple[str, Callable[[etree._Element], Notice]]]] = {
    STATUS: ("dsp:PostScanJobStatusEvent/dsp:JobStatus", _status),
    END_STATE: ("dsp:PostScanJobEndStateEvent/dsp:PostScanJobEndState", _end_state),
    SUBSCRIPTION_END: ("wse:SubscriptionEnd", _end),
}
