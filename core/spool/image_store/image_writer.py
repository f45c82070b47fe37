"""The bytes of an image on their way: written to a file, counted and hashed; a store keeps the file at the commit."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from postscan.core.errors import InvalidArgument, SpoolFull
from postscan.core.filters.source.growing_hash import GrowingHash
from postscan.core.model.job import JobDocument, JobToken

PART: Final = ".part"
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


def new_document(token: JobToken, id: int, format: str, *, made: bool) -> JobDocument:
    """Return the document of a new image, still without bytes, with a key that no other image has."""
    return JobDocument(id, format, 0, "", f"{token}/{MADE if made else ''}{id}-{secrets.token_hex(4)}")


class ImageWriter(ImageSink):
    """Writes one image into the file *part*; `_keep` of a subclass makes it durable under the key of its document.

    `write` raises `SpoolFull` if the disk or *reserve* refuses the bytes, `InvalidArgument` (ImageData) if there are
    more than *limit*; `commit` raises `InvalidArgument` (ImageData) if there are none. The bytes are hashed as they
    come: by `write` itself, or with *hash_beside* by another thread, for which `commit` waits.
    """

    def __init__(self, part: Path, new: JobDocument, limit: int, reserve: Reserve, *, hash_beside: bool) -> None:
        self._document: JobDocument | None = None
        self._new = new
        self._limit = limit
        self._reserve = reserve
        self._part = part
        self._digest = hashlib.sha256()
        self._beside = GrowingHash(self._part) if hash_beside else None
        self._given_hash = ""
        self._size = 0
        self._flushed = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with disk_errors():
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
        with disk_errors():
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
        with disk_errors():
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
        """Make the image durable under its key, and return its SHA-256 in hex."""
        try:
            digest = self._hashed()
            document = replace(self._new, size=self._size, sha256=digest)
            self._keep(document)
        except BaseException:
            self.abort()
            raise
        self._document = document
        return digest

    def abort(self) -> None:
        """Remove the file, unless the image is committed."""
        self._close()
        if self._beside is not None:
            self._beside.give_up()
        if self._document is None:
            self._part.unlink(missing_ok=True)
            self._drop()

    @abstractmethod
    def _keep(self, document: JobDocument) -> None:
        """Make the bytes of the file durable under the document's key; raise `SpoolFull`."""

    @abstractmethod
    def _drop(self) -> None:
        """Remove what a `_keep` that failed may have left."""

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
        with disk_errors():
            return self._beside.result()

    def _start_writeback(self) -> None:
        _start_writeback(self._descriptor, self._flushed, self._size - self._flushed)
        self._flushed = self._size

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Translate `OSError` into `SpoolFull`."""
    try:
        yield
    except OSError as error:
        cause = "there is no room left in the spool" if error.errno in _FULL else "the spool cannot be written"
        raise SpoolFull(f"{cause}: {error.strerror}") from error


def _start_writeback(descriptor: int, start: int, size: int) -> None:
    """Ask the kernel to start writing these bytes to the disk. A hint: errors appear at the final sync."""
    with contextlib.suppress(AttributeError):  # a C library without this function
        _LIBC.sync_file_range(
            descriptor, ctypes.c_int64(start), ctypes.c_int64(size), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE)
        )
