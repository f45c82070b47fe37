"""The connection to one SMB server: every step has its time, and an end from outside at any moment.

The library (smbprotocol) by itself waits for ever, follows links, and calls whatever name it is given.

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
from postscan.plugins.filters.fileshare.status_codes import Lost, ServerFailed, meaning

CHUNK: Final = 1 << 20  # bytes of one write or read at most
LAST_WORDS: Final = 2.0  # seconds for what only tidies up


class Connection(connection.Connection):  # type: ignore[misc]  # the library ships no types
    """The library's connection, over a line of ours: every answer has its time, and no link is followed."""

    # The library would connect by itself, by name, and out of anybody's reach.
    transport = property(lambda self: self._tcp, lambda self, _: None)

    def __init__(self, server: FileServer) -> None:
        self._tcp = _Tcp(server.host, server.port, server.seconds)
        self.seconds = server.seconds
        super().__init__(uuid.uuid4(), server.name, server.port)

    def receive(
        self, request: Any, wait: bool = True, timeout: float | None = None, resolve_symlinks: bool = True
    ) -> Any:
        """Wait for an answer as long as the settings say, and not for ever."""
        try:
            return super().receive(request, wait, self.seconds, resolve_symlinks=False)
        except SMBException:
            if request.response_event.is_set():
                raise
            raise TimeoutError from None

    def room(self, operation: str) -> int:
        """Return how many bytes one read or write may have now."""
        credits: int = self.sequence_window["high"] - self.sequence_window["low"]
        most: int = getattr(self, f"max_{operation}_size")
        granted: int = MAX_PAYLOAD_SIZE * (max(1, credits) if self.supports_multi_credit else 1)
        return min(CHUNK, most, granted)

    def create_doomed(self, file: Open, *how: Any) -> None:
        """Make a file that the server deletes as soon as it is closed: one message, so that no cut comes in between."""
        create, opened = file.create(*how, send=False)
        with self.plainly():
            created, doomed = self._send_related(file, create, _set_info(file, _doomed(True)))
            opened(created)
            self.receive(doomed)

    def doom(self, file: Open) -> None:
        """Let the server delete an open file as soon as it is closed, by whatever."""
        self._set(file, _doomed(True))

    def spare(self, file: Open, new: str) -> None:
        """Rename an open file that was doomed, and let it stay: one message, so that no cut comes in between."""
        self._set(file, _doomed(False), _renamed(new))

    def _set(self, file: Open, *infos: Any) -> None:
        with self.plainly():
            for request in self._send_related(file, *(_set_info(file, info) for info in infos)):
                self.receive(request)

    def _send_related(self, file: Open, *messages: Any) -> Any:
        tree = file.tree_connect
        return self.send_compound(list(messages), tree.session.session_id, tree.tree_connect_id, related=True)

    @contextlib.contextmanager
    def tidying(self) -> Iterator[None]:
        """Let the body have a moment only, and let it fail: what matters has been decided."""
        usual, self.seconds = self.seconds, min(self.seconds, LAST_WORDS)
        try:
            with contextlib.suppress(Lost, FilterFailed, OSError), self.plainly():
                yield
        finally:
            self.seconds = usual

    @contextlib.contextmanager
    def plainly(self) -> Iterator[None]:
        """Turn what the library may raise into `Lost`, `FileExistsError`, `FileNotFoundError` or `FilterFailed`."""
        try:
            yield
        except (FilterFailed, Lost, FileExistsError, FileNotFoundError):
            raise
        except SMBResponseException as error:
            raise meaning(error.status) from error
        except (SMBAuthenticationError, SMBConnectionClosed, OSError, ValueError) as error:
            raise self._broken(error) from error
        except SMBException as error:
            raise FilterFailed(detail=f"{error}") from error
        except Exception as error:
            self._tcp.stop()
            raise FilterFailed(detail=f"the server's answer makes no sense: {error!r}") from error

    def _broken(self, error: Exception) -> Exception:
        """Return what it means that there was no answer."""
        if isinstance(error, SMBAuthenticationError):
            return FilterFailed(FilterReason.FILE_SHARE_ACCESS_DENIED, f"{error}")
        cause = error.__cause__ or error
        self._tcp.stop()  # what comes after it must not wait again
        if isinstance(cause, TimeoutError):
            return ServerFailed(detail=f"{self._tcp.server}:{self._tcp.port} did not answer within {self.seconds:g} s")
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return ServerFailed(detail=f"{self._tcp.server} is not known by this name: {cause.strerror}")
        if isinstance(error, SMBConnectionClosed):
            return Lost("the connection was cut")
        if isinstance(cause, OSError):
            return Lost(cause.strerror or str(cause))
        return FilterFailed(detail=f"the server's answer makes no sense: {error!r}")


class _Tcp(transport.Tcp):  # type: ignore[misc]  # the library ships no types
    """The library's socket, with a time for each step, and an end from outside at any moment."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        super().__init__(host, port, seconds)
        self._stopped = False

    def connect(self) -> None:
        """Connect to the first address that answers."""
        error: OSError = ConnectionAbortedError("stopped")
        for family, kind, protocol, _, address in socket.getaddrinfo(self.server, self.port, type=socket.SOCK_STREAM):
            self._sock = socket.socket(family, kind, protocol)
            try:
                self._sock.settimeout(self.timeout)
                if not self._stopped:
                    self._sock.connect(address)
                    self.connected = True
                    return
            except OSError as refused:
                error = refused
            self._sock.close()
        raise error

    def stop(self) -> None:
        """Hang up at once, whatever this thread or another is waiting for."""
        self._stopped = True
        if self._sock is not None:
            with contextlib.suppress(OSError):  # not connected, or closed already
                self._sock.shutdown(socket.SHUT_RDWR)


def _doomed(yes: bool) -> FileDispositionInformation:
    info = FileDispositionInformation()
    info["delete_pending"] = yes
    return info


def _renamed(new: str) -> FileRenameInformation:
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
