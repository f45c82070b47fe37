"""A device's subscription to the events of a service: subscribe, renew in time, unsubscribe.

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

from postscan.cli.device.eventing.event_listener import EventListener
from postscan.cli.device.eventing.events import END_STATE, STATUS, WSE
from postscan.cli.device.transport import WSA, BadAnswer, DeviceError, Transport, Unreachable, call, envelope

PUSH: Final = f"{WSE}/DeliveryModes/Push"
RENEW_AT: Final = 0.4
"""When to renew, as a fraction of the granted time: before half of it has passed (DPW-081)."""

BY_ACTION: Final = "http://schemas.xmlsoap.org/ws/2006/02/devprof/Action"

_NAMES: Final = {"wse": WSE}
_PATHS: Final = {"wsa": WSA, "wse": WSE}
_RETRY_SECONDS: Final = 1.0  # before the next attempt to renew at an unreachable server
_DURATION: Final = re.compile(
    r"P(?:0+Y)?(?:0+M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ManagerEndpoint:
    """The subscription manager: its address, and its reference parameters as XML for the header."""

    address: str
    header: str


class DeviceSubscription:
    """A subscription of *listener* to all events of the service at *url*, for *seconds* at a time.

    In a `with` block it is renewed before half of its time has passed, and ended by Unsubscribe on exit. `granted` is
    the last granted time in seconds, `renewals` counts the renewals, `renew_error` is the error of a failed one, and
    `is_over` is true after Unsubscribe or SubscriptionEnd.
    """

    def __init__(self, transport: Transport, url: str, listener: EventListener, seconds: int) -> None:
        self.url = url
        self.listener = listener
        self.seconds = seconds
        self.renewals = 0
        self.renew_error = ""
        self._transport = transport
        self._stopped = threading.Event()
        self.is_over = False
        body = self._call(ManagerEndpoint(url, ""), "Subscribe", _subscribe(listener, seconds))
        response = _response(body, "SubscribeResponse")
        self.manager = _manager(response)
        if url.lower().startswith("https:") and not self.manager.address.lower().startswith("https:"):
            raise BadAnswer(f"the subscription is managed at {self.manager.address}; expected an https address")
        self.granted = _expires(response)
        self._renewer = threading.Thread(target=self._renew_until_stopped, daemon=True)

    def __enter__(self) -> Self:
        self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        if not self.is_over:
            with contextlib.suppress(DeviceError):  # the error of the body is the one to report
                self.unsubscribe()

    def status(self) -> float:
        """Return the remaining seconds (GetStatus)."""
        return _expires(_response(self._call(self.manager, "GetStatus", "<wse:GetStatus/>"), "GetStatusResponse"))

    def renew(self) -> float:
        """Renew for `seconds`; return the granted seconds."""
        content = f"<wse:Renew><wse:Expires>PT{self.seconds}S</wse:Expires></wse:Renew>"
        self.granted = _expires(_response(self._call(self.manager, "Renew", content), "RenewResponse"))
        self.renewals += 1
        return self.granted

    def unsubscribe(self) -> None:
        """End the subscription; raise `SoapFault` if it no longer exists."""
        self._stop()
        self.is_over = True
        body = self._call(self.manager, "Unsubscribe", "<wse:Unsubscribe/>")
        if len(body):
            raise BadAnswer("the response to Unsubscribe has content in its soap:Body; expected none")

    def mark_ended(self) -> None:
        """Note that the server has ended the subscription: neither renew nor unsubscribe."""
        self._stop()
        self.is_over = True

    def _stop(self) -> None:
        self._stopped.set()
        if self._renewer.is_alive():
            self._renewer.join()

    def _renew_until_stopped(self) -> None:
        """Renew in time until stopped or refused; retry while the server is unreachable."""
        pause = self.granted * RENEW_AT
        while not self._stopped.wait(pause):
            try:
                pause = self.renew() * RENEW_AT
            except Unreachable:
                pause = _RETRY_SECONDS
            except DeviceError as error:
                self.renew_error = str(error)
                return

    def _call(self, manager: ManagerEndpoint, operation: str, content: str) -> etree._Element:
        message = envelope(manager.address, f"{WSE}/{operation}", content, names=_NAMES, header=manager.header)
        return call(self._transport, manager.address, message)


def duration(text: str) -> float:
    """Return an xs:duration without years and months in seconds; raise `BadAnswer` for any other text."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise BadAnswer(
            f"the time granted is {text.strip()!r}; expected a duration of days, hours, minutes and seconds"
        )
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _subscribe(listener: EventListener, seconds: int) -> str:
    return (
        f"<wse:Subscribe>{_endpoint('EndTo', listener.end_to, listener)}"
        f'<wse:Delivery Mode="{PUSH}">{_endpoint("NotifyTo", listener.notify_to, listener)}</wse:Delivery>'
        f"<wse:Expires>PT{seconds}S</wse:Expires>"
        f'<wse:Filter Dialect="{BY_ACTION}">{STATUS} {END_STATE}</wse:Filter></wse:Subscribe>'
    )


def _endpoint(name: str, address: str, listener: EventListener) -> str:
    reference = f"<wse:Identifier>{escape(listener.identifier)}</wse:Identifier>"
    return (
        f"<wse:{name}><wsa:Address>{escape(address)}</wsa:Address>"
        f"<wsa:ReferenceParameters>{reference}</wsa:ReferenceParameters></wse:{name}>"
    )


def _response(body: etree._Element, name: str) -> etree._Element:
    found = body.find(f"wse:{name}", _PATHS)
    if found is None:
        raise BadAnswer(f"the response has no wse:{name}")
    return found


def _expires(response: etree._Element) -> float:
    seconds = duration(response.findtext("wse:Expires", "", _PATHS))
    if seconds <= 0:
        raise BadAnswer("the granted time is zero or less")
    return seconds


def _manager(response: etree._Element) -> ManagerEndpoint:
    """Read the subscription manager; its reference parameters are returned unchanged as headers (DPW-080)."""
    manager = response.find("wse:SubscriptionManager", _PATHS)
    address = "" if manager is None else manager.findtext("wsa:Address", "", _PATHS).strip()
    if manager is None or not address:
        raise BadAnswer("the response to Subscribe has no wse:SubscriptionManager with an Address")
    kinds = ("ReferenceProperties", "ReferenceParameters")
    references = (one for kind in kinds for one in manager.iterfind(f"wsa:{kind}/*", _PATHS))
    return ManagerEndpoint(
        address, "".join(etree.tostring(one, encoding="unicode", with_tail=False) for one in references)
    )
