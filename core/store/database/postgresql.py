"""PostgreSQL: one pool, of which writers take a part; time-outs for each wait; and the outcome of a lost COMMIT.

A connection that ends during COMMIT leaves the outcome open. The server knows it by the transaction's id, as long as it
is the same server: a stand-by that took over counts in a timeline of its own.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.store.database.backend import Backend
from postscan.core.store.database.gate import Gate
from postscan.core.store.database.session_lock import SessionLock
from postscan.core.store.database.silence import SilenceWatch

CONNECTIONS: Final = 8
URGENT: Final = 2  # connections that only urgent transactions take
_POLL: Final = 0.05  # seconds between two questions for an outcome
_ANSWER_SECONDS: Final = 2.5  # for an answer that only shows whether the server gives one
_CONNECT_SECONDS: Final = 3  # the same, for a new connection

_NETWORK: Final = {
    "connect_timeout": 3,  # seconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
_SESSION: Final = {
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "5s",  # else a client that stops before its COMMIT stops all others
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_NAME: Final = sa.text("select pg_current_xact_id_if_assigned()::text, left(pg_walfile_name(pg_current_wal_lsn()), 8)")
_STATUS: Final = sa.text(
    "select case left(pg_walfile_name(pg_current_wal_lsn()), 8) when :timeline then pg_xact_status(:id ::xid8) end"
)
_OUTCOMES: Final = {"committed": True, "aborted": False}


class PostgreSQL(Backend):
    """Readers and writers share one pool; half of what is not reserved is for writers."""

    def __init__(self, url: str, busy_seconds: float, connections: int) -> None:
        arguments = _arguments(sa.make_url(url), busy_seconds)
        self.writer = self.reader = sa.create_engine(
            url,
            connect_args=arguments,
            pool_pre_ping=True,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=busy_seconds,
            hide_parameters=True,  # hashes of passwords are among them
        )
        self.most_connections = connections
        ordinary = connections - URGENT
        shared = Gate(connections, ordinary)
        self.readers = (shared,)
        self.writers = (Gate(ordinary, ordinary // 2), shared)
        self.file = None
        self._fresh = sa.create_engine(url, connect_args=arguments, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        self._lock = SessionLock(self._fresh)
        self._probe = ServerProbe(self._fresh, arguments)
        self._watch = SilenceWatch(self._probe.is_answering)
        sa.event.listen(self.writer, "connect", lambda connection, _record: self._watch.add(connection))
        for engine in (self.writer, self._fresh):
            sa.event.listen(engine, "do_connect", self._refuse)

    def name_of(self, db: sa.Connection) -> str | None:
        """Return the server's timeline and the transaction's id; None if the transaction has changed nothing."""
        id, timeline = db.execute(_NAME).one()
        return f"{timeline} {id}" if id is not None else None

    def is_committed(self, name: str | None, error: Exception, until: float) -> bool | None:
        """Ask the server, on a connection of its own and until it knows; False for one that has changed nothing."""
        if name is None:
            return False
        timeline, id = name.split()
        while True:
            try:
                with self._fresh.connect() as db:
                    status = db.scalar(_STATUS, {"timeline": timeline, "id": id})
            except sa.exc.DBAPIError:
                status = "not connected"
            if status in _OUTCOMES:
                return _OUTCOMES[status]
            if status is None or time.monotonic() > until:
                return None
            time.sleep(_POLL)

    def served(self, lost: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the lock while the body runs; raise `LockHeld`."""
        return self._lock.held(lost)

    def server(self) -> str | None:
        """Return the name of the process that holds the lock; None if there is none."""
        return self._lock.holder()

    def separate(self) -> sa.Connection:
        """Return a connection of its own; it is shut down as well when the server is silent."""
        connection = self._fresh.connect()
        self._watch.add(connection.connection.dbapi_connection)
        return connection

    def watched(self) -> AbstractContextManager[None]:
        """End the transaction if the server answers nothing any more."""
        return self._watch.watched()

    def close(self) -> None:
        """Close the connections."""
        self._watch.close()
        self._probe.close()
        super().close()
        self._fresh.dispose()

    def _refuse(self, dialect: Any, _record: object, _arguments: object, _options: object) -> None:
        """Refuse a connection at once while the server is silent: it would wait in vain."""
        if self._watch.silent:
            raise dialect.dbapi.OperationalError("the server accepts connections and answers nothing")


class ServerProbe:
    """Asks the server whether it answers, on a connection that stays open; one thread uses it.

    One process of the server answers on an open connection, at once and without the disk, also on a busy machine. A
    new connection takes many steps of several processes, so it is only for when there is no open one.
    """

    def __init__(self, engine: sa.Engine, arguments: Mapping[str, Any]) -> None:
        self._dialect: Any = engine.dialect
        self._arguments, options = self._dialect.create_connect_args(engine.url)
        self._options = {**options, **arguments}
        self._connection: Any = None

    def is_answering(self) -> bool:
        """Return whether the server answers within `_ANSWER_SECONDS`; a new connection may take `_CONNECT_SECONDS`.

        To refuse a connection is an answer as well.
        """
        if self._connection is not None:
            try:
                if self._is_answered():
                    return True
            except self._dialect.dbapi.Error:
                self.close()  # it has ended
            else:
                self.close()
                return False
        return self._is_connected()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_answered(self) -> bool:
        """Ask by an empty query, which begins no transaction; raise the driver's error if the connection has ended."""
        connection = self._connection.pgconn
        connection.send_query(b"")
        poll = select.poll()
        poll.register(connection.socket, select.POLLIN)
        until = time.monotonic() + _ANSWER_SECONDS
        while poll.poll(1000 * max(0.0, until - time.monotonic())):
            connection.consume_input()
            while not connection.is_busy():
                if connection.get_result() is None:
                    return True
        return False

    def _is_connected(self) -> bool:
        options = {**self._options, "connect_timeout": _CONNECT_SECONDS}
        try:
            self._connection = self._dialect.connect(*self._arguments, **options)
        except self._dialect.dbapi.errors.ConnectionTimeout:
            return False
        except self._dialect.dbapi.Error:
            pass  # it is refused
        return True


def _arguments(url: sa.URL, busy_seconds: float) -> dict[str, Any]:
    """Return the arguments of each connection; what the URL says about one of them counts instead."""
    session = _SESSION | {"lock_timeout": f"{int(busy_seconds * 1000)}ms"}
    options = [f"-c {name}={value}" for name, value in session.items()]
    own = url.query.get("options", "")
    options += [own] if isinstance(own, str) else own
    return {name: value for name, value in _NETWORK.items() if name not in url.query} | {"options": " ".join(options)}
