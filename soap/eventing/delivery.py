"""Delivery of one subscriber's events: in order, repeated until accepted, ended after too many failures.

No queue is kept in memory: what is not delivered stays in the event table, behind the subscriber's cursor. A message
that was not accepted is sent again after a growing pause, identical to the byte.
Source: dpws.md section 8.3; ws-dsp.md section 8; T-A6; F-R18; invariants I27 to I29.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from postscan.core.errors import Unavailable
from postscan.core.model.snapshot import JobChange
from postscan.core.model.subscription import EventService, Subscription
from postscan.core.service.subscriptions import Subscriptions
from postscan.core.settings import Settings
from postscan.soap.eventing import messages, notifications
from postscan.soap.eventing.ends import SubscriptionEnds, url
from postscan.soap.eventing.http_client import EventPoster, NotDelivered
from postscan.soap.eventing.pending_creates import PendingCreates
from postscan.soap.eventing.places import FairPlaces

log = logging.getLogger(__name__)

PAGE: Final = 20
"""Upper bound of the changes of one subscriber that are in memory."""

IN_FLIGHT: Final = 128
RETRIES_IN_FLIGHT: Final = 32
"""Upper bounds of the messages that are being sent: to sinks that accepted the last one, and to sinks that did not.

One caller takes half of them at most; see `FairPlaces`."""

READERS: Final = 4
"""Upper bound of the threads that wait for the database."""

LONGEST_PAUSE: Final = 60.0
BUSY_PAUSE: Final = 0.5
"""Seconds: the longest pause between two tries, and the one after the database was unavailable."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class _Closed(Exception):
    """The subscription has ended or was cancelled."""


@dataclass(slots=True, eq=False)
class SubscriberState:
    """The progress of one subscription.

    All changes up to `cursor` are delivered, and the first `sent` messages of the next one. `pending`: there may be
    more. `failures` are consecutive; the next try is not before `not_before`, in seconds of the event loop. `closed`:
    the subscription has ended.
    """

    subscription: Subscription
    cursor: int
    sent: int = 0
    pending: bool = True
    failures: int = 0
    not_before: float = 0.0
    closed: bool = False

    def is_concerned(self, owners: set[tuple[str, str]], *, repository: bool) -> bool:
        """Return whether events of these owners' jobs, or of the repository, go to this subscriber."""
        scope = self.subscription.scope
        return bool(owners) or repository if scope is None else (scope.name, scope.proof) in owners

    def update(self, subscription: Subscription) -> None:
        """Take over the stored subscription; if it is newly cancelled, do not wait for the next try."""
        if subscription.cancelled and not self.subscription.cancelled:
            self.pending, self.not_before = True, 0.0
        self.subscription = subscription

    def postpone(self, seconds: float) -> None:
        """Set the next try to *seconds* from now."""
        self.pending = True
        self.not_before = asyncio.get_running_loop().time() + seconds


def backoff(failures: int) -> float:
    """Return the seconds before the next try after *failures* (from 1) in a row: 1, 2, 4 and so on, at most 60."""
    return min(2.0 ** (failures - 1), LONGEST_PAUSE)


class EventDelivery:
    """Delivers events to subscribers, each in a task of its own that the caller starts; on one event loop.

    *pause* returns the seconds before the next try from the number of consecutive failures. Raises `SettingsError` if
    the CAs of the settings cannot be used.
    """

    def __init__(
        self, subscriptions: Subscriptions, settings: Settings, creates: PendingCreates, pause: Callable[[int], float]
    ) -> None:
        self.moved: dict[str, int] = {}
        """The cursors that are not stored yet, by subscription; the caller stores them and takes them out."""
        self.newest = 0
        """The number of the newest known event."""
        self._subscriptions = subscriptions
        self._events = settings.events
        self._creates = creates
        self._pause = pause
        self._poster = EventPoster(settings.tls, settings.events.deadline_seconds)
        self._places = {False: FairPlaces(IN_FLIGHT), True: FairPlaces(RETRIES_IN_FLIGHT)}
        self._ends = SubscriptionEnds(self._poster, self._places[True], settings.events, pause)
        self._readers = CapacityLimiter(READERS)

    async def close(self, seconds: float) -> None:
        """Wait up to *seconds* for ends that are being sent, then close open connections."""
        await self._ends.stop(seconds)
        await self._poster.close()

    async def deliver(self, to: SubscriberState) -> None:
        """Deliver the pending events until one fails; to a cancelled subscription, only its end."""
        try:
            await self._deliver_or_fail(to)
            if to.subscription.cancelled and not to.closed:
                await self.end(to, messages.SOURCE_CANCELLING)
        except Unavailable:  # the store has logged it
            to.postpone(BUSY_PAUSE)
        except Exception:  # an error in one message must not end the delivery of the later ones
            log.exception("events delayed", extra={"subscriber": url(to.subscription.notify_to)})
            to.postpone(LONGEST_PAUSE)

    async def end(self, to: SubscriberState, status: str) -> None:
        """Remove a subscription, then send SubscriptionEnd if it has an EndTo; raise `Unavailable`."""
        subscription, to.closed = to.subscription, True
        try:
            was_stored = await self.in_thread(self._subscriptions.drop, subscription.id)
        except Unavailable:
            to.closed = False
            raise
        if was_stored:
            self._ends.send(subscription, status)

    async def in_thread(
        self, query: Callable[_Arguments, _Result], *args: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Result:
        """Run a query of the database in one of `READERS` threads."""
        return await to_thread.run_sync(lambda: query(*args, **named), limiter=self._readers)

    async def _deliver_or_fail(self, to: SubscriberState) -> None:
        try:
            while to.pending:
                to.pending = False
                await self._deliver_all(to)
        except NotDelivered as error:
            await self._record_failure(to, error)
        except _Closed:
            to.pending = True  # an expired subscription may just have been renewed; the next read of the list decides

    async def _deliver_all(self, to: SubscriberState) -> None:
        while True:
            self._check_open(to)
            await self._check_backlog(to)
            changes, end = await self.in_thread(self._subscriptions.after, to.subscription.scope, to.cursor, PAGE)
            for change in changes:
                await self._notify(to, change)
                self._move(to, change.seq)
            if not changes and end <= to.cursor:
                return
            self._move(to, max(end, to.cursor))

    async def _notify(self, to: SubscriberState, change: JobChange) -> None:
        if change.first and to.subscription.port is EventService.PROCESSING:
            await self._creates.wait(to.subscription.owner)
        for one in notifications.messages(to.subscription.port, change)[to.sent :]:
            if one.action in (to.subscription.actions or (one.action,)):
                await self._post(to, messages.notification(to.subscription, change.seq, one))
            to.sent += 1

    async def _post(self, to: SubscriberState, message: bytes) -> None:
        """Post one message when there is a place; raise `NotDelivered`, or `_Closed` if the subscription has ended."""
        sink = to.subscription.notify_to
        async with self._places[to.failures > 0].place(to.subscription.owner, sink.address):
            self._check_open(to)
            await self._poster.post(sink, message)
        to.failures = 0

    def _move(self, to: SubscriberState, cursor: int) -> None:
        to.cursor, to.sent = cursor, 0
        self.moved[to.subscription.id] = cursor

    async def _record_failure(self, to: SubscriberState, error: NotDelivered) -> None:
        to.failures += 1
        fields = {"tries": to.failures, "of": self._events.tries, "reason": str(error)}
        log.info("event not delivered", extra={"subscriber": url(to.subscription.notify_to), **fields})
        if to.failures < self._events.tries:
            to.postpone(self._pause(to.failures))
        else:
            await self._drop(to, f"{to.failures} failures in a row")

    def _check_open(self, to: SubscriberState) -> None:
        """Raise `_Closed` if the subscription has ended, was cancelled or is expired."""
        if to.closed or to.subscription.cancelled or not self._subscriptions.left(to.subscription):
            raise _Closed

    async def _check_backlog(self, to: SubscriberState) -> None:
        """Drop a subscription with too many pending events; they are counted only if they may be too many."""
        if self.newest - to.cursor <= self._events.backlog:
            return
        waiting = await self.in_thread(self._subscriptions.waiting, to.subscription.scope, to.cursor)
        if waiting > self._events.backlog:
            await self._drop(to, f"{waiting} events wait for it")
            raise _Closed

    async def _drop(self, to: SubscriberState, reason: str) -> None:
        log.warning("subscription dropped", extra={"subscriber": url(to.subscription.notify_to), "reason": reason})
        await self.end(to, messages.DELIVERY_FAILURE)
