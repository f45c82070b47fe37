"""The responses of the subscription manager, and SubscriptionEnd.

Source: ws-scan.md section 4; dpws.md sections 8.2, 8.3 and 11.6.
"""

from __future__ import annotations

from lxml import etree

from postscan.cli.device.wsscan.eventing.durations import written_duration
from postscan.cli.device.wsscan.eventing.subscriptions import WsdSubscription
from postscan.cli.device.wsscan.protocol.soap import WSE, SoapWriter


def subscribe_response(w: SoapWriter, subscription: WsdSubscription, manager: str) -> etree._Element:
    """Return SubscribeResponse with a DestinationResponse for each destination that has a token."""
    e = w.element
    made = e(
        "wse:SubscribeResponse",
        _manager(w, subscription, manager),
        e("wse:Expires", written_duration(subscription.granted)),
    )
    responses = [
        e("wscn:DestinationResponse", e("wscn:ClientContext", one.context), e("wscn:DestinationToken", one.token))
        for one in subscription.destinations
        if one.token
    ]
    if responses:
        made.append(e("wscn:DestinationResponses", *responses))
    return made


def expires_response(w: SoapWriter, name: str, seconds: float) -> etree._Element:
    """Return RenewResponse or GetStatusResponse."""
    return w.element(f"wse:{name}Response", w.element("wse:Expires", written_duration(seconds)))


def subscription_end(w: SoapWriter, subscription: WsdSubscription, manager: str, status: str) -> etree._Element:
    """Return SubscriptionEnd with a status such as `SourceShuttingDown`."""
    e = w.element
    return e(
        "wse:SubscriptionEnd",
        _manager(w, subscription, manager),
        e("wse:Status", f"{WSE}/{status}"),
    )


def _manager(w: SoapWriter, subscription: WsdSubscription, manager: str) -> etree._Element:
    e = w.element
    return e(
        "wse:SubscriptionManager",
        e("wsa:Address", manager),
        e("wsa:ReferenceParameters", e("wse:Identifier", subscription.identifier)),
    )
