"""The background task that finds subscribers with pending events and starts an independent delivery for each.

The event table is the queue. It is polled while there are subscribers, and at once after `wake`. `delivery` has the
delivery to one of them. Subscriptions outlive the server, so its stop ends none.
Source: dpws.md section 8.3; T-A6; F-R18.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from postscan.core.cluster.leadership import AlwaysLeader, Leadership
from postscan.core.errors import Unavailable
from postscan.core.model.principal import Principal
from postscan.core.model.subscription import Subscription
from postscan.core.service.subscriptions import Subscriptions
from postscan.core.settings import Settings
from postscan.soap.eventing.delivery import EventDelivery, SubscriberState, backoff
from postscan.soap.eventing.pending_creates import PendingCreates

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.25
"""Pause between two polls for events, while there are subscribers."""

LIST_SECONDS: Final = 5.0
"""Pause between two reads of the list of subscriptions, some of which other processes may have ended."""

SHARED_SECONDS: Final = 1.0
"""The same where other servers may have added some; and between two looks at whether this process leads."""

WRITE_SECONDS: Final = 1.0
"""Pause between two writes of cursors. What was delivered and not written is delivered again after a crash."""

STOP_SECONDS: Final = 1.0
"""How long a stop waits for messages that are being sent. An interrupted one is sent again."""


class Notifier:
    """Background task that delivers events from `start` to `stop`, while this process leads; on one event loop.

    *pause* returns the seconds before the next try from the number of consecutive failures. Raises `SettingsError` if
    the CAs of the settings cannot be used.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        settings: Settings,
        *,
        pause: Callable[[int], float] = backoff,
        leadership: Leadership | None = None,
    ) -> None:
        self._leadership = leadership or AlwaysLeader()
        self._list_seconds = LIST_SECONDS if self._leadership.is_alone else SHARED_SECONDS
        self._subscriptions = subscriptions
        self._creates = PendingCreates()
        self._delivery = EventDelivery(subscriptions, settings, self._creates, pause)
        self._subscribers: dict[str, SubscriberState] = {}
        self._deliveries: dict[SubscriberState, asyncio.Task[None]] = {}
        self._list_at = self._write_at = 0.0
        self._woken = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start delivering, beginning with what an earlier server has not delivered."""
        await self._poll_once()
        self._polling = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Wait up to `STOP_SECONDS` for messages that are being sent, then write the cursors."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        for one in self._deliveries:
            one.closed = True
        if tasks := list(self._deliveries.values()):
            _, left = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Unavailable):  # then the last second is delivered twice
            await self._write_cursors()
        await self._delivery.close(STOP_SECONDS)

    def wake(self) -> None:
        """Poll for events at once; without subscribers, do nothing."""
        if self._subscribers:
            self._woken.set()

    def relist(self) -> None:
        """Read the list of subscriptions at once, since it has changed, and poll for events."""
        self._list_at = 0.0
        self._woken.set()

    def creating(self, by: Principal) -> AbstractContextManager[None]:
        """Hold back the first events of jobs that this caller creates in the body, which ends with the response."""
        return self._creates.pending(by)

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                rest = None if self._leadership.is_alone else SHARED_SECONDS
                async with asyncio.timeout(POLL_SECONDS if self._has_work() else rest):
                    await self._woken.wait()
            await self._poll_once()

    async def _poll_once(self) -> None:
        self._woken.clear()
        if not self._leadership.is_leader:
            self._forget()
        try:
            await self._query()
        except Unavailable:  # the store has logged it
            self._list_at = 0.0
        except Exception:  # an unknown error must not end the delivery of all events
            log.exception("events delayed")
        self._start_deliveries()

    def _forget(self) -> None:
        """Deliver nothing more: another server does. What was delivered is still written."""
        for one in self._subscribers.values():
            one.closed = True
        self._subscribers = {}
        self._list_at = 0.0

    def _has_work(self) -> bool:
        """Return whether there are subscribers, unwritten cursors, or an unread list of subscriptions."""
        is_unread = self._leadership.is_leader and not self._list_at
        return bool(self._subscribers or self._delivery.moved or is_unread)

    async def _query(self) -> None:
        """Read the list of subscriptions and the new events, and write cursors, each when its time has come."""
        now = asyncio.get_running_loop().time()
        if self._leadership.is_leader and now >= self._list_at:
            self._list_at = now + self._list_seconds
            self._update_subscribers(await self._delivery.in_thread(self._subscriptions.live))
        if self._subscribers:
            await self._find_events()
        if self._delivery.moved and now >= self._write_at:
            self._write_at = now + WRITE_SECONDS
            await self._write_cursors()

    def _update_subscribers(self, live: list[Subscription]) -> None:
        """Add new subscriptions as pending, close those that have ended, and pass on which were cancelled."""
        if not self._subscribers:
            self._delivery.newest = max((one.cursor for one in live), default=0)
        before, self._subscribers = self._subscribers, {}
        for one in live:
            subscriber = before.pop(one.id, None) or SubscriberState(one, one.cursor)
            subscriber.update(one)
            self._subscribers[one.id] = subscriber
        for subscriber in before.values():
            subscriber.closed = True

    async def _find_events(self) -> None:
        known = self._delivery.newest
        owners, repository, newest = await self._delivery.in_thread(self._subscriptions.owners_since, known)
        for one in self._subscribers.values():
            if one.is_concerned(owners, repository=repository):
                one.pending = True
            elif not one.pending and one not in self._deliveries:
                one.cursor = max(one.cursor, newest)  # no event since then is in its scope
        self._delivery.newest = max(known, newest)

    def _start_deliveries(self) -> None:
        now = asyncio.get_running_loop().time()
        for one in self._subscribers.values():
            if one.pending and not one.closed and one not in self._deliveries and now >= one.not_before:
                task = self._deliveries[one] = asyncio.create_task(self._delivery.deliver(one))
                task.add_done_callback(functools.partial(self._delivery_done, one))

    def _delivery_done(self, one: SubscriberState, _task: asyncio.Task[None]) -> None:
        del self._deliveries[one]

    async def _write_cursors(self) -> None:
        moved, self._delivery.moved = self._delivery.moved, {}
        try:
            await self._delivery.in_thread(self._subscriptions.advance, moved)
        except BaseException:
            self._delivery.moved = moved | self._delivery.moved
            raise
