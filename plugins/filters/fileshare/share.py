"""The files of the shares of one SMB server, by plain calls with plain errors; nothing here follows a link.

This module needs the extra `[smb]`; import it where it is used.
"""

# smbprotocol ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Final

from smbprotocol.exceptions import SMBException
from smbprotocol.file_info import FileAttributes
from smbprotocol.open import CreateDisposition, CreateOptions, ImpersonationLevel, Open, ShareAccess
from smbprotocol.open import FilePipePrinterAccessMask as Access
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from postscan.plugins import FilterFailed
from postscan.plugins.filters.fileshare.connection import Connection
from postscan.plugins.filters.fileshare.servers import FileServer
from postscan.plugins.filters.fileshare.status_codes import FULL, LOGON, ServerBusy, ServerFailed

_SHARED: Final = ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE
_ODD: Final = FileAttributes.FILE_ATTRIBUTE_REPARSE_POINT | FileAttributes.FILE_ATTRIBUTE_DIRECTORY


class SmbConnection:
    """A connection to *server*, logged on as its user when the first share is asked for."""

    def __init__(self, server: FileServer) -> None:
        self._server = server
        self._connection = Connection(server)
        self._session: Session | None = None
        self._shares: dict[str, Share] = {}

    def share(self, name: str) -> Share:
        """Return a share of the server.

        Raises `ServerFailed` if the server cannot be used, `FilterFailed` if the share cannot, and `Lost`.
        """
        if self._session is None:
            try:
                self._session = self._log_on()
            except FilterFailed as failure:
                raise ServerFailed(failure.reasons[0], failure.detail) from failure
        share = self._shares.get(name.casefold())
        if share is None:
            share = self._shares[name.casefold()] = Share(self._connection, self._session, name)
        return share

    def stop(self) -> None:
        """End whatever operation is under way, from any thread, and all that come after it."""
        self._connection.transport.stop()

    def close(self) -> None:
        """Hang up; the server closes what is still open."""
        with contextlib.suppress(Exception):
            self._connection.disconnect(close=False)

    def _log_on(self) -> Session:
        with self._connection.plainly():
            self._connection.connect(timeout=self._server.seconds)
        session = Session(
            self._connection,
            username=self._server.user,
            password=self._server.password,
            require_encryption=self._server.encrypt,
        )
        with self._connection.plainly():
            try:
                session.connect()
            except SMBException as error:
                if session.session_id is None:  # a guest: the server has let a stranger in under another name
                    raise FilterFailed(*LOGON) from error
                raise
        return session


class Share:
    """The files of one share, by their paths below it, with backslashes; nothing here follows a link."""

    def __init__(self, connection: Connection, session: Session, name: str) -> None:
        self._connection = connection
        self._tree = TreeConnect(session, rf"\\{connection.server_name}\{name}")
        with connection.plainly():
            self._tree.connect()
        self._tree.is_dfs_share = False  # a path is a path of this server, and no question to a directory of others

    def folder(self, path: str, *, make: bool) -> None:
        """See that a folder is there and no link; `make` it if it is missing.

        Raises `FilterFailed` with a sentence if it is not.
        """
        how = CreateDisposition.FILE_OPEN_IF if make else CreateDisposition.FILE_OPEN
        try:
            with self._opened(path, Access.FILE_READ_ATTRIBUTES, how, CreateOptions.FILE_DIRECTORY_FILE) as found:
                if found.file_attributes & FileAttributes.FILE_ATTRIBUTE_REPARSE_POINT:
                    raise FilterFailed(detail=f"{path} is a link; expected a folder")
        except FileNotFoundError:
            raise FilterFailed(detail=f"there is no folder {path} on the share; make it") from None

    def exists(self, path: str) -> bool:
        """Return whether anything has this name."""
        try:
            with self._opened(path, Access.FILE_READ_ATTRIBUTES):
                return True
        except FileNotFoundError:
            return False

    def read(self, path: str, size: int) -> Iterator[bytes]:
        """Yield the content of a file piece by piece; raise `FileNotFoundError` if no plain file has that size."""
        with self._opened(path, Access.FILE_READ_DATA) as found:
            if found.file_attributes & _ODD or found.end_of_file != size:
                raise FileNotFoundError(errno.ENOENT, "it is another file")
            done = 0
            while done < size:
                with self._connection.plainly():
                    chunk = found.read(done, min(self._connection.room("read"), size - done))
                if not chunk:
                    return
                yield chunk
                done += len(chunk)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there; raise `Lost` while it is held by a line that was cut."""
        with contextlib.suppress(FileNotFoundError), self._opened(path, Access.DELETE) as found:
            self._connection.doom(found)

    @contextlib.contextmanager
    def growing(self, path: str) -> Iterator[SmbFile]:
        """Lend a new file; what did not appear is gone afterwards, even if the line is cut."""
        grown = Open(self._tree, path)
        try:
            self._create_doomed(grown)
            yield SmbFile(self._connection, grown)
        finally:
            with self._connection.tidying():
                grown.close()

    def _create_doomed(self, grown: Open) -> None:
        try:
            self._connection.create_doomed(
                grown,
                ImpersonationLevel.Impersonation,
                Access.FILE_WRITE_DATA | Access.FILE_READ_ATTRIBUTES | Access.DELETE,
                FileAttributes.FILE_ATTRIBUTE_NORMAL,
                0,  # nobody else touches it meanwhile
                CreateDisposition.FILE_CREATE,
                CreateOptions.FILE_NON_DIRECTORY_FILE | CreateOptions.FILE_OPEN_REPARSE_POINT,
            )
        except (FileExistsError, FileNotFoundError):
            raise ServerBusy("somebody else changes the folder") from None

    @contextlib.contextmanager
    def _opened(
        self, path: str, access: int, how: int = CreateDisposition.FILE_OPEN, options: int = 0
    ) -> Iterator[Open]:
        one = Open(self._tree, path)
        with self._connection.plainly():
            one.create(
                ImpersonationLevel.Impersonation,
                access | Access.FILE_READ_ATTRIBUTES,
                0,
                _SHARED,
                how,
                options | CreateOptions.FILE_OPEN_REPARSE_POINT,
            )
        try:
            yield one
        except BaseException:
            with self._connection.tidying():
                one.close()
            raise
        with self._connection.plainly():
            one.close()


class SmbFile:
    """A new file under way: until it appears, the server deletes it as soon as it is closed, by whatever."""

    def __init__(self, connection: Connection, grown: Open) -> None:
        self._connection = connection
        self._grown = grown
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append."""
        view = memoryview(data)
        while view:
            with self._connection.plainly():
                done = self._grown.write(bytes(view[: self._connection.room("write")]), self._size)
            if not done:
                raise FilterFailed(*FULL)
            self._size += done
            view = view[done:]

    def flush(self) -> None:
        """Let the server write it to its disk."""
        with self._connection.plainly():
            self._grown.flush()

    def appear(self, path: str) -> None:
        """Let it stay, under this path; raise `FileExistsError` if somebody has that."""
        try:
            self._connection.spare(self._grown, path)
        except (OSError, FilterFailed):
            with self._connection.tidying():
                self._connection.doom(self._grown)
            raise
        with self._connection.tidying():
            self._grown.flush()  # the new name as well, as far as the server can
