"""Image bytes on disk. An image becomes a document when it is complete, durable, and hashed.

An image is written to `<spool>/<job>/<document>-<random>.part`. Its commit syncs the file, renames it and syncs the
folder, in this order; without the first sync, a power cut leaves an empty file under the final name. An abort removes
it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from postscan.core.errors import InvalidArgument, OutcomeUnknown, SpoolFull
from postscan.core.filters.source.growing_hash import GrowingHash
from postscan.core.model import file_names
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.spool.job_log import JobLogs
from postscan.core.spool.lock import SpoolLock
from postscan.core.spool.pictures import PictureCache

PART: Final = ".part"
LOST: Final = "lost+found"
LOGS: Final = "logs"
PICTURES: Final = "pictures"
ID: Final = "spool-id"
ID_PART: Final = f"{ID}{PART}"
MADE: Final = "made-"
"""Begins the name of a document that a filter made: without a row, it is of a run whose end was not stored."""
EARLY: Final = 8 << 20  # bytes after which writeback starts, so that the final sync has less to do
_SYNC_FILE_RANGE_WRITE: Final = 2
_LIBC: Final = ctypes.CDLL(None)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


Reserve = Callable[[int], None]
"""A function that is called with the number of bytes about to be written; it raises if there is no room for them."""


class ImageSink(ABC):
    """Takes one image: `write` its bytes in order, then `commit` or `abort`; from one thread at a time.

    As a context manager it commits on a clean exit and aborts on an exception.
    """

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""

    def take(self, move: Callable[[Path], bool], sha256: str = "") -> bool:
        """Let *move* put a whole file in the place of the image, before any byte is written; raises as `write` does.

        *move* is called with a path, and returns whether it has done so; then the file has no other name, and is open
        for writing nowhere. With *sha256*, its hash in hex by whoever wrote it, it is not hashed again. Returns what
        *move* returns; without a place, False.
        """
        return False

    @abstractmethod
    def commit(self) -> str:
        """Complete the image, and return its SHA-256 in hex. If this raises, the image is aborted."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the image. Harmless when repeated, and after `commit`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


class HashingSink(ImageSink):
    """Hashes an image and keeps nothing of it: for one that is stored already."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        self._digest.update(data)

    def commit(self) -> str:
        """Return the SHA-256 of all bytes in hex."""
        return self._digest.hexdigest()

    def abort(self) -> None:
        """Do nothing: there is nothing to drop."""


class ImageWriter(ImageSink):
    """Writes one image into the spool.

    `write` raises `SpoolFull` if the disk or *reserve* refuses the bytes, `InvalidArgument` (ImageData) if there are
    more than *limit*; `commit` raises `InvalidArgument` (ImageData) if there are none. The bytes are hashed as they
    come: by `write` itself, or with *hash_beside* by another thread, for which `commit` waits.
    """

    def __init__(
        self,
        folder: Path,
        token: JobToken,
        document_id: int,
        format: str,
        limit: int,
        reserve: Reserve,
        prefix: str,
        *,
        hash_beside: bool = False,
    ) -> None:
        name = f"{prefix}{document_id}-{secrets.token_hex(4)}"
        self._document: JobDocument | None = None
        self._new = JobDocument(document_id, format, 0, "", f"{token}/{name}")
        self._limit = limit
        self._reserve = reserve
        self._blob = folder / name
        self._part = folder / f"{name}{PART}"
        self._digest = hashlib.sha256()
        self._beside = GrowingHash(self._part) if hash_beside else None
        self._given_hash = ""
        self._size = 0
        self._flushed = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _disk_errors():
            self._descriptor = os.open(self._part, flags, 0o600)

    @property
    def document(self) -> JobDocument:
        """The committed image."""
        if self._document is None:
            raise AssertionError("the image is not committed")
        return self._document

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        self._count(len(data))
        if self._beside is None:
            self._digest.update(data)
        view = memoryview(data)
        with _disk_errors():
            while view:
                view = view[os.write(self._descriptor, view) :]
        if self._beside is not None:
            self._beside.grown(self._size)
        if self._size - self._flushed >= EARLY:
            self._start_writeback()

    def take(self, move: Callable[[Path], bool], sha256: str = "") -> bool:
        """Let *move* put a file in the place of the image, unless `write` has to hash it."""
        if self._beside is None or not move(self._part):
            return False
        self._given_hash = sha256
        self._close()
        with _disk_errors():
            self._descriptor = os.open(self._part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            size = os.fstat(self._descriptor).st_size
        self._count(size)
        if not sha256:
            self._beside.grown(size)
        return True

    def written(self) -> Path:
        """Return the path of all bytes, which are on their way to the disk, and being hashed; `commit` waits for both.

        Nothing may be written any more.
        """
        self._start_writeback()
        if self._beside is not None and not self._given_hash:
            self._beside.finish(self._size)
        return self._part

    def commit(self) -> str:
        """Make the image durable under its final name, and return its SHA-256 in hex."""
        try:
            digest = self._hashed()
            self._keep()
        except BaseException:
            self.abort()
            raise
        self._document = replace(self._new, size=self._size, sha256=digest)
        return digest

    def abort(self) -> None:
        """Remove the file, unless the image is committed."""
        self._close()
        if self._beside is not None:
            self._beside.give_up()
        if self._document is None:
            self._part.unlink(missing_ok=True)
            self._blob.unlink(missing_ok=True)  # the sync of the folder may have failed after the rename
            _drop_if_empty(self._blob.parent)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise InvalidArgument("ImageData", f"{self._size} bytes and more", f"at most {self._limit} bytes")
        self._reserve(size)

    def _hashed(self) -> str:
        if not self._size:
            raise InvalidArgument("ImageData", "", "the bytes of an image")
        if self._given_hash:
            return self._given_hash
        if self._beside is None:
            return self._digest.hexdigest()
        self._beside.finish(self._size)
        with _disk_errors():
            return self._beside.result()

    def _keep(self) -> None:
        with _disk_errors():
            os.fsync(self._descriptor)
            self._close()
            self._part.rename(self._blob)
            sync_folder(self._blob.parent)

    def _start_writeback(self) -> None:
        _start_writeback(self._descriptor, self._flushed, self._size - self._flushed)
        self._flushed = self._size

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Spool:
    """The folder of all images, with one sub-folder for each job; `lock` is for files that have no row yet.

    `logs` are the logs of the jobs, `pictures` what pages look like; each in a sub-folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lock = SpoolLock(folder)
        self.logs = JobLogs(folder / LOGS)
        self.pictures = PictureCache(folder / PICTURES)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open_image(
        self,
        token: JobToken,
        document_id: int,
        format: str,
        limit: int,
        reserve: Reserve = lambda _size: None,
        *,
        made: bool = False,
        hash_beside: bool = False,
    ) -> ImageWriter:
        """Create the file of one image of at most *limit* bytes, and return its writer; raise `SpoolFull`.

        *made* says that it is the work of a filter.
        """
        prefix = MADE if made else ""
        folder = self._job_folder(token)
        return ImageWriter(folder, token, document_id, format, limit, reserve, prefix, hash_beside=hash_beside)

    def free_bytes(self) -> int:
        """Return the free bytes of the spool's file system; raise `SpoolFull` if it cannot be read."""
        with _disk_errors():
            disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def copy(self, document: JobDocument, token: JobToken) -> JobDocument:
        """Link the bytes of a document into another job's folder; return the document with its new key."""
        folder = self._job_folder(token)
        blob = f"{token}/{Path(document.blob).name}"
        with _disk_errors():
            os.link(self.path(document), self._folder / blob)
            sync_folder(folder)
        return replace(document, blob=blob)

    def path(self, document: JobDocument) -> Path:
        """Return the path of a document's file."""
        return self._folder / document.blob

    def discard(self, *documents: JobDocument) -> None:
        """Remove the files of these documents; files of uploads in progress stay."""
        self.drop(*(document.blob for document in documents))

    @contextlib.contextmanager
    def discarded_on_failure(self, documents: Sequence[JobDocument]) -> Iterator[None]:
        """Remove the files of these documents if the body, which stores their rows, raises an error.

        If it is unknown whether the rows are stored, or the process is being ended, the files stay; the next start of
        the server compares them with the rows.
        """
        try:
            yield
        except OutcomeUnknown:
            raise
        except Exception:
            self.discard(*documents)
            raise

    def drop(self, *keys: str) -> None:
        """Remove the files with these keys."""
        for key in keys:
            path = self._folder / key
            path.unlink(missing_ok=True)
            _drop_if_empty(path.parent)

    def size(self, key: str) -> int | None:
        """Return the size of a file in bytes; None if there is none."""
        try:
            return os.lstat(self._folder / key).st_size
        except FileNotFoundError:
            return None

    def files(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield every file with its key, one folder after the other; no logs, pictures, `lost+found` or identifier."""
        root = len(str(self._folder)) + 1
        found = ((entry.path[root:], entry) for entry in _files_below(self._folder))
        yield from (file for file in found if file[0] not in (ID, ID_PART))

    def quarantine(self, key: str) -> Path:
        """Move a file without a row into `lost+found`, under a free name; return its new path."""
        source, target = self._folder / key, self._folder / LOST / key
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = 1
        while True:
            place = target.with_name(file_names.numbered(target.name, number))
            try:
                os.link(source, place, follow_symlinks=False)  # unlike a rename, it never replaces anything
            except FileExistsError:
                number += 1
                continue
            source.unlink()
            if source.parent != self._folder:
                _drop_if_empty(source.parent)
            return place

    def _job_folder(self, token: JobToken) -> Path:
        folder = self._folder / token
        with _disk_errors():
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                return folder
            sync_folder(self._folder)
        return folder


def is_incomplete(key: str) -> bool:
    """Return whether this is the file of an upload in progress, or of one that ended with its server."""
    return key.endswith(PART) and key.count("/") == 1  # uploads are written nowhere else


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Translate `OSError` into `SpoolFull`."""
    try:
        yield
    except OSError as error:
        cause = "there is no room left in the spool" if error.errno in _FULL else "the spool cannot be written"
        raise SpoolFull(f"{cause}: {error.strerror}") from error


def _files_below(folder: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    """Yield everything that is no folder, except logs, pictures and `lost+found`.

    As `DirEntry`, since there may be many.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry
            elif entry.name not in (LOST, LOGS, PICTURES):
                yield from _files_below(entry.path)


def _start_writeback(descriptor: int, start: int, size: int) -> None:
    """Ask the kernel to start writing these bytes to the disk. A hint: errors appear at the final sync."""
    with contextlib.suppress(AttributeError):  # a C library without this function
        _LIBC.sync_file_range(
            descriptor, ctypes.c_int64(start), ctypes.c_int64(size), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE)
        )


def _drop_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
