"""Who hears of what happens: subscriptions, for how long they live, and whose they are.

The owner rule of events stands here, once: a subscription that is not yours answers exactly like one that does not
exist (T-A4), and one to WS-DSP tells of the jobs of its own owner only (D23). Lives are in ticks.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping

import sqlalchemy as sa

from postscan.core.clock import Clock
from postscan.core.errors import InvalidArgument, SubscriptionNotFound, Unavailable
from postscan.core.model.principal import Principal
from postscan.core.model.records import AuditLine
from postscan.core.model.snapshot import JobChange
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.settings.network import EventSettings
from postscan.core.store import audit, events, outbox
from postscan.core.store.schema import SUBSCRIPTION
from postscan.core.store.store import Store
from postscan.core.store.subscriptions import _COLUMN, _of, _row, _subscriber, _subscription


class Subscriptions:
    """All subscriptions. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(self, store: Store, settings: EventSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    # --- what subscribers do -------------------------------------------------------------------------------------

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
        """Subscribe the owner to what happens from now on, for *seconds* (None: as long as is usual).

        *manager_of* gives the address of the manager for the identifier. The life may be shorter than asked for.
        Raises `Unavailable` if the owner or the server has too many, `InvalidArgument` (Expires) if *seconds* is none.
        """
        id, until = str(uuid.uuid4()), self._until(seconds)
        owner, manager = _subscriber(owner.name, owner.proof, port, owner.role), manager_of(id)
        with self._store.writing() as db:
            self._forget_expired(db)
            self._check_room(db, owner)
            cursor = events.newest(db)
            added = Subscription(id, port, owner, notify_to, end_to, actions, manager, absolute, until, cursor)
            db.execute(sa.insert(SUBSCRIPTION), _row(added))
        return added

    def get(self, id: str, port: EventService, by: Principal) -> Subscription:
        """Return the caller's subscription; raise `SubscriptionNotFound`."""
        with self._store.reading() as db:
            return self._load(db, id, port, by)

    def renew(self, id: str, port: EventService, by: Principal, seconds: float | None, absolute: bool) -> Subscription:
        """Let the caller's subscription live for *seconds* from now, and return it; raise as `get` and `add`."""
        query = sa.update(SUBSCRIPTION).where(*self._mine(id, port, by))
        with self._store.writing() as db:
            db.execute(query.values(until=self._until(seconds), absolute=absolute))
            return self._load(db, id, port, by)

    def remove(self, id: str, port: EventService, by: Principal) -> None:
        """End the caller's subscription; raise `SubscriptionNotFound`."""
        with self._store.writing() as db:
            if db.execute(sa.delete(SUBSCRIPTION).where(*self._mine(id, port, by))).rowcount != 1:
                raise SubscriptionNotFound(id)

    def left(self, subscription: Subscription) -> float:
        """Return for how many seconds it will live on; 0 if it is over."""
        return max(0.0, subscription.until - self._clock.ticks())

    # --- what administrators do ----------------------------------------------------------------------------------

    def cancel(self, id: str, by: Principal) -> Subscription:
        """End a subscription, whosever it is, with a line in the audit trail; return it as it is now.

        The running server, else the next one, tells its subscriber and forgets it. Raises `SubscriptionNotFound`, also
        if the caller is no administrator.
        """
        if not by.admin:
            raise SubscriptionNotFound(id)
        in_force = (_COLUMN.id == id, *self._in_force())
        with self._store.writing() as db:
            if db.execute(sa.update(SUBSCRIPTION).where(*in_force).values(cancelled=True)).rowcount != 1:
                raise SubscriptionNotFound(id)
            ended = _subscription(db.execute(sa.select(SUBSCRIPTION).where(_COLUMN.id == id)).one())
            detail = f"a subscription of {ended.owner.name}; its events went to {ended.notify_to.url}"
            audit.write_audit(db, AuditLine.of(by, "unsubscribe", id, self._clock.now(), detail=detail))
        return ended

    # --- what delivers events ------------------------------------------------------------------------------------

    def live(self) -> list[Subscription]:
        """Return the subscriptions that have not expired, cancelled ones too; forget the others."""
        now = self._clock.ticks()
        with self._store.reading() as db:
            found = [_subscription(row) for row in db.execute(sa.select(SUBSCRIPTION).order_by(_COLUMN.id))]
        live = [one for one in found if one.until > now]
        if len(live) < len(found):
            with self._store.writing() as db:
                self._forget_expired(db)
        return live

    def drop(self, id: str) -> bool:
        """Forget a subscription, whosever it is; return whether it was there."""
        with self._store.writing() as db:
            return db.execute(sa.delete(SUBSCRIPTION).where(_COLUMN.id == id)).rowcount == 1

    def drop_without(self, administrators: Collection[str]) -> None:
        """Forget the subscriptions to the configuration service that rest on a line of the settings that is gone."""
        gone = (_COLUMN.port == EventService.CONFIGURATION, _COLUMN.role.not_in(list(administrators)))
        with self._store.writing() as db:
            db.execute(sa.delete(SUBSCRIPTION).where(*gone))

    def advance(self, cursors: Mapping[str, int]) -> None:
        """Write down, by identifier, up to which event each subscription was told; none goes back.

        Each call that has anything to write is a commit: call it for many, and only when something was told.
        """
        if not cursors:
            return
        told = sa.bindparam("told", type_=sa.BigInteger)
        query = sa.update(SUBSCRIPTION).where(_COLUMN.id == sa.bindparam("which"), _COLUMN.cursor < told)
        moved = [{"which": id, "told": cursor} for id, cursor in sorted(cursors.items())]
        with self._store.writing() as db:
            db.execute(query.values(cursor=told), moved)

    def after(self, owner: Principal | None, cursor: int, limit: int) -> tuple[list[JobChange], int]:
        """Return the happenings behind the cursor, and the cursor behind them: see `outbox.after`."""
        with self._store.reading() as db:
            return outbox.after(db, cursor, limit, owner)

    def owners_since(self, cursor: int) -> tuple[set[tuple[str, str]], bool, int]:
        """Return who has something to hear behind the cursor: see `outbox.owners_since`."""
        with self._store.reading() as db:
            return outbox.owners_since(db, cursor)

    def waiting(self, owner: Principal | None, cursor: int) -> int:
        """Return how many events are behind the cursor: see `outbox.waiting`."""
        with self._store.reading() as db:
            return outbox.waiting(db, cursor, owner)

    # --- rules ---------------------------------------------------------------------------------------------------

    def _until(self, seconds: float | None) -> float:
        wanted = self._settings.default_seconds if seconds is None else seconds
        if not wanted > 0:
            raise InvalidArgument("Expires", str(seconds), "a time to come")
        return self._clock.ticks() + min(wanted, self._settings.longest_seconds)

    def _forget_expired(self, db: sa.Connection) -> None:
        """Make room, alone: or two callers might both take the last place."""
        events.take_turn(db)
        db.execute(sa.delete(SUBSCRIPTION).where(_COLUMN.until <= self._clock.ticks()))

    def _check_room(self, db: sa.Connection, owner: Principal) -> None:
        count = sa.select(sa.func.count()).select_from(SUBSCRIPTION)
        if (db.scalar(count) or 0) >= self._settings.most:
            raise Unavailable(f"there are {self._settings.most} subscriptions already")
        if (db.scalar(count.where(*_of(owner))) or 0) >= self._settings.most_per_caller:
            raise Unavailable(f"{owner.name} has {self._settings.most_per_caller} subscriptions already")

    def _mine(self, id: str, port: EventService, by: Principal) -> tuple[sa.ColumnElement[bool], ...]:
        """Return what holds for one subscription of the caller, and for nothing else."""
        return (_COLUMN.id == id, _COLUMN.port == port, *_of(by), *self._in_force())

    def _in_force(self) -> tuple[sa.ColumnElement[bool], ...]:
        """Return what holds for the subscriptions that nothing has ended."""
        return (_COLUMN.until > self._clock.ticks(), _COLUMN.cancelled.is_(False))

    def _load(self, db: sa.Connection, id: str, port: EventService, by: Principal) -> Subscription:
        row = db.execute(sa.select(SUBSCRIPTION).where(*self._mine(id, port, by))).one_or_none()
        if row is None:
            raise SubscriptionNotFound(id)
        return _subscription(row)
