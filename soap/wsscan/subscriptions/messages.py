"""The messages of a subscription at a scanner: Subscribe with its destinations, Renew, Unsubscribe, and their answers.

Source: ws-scan.md sections 4 and 14; dpws.md section 8; WSS-010 to WSS-013.
"""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lxml import etree

from postscan.soap.eventing.messages import BY_ACTION, PUSH
from postscan.soap.message.endpoint_reference import MOST_BLOCKS, MOST_BYTES
from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages.device_xml import child, text
from postscan.soap.wsscan.messages.names import ELEMENTS_CHANGE, JOB_END_STATE, JOB_STATUS, SCAN_AVAILABLE, WSCN, wscn
from postscan.soap.xml import durations, namespaces
from postscan.soap.xml.parser import XmlError, parse

PRESSES: Final = (SCAN_AVAILABLE,)
JOBS: Final = (JOB_STATUS, JOB_END_STATE, ELEMENTS_CHANGE)
"""The actions of the two subscriptions at a device (WS-1)."""

LONGEST_LABEL: Final = 127
LONGEST_CONTEXT: Final = 255
LONGEST_TOKEN: Final = 255

_NAMES: Final = {"wse": namespaces.WSE, "wsa": namespaces.WSA, "wscn": WSCN}


@dataclass(frozen=True, slots=True)
class EventAddress:
    """Where events go: their URL, the URL of SubscriptionEnd, and the wse:Identifier that every one carries."""

    notify_to: str
    end_to: str
    identifier: str


@dataclass(frozen=True, slots=True)
class Granted:
    """What a device grants: manager and its reference parameters (XML), seconds, and tokens by ClientContext.

    `seconds` is None if the device names no time.
    """

    manager: str
    parameters: str
    seconds: float | None
    tokens: dict[str, str]


def shown_label(label: str) -> str:
    """Return the label as a panel gets it: at most 127 characters, cut between two characters as people see them."""
    if len(label) <= LONGEST_LABEL:
        return label
    end = LONGEST_LABEL
    while end > 1 and (unicodedata.combining(label[end]) or label[end] == "\u200d" or label[end - 1] == "\u200d"):
        end -= 1
    return label[:end].rstrip()


def subscribe(
    to: EventAddress, actions: Iterable[str], seconds: float, destinations: Sequence[tuple[str, str]] = ()
) -> etree._Element:
    """Return a Subscribe to these actions; *destinations* are pairs of label and ClientContext."""
    body = etree.Element(_wse("Subscribe"), nsmap=_NAMES)
    _endpoint(etree.SubElement(body, _wse("EndTo")), to.end_to, to.identifier)
    delivery = etree.SubElement(body, _wse("Delivery"), Mode=PUSH)
    _endpoint(etree.SubElement(delivery, _wse("NotifyTo")), to.notify_to, to.identifier)
    _add(body, _wse("Expires"), durations.write(seconds))
    _add(body, _wse("Filter"), " ".join(actions)).set("Dialect", BY_ACTION)
    if destinations:
        listed = etree.SubElement(body, wscn("ScanDestinations"))
        for label, context in destinations:
            one = etree.SubElement(listed, wscn("ScanDestination"))
            _add(one, wscn("ClientDisplayName"), shown_label(label))
            _add(one, wscn("ClientContext"), context)
    return body


def renew(seconds: float) -> etree._Element:
    """Return a Renew."""
    body = etree.Element(_wse("Renew"), nsmap={"wse": namespaces.WSE})
    _add(body, _wse("Expires"), durations.write(seconds))
    return body


def unsubscribe() -> etree._Element:
    """Return an Unsubscribe."""
    return etree.Element(_wse("Unsubscribe"), nsmap={"wse": namespaces.WSE})


def read_subscribed(body: etree._Element, now: datetime) -> Granted:
    """Return what a SubscribeResponse grants; raise `InvalidAnswer` if there is no manager in it."""
    if body.tag != _wse("SubscribeResponse"):
        raise InvalidAnswer("expected a SubscribeResponse")
    manager = child(body, _wse("SubscriptionManager"))
    address = text(child(manager, namespaces.wsa("Address")))
    if manager is None or not address:
        raise InvalidAnswer("the SubscribeResponse has no SubscriptionManager")
    tokens: dict[str, str] = {}
    for one in body.iterfind(f"{wscn('DestinationResponses')}/{wscn('DestinationResponse')}"):
        context = text(child(one, wscn("ClientContext")), LONGEST_CONTEXT)
        token = text(child(one, wscn("DestinationToken")), LONGEST_TOKEN)
        if context and token:
            tokens.setdefault(context, token)
    return Granted(address, _parameters(manager), _seconds(body, now), tokens)


def read_renewed(body: etree._Element, now: datetime) -> float | None:
    """Return the seconds that a RenewResponse grants; None if it names none. Raises `InvalidAnswer`."""
    if body.tag != _wse("RenewResponse"):
        raise InvalidAnswer("expected a RenewResponse")
    return _seconds(body, now)


def reference_headers(parameters: str) -> tuple[etree._Element, ...]:
    """Return stored reference parameters as header blocks; raise `InvalidAnswer` if they are no XML."""
    try:
        return tuple(parse(f"<blocks>{parameters}</blocks>".encode())) if parameters else ()
    except XmlError as error:
        raise InvalidAnswer(f"stored reference parameters: {error}") from None


def _parameters(manager: etree._Element) -> str:
    """Return the reference parameters of an endpoint as XML; raise `InvalidAnswer` if they are too many or too long."""
    blocks = [
        one
        for name in ("ReferenceProperties", "ReferenceParameters")
        for one in manager.iterfind(f"{namespaces.wsa(name)}/*")
        if namespaces.split(str(one.tag))[0] not in (namespaces.SOAP, namespaces.WSA)
    ]
    if len(blocks) > MOST_BLOCKS:
        raise InvalidAnswer(f"the SubscriptionManager has {len(blocks)} reference parameters; expected {MOST_BLOCKS}")
    written = "".join(etree.tostring(copy.deepcopy(one), encoding="unicode", with_tail=False) for one in blocks)
    if len(written.encode()) > MOST_BYTES:
        raise InvalidAnswer(f"the reference parameters have more than {MOST_BYTES} bytes")
    return written


def _seconds(body: etree._Element, now: datetime) -> float | None:
    granted = text(child(body, _wse("Expires")))
    try:
        return durations.read(granted).lasts(now) if granted else None
    except ValueError:
        return None


def _endpoint(element: etree._Element, address: str, identifier: str) -> None:
    _add(element, namespaces.wsa("Address"), address)
    parameters = etree.SubElement(element, namespaces.wsa("ReferenceParameters"))
    _add(parameters, _wse("Identifier"), identifier)


def _add(parent: etree._Element, name: str, content: str) -> etree._Element:
    element = etree.SubElement(parent, name)
    element.text = content
    return element


def _wse(name: str) -> str:
    return f"{{{namespaces.WSE}}}{name}"
