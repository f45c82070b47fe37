"""Find out who has something to hear, and let each be told at its own pace, none at the expense of the others.

The event table is the queue: it is looked at while there is anybody to tell, and when somebody wakes us. How one
subscriber is told is in `delivering`. Subscriptions outlive the server, so its stop ends none of them.
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

from postscan.core.errors import Unavailable
from postscan.core.model.principal import Principal
from postscan.core.model.subscription import Subscription
from postscan.core.service.subscriptions import Subscriptions
from postscan.core.settings import Settings
from postscan.soap.eventing.delivery import EventDelivery, SubscriberState, backoff
from postscan.soap.eventing.pending_creates import PendingCreates

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""Pause between two looks for events, while there is anybody to tell."""

LIST_SECONDS: Final = 5.0
"""Pause between two looks at the list of subscriptions, some of which others than this server may have ended."""

WRITE_SECONDS: Final = 1.0
"""Pause between two writings of cursors: what was told and not written down is told again after a crash."""

PARTING_SECONDS: Final = 1.0
"""How long a stop waits for messages that are on their way: what is broken off has to be told again."""


class Notifier:
    """Delivers the events of one server, from `start` to `stop`; lives on one event loop.

    `pause` gives the seconds before the next try, from the failures in a row. Raises `SettingsError` if the CAs of the
    settings cannot be used.
    """

    def __init__(
        self, subscriptions: Subscriptions, settings: Settings, *, pause: Callable[[int], float] = backoff
    ) -> None:
        self._subscriptions = subscriptions
        self._creates = PendingCreates()
        self._delivery = EventDelivery(subscriptions, settings, self._creates, pause)
        self._recipients: dict[str, SubscriberState] = {}
        self._telling: dict[SubscriberState, asyncio.Task[None]] = {}
        self._list_at = self._write_at = 0.0
        self._woken = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to tell, with what the last server had not told yet."""
        await self._look_once()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Let what is on its way arrive, if that is soon, and write down what was told."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for one in self._telling:
            one.over = True
        if tasks := list(self._telling.values()):
            _, left = await asyncio.wait(tasks, timeout=PARTING_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Unavailable):  # then the last of it is told twice
            await self._write_cursors()
        await self._delivery.close()

    def wake(self) -> None:
        """Look at once: something has happened. While nobody has subscribed, that is nothing to us."""
        if self._recipients:
            self._woken.set()

    def relist(self) -> None:
        """Look at once, and at the list of subscriptions as well: it has changed."""
        self._list_at = 0.0
        self._woken.set()

    def creating(self, by: Principal) -> AbstractContextManager[None]:
        """Tell nobody of jobs that the caller makes in the body, which ends when the Create is answered."""
        return self._creates.under_way(by)

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if self._has_work() else None):
                    await self._woken.wait()
            await self._look_once()

    async def _look_once(self) -> None:
        self._woken.clear()
        try:
            await self._look()
        except Unavailable as error:
            log.warning("events have to wait: %s", error)
            self._list_at = 0.0
        except Exception:  # whatever it is, it must not silence the server for good
            log.exception("events have to wait")
        self._tell_those_due()

    def _has_work(self) -> bool:
        """Return whether there is anybody to tell, or anything that is still to be asked or written."""
        return bool(self._recipients or self._delivery.told or not self._list_at)

    async def _look(self) -> None:
        """Find out who has something to hear, and write down who has heard what."""
        now = asyncio.get_running_loop().time()
        if now >= self._list_at:
            self._list_at = now + LIST_SECONDS
            self._enlist(await self._delivery.thread(self._subscriptions.live))
        if self._recipients:
            await self._find_news()
        if self._delivery.told and now >= self._write_at:
            self._write_at = now + WRITE_SECONDS
            await self._write_cursors()

    def _enlist(self, live: list[Subscription]) -> None:
        """Take up new subscriptions, as due; let go of those that are over, and part from those that were cancelled."""
        if not self._recipients:
            self._delivery.newest = max((one.cursor for one in live), default=0)
        before, self._recipients = self._recipients, {}
        for one in live:
            recipient = before.pop(one.id, None) or SubscriberState(one, one.cursor)
            recipient.follow(one)
            self._recipients[one.id] = recipient
        for recipient in before.values():
            recipient.over = True

    async def _find_news(self) -> None:
        seen = self._delivery.newest
        owners, repository, newest = await self._delivery.thread(self._subscriptions.owners_since, seen)
        for one in self._recipients.values():
            if one.scope(owners, repository=repository):
                one.due = True
            elif not one.due and one not in self._telling:
                one.cursor = max(one.cursor, newest)  # what happened is none of its business
        self._delivery.newest = max(seen, newest)

    def _tell_those_due(self) -> None:
        now = asyncio.get_running_loop().time()
        for one in self._recipients.values():
            if one.due and not one.over and one not in self._telling and now >= one.not_before:
                task = self._telling[one] = asyncio.create_task(self._delivery.tell(one))
                task.add_done_callback(functools.partial(self._has_told, one))

    def _has_told(self, one: SubscriberState, _task: asyncio.Task[None]) -> None:
        del self._telling[one]

    async def _write_cursors(self) -> None:
        told, self._delivery.told = self._delivery.told, {}
        try:
            await self._delivery.thread(self._subscriptions.advance, told)
        except BaseException:
            self._delivery.told = told | self._delivery.told
            raise
