"""Tell subscribers what has happened: each in order and at its own pace, and none at the expense of the others.

The event table is the queue: every subscription has a cursor in it, and nothing piles up in memory. A message that
was not taken is sent again, after a pause that grows, and is then the same to the byte; after too many failures the
subscription is dropped. Subscriptions outlive the server, so that its stop ends none of them.
Source: DPWS digest, section 8.3; WS-DSP digest, section 8; threat A6; fault R18; invariants I27 to I29.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from postscan.core.errors import Unavailable
from postscan.core.model import Principal
from postscan.core.outbox import Happening
from postscan.core.settings import Settings
from postscan.core.subscriptions import Port, Sink, Subscription, Subscriptions
from postscan.soap import eventing, notices
from postscan.soap.creates import Creates
from postscan.soap.posting import NotDelivered, Postman

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""Pause between two looks for events, while there is anybody to tell."""

LIST_SECONDS: Final = 5.0
"""Pause between two looks at the list of subscriptions, which others than this server may shorten."""

WRITE_SECONDS: Final = 1.0
"""Pause between two writings of cursors: what was told and not written down is told again after a crash."""

PAGE: Final = 20
"""Events of one subscriber that are in memory at a time."""

HEALTHY: Final = 64
AILING: Final = 16
"""Messages that are on their way at a time: to sinks that took the last one, and to those that did not."""

LONGEST_PAUSE: Final = 60.0
READERS: Final = 4
"""Threads that may wait for the database."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def growing_pause(failures: int) -> float:
    """Return the seconds after so many failures in a row: 1, 2, 4 and so on, at most 60."""
    return min(2.0 ** (failures - 1), LONGEST_PAUSE)


class _Over(Exception):
    """The subscription has ended in the meantime."""


@dataclass(slots=True, eq=False)
class _Recipient:
    """A subscription in the course of being told. `due`: there may be something behind `cursor`."""

    subscription: Subscription
    cursor: int
    due: bool = True
    failures: int = 0
    not_before: float = 0.0
    telling: asyncio.Task[None] | None = None

    def hears_of(self, owners: set[tuple[str, str]], *, repository: bool) -> bool:
        """Return whether it is told of what these owners' jobs, or the repository, have to tell."""
        whose = self.subscription.hears_of
        return bool(owners) or repository if whose is None else (whose.name, whose.proof) in owners


class Notifier:
    """Delivers the events of one server, from `start` to `stop`; lives on one event loop.

    `pause` gives the seconds before the next try, from the number of failures in a row. Raises `SettingsError` if the
    CAs of the settings cannot be used.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        settings: Settings,
        *,
        pause: Callable[[int], float] = growing_pause,
    ) -> None:
        self._subscriptions = subscriptions
        self._events = settings.events
        self._pause = pause
        self._postman = Postman(settings.tls, settings.events.deadline_seconds)
        self._creates = Creates()
        self._recipients: dict[str, _Recipient] = {}
        self._listing = asyncio.Lock()
        self._telling: set[asyncio.Task[None]] = set()
        self._seen = 0
        self._moved: dict[str, int] = {}
        self._woken = asyncio.Event()
        self._list_at = self._write_at = 0.0
        self._lanes = {False: asyncio.Semaphore(HEALTHY), True: asyncio.Semaphore(AILING)}
        self._readers = CapacityLimiter(READERS)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to tell, with what the last server had not told yet."""
        self._woken.set()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Break off what is being told, and write down what has been."""
        tasks = [task for task in (self._watching, *self._telling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Unavailable):  # the last of it is told twice
            await self._write_cursors()
        await self._postman.close()

    def wake(self) -> None:
        """Look at once: subscriptions have changed, or something has happened."""
        self._list_at = 0.0
        self._woken.set()

    def creating(self, by: Principal) -> AbstractContextManager[None]:
        """Tell nobody of jobs that the caller makes in the body, which ends when the Create is answered."""
        return self._creates.under_way(by)

    async def cancel(self, id: str) -> None:
        """End a subscription in the name of an administrator, and tell its subscriber."""
        for one in await self._thread(self._subscriptions.live):
            if one.id == id:
                await self._end(one, eventing.SOURCE_CANCELLING)

    # --- looking -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._look()
            except Unavailable as error:
                log.warning("events have to wait: %s", error)
            except Exception:  # whatever it is, it must not silence the server for ever
                log.exception("events have to wait")
            self._tell_those_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if self._recipients or self._moved else None):
                    await self._woken.wait()

    async def _look(self) -> None:
        """Find out who has something to hear, and write down who has heard what."""
        now = asyncio.get_running_loop().time()
        if now >= self._list_at:
            self._list_at = now + LIST_SECONDS
            async with self._listing:
                self._enlist(await self._thread(self._subscriptions.live))
        if self._recipients:
            await self._find_news()
        if self._moved and now >= self._write_at:
            self._write_at = now + WRITE_SECONDS
            await self._write_cursors()

    def _enlist(self, live: list[Subscription]) -> None:
        """Take up new subscriptions, as due, and let go of those that are over."""
        if not self._recipients:
            self._seen = max((one.cursor for one in live), default=0)
        before, self._recipients = self._recipients, {}
        for one in live:
            recipient = self._recipients[one.id] = before.get(one.id) or _Recipient(one, one.cursor)
            recipient.subscription = one

    async def _find_news(self) -> None:
        owners, repository, newest = await self._thread(self._subscriptions.owners_since, self._seen)
        for one in self._recipients.values():
            if one.hears_of(owners, repository=repository):
                one.due = True
            elif not one.due and one.telling is None:
                one.cursor = max(one.cursor, newest)  # what happened is none of its business
        self._seen = max(self._seen, newest)

    def _tell_those_due(self) -> None:
        now = asyncio.get_running_loop().time()
        for one in self._recipients.values():
            if one.due and one.telling is None and now >= one.not_before:
                one.telling = asyncio.create_task(self._tell(one))
                self._telling.add(one.telling)
                one.telling.add_done_callback(self._telling.discard)

    async def _write_cursors(self) -> None:
        moved, self._moved = self._moved, {}
        try:
            await self._thread(self._subscriptions.advance, moved)
        except BaseException:
            self._moved = moved | self._moved
            raise

    # --- telling -------------------------------------------------------------------------------------------------

    async def _tell(self, one: _Recipient) -> None:
        """Tell one subscriber all that it has not heard yet, unless that fails."""
        try:
            await self._try_to_tell(one)
        except _Over:
            pass
        except Unavailable as error:
            log.warning("the events of %s have to wait: %s", _shown(one.subscription.notify_to), error)
            self._put_off(one, LOOK_SECONDS)
        except Exception:
            log.exception("the events of %s have to wait", _shown(one.subscription.notify_to))
            self._put_off(one, LONGEST_PAUSE)
        finally:
            one.telling = None

    async def _try_to_tell(self, one: _Recipient) -> None:
        try:
            while one.due:
                one.due = False
                await self._tell_all(one)
        except NotDelivered as error:
            await self._has_failed(one, error)

    async def _tell_all(self, one: _Recipient) -> None:
        while True:
            await self._check_backlog(one)
            happenings, end = await self._thread(self._subscriptions.after, one.subscription.hears_of, one.cursor, PAGE)
            for happening in happenings:
                await self._tell_of(one, happening)
                self._move(one, happening.seq)
            if end <= one.cursor and not happenings:
                return
            self._move(one, end)

    async def _tell_of(self, one: _Recipient, happening: Happening) -> None:
        if happening.first and one.subscription.port is Port.PROCESSING:
            await self._creates.settled(one.subscription.owner)
        for notice in notices.messages(one.subscription.port, happening):
            if notice.action in (one.subscription.actions or (notice.action,)):
                await self._post(one, eventing.notification(one.subscription, happening.seq, notice))

    async def _post(self, one: _Recipient, message: bytes) -> None:
        """Post one message in the lane of the sink; raise `NotDelivered`, or `_Over` if nobody wants it any more."""
        async with self._lanes[one.failures > 0]:
            listed = self._recipients.get(one.subscription.id) is one
            if not listed or not self._subscriptions.left(one.subscription):
                raise _Over
            await self._postman.post(one.subscription.notify_to, message)
        one.failures = 0

    def _move(self, one: _Recipient, cursor: int) -> None:
        one.cursor = max(one.cursor, cursor)
        self._moved[one.subscription.id] = one.cursor

    # --- giving up -----------------------------------------------------------------------------------------------

    async def _has_failed(self, one: _Recipient, error: NotDelivered) -> None:
        one.failures += 1
        tries = f"try {one.failures} of {self._events.tries}"
        log.info("an event did not reach %s: %s (%s)", _shown(one.subscription.notify_to), error, tries)
        if one.failures < self._events.tries:
            self._put_off(one, self._pause(one.failures))
        else:
            await self._give_up(one, f"{one.failures} failures in a row")

    def _put_off(self, one: _Recipient, seconds: float) -> None:
        one.due = True
        one.not_before = asyncio.get_running_loop().time() + seconds

    async def _check_backlog(self, one: _Recipient) -> None:
        """Give a subscriber up that is too far behind; only for one that may be, the database has to count."""
        if self._seen - one.cursor <= self._events.backlog:
            return
        waiting = await self._thread(self._subscriptions.waiting, one.subscription.hears_of, one.cursor)
        if waiting > self._events.backlog:
            await self._give_up(one, f"{waiting} events wait for it")
            raise _Over

    async def _give_up(self, one: _Recipient, why: str) -> None:
        log.warning("the subscription of %s is dropped: %s", _shown(one.subscription.notify_to), why)
        await self._end(one.subscription, eventing.DELIVERY_FAILURE)

    async def _end(self, subscription: Subscription, status: str) -> None:
        """Forget a subscription, and tell its subscriber of that, once, if it wants to know."""
        async with self._listing:  # or a list that was read before would bring it back
            await self._thread(self._subscriptions.drop, subscription.id)
            self._recipients.pop(subscription.id, None)
        if subscription.end_to is None:
            return
        message = eventing.subscription_end(subscription, status)
        async with self._lanes[True]:
            try:
                await self._postman.post(subscription.end_to, message)
            except NotDelivered as error:
                log.info("the end of a subscription did not reach %s: %s", _shown(subscription.end_to), error)

    async def _thread(
        self, read: Callable[_Arguments, _Result], *args: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Result:
        return await to_thread.run_sync(lambda: read(*args, **named), limiter=self._readers)


def _shown(sink: Sink) -> str:
    """Return an address for the log."""
    return sink.url[:255]
