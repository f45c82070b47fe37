"""The subscriptions of the simulated scanner, with the scan destinations that the panel shows.

Source: ws-scan.md section 4; dpws.md sections 8.1 and 8.2.
"""

from __future__ import annotations

import copy
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from lxml import etree

from postscan.cli.device.wsscan.eventing.durations import LONGEST, granted_seconds
from postscan.cli.device.wsscan.protocol.soap import WSCN, WSDP, WSE, WsdFault, child, clark, text

PUSH: Final = f"{WSE}/DeliveryModes/Push"
BY_ACTION: Final = f"{WSDP}/Action"
SCAN_AVAILABLE: Final = f"{WSCN}/ScanAvailableEvent"
EVENTS: Final = (
    *("ScanAvailableEvent", "ScannerElementsChangeEvent", "ScannerStatusSummaryEvent", "ScannerStatusConditionEvent"),
    *("ScannerStatusConditionClearedEvent", "JobStatusEvent", "JobEndStateEvent"),
)

_MAX_SUBSCRIPTIONS: Final = 32
_MAX_DESTINATIONS: Final = 100


@dataclass(frozen=True)
class PanelDestination:
    """A destination on the panel: its label, the subscriber's context, the token; "" if the scanner gave none."""

    label: str
    context: str
    token: str


@dataclass(frozen=True)
class SubscriberEndpoint:
    """An address of a subscriber, with the header blocks that a message to it must carry."""

    address: str
    parameters: tuple[etree._Element, ...]


@dataclass(eq=False)
class WsdSubscription:
    """A subscription; `expires` is in monotonic seconds."""

    identifier: str
    peer: str
    notify_to: SubscriberEndpoint
    end_to: SubscriberEndpoint | None
    actions: frozenset[str]
    destinations: tuple[PanelDestination, ...]
    granted: float
    expires: float
    tokens_valid: bool = True
    stopped: threading.Event = field(default_factory=threading.Event, repr=False)

    def wants(self, action: str) -> bool:
        """Return whether its filter admits an event; an empty one admits all."""
        return not self.actions or any(action == one or action.startswith(f"{one}/") for one in self.actions)


class SubscriptionTable:
    """All live subscriptions. *changed* is called when one comes or goes."""

    def __init__(self, changed: Callable[[], None], longest: float = LONGEST) -> None:
        self._changed = changed
        self._longest = longest
        self._lock = threading.RLock()
        self._all: dict[str, WsdSubscription] = {}

    @property
    def live(self) -> list[WsdSubscription]:
        """The subscriptions that have not expired, the oldest first."""
        with self._lock:
            return [one for one in self._all.values() if one.expires > time.monotonic()]

    def subscribe(
        self, request: etree._Element, peer: str, *, without_token: str | None = None, replace_tokens: bool = False
    ) -> WsdSubscription:
        """Add a subscription for the client at address *peer*; raise `WsdFault`.

        The destination *without_token* gets none. With *replace_tokens*, older tokens of this client become invalid.
        """
        delivery = child(request, "wse:Delivery")
        mode = "" if delivery is None else delivery.get("Mode", PUSH)
        if mode != PUSH:
            raise WsdFault("wse:DeliveryModeRequestedUnavailable", "The requested delivery mode is not supported.")
        notify_to = _endpoint(child(delivery, "wse:NotifyTo"))
        if notify_to is None:
            raise WsdFault("wse:InvalidMessage", "NotifyTo is missing.")
        seconds = granted_seconds(text(request, "wse:Expires"), self._longest)
        subscription = WsdSubscription(
            identifier=f"urn:uuid:{uuid.uuid4()}",
            peer=peer,
            notify_to=notify_to,
            end_to=_endpoint(child(request, "wse:EndTo")),
            actions=_actions(child(request, "wse:Filter")),
            destinations=_destinations(request, without_token),
            granted=seconds,
            expires=time.monotonic() + seconds,
        )
        with self._lock:
            if len(self._all) >= _MAX_SUBSCRIPTIONS:
                raise WsdFault("wse:EventSourceUnableToProcess", "There are too many subscriptions.", sender=False)
            for older in self._all.values():
                if replace_tokens and older.peer == peer and subscription.destinations:
                    older.tokens_valid = False
            self._all[subscription.identifier] = subscription
        self._changed()
        return subscription

    def find(self, identifier: str) -> WsdSubscription | None:
        """Return a live subscription."""
        return next((one for one in self.live if one.identifier == identifier), None)

    def renew(self, subscription: WsdSubscription, asked: str) -> float:
        """Extend a subscription; return the granted seconds; raise `WsdFault`."""
        seconds = granted_seconds(asked, self._longest)
        with self._lock:
            subscription.granted = seconds
            subscription.expires = time.monotonic() + seconds
        return seconds

    def remove(self, subscription: WsdSubscription) -> None:
        """End a subscription."""
        with self._lock:
            gone = self._all.pop(subscription.identifier, None)
        if gone is not None:
            gone.stopped.set()
            self._changed()

    def remove_expired(self) -> int:
        """End the subscriptions whose time is over; return how many."""
        with self._lock:
            over = [one for one in self._all.values() if one.expires <= time.monotonic()]
        for one in over:
            self.remove(one)
        return len(over)

    def forget(self) -> None:
        """End all subscriptions without a word to their subscribers, as a restart does."""
        with self._lock:
            gone, self._all = list(self._all.values()), {}
        for one in gone:
            one.stopped.set()
        if gone:
            self._changed()


def _endpoint(element: etree._Element | None) -> SubscriberEndpoint | None:
    if element is None:
        return None
    address = text(element, "wsa:Address")
    try:
        parts = urlsplit(address)
        usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise WsdFault("wsa:DestinationUnreachable", f"Events cannot be sent to {address[:100]!r}.")
    parameters = [
        copy.deepcopy(one)
        for name in ("wsa:ReferenceParameters", "wsa:ReferenceProperties")
        for one in element.iterfind(f"{clark(name)}/*")
    ]
    return SubscriberEndpoint(address, tuple(parameters))


def _actions(filter: etree._Element | None) -> frozenset[str]:
    if filter is None:
        return frozenset()
    if filter.get("Dialect", BY_ACTION).strip() != BY_ACTION:
        raise WsdFault("wse:FilteringRequestedUnavailable", "The requested filter dialect is not supported.")
    actions = frozenset((filter.text or "").split())
    known = {f"{WSCN}/{name}" for name in EVENTS}
    if actions and not any(one == action or one.startswith(f"{action}/") for one in known for action in actions):
        raise WsdFault("wsdp:FilterActionNotSupported", "No event matches the filter.")
    return actions


def _destinations(request: etree._Element, without_token: str | None) -> tuple[PanelDestination, ...]:
    """Return the destinations of the first ScanDestinations, each with a token of its own; the others do not count."""
    found = []
    for element in request.iterfind(f"{clark('wscn:ScanDestinations')}[1]/{clark('wscn:ScanDestination')}"):
        label, context = text(element, "wscn:ClientDisplayName"), text(element, "wscn:ClientContext")
        if not 0 < len(label) <= 127 or not 0 < len(context) <= 255:
            raise WsdFault("wscn:InvalidArgs", "A ScanDestination has a name or a context of a wrong length.")
        token = "" if without_token in ("", label) else secrets.token_urlsafe(12)
        found.append(PanelDestination(label, context, token))
    if len(found) > _MAX_DESTINATIONS:
        raise WsdFault("wscn:InvalidArgs", f"There are more than {_MAX_DESTINATIONS} destinations.")
    return tuple(found)
