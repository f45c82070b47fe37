"""What is said about subscriptions in JSON: the same by `--json` of the command line and by the API of the console."""

from __future__ import annotations

from collections.abc import Iterator

from postscan.core.model.subscription import Subscription
from postscan.core.service.administration.records import JsonRecord, OwnerRecord
from postscan.core.service.subscriptions import Subscriptions


class SubscriptionRecord(JsonRecord):
    """A subscription: `actions` are the subscribed ones, none means all; `waiting` counts events not delivered yet."""

    id: str
    service: str
    owner: OwnerRecord
    notify_to: str
    end_to: str | None
    actions: tuple[str, ...]
    seconds_left: int
    waiting: int

    @classmethod
    def of(cls, one: Subscription, seconds_left: float, waiting: int) -> SubscriptionRecord:
        """Return the record of a subscription."""
        return cls(
            id=one.id,
            service=str(one.port),
            owner=OwnerRecord.of(one.owner),
            notify_to=one.notify_to.url,
            end_to=one.end_to.url if one.end_to else None,
            actions=one.actions,
            seconds_left=round(seconds_left),
            waiting=waiting,
        )


def described(subscriptions: Subscriptions) -> Iterator[SubscriptionRecord]:
    """Yield the records of the subscriptions that have not ended. Raises `StoreBusy`."""
    for one in subscriptions.live():
        if not one.cancelled:
            waiting = subscriptions.waiting(one.scope, one.cursor)
            yield SubscriptionRecord.of(one, subscriptions.left(one), waiting)
