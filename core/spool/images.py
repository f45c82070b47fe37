"""Image bytes on disk. Nothing is a document until it is whole, durable, and known by its hash.

An arriving image is written beside its place: `<spool>/<job>/<random>.part`. A clean end hashes, syncs the file,
renames it and syncs the folder, in this order; without the first sync a power cut leaves an empty file under a good
name. Any other end removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from postscan.core.errors import InvalidArgument, SpoolFull
from postscan.core.model import file_names
from postscan.core.model.job import JobDocument, JobToken

PART: Final = ".part"
LOST: Final = "lost+found"
EARLY: Final = 8 << 20  # bytes after which the disk is told to begin, so that the sync at the end has less to do
_SYNC_FILE_RANGE_WRITE: Final = 2
_LIBC: Final = ctypes.CDLL(None)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


Take = Callable[[int], None]
"""Is told how many bytes are about to be written; raises if there is no room for them."""


class HashingSink:
    """Takes an image that is here already, to see whether it is the same: it is hashed, and not kept."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        self._digest.update(data)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all bytes, in hex."""
        return self._digest.hexdigest()


class ImageWriter:
    """One image on its way in: `write` its bytes in order, from one thread at a time."""

    def __init__(self, path: Path, limit: int, take: Take) -> None:
        self._limit = limit
        self._take = take
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._digest = hashlib.sha256()
        self.path = path
        self.size = 0
        self._begun = 0
        self.document: JobDocument | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; raise `SpoolFull` if the disk refuses them, `InvalidArgument` if they are too many."""
        self.size += len(data)
        if self.size > self._limit:
            raise InvalidArgument("ImageData", f"{self.size} bytes and more", f"at most {self._limit} bytes")
        self._take(len(data))
        self._digest.update(data)
        view = memoryview(data)
        with _disk_errors():
            while view:
                view = view[os.write(self._descriptor, view) :]
        if self.size - self._begun >= EARLY:
            _begin_to_sync(self._descriptor, self._begun, self.size - self._begun)
            self._begun = self.size

    def keep(self, blob: Path) -> str:
        """Make the bytes durable under their final name; return their SHA-256 in hex."""
        with _disk_errors():
            os.fsync(self._descriptor)
            self.close()
            self.path.rename(blob)
            _sync_folder(blob.parent)
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Spool:
    """The folder of all images, one sub-folder a job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextlib.contextmanager
    def arrive(
        self, token: JobToken, document_id: int, format: str, limit: int, take: Take = lambda _size: None
    ) -> Iterator[ImageWriter]:
        """Lend a writer for one image; on a clean exit its `document` is durable, else nothing is left.

        *limit* is the most bytes it takes; *take* is asked before each write and may refuse. Raises `SpoolFull` when
        the disk refuses, `InvalidArgument` (ImageData) for too many bytes and for none.
        """
        folder = self._job_folder(token)
        name = f"{document_id}-{secrets.token_hex(4)}"
        with _disk_errors():
            arrival = ImageWriter(folder / f"{name}{PART}", limit, take)
        try:
            yield arrival
            if not arrival.size:
                raise InvalidArgument("ImageData", "", "the bytes of an image")
            digest = arrival.keep(folder / name)
            arrival.document = JobDocument(document_id, format, arrival.size, digest, f"{token}/{name}")
        finally:
            arrival.close()
            if arrival.document is None:
                arrival.path.unlink(missing_ok=True)
                (folder / name).unlink(missing_ok=True)
                self._drop_if_empty(folder)

    def free_bytes(self) -> int:
        """Return how much room the disk of the spool has left."""
        with _disk_errors():
            disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def copy(self, document: JobDocument, token: JobToken) -> JobDocument:
        """Let another job have the same bytes: one file, two names; return the document under its new name."""
        folder = self._job_folder(token)
        blob = f"{token}/{Path(document.blob).name}"
        with _disk_errors():
            os.link(self.path(document), self._folder / blob)
            _sync_folder(folder)
        return replace(document, blob=blob)

    def path(self, document: JobDocument) -> Path:
        """Return where the bytes of *document* lie."""
        return self._folder / document.blob

    def discard(self, *documents: JobDocument) -> None:
        """Remove the bytes of these documents; an image that is still on its way is left to whoever brings it."""
        self.drop(*(document.blob for document in documents))

    def drop(self, *keys: str) -> None:
        """Remove these files."""
        for key in keys:
            path = self._folder / key
            path.unlink(missing_ok=True)
            self._drop_if_empty(path.parent)

    def sweep(self) -> int:
        """Remove what a killed server left half-written; return how many files that were. Call it before serving."""
        halves = (Path(entry.path) for entry in _files_below(self._folder) if entry.name.endswith(PART))
        parts = [half for half in halves if half.parent.parent == self._folder]  # elsewhere it is none of ours
        for part in parts:
            part.unlink(missing_ok=True)
            self._drop_if_empty(part.parent)
        return len(parts)

    def files(self) -> dict[str, os.stat_result]:
        """Return every file by its key, but for what was put aside."""
        root = len(str(self._folder)) + 1
        found = {}
        for entry in _files_below(self._folder):
            with contextlib.suppress(FileNotFoundError):
                found[entry.path[root:]] = entry.stat(follow_symlinks=False)
        return found

    def put_aside(self, key: str) -> Path:
        """Move a file that nobody knows into `lost+found`, under a free name; return where it is now."""
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
                self._drop_if_empty(source.parent)
            return place

    def _job_folder(self, token: JobToken) -> Path:
        folder = self._folder / token
        with _disk_errors():
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                return folder
            _sync_folder(self._folder)
        return folder

    def _drop_if_empty(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Say what the disk said in a way that callers know."""
    try:
        yield
    except OSError as error:
        cause = "there is no room left in the spool" if error.errno in _FULL else "the spool cannot be written"
        raise SpoolFull(f"{cause}: {error.strerror}") from error


def _files_below(folder: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    """Yield everything that is no folder, but for what was put aside; no Path for each, since there may be many."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry
            elif entry.name != LOST:
                yield from _files_below(entry.path)


def _begin_to_sync(descriptor: int, start: int, size: int) -> None:
    """Let the disk begin with these bytes. A hint only: what it comes to is seen by the sync at the end."""
    with contextlib.suppress(AttributeError):  # another C library
        _LIBC.sync_file_range(
            descriptor, ctypes.c_int64(start), ctypes.c_int64(size), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE)
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
