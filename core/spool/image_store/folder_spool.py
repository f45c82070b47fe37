"""Image bytes in a folder. An image becomes a document when it is complete, durable, and hashed.

An image is written to `<spool>/<job>/<document>-<random>.part`. Its commit syncs the file, renames it and syncs the
folder, in this order; without the first sync, a power cut leaves an empty file under the final name. An abort removes
it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from postscan.core.model import file_names
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.spool.image_store.image_writer import PART, ImageWriter, Reserve, disk_errors, new_document
from postscan.core.spool.image_store.lock import SpoolLock
from postscan.core.spool.image_store.spool_store import ID, ID_PART, LOGS, LOST, PICTURES, Fetch, SpoolStore
from postscan.core.spool.job_log import JobLogs
from postscan.core.spool.pictures import PictureCache

_LONGEST: Final = 64  # bytes that are read of an identifier


class FolderImageWriter(ImageWriter):
    """Writes one image into a folder of the spool."""

    def __init__(
        self, folder: Path, new: JobDocument, limit: int, reserve: Reserve, *, member: str, hash_beside: bool
    ) -> None:
        self._blob = folder / Path(new.blob).name
        part = folder / f"{self._blob.name}{member and '@'}{member}{PART}"
        super().__init__(part, new, limit, reserve, hash_beside=hash_beside)

    def _keep(self, document: JobDocument) -> None:
        with disk_errors():
            os.fsync(self._descriptor)
            self._close()
            self._part.rename(self._blob)
            sync_folder(self._blob.parent)

    def _drop(self) -> None:
        self._blob.unlink(missing_ok=True)  # the sync of the folder may have failed after the rename
        _drop_if_empty(self._blob.parent)


class FolderFile:
    """A file of the spool's folder."""

    __slots__ = ("_entry", "key")

    def __init__(self, key: str, entry: os.DirEntry[str]) -> None:
        self.key = key
        self._entry = entry

    def changed(self) -> float:
        """Return when it was last changed (POSIX time); raise `FileNotFoundError` if it is gone."""
        return self._entry.stat(follow_symlinks=False).st_mtime


class FolderSpool(SpoolStore):
    """The folder of all images, with one sub-folder for each job.

    Logs and pictures are in a sub-folder of their own. Where several machines use the folder, *member* is the name of
    this process; the files of its uploads in progress have it in their names.
    """

    def __init__(self, folder: Path, member: str = "") -> None:
        self._folder = folder
        self._member = member
        self.lock = SpoolLock(folder)
        self.logs = JobLogs(folder / LOGS)
        self.pictures = PictureCache(folder / PICTURES)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def name(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def place(self) -> str:
        """The folder, and the machine unless several use it."""
        return str(self._folder.absolute()) + ("" if self._member else f" on {socket.gethostname()}")

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
    ) -> FolderImageWriter:
        """Create the file of one image of at most *limit* bytes, and return its writer; raise `SpoolFull`.

        *made* says that it is the work of a filter.
        """
        folder = self._job_folder(token)
        new = new_document(token, document_id, format, made=made)
        return FolderImageWriter(folder, new, limit, reserve, member=self._member, hash_beside=hash_beside)

    def free_bytes(self) -> int:
        """Return the free bytes of the spool's file system; raise `SpoolFull` if it cannot be read."""
        with disk_errors():
            disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def fetching(self, stopped: Callable[[], bool] = lambda: False) -> contextlib.AbstractContextManager[Fetch]:
        """Return a context whose value returns the path of a document's file; it reads nothing."""
        return contextlib.nullcontext(self.path)

    def copy(self, document: JobDocument, token: JobToken) -> JobDocument:
        """Link the bytes of a document into another job's folder; return the document with its new key."""
        folder = self._job_folder(token)
        blob = f"{token}/{Path(document.blob).name}"
        with disk_errors():
            os.link(self.path(document), self._folder / blob)
            sync_folder(folder)
        return replace(document, blob=blob)

    def path(self, document: JobDocument) -> Path:
        """Return the path of a document's file."""
        return self._folder / document.blob

    def drop(self, *keys: str) -> None:
        """Remove the files with these keys."""
        for key in keys:
            path = self._folder / key
            path.unlink(missing_ok=True)
            if path.parent != self._folder:
                _drop_if_empty(path.parent)

    def sizes(self, keys: Iterable[str]) -> Iterator[tuple[str, int | None]]:
        """Yield each key with the size of its file in bytes; None if there is none."""
        for key in keys:
            try:
                yield key, os.lstat(self._folder / key).st_size
            except FileNotFoundError:
                yield key, None

    def files(self) -> Iterator[FolderFile]:
        """Yield every file, one folder after the other; no logs, pictures, `lost+found` or identifier."""
        root = len(str(self._folder)) + 1
        found = (FolderFile(entry.path[root:], entry) for entry in _files_below(self._folder))
        yield from (file for file in found if file.key not in (ID, ID_PART))

    def quarantine(self, key: str) -> str:
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
            return str(place)

    def put_aside(self) -> int:
        """Return how many files are in `lost+found`."""
        lost = self._folder / LOST
        return sum(1 for path in lost.rglob("*") if path.is_file()) if lost.exists() else 0

    def read_mark(self, name: str) -> str | None:
        """Return the text in a file of the folder; None if there is no such file."""
        with contextlib.suppress(FileNotFoundError), (self._folder / name).open("rb") as opened:
            return opened.read(_LONGEST).decode(errors="replace").strip()
        return None

    def write_mark(self, name: str, text: str) -> None:
        """Write a text into a file of the folder, durably."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._folder / name, flags, 0o600)
        try:
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(self._folder)

    def rename_mark(self, name: str, new: str) -> None:
        """Rename a file of the folder, durably."""
        (self._folder / name).rename(self._folder / new)
        sync_folder(self._folder)

    def _job_folder(self, token: JobToken) -> Path:
        folder = self._folder / token
        with disk_errors():
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                return folder
            sync_folder(self._folder)
        return folder


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
