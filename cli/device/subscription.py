"""A device's subscription to the events of a service: made, kept alive while it is needed, and taken back.

Source: dpws.md sections 8.1, 8.2, 11.5 and 11.6.
"""

from __future__ import annotations

import contextlib
import re
import threading
from dataclasses import dataclass
from typing import Final, Self
from xml.sax.saxutils import escape

from lxml import etree

from postscan.cli.device import transport
from postscan.cli.device.event_listener import EventListener
from postscan.cli.device.events import END_STATE, STATUS, WSE
from postscan.cli.device.transport import WSA, BadAnswer, DeviceError, Transport, Unreachable

PUSH: Final = f"{WSE}/DeliveryModes/Push"
EARLY: Final = 0.4
"""When to renew, as a part of the time that was granted: before half of it has passed (DPW-081)."""

BY_ACTION: Final = "http://schemas.xmlsoap.org/ws/2006/02/devprof/Action"

_NAMES: Final = {"wse": WSE}
_PATHS: Final = {"wsa": WSA, "wse": WSE}
_AGAIN: Final = 1.0  # seconds before a server that was away is asked again
_DURATION: Final = re.compile(
    r"P(?:0+Y)?(?:0+M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Manager:
    """Who manages a subscription: an address, and the XML of the headers that name the subscription there."""

    address: str
    header: str


class DeviceSubscription:
    """A subscription of *ear* to all events of the service at *url*, for *seconds* at a time.

    In a `with` block it is renewed before half of its time has passed, and taken back in the end. `granted` is the
    time in seconds that it last got, `renewals` counts how often that was, `trouble` says why it could not be renewed,
    and `is_over` whether it was taken back or ended by the server.
    """

    def __init__(self, courier: Transport, url: str, ear: EventListener, seconds: int) -> None:
        self.url = url
        self.ear = ear
        self.seconds = seconds
        self.renewals = 0
        self.trouble = ""
        self._courier = courier
        self._over = threading.Event()
        self.is_over = False
        body = self._ask(Manager(url, ""), "Subscribe", _subscribe(ear, seconds))
        response = _response(body, "SubscribeResponse")
        self.manager = _manager(response)
        if url.lower().startswith("https:") and not self.manager.address.lower().startswith("https:"):
            raise BadAnswer(f"the subscription is managed at {self.manager.address}; expected an https address")
        self.granted = _expires(response)
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        if not self.is_over:
            with contextlib.suppress(DeviceError):  # the first error is the news
                self.unsubscribe()

    def status(self) -> float:
        """Return how many seconds are left (GetStatus)."""
        return _expires(_response(self._ask(self.manager, "GetStatus", "<wse:GetStatus/>"), "GetStatusResponse"))

    def renew(self) -> float:
        """Ask for the same time anew; return what is granted, in seconds."""
        content = f"<wse:Renew><wse:Expires>PT{self.seconds}S</wse:Expires></wse:Renew>"
        self.granted = _expires(_response(self._ask(self.manager, "Renew", content), "RenewResponse"))
        self.renewals += 1
        return self.granted

    def unsubscribe(self) -> None:
        """Take the subscription back; raise `SoapFault` if there is none any more."""
        self._stop()
        self.is_over = True
        body = self._ask(self.manager, "Unsubscribe", "<wse:Unsubscribe/>")
        if len(body):
            raise BadAnswer("the answer to Unsubscribe has content in its soap:Body; expected none")

    def forget(self) -> None:
        """Do not renew nor take back what the server has ended itself."""
        self._stop()
        self.is_over = True

    def _stop(self) -> None:
        self._over.set()
        if self._keeper.is_alive():
            self._keeper.join()

    def _keep(self) -> None:
        """Renew in time, until it is over or refused; a server that is away for a while is asked again."""
        pause = self.granted * EARLY
        while not self._over.wait(pause):
            try:
                pause = self.renew() * EARLY
            except Unreachable:
                pause = _AGAIN
            except DeviceError as error:
                self.trouble = str(error)
                return

    def _ask(self, manager: Manager, operation: str, content: str) -> etree._Element:
        message = transport.envelope(
            manager.address, f"{WSE}/{operation}", content, names=_NAMES, header=manager.header
        )
        return transport.ask(self._courier, manager.address, message)


def duration(text: str) -> float:
    """Return an xs:duration of days and less in seconds; raise `BadAnswer` for whatever else it is."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise BadAnswer(f"the time granted is {text.strip()!r}; expected a duration of days and less, as was asked for")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _subscribe(ear: EventListener, seconds: int) -> str:
    return (
        f"<wse:Subscribe>{_endpoint('EndTo', ear.end_to, ear)}"
        f'<wse:Delivery Mode="{PUSH}">{_endpoint("NotifyTo", ear.notify_to, ear)}</wse:Delivery>'
        f"<wse:Expires>PT{seconds}S</wse:Expires>"
        f'<wse:Filter Dialect="{BY_ACTION}">{STATUS} {END_STATE}</wse:Filter></wse:Subscribe>'
    )


def _endpoint(name: str, address: str, ear: EventListener) -> str:
    reference = f"<wse:Identifier>{escape(ear.identifier)}</wse:Identifier>"
    return (
        f"<wse:{name}><wsa:Address>{escape(address)}</wsa:Address>"
        f"<wsa:ReferenceParameters>{reference}</wsa:ReferenceParameters></wse:{name}>"
    )


def _response(body: etree._Element, name: str) -> etree._Element:
    found = body.find(f"wse:{name}", _PATHS)
    if found is None:
        raise BadAnswer(f"the answer has no wse:{name}")
    return found


def _expires(response: etree._Element) -> float:
    seconds = duration(response.findtext("wse:Expires", "", _PATHS))
    if seconds <= 0:
        raise BadAnswer("the time granted is over already")
    return seconds


def _manager(response: etree._Element) -> Manager:
    """Read who manages the subscription; what refers to it is sent back as it came, as headers (DPW-080)."""
    manager = response.find("wse:SubscriptionManager", _PATHS)
    address = "" if manager is None else manager.findtext("wsa:Address", "", _PATHS).strip()
    if manager is None or not address:
        raise BadAnswer("the answer to Subscribe has no wse:SubscriptionManager with an Address")
    kinds = ("ReferenceProperties", "ReferenceParameters")
    references = (one for kind in kinds for one in manager.iterfind(f"wsa:{kind}/*", _PATHS))
    return Manager(address, "".join(etree.tostring(one, encoding="unicode", with_tail=False) for one in references))
