"""One connection to a server of the directory: TCP, TLS, log-in, searches; each within a deadline.

Nothing is sent before TLS is there and the certificate is verified, but the request to start TLS; there is no way back
to plain text. sansldap writes and reads the messages; it does no I/O.

Source: RFC 4511 (LDAP), RFC 4513 (log-in and StartTLS), RFC 2696 (pages of a search).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final

import sansldap
from sansldap import (
    BindResponse,
    ExtendedOperations,
    ExtendedResponse,
    LDAPMessage,
    LDAPResult,
    LDAPResultCode,
    PagedResultControl,
    SearchResultDone,
    SearchResultEntry,
)

from postscan.plugins.directory.client.framing import MessageSplitter
from postscan.plugins.directory.client.queries import DirectoryEntry, Search
from postscan.plugins.directory.errors import ConnectionEnded, LoginRefused, ServerAway

LARGEST_MESSAGE: Final = 4 << 20  # bytes; a scan process has at most 2 MiB in UTF-8
LARGEST_ANSWER: Final = 64 << 20  # bytes of all messages that answer one search
PAGE: Final = 500  # entries that are asked for at once; Active Directory gives at most 1,000
_READ: Final = 64 << 10

_REFUSED: Final = frozenset(
    {
        LDAPResultCode.INVALID_CREDENTIALS,
        LDAPResultCode.INAPPROPRIATE_AUTHENTICATION,
        LDAPResultCode.STRONG_AUTH_REQUIRED,
        LDAPResultCode.CONFIDENTIALITY_REQUIRED,
        LDAPResultCode.AUTH_METHOD_NOT_SUPPORTED,
        LDAPResultCode.INSUFFICIENT_ACCESS_RIGHTS,
    }
)
_BROKEN: Final = (sansldap.LDAPError, ValueError, LookupError, NotImplementedError, RecursionError, OverflowError)
"""What sansldap may raise for bytes that are no message of LDAP."""


class AnswerDeadline:
    """The end of a question: a point of time, and not one of each step."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, most: float = float("inf")) -> float:
        """Return the seconds that are left, at most *most*; raise `ServerAway` if there are none."""
        left = min(self._end - time.monotonic(), most)
        if left <= 0:
            raise ServerAway("no answer in time")
        return left


class LdapConnection:
    """A connection that is open, but not logged in; `where` is `host:port`, for messages.

    Each method raises `ServerAway` if the server does not answer by the deadline, or answers with an error; then the
    connection is of no more use, and has to be closed.
    """

    def __init__(self, stream: socket.socket, where: str) -> None:
        self._stream = stream
        self._where = where
        self._client = sansldap.LDAPClient()
        self._splitter = MessageSplitter(LARGEST_MESSAGE)
        self.is_used = False

    @classmethod
    def open(
        cls, host: str, port: int, context: ssl.SSLContext, *, start_tls: bool, deadline: AnswerDeadline, seconds: float
    ) -> LdapConnection:
        """Connect, and speak TLS; all of it takes at most *seconds*, and ends by the deadline.

        Raises `ServerAway`, also for a certificate that is not verified.
        """
        where = f"{host}:{port}"
        deadline = AnswerDeadline(deadline.left(seconds))
        with contextlib.ExitStack() as on_failure:
            stream = _tcp(host, port, where, deadline)
            on_failure.callback(stream.close)
            if start_tls:
                cls(stream, where)._start_tls(deadline)  # what came in the clear ends with this object
            stream.settimeout(deadline.left())
            try:
                secured = context.wrap_socket(stream, server_hostname=host)
            except ssl.SSLCertVerificationError as error:
                raise ServerAway(f"{where}: the certificate is not accepted: {error.verify_message}") from None
            except TimeoutError:
                raise ServerAway(f"{where}: no answer to TLS in time") from None
            except (OSError, ValueError) as error:
                raise ServerAway(f"{where}: no TLS: {error}") from None
            on_failure.pop_all()
        return cls(secured, where)

    def log_in(self, user: str, password: str, deadline: AnswerDeadline) -> None:
        """Log in with a name and a password; raise `LoginRefused` if the directory does not accept them.

        An empty password would log in nobody, and succeed (RFC 4513 section 5.1.2): it is refused here.
        """
        if not user or not password:
            raise LoginRefused(f"{self._where}: user or password of the service account is empty")
        self._client.bind_simple(user, password)
        self._check_login(self._bind_result(deadline).result)

    def search(self, search: Search, deadline: AnswerDeadline) -> list[DirectoryEntry]:
        """Return what a search finds; nothing if its base is not there. References to other servers are not followed.

        Raises `ServerAway` if more than `search.most` entries are there: a part of them is no answer.
        """
        found: list[DirectoryEntry] = []
        received, cookie = 0, b""
        while True:
            number = self._client.search_request(
                search.base,
                search.scope.value,
                size_limit=0,
                time_limit=max(1, round(deadline.left())),
                filter=search.wanted,
                attributes=list(search.attributes),
                controls=[*search.controls, PagedResultControl(False, min(PAGE, search.most + 1), cookie)],
            )
            for message, size in self._exchange(number, deadline):
                received += size
                if received > LARGEST_ANSWER:
                    raise ServerAway(f"{self._where}: an answer has more than {LARGEST_ANSWER:,} bytes")
                if isinstance(message, SearchResultEntry):
                    found.append(_entry(message))
                    if len(found) > search.most:
                        raise ServerAway(f"{self._where}: more than {search.most} entries below {search.base}")
                elif isinstance(message, SearchResultDone):
                    if message.result.result_code == LDAPResultCode.NO_SUCH_OBJECT:
                        return []
                    self._check(message.result, "search")
                    cookie = _cookie(message)
            if not cookie:
                return found

    def close(self) -> None:
        """Say good-bye and close; never fails, and waits for nothing."""
        with contextlib.suppress(OSError, sansldap.LDAPError):
            self._stream.settimeout(0.0)
            self._client.unbind()
            self._stream.send(self._client.data_to_send())
        with contextlib.suppress(OSError):
            self._stream.close()

    def _start_tls(self, deadline: AnswerDeadline) -> None:
        number = self._client.extended_request(ExtendedOperations.LDAP_START_TLS.value)
        for message, _ in self._exchange(number, deadline):
            if isinstance(message, ExtendedResponse):
                self._check(message.result, "StartTLS")

    def _bind_result(self, deadline: AnswerDeadline) -> BindResponse:
        for message, _ in self._exchange(0, deadline):
            if isinstance(message, BindResponse):
                return message
        raise ServerAway(f"{self._where}: no answer to the log-in")

    def _check_login(self, result: LDAPResult) -> None:
        if result.result_code in _REFUSED:
            raise LoginRefused(f"{self._where} does not accept the service account: {_meaning(result)}")
        self._check(result, "log-in")

    def _check(self, result: LDAPResult, what: str) -> None:
        if result.result_code != LDAPResultCode.SUCCESS:
            raise ServerAway(f"{self._where}: {what}: {_meaning(result)}")

    def _exchange(self, number: int, deadline: AnswerDeadline) -> Iterator[tuple[LDAPMessage, int]]:
        """Send what waits, and yield the messages that come, with their sizes, up to the one that ends the request."""
        self._send(deadline)
        while True:
            for data in self._receive(deadline):
                for message in self._read(data):
                    yield message, len(data)
                    if isinstance(message, BindResponse | ExtendedResponse | SearchResultDone) and (
                        not number or message.message_id == number
                    ):
                        return

    def _send(self, deadline: AnswerDeadline) -> None:
        try:
            self._stream.settimeout(deadline.left())
            self._stream.sendall(self._client.data_to_send())
        except TimeoutError:
            raise ServerAway(f"{self._where}: no answer in time") from None
        except OSError as error:
            raise self._ended(str(error)) from None

    def _receive(self, deadline: AnswerDeadline) -> list[bytes]:
        try:
            self._stream.settimeout(deadline.left())
            data = self._stream.recv(_READ)
        except TimeoutError:
            raise ServerAway(f"{self._where}: no answer in time") from None
        except OSError as error:
            raise self._ended(str(error)) from None
        if not data:
            raise self._ended("it ended")
        try:
            return self._splitter.feed(data)
        except ValueError as error:
            raise ServerAway(f"{self._where}: {error}") from None

    def _read(self, data: bytes) -> list[LDAPMessage]:
        try:
            found = self._client.receive(data)
        except _BROKEN as error:
            raise self._ended(str(error)) from None
        if not found:
            raise ServerAway(f"{self._where}: a message breaks off")
        return found

    def _ended(self, why: str) -> ServerAway:
        kind = ConnectionEnded if self.is_used else ServerAway
        return kind(f"{self._where}: the connection failed: {why}")


def _tcp(host: str, port: int, where: str, deadline: AnswerDeadline) -> socket.socket:
    """Return a connection to the first address of a host that answers."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServerAway(f"{where}: the name is not found: {error}") from None
    problem: OSError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        stream = socket.socket(family, kind, protocol)
        try:
            stream.settimeout(deadline.left() / (len(addresses) - index))
            stream.connect(address)
        except OSError as error:
            stream.close()
            problem = error
        except ServerAway:
            stream.close()
            raise
        else:
            return stream
    raise ServerAway(f"{where}: no connection: {problem or 'it has no address'}")


def _entry(message: SearchResultEntry) -> DirectoryEntry:
    return DirectoryEntry(message.object_name, {one.name.lower(): tuple(one.values) for one in message.attributes})


def _cookie(message: SearchResultDone) -> bytes:
    """Return where the next page begins; empty if there is none."""
    return next((one.cookie for one in message.controls or () if isinstance(one, PagedResultControl)), b"")


def _meaning(result: LDAPResult) -> str:
    text = " ".join(result.diagnostics_message.split("\0")[0].split())[:200]
    name = result.result_code.name.lower().replace("_", " ")
    return f"{name}: {text}" if text else name
