"""Tell one subscriber what it has not heard yet: in order, as often as it takes, and until it is given up.

Nothing piles up here: what waits stays in the event table, behind the subscriber's cursor. A message that was not
taken is sent again, after a pause that grows, and is then the same to the byte.
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
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.service.subscriptions import Subscriptions
from postscan.core.settings import Settings
from postscan.soap.eventing import messages, notifications
from postscan.soap.eventing.http_client import EventPoster, NotDelivered
from postscan.soap.eventing.pending_creates import PendingCreates

log = logging.getLogger(__name__)

PAGE: Final = 20
"""Events of one subscriber that are in memory at a time."""

HEALTHY: Final = 64
AILING: Final = 16
"""Messages that are on their way at a time: to sinks that took the last one, and to those that did not."""

READERS: Final = 4
"""Threads that may wait for the database."""

LONGEST_PAUSE: Final = 60.0
BUSY_PAUSE: Final = 0.5

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class _Over(Exception):
    """The subscription has ended in the meantime, or was cancelled."""


@dataclass(slots=True, eq=False)
class SubscriberState:
    """A subscription in the course of being told.

    Everything up to `cursor` was told, and `taken` messages of the happening behind it. `due`: there may be more.
    `failures` are those in a row; before `not_before`, in seconds of the event loop, there is no other try. `over`:
    nobody wants to hear any more.
    """

    subscription: Subscription
    cursor: int
    taken: int = 0
    due: bool = True
    failures: int = 0
    not_before: float = 0.0
    over: bool = False

    def scope(self, owners: set[tuple[str, str]], *, repository: bool) -> bool:
        """Return whether it is told of what these owners' jobs, or the repository, have to tell."""
        whose = self.subscription.scope
        return bool(owners) or repository if whose is None else (whose.name, whose.proof) in owners

    def follow(self, subscription: Subscription) -> None:
        """Take the subscription as it is now; that it was cancelled is told at once."""
        if subscription.cancelled and not self.subscription.cancelled:
            self.due, self.not_before = True, 0.0
        self.subscription = subscription

    def put_off(self, seconds: float) -> None:
        """Try again later."""
        self.due = True
        self.not_before = asyncio.get_running_loop().time() + seconds


def backoff(failures: int) -> float:
    """Return the seconds after so many failures in a row: 1, 2, 4 and so on, at most 60."""
    return min(2.0 ** (failures - 1), LONGEST_PAUSE)


class EventDelivery:
    """Tells recipients, each in a task of its caller's; lives on one event loop.

    `pause` gives the seconds before the next try, from the failures in a row. Raises `SettingsError` if the CAs of the
    settings cannot be used.
    """

    def __init__(
        self, subscriptions: Subscriptions, settings: Settings, creates: PendingCreates, pause: Callable[[int], float]
    ) -> None:
        self.told: dict[str, int] = {}
        """The cursors that have moved, by subscription; whoever writes them down takes them out."""
        self.newest = 0
        """The last event that anybody knows of."""
        self._subscriptions = subscriptions
        self._events = settings.events
        self._creates = creates
        self._pause = pause
        self._postman = EventPoster(settings.tls, settings.events.deadline_seconds)
        self._lanes = {False: asyncio.Semaphore(HEALTHY), True: asyncio.Semaphore(AILING)}
        self._readers = CapacityLimiter(READERS)

    async def close(self) -> None:
        """Close what is still open."""
        await self._postman.close()

    async def tell(self, to: SubscriberState) -> None:
        """Tell a recipient all that it has not heard yet, unless that fails; if it was cancelled, that and no more."""
        try:
            await self._try(to)
            if to.subscription.cancelled and not to.over:
                await self.end(to, messages.SOURCE_CANCELLING)
        except Unavailable as error:
            log.warning("the events of %s have to wait: %s", _shown(to.subscription.notify_to), error)
            to.put_off(BUSY_PAUSE)
        except Exception:  # one message that we cannot make must not silence us for good
            log.exception("the events of %s have to wait", _shown(to.subscription.notify_to))
            to.put_off(LONGEST_PAUSE)

    async def end(self, one: SubscriberState, status: str) -> None:
        """Forget a subscription, and tell its subscriber of that, once, if it wants to know; raise `Unavailable`."""
        subscription, one.over = one.subscription, True
        try:
            was_there = await self.thread(self._subscriptions.drop, subscription.id)
        except Unavailable:
            one.over = False
            raise
        if not was_there or subscription.end_to is None:
            return
        message = messages.subscription_end(subscription, status)
        async with self._lanes[True]:
            try:
                await self._postman.post(subscription.end_to, message)
            except NotDelivered as error:
                log.info("the end of a subscription did not reach %s: %s", _shown(subscription.end_to), error)

    async def thread(
        self, ask: Callable[_Arguments, _Result], *args: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Result:
        """Ask the database, in one of few threads."""
        return await to_thread.run_sync(lambda: ask(*args, **named), limiter=self._readers)

    async def _try(self, to: SubscriberState) -> None:
        try:
            while to.due:
                to.due = False
                await self._tell_all(to)
        except NotDelivered as error:
            await self._has_failed(to, error)
        except _Over:
            to.due = True  # unless that is final: what seems to have expired may have been renewed just before

    async def _tell_all(self, to: SubscriberState) -> None:
        while True:
            self._check_wanted(to)
            await self._check_backlog(to)
            happenings, end = await self.thread(self._subscriptions.after, to.subscription.scope, to.cursor, PAGE)
            for happening in happenings:
                await self._tell_of(to, happening)
                self._move(to, happening.seq)
            if not happenings and end <= to.cursor:
                return
            self._move(to, max(end, to.cursor))

    async def _tell_of(self, to: SubscriberState, happening: JobChange) -> None:
        if happening.first and to.subscription.port is EventService.PROCESSING:
            await self._creates.settled(to.subscription.owner)
        for notice in notifications.messages(to.subscription.port, happening)[to.taken :]:
            if notice.action in (to.subscription.actions or (notice.action,)):
                await self._post(to, messages.notification(to.subscription, happening.seq, notice))
            to.taken += 1

    async def _post(self, to: SubscriberState, message: bytes) -> None:
        """Post one message in the lane of the sink; raise `NotDelivered`, or `_Over` if nobody wants it any more."""
        async with self._lanes[to.failures > 0]:
            self._check_wanted(to)
            await self._postman.post(to.subscription.notify_to, message)
        to.failures = 0

    def _move(self, to: SubscriberState, cursor: int) -> None:
        to.cursor, to.taken = cursor, 0
        self.told[to.subscription.id] = cursor

    async def _has_failed(self, to: SubscriberState, error: NotDelivered) -> None:
        to.failures += 1
        tries = f"try {to.failures} of {self._events.tries}"
        log.info("an event did not reach %s: %s (%s)", _shown(to.subscription.notify_to), error, tries)
        if to.failures < self._events.tries:
            to.put_off(self._pause(to.failures))
        else:
            await self._give_up(to, f"{to.failures} failures in a row")

    def _check_wanted(self, to: SubscriberState) -> None:
        """Raise `_Over` if nobody wants to hear of events any more, or is to."""
        if to.over or to.subscription.cancelled or not self._subscriptions.left(to.subscription):
            raise _Over

    async def _check_backlog(self, to: SubscriberState) -> None:
        """Give a recipient up that is too far behind; only for one that may be, the database has to count."""
        if self.newest - to.cursor <= self._events.backlog:
            return
        waiting = await self.thread(self._subscriptions.waiting, to.subscription.scope, to.cursor)
        if waiting > self._events.backlog:
            await self._give_up(to, f"{waiting} events wait for it")
            raise _Over

    async def _give_up(self, to: SubscriberState, why: str) -> None:
        log.warning("the subscription of %s is dropped: %s", _shown(to.subscription.notify_to), why)
        await self.end(to, messages.DELIVERY_FAILURE)


def _shown(sink: Sink) -> str:
    """Return an address for the log."""
    return sink.url[:255]
