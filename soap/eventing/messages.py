"""The messages of WS-Eventing: requests as values; responses, notifications and SubscriptionEnd as XML.

Child elements may come in any order, and unknown ones are ignored. A malformed message gets `wse:InvalidMessage` with
the wrong element in its detail. Source: dpws.md sections 8 and 10 (quirks 1, 7 and 8).
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.core.model.subscription import EventService, Subscription
from postscan.soap.eventing import notifications
from postscan.soap.message import endpoint_reference
from postscan.soap.message.endpoint_reference import Reference
from postscan.soap.message.faults import LONGEST_VALUE, Fault
from postscan.soap.xml import durations, namespaces
from postscan.soap.xml.durations import Expiry
from postscan.soap.xml.reading import children, guid, required, tag, text, trim
from postscan.soap.xml.writing import escape

SUBSCRIBE: Final = namespaces.WSE + "/Subscribe"
RENEW: Final = namespaces.WSE + "/Renew"
GET_STATUS: Final = namespaces.WSE + "/GetStatus"
UNSUBSCRIBE: Final = namespaces.WSE + "/Unsubscribe"
SUBSCRIPTION_END: Final = namespaces.WSE + "/SubscriptionEnd"

FAULT: Final = namespaces.WSE + "/fault"
PROFILE_FAULT: Final = namespaces.WSDP + "/fault"
PUSH: Final = namespaces.WSE + "/DeliveryModes/Push"
BY_ACTION: Final = namespaces.WSDP + "/Action"
"""The one supported dialect of filters: a list of actions."""

DELIVERY_FAILURE: Final = namespaces.WSE + "/DeliveryFailure"
SOURCE_CANCELLING: Final = namespaces.WSE + "/SourceCancelling"
REASONS: Final = {
    DELIVERY_FAILURE: "The events could not be delivered.",
    SOURCE_CANCELLING: "The subscription was ended by an administrator.",
}
"""The status of a SubscriptionEnd, and its text."""

_NO_SUCH_MODE: Final = "The requested delivery mode is not supported."
_BAD_EXPIRATION: Final = "The expiration time requested is invalid."
_NO_SUCH_DIALECT: Final = "The requested filter dialect is not supported."
_NO_NOTIFICATIONS: Final = "No notifications can match the filter."
_NO_ROOM: Final = "The server has as many subscriptions as it takes."
_NOT_RENEWED: Final = "The subscription is not known, or has expired."
_NOT_VALID: Final = "The message is not valid and cannot be processed."

_Arguments = ParamSpec("_Arguments")
_Request = TypeVar("_Request")


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """Subscribe: the sinks of events and of the end, the lifetime, and the actions (empty: all)."""

    notify_to: Reference
    end_to: Reference | None
    expires: Expiry | None
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RenewRequest:
    """Renew: the lifetime. `subscription` is an identifier in the body, where it does not belong, or ""."""

    expires: Expiry | None
    subscription: str = ""


@dataclass(frozen=True, slots=True)
class OtherRequest:
    """GetStatus or Unsubscribe; `subscription` as in Renew."""

    subscription: str = ""


# --- faults ------------------------------------------------------------------------------------------------------


def _fault(code: str, name: str, reason: str, sentence: str, detail: tuple[str, str] | None = None) -> Fault:
    return Fault(code, f"wse:{name}", reason, detail, sentence=sentence, action=FAULT)


def invalid_message(clark: str, value: str, sentence: str) -> Fault:
    """Return the fault for a malformed message, or for a subscription that is unknown or of another caller."""
    return _fault("Sender", "InvalidMessage", _NOT_VALID, sentence, (clark, value))


def invalid_expiration(value: str, sentence: str) -> Fault:
    """Return the fault for an Expires that is malformed or in the past."""
    return _fault("Sender", "InvalidExpirationTime", _BAD_EXPIRATION, sentence, (_wse("Expires"), value))


def unable_to_renew(identifier: str, sentence: str) -> Fault:
    """Return the fault for a Renew of a subscription that is unknown, expired or of another caller."""
    return _fault("Receiver", "UnableToRenew", _NOT_RENEWED, sentence, (_wse("Identifier"), identifier))


def no_room(sentence: str) -> Fault:
    """Return the fault for a Subscribe above a limit."""
    return _fault("Receiver", "EventSourceUnableToProcess", _NO_ROOM, sentence)


# --- reading -----------------------------------------------------------------------------------------------------


def _raising_faults(read: Callable[_Arguments, _Request]) -> Callable[_Arguments, _Request]:
    """Decorate *read* to raise `Fault` instead of `InvalidArgument`."""

    @functools.wraps(read)
    def checked(*args: _Arguments.args, **named: _Arguments.kwargs) -> _Request:
        try:
            return read(*args, **named)
        except InvalidArgument as error:
            clark = error.argument if error.argument.startswith("{") else _wse(error.argument)
            raise invalid_message(clark, error.value, str(error)) from None

    return checked


@_raising_faults
def read_subscribe(body: etree._Element, port: EventService) -> SubscribeRequest:
    """Read a Subscribe to the events of a service; raise `Fault` if it is malformed or not supported."""
    found = _children(body, "Subscribe", "EndTo", "Delivery", "Expires", "Filter")
    return SubscribeRequest(
        notify_to=_delivery(required(found, namespaces.WSE, "Delivery")),
        end_to=endpoint_reference.read(found["EndTo"]) if "EndTo" in found else None,
        expires=_expires(found),
        actions=_filter(found["Filter"], port) if "Filter" in found else (),
    )


@_raising_faults
def read_renew(body: etree._Element) -> RenewRequest:
    """Read a Renew; raise `Fault` if it is malformed."""
    found = _children(body, "Renew", "Expires", "Identifier")
    return RenewRequest(_expires(found), _identifier(found))


@_raising_faults
def read_get_status(body: etree._Element) -> OtherRequest:
    """Read a GetStatus; raise `Fault` if it is malformed."""
    return OtherRequest(_identifier(_children(body, "GetStatus", "Identifier")))


@_raising_faults
def read_unsubscribe(body: etree._Element) -> OtherRequest:
    """Read an Unsubscribe; raise `Fault` if it is malformed."""
    return OtherRequest(_identifier(_children(body, "Unsubscribe", "Identifier")))


def subscription_id(*named: str) -> str:
    """Return the first of these identifiers that is not empty, as a lower-case GUID, or "" if it is none.

    No subscription has the identifier "".
    """
    value = next(filter(None, named), "")
    return (guid(value[9:] if value[:9].lower() == "urn:uuid:" else value) or "").lower()


def _children(body: etree._Element, request: str, *names: str) -> dict[str, etree._Element]:
    if tag(body) != _wse(request):
        raise InvalidArgument(_wse(request), tag(body), f"a wse:{request} in the Body, the element of the Action")
    return children(body, namespaces.WSE, names)


def _identifier(found: dict[str, etree._Element]) -> str:
    return text(found["Identifier"]) if "Identifier" in found else ""


def _delivery(delivery: etree._Element) -> Reference:
    mode = trim(delivery.get("Mode")) or PUSH
    if mode != PUSH:
        sentence = f"the delivery mode is {mode[:LONGEST_VALUE]!r}; expected push"
        supported = (_wse("SupportedDeliveryMode"), PUSH)
        raise _fault("Sender", "DeliveryModeRequestedUnavailable", _NO_SUCH_MODE, sentence, supported)
    return endpoint_reference.read(
        required(children(delivery, namespaces.WSE, ("NotifyTo",)), namespaces.WSE, "NotifyTo")
    )


def _expires(found: dict[str, etree._Element]) -> Expiry | None:
    if "Expires" not in found:
        return None
    value = text(found["Expires"])
    try:
        return durations.read(value)
    except ValueError as error:
        raise invalid_expiration(value, f"Expires: {error}") from None


def _filter(element: etree._Element, port: EventService) -> tuple[str, ...]:
    """Return the actions that a filter selects; raise `Fault` if it selects none or its dialect is not supported.

    A filter without a dialect is read as a list of actions if it looks like one; see dpws.md quirk 7.
    """
    dialect, listed = trim(element.get("Dialect")), (element.text or "").split()
    looks_listed = bool(listed) and all("://" in one or notifications.is_name(one) for one in listed)
    if dialect != BY_ACTION and (dialect or not looks_listed):
        sentence = f"the dialect of the filter is {dialect[:LONGEST_VALUE]!r}; expected {BY_ACTION}"
        supported = (_wse("SupportedDialect"), BY_ACTION)
        raise _fault("Sender", "FilteringRequestedUnavailable", _NO_SUCH_DIALECT, sentence, supported)
    actions = notifications.chosen(port, listed)
    if not actions:
        sentence = f"no event of this service is one of {' '.join(listed)[:LONGEST_VALUE]!r}"
        raise Fault(
            "Sender", "wsdp:FilterActionNotSupported", _NO_NOTIFICATIONS, sentence=sentence, action=PROFILE_FAULT
        )
    return actions


# --- writing -----------------------------------------------------------------------------------------------------


def write_subscribed(subscription: Subscription, expires: str) -> str:
    """Write the body of a SubscribeResponse."""
    return f"<wse:SubscribeResponse>{_manager(subscription)}{_write_expires(expires)}</wse:SubscribeResponse>"


def write_renewed(expires: str) -> str:
    """Write the body of a RenewResponse."""
    return f"<wse:RenewResponse>{_write_expires(expires)}</wse:RenewResponse>"


def write_status(expires: str) -> str:
    """Write the body of a GetStatusResponse: the time left."""
    return f"<wse:GetStatusResponse>{_write_expires(expires)}</wse:GetStatusResponse>"


UNSUBSCRIBED: Final = ""
"""The body of an UnsubscribeResponse (DPW-069)."""


def notification(subscription: Subscription, seq: int, event: notifications.Notification) -> bytes:
    """Return the envelope to a subscriber for one event of the change number *seq*.

    The same arguments give the same bytes: the MessageID is derived from subscription, change and action.
    """
    return _one_way(
        subscription.notify_to.url,
        event.action,
        _message_id(subscription, f"{seq} {event.action}"),
        subscription.notify_to.parameters,
        event.body,
    )


def subscription_end(subscription: Subscription, status: str) -> bytes:
    """Return the envelope of a SubscriptionEnd; *status* is one of `REASONS`.

    Raises `ValueError` for a subscription without EndTo.
    """
    if subscription.end_to is None:
        raise ValueError(f"subscription {subscription.id} has no EndTo")
    body = (
        f"<wse:SubscriptionEnd>{_manager(subscription)}<wse:Status>{status}</wse:Status>"
        f'<wse:Reason xml:lang="en">{REASONS[status]}</wse:Reason></wse:SubscriptionEnd>'
    )
    to = subscription.end_to
    return _one_way(to.url, SUBSCRIPTION_END, _message_id(subscription, status), to.parameters, body)


def _one_way(to: str, action: str, message_id: str, blocks: str, body: str) -> bytes:
    return (
        f"<soap:Envelope {namespaces.DECLARATIONS}><soap:Header><wsa:To>{escape(to)}</wsa:To>"
        f"<wsa:Action>{action}</wsa:Action><wsa:MessageID>{message_id}</wsa:MessageID>{blocks}</soap:Header>"
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def _message_id(subscription: Subscription, name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.UUID(subscription.id), name)}"


def _manager(subscription: Subscription) -> str:
    identifier = f"<wse:Identifier>urn:uuid:{subscription.id}</wse:Identifier>"
    reference = endpoint_reference.write(subscription.manager, identifier)
    return f"<wse:SubscriptionManager>{reference}</wse:SubscriptionManager>"


def _write_expires(expires: str) -> str:
    return f"<wse:Expires>{escape(expires)}</wse:Expires>"


def _wse(name: str) -> str:
    return f"{{{namespaces.WSE}}}{name}"
