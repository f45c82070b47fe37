"""The connection to one SMB server: every step has a timeout, and another thread can abort it at any moment.

The library (smbprotocol) alone waits without a timeout, follows links, and connects to any host name that it is given.

This module needs the extra `[smb]`; import it where it is used.
"""

# smbprotocol ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Iterator
from typing import Any, Final

from smbprotocol import MAX_PAYLOAD_SIZE, connection, transport
from smbprotocol.exceptions import SMBAuthenticationError, SMBConnectionClosed, SMBException, SMBResponseException
from smbprotocol.file_info import FileDispositionInformation, FileRenameInformation
from smbprotocol.open import Open, SMB2SetInfoRequest

from postscan.plugins import FilterFailed, FilterReason
from postscan.plugins.filters.fileshare.servers import FileServer
from postscan.plugins.filters.fileshare.status_codes import ConnectionLost, ServerFailed, error_of
from postscan.plugins.retries import TryAgainLater

CHUNK: Final = 1 << 20  # bytes of one write or read at most
CLEANUP_SECONDS: Final = 2.0


class Connection(connection.Connection):  # type: ignore[misc]  # the library ships no types
    """The library's connection over our own socket: every response has a timeout, and links are not followed."""

    # The library would create a socket of its own here, by host name, which could not be aborted.
    transport = property(lambda self: self._tcp, lambda self, _: None)

    def __init__(self, server: FileServer) -> None:
        self._tcp = _Tcp(server.host, server.port, server.seconds)
        self.seconds = server.seconds
        super().__init__(uuid.uuid4(), server.name, server.port)

    def receive(
        self, request: Any, wait: bool = True, timeout: float | None = None, resolve_symlinks: bool = True
    ) -> Any:
        """Return a response; raise `TimeoutError` after the seconds of the settings."""
        try:
            return super().receive(request, wait, self.seconds, resolve_symlinks=False)
        except SMBException:
            if request.response_event.is_set():
                raise
            raise TimeoutError from None

    def max_bytes(self, operation: str) -> int:
        """Return the most bytes of the next read or write."""
        credits: int = self.sequence_window["high"] - self.sequence_window["low"]
        most: int = getattr(self, f"max_{operation}_size")
        granted: int = MAX_PAYLOAD_SIZE * (max(1, credits) if self.supports_multi_credit else 1)
        return min(CHUNK, most, granted)

    def create_marked(self, file: Open, *how: Any) -> None:
        """Create a file that the server deletes on close: in one message, which an abort cannot split."""
        create, opened = file.create(*how, send=False)
        with self.translated_errors():
            created, marked = self._send_related(file, create, _set_info(file, _delete_on_close(True)))
            opened(created)
            self.receive(marked)

    def mark_for_deletion(self, file: Open) -> None:
        """Mark an open file: the server deletes it when it is closed, or when the connection ends."""
        self._set(file, _delete_on_close(True))

    def unmark(self, file: Open, new: str) -> None:
        """Unmark an open file and rename it to *new*: in one message, which an abort cannot split."""
        self._set(file, _delete_on_close(False), _rename_to(new))

    def _set(self, file: Open, *infos: Any) -> None:
        with self.translated_errors():
            for request in self._send_related(file, *(_set_info(file, info) for info in infos)):
                self.receive(request)

    def _send_related(self, file: Open, *messages: Any) -> Any:
        tree = file.tree_connect
        return self.send_compound(list(messages), tree.session.session_id, tree.tree_connect_id, related=True)

    @contextlib.contextmanager
    def cleanup(self) -> Iterator[None]:
        """Give the body `CLEANUP_SECONDS`, and ignore its failures: they do not change the outcome."""
        usual, self.seconds = self.seconds, min(self.seconds, CLEANUP_SECONDS)
        try:
            with contextlib.suppress(TryAgainLater, FilterFailed, OSError), self.translated_errors():
                yield
        finally:
            self.seconds = usual

    @contextlib.contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn the library's errors into `TryAgainLater`, `FileExistsError`, `FileNotFoundError` or `FilterFailed`."""
        try:
            yield
        except (FilterFailed, TryAgainLater, FileExistsError, FileNotFoundError):
            raise
        except SMBResponseException as error:
            raise error_of(error.status) from error
        except (SMBAuthenticationError, SMBConnectionClosed, OSError, ValueError) as error:
            raise self._broken(error) from error
        except SMBException as error:
            raise FilterFailed(detail=f"{error}") from error
        except Exception as error:
            self._tcp.abort()
            raise FilterFailed(detail=f"the server's answer is malformed: {error!r}") from error

    def _broken(self, error: Exception) -> Exception:
        """Return the error for a missing response."""
        if isinstance(error, SMBAuthenticationError):
            return FilterFailed(FilterReason.FILE_SHARE_ACCESS_DENIED, f"{error}")
        cause = error.__cause__ or error
        self._tcp.abort()  # later calls must not wait again
        if isinstance(cause, TimeoutError):
            return ServerFailed(detail=f"{self._tcp.server}:{self._tcp.port} did not answer within {self.seconds:g} s")
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return ServerFailed(detail=f"{self._tcp.server} cannot be resolved: {cause.strerror}")
        if isinstance(error, SMBConnectionClosed):
            return ConnectionLost("the connection was closed")
        if isinstance(cause, OSError):
            return ConnectionLost(cause.strerror or str(cause))
        return FilterFailed(detail=f"the server's answer is malformed: {error!r}")


class _Tcp(transport.Tcp):  # type: ignore[misc]  # the library ships no types
    """The library's socket, with a timeout for each step, and an abort from another thread."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        super().__init__(host, port, seconds)
        self._aborted = False

    def connect(self) -> None:
        """Connect to the first address that answers."""
        error: OSError = ConnectionAbortedError("aborted")
        for family, kind, protocol, _, address in socket.getaddrinfo(self.server, self.port, type=socket.SOCK_STREAM):
            self._sock = socket.socket(family, kind, protocol)
            try:
                self._sock.settimeout(self.timeout)
                if not self._aborted:
                    self._sock.connect(address)
                    self.connected = True
                    return
            except OSError as refused:
                error = refused
            self._sock.close()
        raise error

    def abort(self) -> None:
        """Shut the socket down at once, from any thread: pending calls fail."""
        self._aborted = True
        if self._sock is not None:
            with contextlib.suppress(OSError):  # not connected, or closed already
                self._sock.shutdown(socket.SHUT_RDWR)


def _delete_on_close(yes: bool) -> FileDispositionInformation:
    info = FileDispositionInformation()
    info["delete_pending"] = yes
    return info


def _rename_to(new: str) -> FileRenameInformation:
    info = FileRenameInformation()
    info["replace_if_exists"] = False
    info["file_name"] = new
    return info


def _set_info(file: Open, info: Any) -> SMB2SetInfoRequest:
    request = SMB2SetInfoRequest()
    request["info_type"] = info.INFO_TYPE
    request["file_info_class"] = info.INFO_CLASS
    request["file_id"] = file.file_id
    request["buffer"] = info
    return request
