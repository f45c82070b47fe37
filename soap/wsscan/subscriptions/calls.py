"""Subscribe, Renew and Unsubscribe at one device: each is one request, and returns what is to be stored.

Renew and Unsubscribe go to the manager's port and path at the host of the device, with its reference parameters as
header blocks. Source: ws-scan.md section 4; WSS-013, WSS-015.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from postscan.soap.eventing.messages import RENEW, SUBSCRIBE, UNSUBSCRIBE
from postscan.soap.wsscan.client import ANSWER_SECONDS, Answer
from postscan.soap.wsscan.messages.envelope import Xml
from postscan.soap.wsscan.subscriptions import messages
from postscan.soap.wsscan.subscriptions.record import StoredSubscription

LEAST_SECONDS: Final = 4.0
"""A lifetime that is granted and is shorter counts as this: a device is asked at most once a second."""


class DeviceCalls(Protocol):
    """Requests to one device, as `ScannerClient` sends them; each raises `CallError`."""

    def call(
        self, url: str, action: str, body: Xml, *, headers: Iterable[Xml] = (), to: str = "", seconds: float = ...
    ) -> Answer:
        """Send a request and return what the Body of its answer holds."""


class SubscriptionCalls:
    """The requests about subscriptions at one device; *now* returns the time in UTC."""

    def __init__(self, calls: DeviceCalls, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._calls = calls
        self._now = now

    def subscribe(
        self, service: str, asked: StoredSubscription, actions: Sequence[str], seconds: float
    ) -> StoredSubscription:
        """Subscribe at the scan service and return the subscription with its manager, end and tokens."""
        named = [(one.label, one.context) for one in asked.destinations]
        body = messages.subscribe(asked.event_address, actions, seconds, named)
        answer = self._calls.call(service, SUBSCRIBE, body)
        granted = messages.read_subscribed(answer, self._now())
        destinations = tuple(
            one.model_copy(update={"token": granted.tokens.get(one.context, "")}) for one in asked.destinations
        )
        return asked.model_copy(
            update={
                "manager": granted.manager,
                "parameters": granted.parameters,
                "until": self._until(granted.seconds, seconds),
                "destinations": destinations,
            }
        )

    def renew(self, subscription: StoredSubscription, seconds: float) -> StoredSubscription:
        """Renew a subscription and return it with its new end."""
        headers = messages.reference_headers(subscription.parameters)
        answer = self._calls.call(subscription.manager, RENEW, messages.renew(seconds), headers=headers)
        granted = messages.read_renewed(answer, self._now())
        return subscription.model_copy(update={"until": self._until(granted, seconds)})

    def unsubscribe(self, subscription: StoredSubscription, seconds: float = ANSWER_SECONDS) -> None:
        """End a subscription; the answer has to come within *seconds*."""
        headers = messages.reference_headers(subscription.parameters)
        self._calls.call(subscription.manager, UNSUBSCRIBE, messages.unsubscribe(), headers=headers, seconds=seconds)

    def _until(self, granted: float | None, asked: float) -> float:
        """Return the end of a lifetime in seconds since 1970; it is never longer than *asked*.

        A device may name a moment by a clock that is wrong: one that is past counts as *asked*.
        """
        seconds = asked if granted is None or granted <= 0 else max(LEAST_SECONDS, min(granted, asked))
        return self._now().timestamp() + seconds
