"""Files on the shares of one SMB server. Links are not followed.

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
    """A connection to *server*; the first call of `share` connects and logs on."""

    def __init__(self, server: FileServer) -> None:
        self._server = server
        self._connection = Connection(server)
        self._session: Session | None = None
        self._shares: dict[str, Share] = {}

    def share(self, name: str) -> Share:
        """Return a share of the server.

        Raises `ServerFailed` if the server cannot be used, `FilterFailed` if the share cannot, and `TryAgainLater`.
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

    def abort(self) -> None:
        """Make the pending operation fail, from any thread, and all later ones."""
        self._connection.transport.abort()

    def close(self) -> None:
        """Close the connection; the server closes the files that are still open."""
        with contextlib.suppress(Exception):
            self._connection.disconnect(close=False)

    def _log_on(self) -> Session:
        with self._connection.translated_errors():
            self._connection.connect(timeout=self._server.seconds)
        session = Session(
            self._connection,
            username=self._server.user,
            password=self._server.password,
            require_encryption=self._server.encrypt,
        )
        with self._connection.translated_errors():
            try:
                session.connect()
            except SMBException as error:
                if session.session_id is None:  # a guest: the server accepted an unknown user as another one
                    raise FilterFailed(*LOGON) from error
                raise
        return session


class Share:
    """The files of one share, by their paths below it, with backslashes. Links are not followed."""

    def __init__(self, connection: Connection, session: Session, name: str) -> None:
        self._connection = connection
        self._tree = TreeConnect(session, rf"\\{connection.server_name}\{name}")
        with connection.translated_errors():
            self._tree.connect()
        self._tree.is_dfs_share = False  # paths are used as they are, without a referral to another server

    def folder(self, path: str, *, make: bool) -> None:
        """Check that a folder exists and is not a link; create it if it is missing and *make* is set.

        Raises `FilterFailed` otherwise.
        """
        disposition = CreateDisposition.FILE_OPEN_IF if make else CreateDisposition.FILE_OPEN
        try:
            with self._opened(
                path, Access.FILE_READ_ATTRIBUTES, disposition, CreateOptions.FILE_DIRECTORY_FILE
            ) as found:
                if found.file_attributes & FileAttributes.FILE_ATTRIBUTE_REPARSE_POINT:
                    raise FilterFailed(detail=f"{path} is a link; expected a folder")
        except FileNotFoundError:
            raise FilterFailed(detail=f"there is no folder {path} on the share; make it") from None

    def exists(self, path: str) -> bool:
        """Return whether a file or folder has this name."""
        try:
            with self._opened(path, Access.FILE_READ_ATTRIBUTES):
                return True
        except FileNotFoundError:
            return False

    def read(self, path: str, size: int) -> Iterator[bytes]:
        """Yield the content of a file piece by piece; raise `FileNotFoundError` if no plain file has that size."""
        with self._opened(path, Access.FILE_READ_DATA) as found:
            if found.file_attributes & _ODD or found.end_of_file != size:
                raise FileNotFoundError(errno.ENOENT, "the size differs")
            done = 0
            while done < size:
                with self._connection.translated_errors():
                    chunk = found.read(done, min(self._connection.max_bytes("read"), size - done))
                if not chunk:
                    return
                yield chunk
                done += len(chunk)

    def remove(self, path: str) -> None:
        """Remove a file if it exists; raise `TryAgainLater` while a broken connection still holds it open."""
        with contextlib.suppress(FileNotFoundError), self._opened(path, Access.DELETE) as found:
            self._connection.mark_for_deletion(found)

    @contextlib.contextmanager
    def new_file(self, path: str) -> Iterator[SmbFile]:
        """Yield a new file; the server deletes it afterwards, unless `SmbFile.link_as` was called."""
        file = Open(self._tree, path)
        try:
            self._create_marked(file)
            yield SmbFile(self._connection, file)
        finally:
            with self._connection.cleanup():
                file.close()

    def _create_marked(self, file: Open) -> None:
        try:
            self._connection.create_marked(
                file,
                ImpersonationLevel.Impersonation,
                Access.FILE_WRITE_DATA | Access.FILE_READ_ATTRIBUTES | Access.DELETE,
                FileAttributes.FILE_ATTRIBUTE_NORMAL,
                0,  # not shared
                CreateDisposition.FILE_CREATE,
                CreateOptions.FILE_NON_DIRECTORY_FILE | CreateOptions.FILE_OPEN_REPARSE_POINT,
            )
        except (FileExistsError, FileNotFoundError):
            raise ServerBusy("the folder was changed by another client") from None

    @contextlib.contextmanager
    def _opened(
        self, path: str, access: int, disposition: int = CreateDisposition.FILE_OPEN, options: int = 0
    ) -> Iterator[Open]:
        one = Open(self._tree, path)
        with self._connection.translated_errors():
            one.create(
                ImpersonationLevel.Impersonation,
                access | Access.FILE_READ_ATTRIBUTES,
                0,
                _SHARED,
                disposition,
                options | CreateOptions.FILE_OPEN_REPARSE_POINT,
            )
        try:
            yield one
        except BaseException:
            with self._connection.cleanup():
                one.close()
            raise
        with self._connection.translated_errors():
            one.close()


class SmbFile:
    """A new file, which the server deletes on close until `link_as` has given it its name."""

    def __init__(self, connection: Connection, file: Open) -> None:
        self._connection = connection
        self._file = file
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append *data*."""
        view = memoryview(data)
        while view:
            with self._connection.translated_errors():
                done = self._file.write(bytes(view[: self._connection.max_bytes("write")]), self._size)
            if not done:
                raise FilterFailed(*FULL)
            self._size += done
            view = view[done:]

    def flush(self) -> None:
        """Make the server write the file to its disk."""
        with self._connection.translated_errors():
            self._file.flush()

    def link_as(self, path: str) -> None:
        """Keep the file under this path; raise `FileExistsError` if the path is taken."""
        try:
            self._connection.unmark(self._file, path)
        except (OSError, FilterFailed):
            with self._connection.cleanup():
                self._connection.mark_for_deletion(self._file)
            raise
        with self._connection.cleanup():
            self._file.flush()  # the new name as well, if the server supports that
