"""Subscriptions to events: limits, lives, and the owner rule.

A subscription of another caller is refused exactly like one that does not exist (T-A4), and a subscription to WS-DSP
receives the events of its owner's jobs only (D23). Lives are in ticks. The queries are in
`postscan.core.store.callers.subscriptions`.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.errors import InvalidArgument, SubscriptionNotFound, Unavailable
from postscan.core.model.principal import Principal, Right
from postscan.core.model.records import AuditLine
from postscan.core.model.snapshot import JobChange
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.service.access import require
from postscan.core.settings.network import EventSettings
from postscan.core.store import events, outbox
from postscan.core.store.callers import audit
from postscan.core.store.callers import subscriptions as queries
from postscan.core.store.cluster import numbering
from postscan.core.store.database import Transaction
from postscan.core.store.database.pages import in_pages
from postscan.core.store.store import Store

BACKLOG_WINDOWS: Final = 1
"""Windows of events, each of `outbox.WINDOW`, that are read for a list of many subscriptions."""


class Backlog(NamedTuple):
    """How many events wait for a subscriber: as many or, unless it `is_whole`, more."""

    events: int
    is_whole: bool


class Subscriptions:
    """All subscriptions. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(self, store: Store, settings: EventSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    # --- for subscribers -----------------------------------------------------------------------------------------

    def add(
        self,
        port: EventService,
        owner: Principal,
        notify_to: Sink,
        end_to: Sink | None,
        actions: tuple[str, ...],
        manager_of: Callable[[str], str],
        absolute: bool,
        seconds: float | None,
    ) -> Subscription:
        """Subscribe the owner to the events after this call, for *seconds* (None: `events.default_seconds`).

        *manager_of* returns the manager's address for the identifier. The life may be shorter than requested.
        Raises `Unavailable` if the owner or the server has too many, `InvalidArgument` (Expires) if *seconds* is not
        positive.
        """
        id, until = str(uuid.uuid4()), self._until(seconds)
        owner, manager = queries.subscriber(owner.name, owner.proof, port, owner.entry), manager_of(id)
        with self._store.writing() as db:
            self._delete_expired(db)
            self._check_room(db, owner)
            numbering.number(db)  # what is committed before this call has no number behind the cursor
            cursor = events.newest(db)
            added = Subscription(id, port, owner, notify_to, end_to, actions, manager, absolute, until, cursor)
            queries.insert(db, added)
        return added

    def get(self, id: str, port: EventService, by: Principal) -> Subscription:
        """Return the caller's subscription; raise `SubscriptionNotFound`."""
        with self._store.reading() as db:
            return self._load(db, id, port, by)

    def renew(self, id: str, port: EventService, by: Principal, seconds: float | None, absolute: bool) -> Subscription:
        """Set the end of the caller's subscription to *seconds* from now, and return it; raise as `get` and `add`."""
        with self._store.writing() as db:
            queries.renew(db, id, port, by, self._clock.ticks(), self._until(seconds), absolute)
            return self._load(db, id, port, by)

    def remove(self, id: str, port: EventService, by: Principal) -> None:
        """End the caller's subscription; raise `SubscriptionNotFound`."""
        with self._store.writing() as db:
            if not queries.delete_owned(db, id, port, by, self._clock.ticks()):
                raise SubscriptionNotFound(id)

    def left(self, subscription: Subscription) -> float:
        """Return the seconds until the subscription expires; 0 if it has."""
        return max(0.0, subscription.until - self._clock.ticks())

    # --- for administrators --------------------------------------------------------------------------------------

    def all(self, by: Principal) -> list[Subscription]:
        """Return the subscriptions in force, by identifier; raise `NotAdministrator`. They are read in pages."""
        require(by, Right.ADMINISTER)
        now = self._clock.ticks()
        found = in_pages(self._store.reading, queries.load_page)
        return [one for one in found if one.until > now and not one.cancelled]

    def cancel(self, id: str, by: Principal) -> Subscription:
        """End a subscription of any owner, with a line in the audit trail; return it as stored now.

        The running server, or the next one to start, notifies the subscriber and deletes the row. Raises
        `SubscriptionNotFound`, also if the caller is no administrator.
        """
        if not by.may(Right.ADMINISTER):
            raise SubscriptionNotFound(id)
        with self._store.writing() as db:
            ended = queries.cancel(db, id, self._clock.ticks())
            if ended is None:
                raise SubscriptionNotFound(id)
            detail = f"a subscription of {ended.owner.name}; its events went to {ended.notify_to.url}"
            audit.write_audit(db, AuditLine.of(by, "unsubscribe", id, self._clock.now(), detail=detail))
        return ended

    # --- for the notifier ----------------------------------------------------------------------------------------

    def live(self) -> list[Subscription]:
        """Return the subscriptions that have not expired, cancelled ones too; delete the others.

        They are read in pages. One that begins meanwhile may be missing; one that exists all the time is not.
        """
        now = self._clock.ticks()
        found = list(in_pages(self._store.reading, queries.load_page))
        live = [one for one in found if one.until > now]
        if len(live) < len(found):
            with self._store.writing() as db:
                self._delete_expired(db)
        return live

    def drop(self, id: str) -> bool:
        """Delete a subscription of any owner; return whether there was one."""
        with self._store.writing() as db:
            return queries.delete(db, id)

    def drop_without(self, administrators: Collection[str]) -> None:
        """Delete the subscriptions to the configuration service whose owner's role the settings no longer list."""
        with self._store.writing() as db:
            queries.delete_without_role(db, administrators)

    def advance(self, cursors: Mapping[str, int]) -> None:
        """Store, by identifier, up to which event each subscription has been served; no cursor moves back.

        Each call with any cursor is one commit: call it once for many subscriptions, and only after a delivery.
        """
        if not cursors:
            return
        with self._store.writing() as db:
            queries.advance(db, cursors)

    def after(self, owner: Principal | None, cursor: int, limit: int) -> tuple[list[JobChange], int]:
        """Return the changes behind the cursor, and the cursor behind them: see `outbox.after`."""
        return outbox.after(self._store.reading, cursor, limit, owner)

    def owners_since(self, cursor: int) -> tuple[set[tuple[str, str]], bool, int]:
        """Return the owners that have changes behind the cursor: see `outbox.owners_since`."""
        with self._store.reading() as db:
            return outbox.owners_since(db, cursor)

    def waiting(self, owner: Principal | None, cursor: int) -> int:
        """Return how many events are behind the cursor, of one owner or of all; received images do not count."""
        return self.backlog(owner, cursor, math.inf).events

    def backlog(self, owner: Principal | None, cursor: int, windows: float = BACKLOG_WINDOWS) -> Backlog:
        """Return what `waiting` returns, of so many windows of events alone, and whether these are all events."""
        total, before, read = 0, -1, 0
        while before < cursor:
            if read >= windows:
                return Backlog(total, is_whole=False)
            before = cursor
            with self._store.reading() as db:
                found, cursor = outbox.waiting(db, cursor, owner)
            total, read = total + found, read + 1
        return Backlog(total, is_whole=True)

    # --- rules ---------------------------------------------------------------------------------------------------

    def _until(self, seconds: float | None) -> float:
        wanted = self._settings.default_seconds if seconds is None else seconds
        if not wanted > 0:
            raise InvalidArgument("Expires", str(seconds), "a time to come")
        return self._clock.ticks() + min(wanted, self._settings.longest_seconds)

    def _delete_expired(self, db: Transaction) -> None:
        """Delete expired subscriptions. Serialised: two callers at once could otherwise both take the last place."""
        numbering.lock(db)
        queries.delete_expired(db, self._clock.ticks())

    def _check_room(self, db: Transaction, owner: Principal) -> None:
        if queries.count(db) >= self._settings.most:
            raise Unavailable(f"there are {self._settings.most} subscriptions already")
        if queries.count(db, owner) >= self._settings.most_per_caller:
            raise Unavailable(f"{owner.name} has {self._settings.most_per_caller} subscriptions already")

    def _load(self, db: Transaction, id: str, port: EventService, by: Principal) -> Subscription:
        found = queries.load(db, id, port, by, self._clock.ticks())
        if found is None:
            raise SubscriptionNotFound(id)
        return found
