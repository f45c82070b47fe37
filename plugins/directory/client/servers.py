"""The servers of one directory: the first that answers is asked, by connections that are kept.

A server that failed is asked last for a while. If the directory refuses the service account, no server is tried for a
while: each attempt counts against the account, which Active Directory locks after a few.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from postscan.plugins.directory.client.connection import AnswerDeadline, LdapConnection
from postscan.plugins.directory.client.queries import DirectoryEntry, Search
from postscan.plugins.directory.errors import ConnectionEnded, LoginRefused, ServerAway

T = TypeVar("T")

AVOID_SECONDS: Final = 30.0  # that a server which failed is asked last
REFUSED_SECONDS: Final = 60.0  # without a log-in after one that was refused
KEEP_SECONDS: Final = 60.0  # that a connection without a question is used again
SHARE: Final = 0.5  # of the time that is left, which one server has while there is another one


Login = Callable[[LdapConnection, str, AnswerDeadline], None]
"""How the service account logs in on a connection to a host; raises `LoginRefused`."""


class DirectoryServers:
    """All servers of one directory, as `(host, port)`; its methods may be called in several threads.

    *connect_seconds* is the most that connection and TLS take, of one server.
    """

    def __init__(
        self,
        servers: tuple[tuple[str, int], ...],
        context: Callable[[], ssl.SSLContext],
        login: Login,
        *,
        start_tls: bool,
        connect_seconds: float,
    ) -> None:
        self._servers = servers
        self._context = context
        self._login = login
        self._start_tls = start_tls
        self._connect_seconds = connect_seconds
        self._lock = threading.Lock()
        self._idle: list[tuple[tuple[str, int], LdapConnection, float]] = []
        self._failed: dict[tuple[str, int], float] = {}
        self._refused: tuple[str, float] | None = None

    def search(self, search: Search, deadline: AnswerDeadline) -> list[DirectoryEntry]:
        """Return what a search finds, on the first server that answers.

        Raises `ServerAway` if none does by the deadline, and `LoginRefused`.
        """
        return self.ask(lambda connection, until: connection.search(search, until), deadline)

    def ask(self, question: Callable[[LdapConnection, AnswerDeadline], T], deadline: AnswerDeadline) -> T:
        """Return the answer of the first server that has one to a question, which may have several searches."""
        problems: list[str] = []
        order = self._order()
        for index, server in enumerate(order):
            until = deadline if index + 1 == len(order) else AnswerDeadline(deadline.left() * SHARE)
            try:
                return self._ask(server, question, until)
            except ServerAway as error:
                problems.append(str(error))
                with self._lock:
                    self._failed[server] = time.monotonic()
        raise ServerAway("; ".join(problems))

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection, _ in idle:
            connection.close()

    def _order(self) -> list[tuple[str, int]]:
        """Return the servers in their order, those that failed of late behind the others."""
        now = time.monotonic()
        with self._lock:
            failed = {server for server, when in self._failed.items() if now - when < AVOID_SECONDS}
        return sorted(self._servers, key=lambda server: server in failed)

    def _ask(
        self, server: tuple[str, int], question: Callable[[LdapConnection, AnswerDeadline], T], deadline: AnswerDeadline
    ) -> T:
        kept = self._take(server)
        if kept is not None:
            with contextlib.suppress(ConnectionEnded):  # the server closed it meanwhile: a new one may answer
                return self._asked(server, kept, question, deadline)
        return self._asked(server, self._open(server, deadline), question, deadline)

    def _asked(
        self,
        server: tuple[str, int],
        connection: LdapConnection,
        question: Callable[[LdapConnection, AnswerDeadline], T],
        deadline: AnswerDeadline,
    ) -> T:
        with _closed_on_failure(connection):
            found = question(connection, deadline)
        connection.is_used = True
        with self._lock:
            self._failed.pop(server, None)
            self._idle.append((server, connection, time.monotonic()))
        return found

    def _take(self, server: tuple[str, int]) -> LdapConnection | None:
        """Return a connection to a server that is kept, and not too old; the newest first."""
        old, found = [], None
        now = time.monotonic()
        with self._lock:
            for kept in reversed(self._idle[:]):
                if now - kept[2] > KEEP_SECONDS:
                    self._idle.remove(kept)
                    old.append(kept[1])
                elif kept[0] == server and found is None:
                    self._idle.remove(kept)
                    found = kept[1]
        for connection in old:
            connection.close()
        return found

    def _open(self, server: tuple[str, int], deadline: AnswerDeadline) -> LdapConnection:
        self._check_refused()
        host, port = server
        connection = LdapConnection.open(
            host, port, self._context(), start_tls=self._start_tls, deadline=deadline, seconds=self._connect_seconds
        )
        with _closed_on_failure(connection):
            try:
                self._login(connection, host, deadline)
            except LoginRefused as error:
                with self._lock:
                    self._refused = str(error), time.monotonic()
                raise
        return connection

    def _check_refused(self) -> None:
        with self._lock:
            refused = self._refused
        if refused is not None and time.monotonic() - refused[1] < REFUSED_SECONDS:
            raise LoginRefused(
                f"{refused[0]} (not tried again within {REFUSED_SECONDS:.0f} s: attempts lock an account)"
            )


@contextlib.contextmanager
def _closed_on_failure(connection: LdapConnection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
