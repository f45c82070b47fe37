"""What a subscriber sends, as text, and a Subscribing that answers it; shares no words with `postscan.soap`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from conftest import ANNA
from lxml import etree
from messages import ANONYMOUS, DSP, MESSAGE_ID

from postscan.core.engine import Engine
from postscan.core.model.principal import Principal
from postscan.core.model.subscription import EventService
from postscan.soap.eventing.subscription_manager import SubscriptionManager
from postscan.soap.message import request as message_request

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
BY_ACTION = f"{WSDP}/Action"
SERVICE = "http://scan7.contoso.example:5362/ScanServer/processing"
PEER = "192.0.2.7"
HERE = ("192.0.2.1", 5362)
SINK = f"http://{PEER}:5357/events/3"
BLOCK = "<wse:Identifier>urn:uuid:1c4b7a90-6c02-4cf5-9c0d-7e8f90a1b213</wse:Identifier>"
LISTED = f"\n  {DSP}/PostScanJobStatusEvent\n  {DSP}/PostScanJobEndStateEvent\n"


def endpoint(name: str, address: str = SINK, parameters: str = BLOCK) -> str:
    """Return NotifyTo or EndTo."""
    return (
        f"<wse:{name}><wsa:Address>{address}</wsa:Address>"
        f"<wsa:ReferenceParameters>{parameters}</wsa:ReferenceParameters></wse:{name}>"
    )


def delivery(to: str = "", mode: str = f' Mode="{WSE}/DeliveryModes/Push"') -> str:
    """Return the Delivery to a NotifyTo."""
    return f"<wse:Delivery{mode}>{to or endpoint('NotifyTo')}</wse:Delivery>"


def filter_(listed: str = LISTED, dialect: str = BY_ACTION) -> str:
    """Return a Filter; no dialect is none."""
    said = f' Dialect="{dialect}"' if dialect else ""
    return f"<wse:Filter{said}>{listed}</wse:Filter>"


def subscribe(*children: str) -> str:
    """Return a Subscribe with these children, or with all that it can have."""
    usual = (endpoint("EndTo", SINK + "/end"), delivery(), "<wse:Expires>PT1H</wse:Expires>", filter_())
    return f"<wse:Subscribe>{''.join(children or usual)}</wse:Subscribe>"


def envelope(action: str, body: str, header: str = "") -> bytes:
    """Return a request of WS-Eventing."""
    return (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}" xmlns:wse="{WSE}"><soap:Header>'
        f"<wsa:To>{SERVICE}</wsa:To><wsa:Action>{WSE}/{action}</wsa:Action><wsa:MessageID>{MESSAGE_ID}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{ANONYMOUS}</wsa:Address></wsa:ReplyTo>{header}</soap:Header>"
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def identifier(id: str) -> str:
    """Return the header block that names a subscription."""
    return f"<wse:Identifier>\n{id} </wse:Identifier>"


class Subscriber:
    """Somebody who manages subscriptions, without a network between."""

    def __init__(
        self,
        core: Engine,
        by: Principal = ANNA,
        port: EventService = EventService.PROCESSING,
        *,
        peer: str = PEER,
        resolve: Callable[[str], Iterable[str]] = lambda _host: [],
        now: Callable[[], datetime] | None = None,
    ) -> None:
        clock: dict[str, Any] = {} if now is None else {"now": now}
        self._subscribing = SubscriptionManager(core.subscriptions, core.settings, resolve=resolve, **clock)
        self.by = by
        self.port = port
        self.peer = peer

    def ask(self, action: str, body: str, header: str = "", path: str = "/ScanServer/processing") -> etree._Element:
        """Send a request and return the envelope of its answer; raise `Fault`."""
        return etree.fromstring(self.bytes(envelope(action, body, header), path))

    def bytes(self, request: bytes, path: str = "/ScanServer/processing") -> bytes:
        """Send a request and return its answer."""
        message = message_request.parse_request(request)
        return self._subscribing.respond(message, self.port, self.by, self.peer, SERVICE, HERE, path)

    def subscribe(self, *children: str) -> str:
        """Subscribe, and return the identifier as it was given out."""
        answer = self.ask("Subscribe", subscribe(*children))
        found = answer.findtext(f".//{{{WSE}}}SubscriptionManager//{{{WSE}}}Identifier")
        assert found is not None
        assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", found)
        return found
