"""SubscriptionEnd: sent to the EndTo of a subscription that was removed, as often as an event until it is accepted.

The subscription is gone by then, so a server that stops gives up the ends that are still to be repeated.
Source: dpws.md section 8.3; DPW-073.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from postscan.core.model.subscription import Sink, Subscription
from postscan.core.settings.network import EventSettings
from postscan.soap.eventing import messages
from postscan.soap.eventing.http_client import EventPoster, NotDelivered
from postscan.soap.eventing.places import FairPlaces

log = logging.getLogger(__name__)

LONGEST_URL: Final = 255  # characters of a URL in the log


class SubscriptionEnds:
    """Sends ends, each in a task of its own; on one event loop.

    There are no more of them, of one owner and in all, than there may be subscriptions: a further end is not sent.
    *pause* returns the seconds before the next try from the number of failures.
    """

    def __init__(
        self, poster: EventPoster, places: FairPlaces, settings: EventSettings, pause: Callable[[int], float]
    ) -> None:
        self._poster = poster
        self._places = places
        self._settings = settings
        self._pause = pause
        self._stopping = asyncio.Event()
        self._owners: dict[asyncio.Task[None], str] = {}

    def send(self, subscription: Subscription, status: str) -> None:
        """Start to send the end of a subscription, if it has an EndTo; *status* is one of `messages.REASONS`."""
        if subscription.end_to is None:
            return
        owner = f"{subscription.owner.proof} {subscription.owner.name}"
        own = list(self._owners.values()).count(owner)
        if own >= self._settings.most_per_caller or len(self._owners) >= self._settings.most:
            reason = f"{len(self._owners)} others are being sent, {own} of them of its owner"
            log.info("subscription end not sent", extra={"subscriber": url(subscription.end_to), "reason": reason})
            return
        task = asyncio.create_task(self._send(subscription, subscription.end_to, status))
        self._owners[task] = owner
        task.add_done_callback(self._owners.pop)

    async def stop(self, seconds: float) -> None:
        """Wait up to *seconds* for ends that are being sent, and give up those that were to be repeated."""
        self._stopping.set()
        if tasks := list(self._owners):
            _, left = await asyncio.wait(tasks, timeout=seconds)
            for task in left:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, subscription: Subscription, to: Sink, status: str) -> None:
        message = messages.subscription_end(subscription, status)
        for number in range(1, self._settings.tries + 1):
            try:
                async with self._places.place(subscription.owner, to.address):
                    await self._poster.post(to, message)
                return
            except NotDelivered as error:
                about = {"subscriber": url(to), "tries": number, "of": self._settings.tries, "reason": str(error)}
                log.info("subscription end not delivered", extra=about)
            if number == self._settings.tries or await self._is_stopped_within(self._pause(number)):
                return

    async def _is_stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()


def url(sink: Sink) -> str:
    """Return the URL of a sink, cut for the log."""
    return sink.url[:LONGEST_URL]
