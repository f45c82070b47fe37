"""Somebody who subscribes to a service, and what was sent to it; every message that arrives is valid by our schemas."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import subscriptions as said
from acceptance.scanning import good, refusal
from conformance.desk import DSC, local
from conformance.wire import changed
from device import DSP, SOAP, WSA, Answer, Device
from listeners import Listener
from schemas import assert_valid
from works import until

WSE = said.WSE
WSDP = said.WSDP
STATUS, END = "PostScanJobStatusEvent", "PostScanJobEndStateEvent"
ELEMENTS, SUMMARY = "RepositoryElementsChangeEvent", "RepositoryStatusSummaryEvent"
BLOCKS = '<a:Ticket xmlns:a="urn:acme" a:of="anna">7 &amp; 8</a:Ticket><b:Door xmlns:b="urn:b"><b:Left/></b:Door>'
"""Reference parameters of two kinds."""


def wse(name: str) -> str:
    """Return the Clark name of an element of WS-Eventing."""
    return f"{{{WSE}}}{name}"


# --- subscribing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subscription:
    """One that was granted to a device, in the words of the answer."""

    device: Device
    manager: str
    identifier: str
    expires: str

    def renew(self, expires: str = "PT1H") -> Answer:
        """Ask for a longer life."""
        return self.ask("Renew", f"<wse:Expires>{expires}</wse:Expires>" if expires else "")

    def status(self) -> Answer:
        """Ask what is left of it."""
        return self.ask("GetStatus")

    def end(self) -> Answer:
        """Hear no more."""
        return self.ask("Unsubscribe")

    def ask(self, verb: str, inside: str = "") -> Answer:
        """Send a request about it to where it is managed."""
        there = replace(self.device, url=self.manager)
        return ask(there, verb, f"<wse:{verb}>{inside}</wse:{verb}>", said.identifier(self.identifier))

    @property
    def alive(self) -> bool:
        """Whether the server still knows it."""
        return self.status().fault() is None


def ask(device: Device, verb: str, body: str, header: str = "") -> Answer:
    """Send any request of WS-Eventing."""
    return device.post(changed(said.envelope(verb, body, header), said.SERVICE, device.url))


def wish(sink: Listener | str, *more: str, blocks: str = "", mode: str = "") -> str:
    """Return a Subscribe that sends events to a sink, or to any address; *more* are further children."""
    notify_to = said.endpoint("NotifyTo", sink if isinstance(sink, str) else sink.url, blocks)
    return said.subscribe(said.delivery(notify_to, mode), *more)


def expires(text: str) -> str:
    """Return an Expires."""
    return f"<wse:Expires>{text}</wse:Expires>"


def end_to(sink: Listener | str, blocks: str = "") -> str:
    """Return an EndTo."""
    return said.endpoint("EndTo", sink if isinstance(sink, str) else sink.url, blocks)


def only(*listed: str) -> str:
    """Return a Filter that lets these actions pass."""
    return said.filter_(" ".join(listed))


def granted(device: Device, request: str) -> Subscription:
    """Subscribe, and return the subscription."""
    answer = good(ask(device, "Subscribe", request))
    (manager,) = ET.fromstring(answer.body).iter(wse("SubscriptionManager"))
    (identifier,) = manager.iterfind(f"{{{WSA}}}ReferenceParameters/{wse('Identifier')}")
    return Subscription(
        device, manager.findtext(f"{{{WSA}}}Address", ""), identifier.text or "", answer.find("Expires") or ""
    )


@contextlib.contextmanager
def subscribed(device: Device, sink: Listener, *more: str, blocks: str = "", mode: str = "") -> Iterator[Subscription]:
    """Let a sink hear of all, or of what *more* says, while the body runs; leave no subscription behind."""
    subscription = granted(device, wish(sink, *more, blocks=blocks, mode=mode))
    try:
        yield subscription
    finally:
        subscription.end()


def fault(answer: Answer) -> tuple[int, str, str, tuple[str, str] | None]:
    """Return status, code, subcode and detail of a fault that is valid and tells nothing of the inside."""
    refused = refusal(answer)
    return refused.status, refused.code, refused.subcode, refused.detail


# --- being told ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One message that arrived: the blocks of its header, and what is in its body."""

    header: ET.Element
    event: ET.Element

    @property
    def name(self) -> str:
        """The event, without its namespace."""
        return local(self.event)

    @property
    def action(self) -> str:
        """Its Action."""
        return self.header.findtext(f"{{{WSA}}}Action", "")

    @property
    def id(self) -> str:
        """Its MessageID."""
        return self.header.findtext(f"{{{WSA}}}MessageID", "")

    @property
    def token(self) -> str:
        """The job that it is about; "" if it is about none."""
        return "".join(self.texts("JobToken"))

    @property
    def state(self) -> str:
        """The state of the job, or of the repository."""
        return "".join(self.texts("JobState") or self.texts("JobCompletedState") or self.texts("RepositoryState"))

    @property
    def filters(self) -> list[str]:
        """The states of the filters."""
        return self.texts("FilterState")

    def texts(self, name: str) -> list[str]:
        """Return what the elements with this local name hold."""
        return [one.text or "" for one in self.event.iter() if local(one) == name]

    def blocks(self) -> list[str]:
        """Return the header blocks that are not WS-Addressing's, in canonical form, in order."""
        return [canonical(one) for one in self.header if not one.tag.startswith(f"{{{WSA}}}")]


def canonical(element: ET.Element | str) -> str:
    """Return XML in a form in which equal means equal, whatever the prefixes."""
    xml = element if isinstance(element, str) else ET.tostring(element, encoding="unicode")
    return ET.canonicalize(xml, strip_text=True, rewrite_prefixes=True)


def told(sink: Listener, token: str = "") -> list[Told]:
    """Return all messages that a sink has heard, or those about a job; one that came again counts once."""
    found = {one.id: one for one in map(_read, list(sink.heard))}
    return [one for one in found.values() if not token or one.token == token]


def to_the_end(sink: Listener, token: str) -> list[Told]:
    """Wait until a sink was told of the end of a job; return what it was told of that job until then."""
    until(lambda: any(one.name == END for one in told(sink, token)), f"to be told of the end of {token}")
    return told(sink, token)


@cache  # tests that wait look at the same messages again and again
def _read(message: bytes) -> Told:
    assert_valid(message)
    envelope = ET.fromstring(message)
    header, body = envelope.iterfind(f"{{{SOAP}}}*")
    (event,) = body
    return Told(header, event)


ACTIONS = {"dsp": [f"{DSP}/{name}" for name in (STATUS, END)], "dsc": [f"{DSC}/{name}" for name in (STATUS, END)]}
"""The actions of the two events that both services have."""
