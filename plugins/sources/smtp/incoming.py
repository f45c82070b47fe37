"""A mail while it arrives and is read: a file in the work folder, so that memory does not grow with mails.

The file has no name: it is gone with the process. The files of the attachments are in a folder of their own. All bytes
of all mails that are in work together are limited by `SpoolSpace`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from postscan.plugins.sources.smtp.replies import LATER, NO_ROOM, Rejected

KEPT_FREE: Final = 128 << 20
"""Bytes of the disk that mails leave free."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SpoolSpace:
    """The bytes that all mails in work may have together, of which one client has half; for any number of threads.

    The disk keeps `KEPT_FREE` bytes for the database and the spool, or a tenth if it is small.
    """

    def __init__(self, workdir: Path, most: int) -> None:
        self._workdir = workdir
        self._most = most
        self._lock = threading.Lock()
        self._of_clients: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """The bytes that are taken now."""
        return self._of_clients.total()

    def check(self, client: str, size: int) -> None:
        """Raise `Rejected` if so many bytes are not left for this client."""
        if self.taken + size > self._most or self._of_clients[client] + size > self._most // 2:
            raise Rejected(NO_ROOM, "too many mails at once; try again later")
        with disk_errors():
            disk = os.statvfs(self._workdir)
            if disk.f_bavail * disk.f_frsize - size < min(KEPT_FREE, disk.f_blocks * disk.f_frsize // 10):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def take(self, client: str, size: int) -> None:
        """Take *size* bytes; raise `Rejected` if so many are not left."""
        with self._lock:
            self.check(client, size)
            self._of_clients[client] += size

    def give_back(self, client: str, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._of_clients[client] -= size
            if not self._of_clients[client]:
                del self._of_clients[client]


class FileContent:
    """The bytes of an open file. It is not mapped: the address space of the process is limited."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def __len__(self) -> int:
        """Return the size."""
        return self._size

    def __getitem__(self, piece: slice, /) -> bytes:
        """Return the bytes from one place to another; raise `Rejected` if they cannot be read."""
        start, stop, _ = piece.indices(self._size)
        with disk_errors():
            read = os.pread(self._file.fileno(), max(0, stop - start), start)
        if len(read) < stop - start:
            raise Rejected(LATER, "the mail cannot be read now; try again later")
        return read


class IncomingMail:
    """The bytes of one mail and of its attachments. `close` removes them.

    One thread at a time writes. The event loop may close the mail meanwhile: then that thread removes the files, since
    the descriptor of a closed file may be that of a connection in the next moment.
    """

    def __init__(self, workdir: Path, space: SpoolSpace, client: str) -> None:
        self._workdir = workdir
        self._space = space
        self._client = client
        self._taken = 0
        self._sha256 = hashlib.sha256()
        self._folders = contextlib.ExitStack()
        self._files = 0
        self._in_use = threading.Lock()
        self._closed = False
        self.size = 0
        with disk_errors():
            self._file: BinaryIO = tempfile.TemporaryFile(dir=workdir, buffering=0)  # noqa: SIM115  (`close` closes it)

    @property
    def sha256(self) -> str:
        """The hash of the content."""
        return self._sha256.hexdigest()

    def write(self, content: bytes) -> None:
        """Append to the mail; raise `Rejected` if there is no room."""
        with self._using():
            self._take(len(content))
            self.size += len(content)
            self._sha256.update(content)
            _write_all(self._file, content)

    @property
    def content(self) -> FileContent:
        """The bytes of the mail, which are read in pieces."""
        return FileContent(self._file, self.size)

    def write_file(self, pieces: Iterator[bytes]) -> Path:
        """Write the file of an attachment; raise `Rejected` if there is no room."""
        with disk_errors():
            if not self._files:
                folder = tempfile.TemporaryDirectory(dir=self._workdir)
                self._folder = Path(self._folders.enter_context(folder))
            self._files += 1
            path = self._folder / str(self._files)
            with path.open("xb", buffering=0) as file:
                for piece in pieces:
                    self._take(len(piece))
                    _write_all(file, piece)
        return path

    def close(self) -> None:
        """Remove all files of the mail, at once or when the thread that uses them has ended."""
        self._closed = True
        if self._in_use.acquire(blocking=False):
            try:
                self._remove()
            finally:
                self._in_use.release()

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        try:
            with self._in_use:
                if self._closed:
                    raise Rejected(LATER, "the connection has ended")
                yield
        finally:
            if self._closed:
                self.close()

    def _remove(self) -> None:
        self._file.close()
        with contextlib.suppress(OSError):  # the work folder is removed at the end of the process in any case
            self._folders.close()
        self._space.give_back(self._client, self._taken)
        self._taken = 0

    def _take(self, size: int) -> None:
        self._space.take(self._client, size)
        self._taken += size


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn an `OSError` of the body into `Rejected`, so that the client comes again."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Rejected(NO_ROOM, "the disk is full; try again later") from error
        raise Rejected(LATER, "the mail cannot be kept now; try again later") from error


def _write_all(file: BinaryIO, content: bytes) -> None:
    """Write all bytes: without a buffer, one call may write fewer."""
    with disk_errors():
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]
