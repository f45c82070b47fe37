"""The session of a member: one connection of its own, which holds its lock, and on which it beats, listens and sends.

PostgreSQL releases the lock when the connection ends: at once if the process ends, and after the keepalives of the
connection if its machine is gone.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.store.cluster import members
from postscan.core.store.cluster.members import Member
from postscan.core.store.database import session_lock

_CLASS: Final = 0x6D656D62
"""The first key of the advisory lock of a member; the second one is a part of its identifier."""

_TRY: Final = sa.text("select pg_try_advisory_lock(:class, :number)").bindparams(**{"class": _CLASS})
_LOCKED: Final = sa.text(
    "select objid::bigint from pg_locks where locktype = 'advisory' and granted and objsubid = 2"
    " and database = (select oid from pg_database where datname = current_database()) and classid::bigint = :class"
).bindparams(**{"class": _CLASS})
_START: Final = sa.text(f"select pg_advisory_lock(({0x73746172}::bigint << 32) | 'job'::regclass::oid::bigint)")
_START_PATIENCE: Final = sa.text(
    "select set_config(name, '60s', false) from unnest(array['lock_timeout', 'statement_timeout']) name"
)
_CHANNEL: Final = sa.text("select 'postscan_' || 'job'::regclass::oid")
_NOTIFY: Final = sa.text("select pg_notify(:channel, payload) from unnest(cast(:payloads as text[])) payload")
_BEATS_NEED_NO_DISK: Final = sa.text("set synchronous_commit = off")


class SessionLost(Exception):
    """The connection of a member has ended, or cannot be opened."""


class MemberSession:
    """An open session. One thread uses it; each method raises `SessionLost`."""

    def __init__(self, connection: sa.Connection, member: Member) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.dbapi_connection
        self._member = member
        self._received: list[str] = []
        self._is_locked = False
        self._channel = ""

    @classmethod
    def open(cls, connect: Callable[[], sa.Connection], member: Member, name: str) -> MemberSession:
        """Return a session that shows the member to the others; *name* is its `application_name`.

        Raises `SessionLost`; `LockHeld` if a server uses the database alone.
        """
        with contextlib.ExitStack() as failed, _translated():
            connection = failed.enter_context(connect())
            session = cls(connection, member)
            session._begin(name)
            failed.pop_all()
            return session

    def beat(self) -> None:
        """Write that the member is alive; take its lock, unless an earlier session of it still holds that."""
        with _translated():
            self._is_locked = self._is_locked or bool(self._connection.scalar(_TRY, {"number": _signed(self._member)}))
            members.beat(self._connection, self._member)

    def send(self, payloads: Sequence[str]) -> None:
        """Send texts to all sessions that listen, this one excepted."""
        with _translated():
            notify(self._connection, self._channel, payloads)

    def received(self, seconds: float, wake: int) -> Sequence[str]:
        """Return what the others have sent; wait for it at most so many *seconds*, or until *wake* is readable."""
        connection = self._driver.pgconn
        poll = select.poll()
        poll.register(connection.socket, select.POLLIN)
        poll.register(wake, select.POLLIN)
        poll.poll(0 if self._received else 1000 * max(0.0, seconds))  # some came while a statement was executed
        try:
            connection.consume_input()
            while (notice := connection.notifies()) is not None:
                self._receive(notice.be_pid, notice.extra.decode())
        except self._connection.dialect.dbapi.Error as error:  # type: ignore[union-attr]  # it has a driver
            raise SessionLost(str(error)) from error
        found, self._received = self._received, []
        return found

    def leave(self) -> None:
        """Remove the row of the member: it has ended in order."""
        with _translated():
            members.leave(self._connection, self._member.id)

    def close(self) -> None:
        """Close the connection, which releases the lock."""
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            self._connection.close()

    def _begin(self, name: str) -> None:
        session_lock.share(self._connection, name)
        self._connection.execute(_BEATS_NEED_NO_DISK)
        self._channel = channel(self._connection)
        # What arrives while a statement is executed does not come from `notifies`.
        self._driver.add_notify_handler(lambda notice: self._receive(notice.pid, notice.payload))
        self._connection.execute(sa.text(f"listen {self._channel}"))
        self.beat()

    def _receive(self, sender: int, payload: str) -> None:
        if sender != self._driver.info.backend_pid:
            self._received.append(payload)


def begin_start(db: sa.Connection) -> None:
    """Let the session be the only one in which a member starts, until it is closed; wait for others up to 60 s."""
    db.execute(_START_PATIENCE)
    db.execute(_START)


def channel(db: sa.Connection) -> str:
    """Return the channel of this database; two sets of tables in two schemas are two databases to us."""
    return str(db.scalar(_CHANNEL))


def notify(db: sa.Connection, channel: str, payloads: Sequence[str]) -> None:
    """Send texts to all sessions that listen to the channel."""
    db.execute(_NOTIFY, {"channel": channel, "payloads": list(payloads)})


def locked(db: sa.Connection, found: Sequence[Member]) -> set[str]:
    """Return the identifiers of those members whose sessions are open."""
    numbers = set(db.scalars(_LOCKED))
    return {one.id for one in found if _number(one) in numbers}


def _number(member: Member) -> int:
    return int(member.id[:8], 16)


def _signed(member: Member) -> int:
    """Return the number of a member as the key of a lock, of which `pg_locks` shows the 32 bits without a sign."""
    number = _number(member)
    return number - (1 << 32) if number >= 1 << 31 else number


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise SessionLost(str(error.args[0] if error.args else error)) from error
