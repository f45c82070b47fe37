"""Subscribe, Renew, GetStatus and Unsubscribe, carried out on the subscriptions of the core.

A subscription that is unknown, expired or of another caller gets the same fault.
Source: dpws.md sections 8.1 and 8.2; T-A2 to T-A4; rulings 20 and 21.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from postscan.core.errors import SubscriptionNotFound, Unavailable
from postscan.core.model.principal import Principal
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.service.subscriptions import Subscriptions
from postscan.core.settings import Settings
from postscan.soap.eventing import messages, sinks
from postscan.soap.eventing.sinks import Peers, Sinks
from postscan.soap.message import addressing, faults
from postscan.soap.message.endpoint_reference import Reference
from postscan.soap.message.request import SoapRequest
from postscan.soap.xml import durations, namespaces
from postscan.soap.xml.durations import Expiry

BELOW: Final = "/subscriptions/"
"""The path between the address of a service and the identifier of a subscription to it."""


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """One request to the service `port` by a caller. `service` is its URL, `path` that of the request."""

    message: SoapRequest
    port: EventService
    by: Principal
    peers: Peers
    service: str
    path: str

    def id(self, in_body: str) -> str:
        """Return the identifier of the subscription: from the header, else the body, else the end of the path."""
        return messages.subscription_id(self.message.header.subscription, in_body, self.path.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class GrantedSubscription:
    """The lifetime granted to a subscription in seconds, whether it was requested as a date, and its text."""

    seconds: float
    absolute: bool
    text: str


class SubscriptionManager:
    """The four operations on the subscriptions of one server."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        settings: Settings,
        *,
        resolve: Callable[[str], Iterable[str]] = sinks.lookup,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._subscriptions = subscriptions
        self._events = settings.events
        self._sinks = Sinks(settings.events.networks, resolve)
        self._now = now

    def respond(
        self,
        message: SoapRequest,
        port: EventService,
        by: Principal,
        peer: str,
        service: str,
        here: tuple[str, int],
        path: str = "",
    ) -> bytes:
        """Carry out a request of `VERBS` and return the envelope of its response; raise `Fault`. Blocks.

        *peer* is the address at the other end of the connection, *here* our own address and port; *service* is the
        address of the port for devices, *path* that of the request.
        """
        verb = VERBS.get(message.header.action)
        if verb is None:
            raise faults.action_not_supported(message.header.action)
        call = SubscriptionRequest(message, port, by, Peers(peer, here), service, path)
        return addressing.reply(message.header, verb(self, call))

    def subscribe(self, call: SubscriptionRequest) -> str:
        """Create a subscription and return the body of the response. A refused one is not stored."""
        request = messages.read_subscribe(call.message.body, call.port)
        grant = self._grant(request.expires)
        notify_to = self._sinks.admit(request.notify_to, call.peers)
        end_to = self._end_to(request.end_to, request.notify_to, notify_to, call.peers)
        try:
            made = self._subscriptions.add(
                call.port,
                call.by,
                notify_to,
                end_to,
                request.actions,
                lambda id: call.service + BELOW + id,
                grant.absolute,
                grant.seconds,
            )
        except Unavailable as error:
            raise messages.no_room(str(error)) from None
        return messages.write_subscribed(made, grant.text)

    def renew(self, call: SubscriptionRequest) -> str:
        """Extend a subscription and return the body of the response."""
        request = messages.read_renew(call.message.body)
        grant = self._grant(request.expires)
        id = call.id(request.subscription)
        try:
            self._subscriptions.renew(id, call.port, call.by, grant.seconds, grant.absolute)
        except SubscriptionNotFound as error:
            raise messages.unable_to_renew(error.id, str(error)) from None
        return messages.write_renewed(grant.text)

    def get_status(self, call: SubscriptionRequest) -> str:
        """Return the body of the response: the time left to a subscription."""
        request = messages.read_get_status(call.message.body)
        try:
            found = self._subscriptions.get(call.id(request.subscription), call.port, call.by)
        except SubscriptionNotFound as error:
            raise _unknown(error) from None
        return messages.write_status(self._left(found))

    def unsubscribe(self, call: SubscriptionRequest) -> str:
        """End a subscription, without a message to its sinks (DPW-074), and return the body of the response."""
        request = messages.read_unsubscribe(call.message.body)
        try:
            self._subscriptions.remove(call.id(request.subscription), call.port, call.by)
        except SubscriptionNotFound as error:
            raise _unknown(error) from None
        return messages.UNSUBSCRIBED

    def _end_to(self, wanted: Reference | None, notify: Reference, admitted: Sink, peers: Peers) -> Sink | None:
        """Return the sink for SubscriptionEnd. A host name that both references share is resolved once."""
        if wanted is None:
            return None
        if wanted.address == notify.address:
            return Sink(admitted.url, admitted.address, wanted.parameters)
        return self._sinks.admit(wanted, peers)

    def _grant(self, expires: Expiry | None) -> GrantedSubscription:
        """Return the requested lifetime, or the longest one if that is shorter; raise `Fault` if it is in the past."""
        if expires is None:
            usual = self._events.default_seconds
            return GrantedSubscription(usual, False, durations.write(usual))
        now, longest = self._now(), self._events.longest_seconds
        wanted = expires.lasts(now)
        if wanted <= 0:
            raise messages.invalid_expiration(expires.text, f"Expires: {expires.text!r} is not in the future")
        if wanted <= longest:
            return GrantedSubscription(wanted, expires.absolute, expires.text)
        shorter = durations.write_moment(now, longest) if expires.absolute else durations.write(longest)
        return GrantedSubscription(longest, expires.absolute, shorter)

    def _left(self, subscription: Subscription) -> str:
        left = self._subscriptions.left(subscription)
        return durations.write_moment(self._now(), left) if subscription.absolute else durations.write(left)


def _unknown(error: SubscriptionNotFound) -> faults.Fault:
    return messages.invalid_message(f"{{{namespaces.WSE}}}Identifier", error.id, str(error))


VERBS: Final = {
    messages.SUBSCRIBE: SubscriptionManager.subscribe,
    messages.RENEW: SubscriptionManager.renew,
    messages.GET_STATUS: SubscriptionManager.get_status,
    messages.UNSUBSCRIBE: SubscriptionManager.unsubscribe,
}
"""The operation for each action."""
