"""Deliver events to subscribers: a queue and a thread for each subscription, so that their order is kept.

An event is delivered once; a response other than 2xx, or none within ten seconds, is a failure, which the panel shows.
Source: dpws.md section 8.3; ws-scan.md section 5.
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lxml import etree

from postscan.cli.device.wsscan.eventing.subscriptions import SubscriberEndpoint, WsdSubscription
from postscan.cli.device.wsscan.protocol.http_server import SOAP_TYPE
from postscan.cli.device.wsscan.protocol.soap import SoapWriter

SECONDS: Final = 10.0
_MAX_QUEUED: Final = 200
_MAX_RESPONSE: Final = 64 * 1024

Delivered = Callable[[str], None]
"""Called after a delivery with "" or the reason of its failure."""


@dataclass(frozen=True)
class WsdNotification:
    """An event for one subscriber: its action, the message and what to call after its delivery."""

    action: str
    to: SubscriberEndpoint
    data: bytes
    delivered: Delivered


class WsdNotifier:
    """Delivers events. Before and after each, *may_send* and *sent* are called with its action.

    If *may_send* returns false, the event is not sent.
    """

    def __init__(
        self,
        writer: SoapWriter,
        may_send: Callable[[str], bool],
        sent: Callable[[str], None],
        *,
        wants_soap_reply: bool = False,
    ) -> None:
        self._writer = writer
        self._may_send, self._sent = may_send, sent
        self._wants_soap_reply = wants_soap_reply
        self._lock = threading.Lock()
        self._queues: dict[str, queue.Queue[WsdNotification]] = {}

    def notify(
        self,
        subscription: WsdSubscription,
        action: str,
        content: etree._Element,
        delivered: Delivered = lambda _why: None,
    ) -> None:
        """Queue an event for a subscriber; with too many queued, it is a failure at once."""
        notification = self.message(subscription.notify_to, action, content, delivered)
        try:
            with self._lock:  # the thread that empties a queue removes it under this lock, so that no event is lost
                waiting = self._queues.get(subscription.identifier) or self._start(subscription)
                waiting.put_nowait(notification)
        except queue.Full:
            delivered("too many events wait for this subscriber")

    def _start(self, subscription: WsdSubscription) -> queue.Queue[WsdNotification]:
        waiting: queue.Queue[WsdNotification] = queue.Queue(_MAX_QUEUED)
        self._queues[subscription.identifier] = waiting
        threading.Thread(target=self._deliver_all, args=(subscription, waiting), name="wsd-events", daemon=True).start()
        return waiting

    def message(
        self, to: SubscriberEndpoint, action: str, content: etree._Element, delivered: Delivered = lambda _why: None
    ) -> WsdNotification:
        """Return the message to an endpoint, with its reference parameters as headers."""
        parameters = [copy.deepcopy(one) for one in to.parameters]
        data = self._writer.envelope(action, [content], to=to.address, headers=parameters)
        return WsdNotification(action, to, data, delivered)

    def post(self, notification: WsdNotification) -> str:
        """Deliver one message now; return "" or the reason of the failure."""
        if not self._may_send(notification.action):
            why = "the scanner was switched off"
        else:
            why = _post(notification.to.address, notification.data, self._wants_soap_reply)
            self._sent(notification.action)
        notification.delivered(why)
        return why

    def _deliver_all(self, subscription: WsdSubscription, waiting: queue.Queue[WsdNotification]) -> None:
        while not subscription.stopped.is_set():
            with contextlib.suppress(queue.Empty):
                self.post(waiting.get(timeout=0.05))
        with self._lock:
            self._queues.pop(subscription.identifier, None)
            left = [waiting.get_nowait() for _ in range(waiting.qsize())]
        for notification in left:
            notification.delivered("the subscription has ended")


def _post(url: str, data: bytes, wants_soap_reply: bool) -> str:
    parts = urlsplit(url)
    path = parts.path or "/"
    if parts.query:
        path += f"?{parts.query}"
    end = time.monotonic() + SECONDS
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=SECONDS)
    try:
        connection.request("POST", path, data, {"Content-Type": SOAP_TYPE, "User-Agent": "postscan-device"})
        if connection.sock is not None:
            connection.sock.settimeout(max(0.1, end - time.monotonic()))
        response = connection.getresponse()
        body = response.read(_MAX_RESPONSE)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{parts.hostname}:{parts.port or 80}: {error}"
    finally:
        connection.close()
    if wants_soap_reply and (response.status != 200 or b"Envelope" not in body):
        return f"{parts.hostname}: HTTP {response.status} without the SOAP message that this scanner wants"
    return "" if 200 <= response.status < 300 else f"{parts.hostname}: HTTP {response.status}"
