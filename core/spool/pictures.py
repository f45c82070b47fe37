"""Pictures of pages that were made already: a cache of small files, one folder for each job.

A picture is of one page at one size, and can be made again while the job has its images. It is removed with them. A
file is written beside its place and renamed, and not synced: one that a power cut has left in part is not returned. The
cache has at most `MOST` bytes, beside the shares of callers; what is not in it is made again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from postscan.core.model.job import JobToken

log = logging.getLogger(__name__)

MOST: Final = 256 << 20
"""Most bytes of all pictures; the oldest are removed first."""

LARGEST: Final = 8 << 20
"""Most bytes of one picture."""

LEFT: Final = MOST // 4 * 3  # bytes that stay when the oldest are removed
LEAST: Final = 4096  # bytes that a file counts at least
TOKEN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAME: Final = re.compile(r"(?P<key>[0-9]+-[0-9]+-[0-9]+)-(?P<pages>[0-9]+)\.webp")
_PART: Final = ".part"


class PictureKey(NamedTuple):
    """One page of a document of a job, at one size: `side` is its longest side in pixels."""

    token: JobToken
    document: int
    page: int
    side: int

    @property
    def stem(self) -> str:
        """The begin of the name of its file."""
        return f"{self.document}-{self.page}-{self.side}"


class StoredPicture(NamedTuple):
    """A WebP file, and how many pages its document has."""

    data: bytes
    pages: int


class PagePictures(ABC):
    """The pictures of all jobs. Safe to use from several threads and processes."""

    @abstractmethod
    def get(self, key: PictureKey) -> StoredPicture | None:
        """Return a picture; None if it is not there, or not whole."""

    @abstractmethod
    def put(self, key: PictureKey, picture: StoredPicture, reserve: int) -> bool:
        """Keep a picture, unless less than *reserve* bytes of the disk would be left; return whether it is kept."""

    @abstractmethod
    def remove(self, token: str) -> None:
        """Remove the pictures of a job. Raises `OSError`."""

    @abstractmethod
    def tokens(self) -> list[JobToken]:
        """Return the tokens of the jobs that have pictures. Raises `OSError`."""

    def try_to_remove(self, token: str) -> None:
        """Remove the pictures of a job; if that fails, log it, and the next sweep of retention tries again."""
        try:
            self.remove(token)
        except OSError as error:
            log.warning("pictures of a job not removed", extra={"job": token, "reason": str(error)})


class PictureCache(PagePictures):
    """The pictures of all jobs in a folder, with one sub-folder for each job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._size: int | None = None  # as far as this process knows: others remove pictures as well

    def get(self, key: PictureKey) -> StoredPicture | None:
        """Return a picture; None if it is not there, or not whole."""
        for path, found in _pictures(self._folder / key.token):
            if found["key"] == key.stem:
                with contextlib.suppress(OSError):
                    data = path.read_bytes()
                    if is_whole(data):
                        return StoredPicture(data, int(found["pages"]))
        return None

    def put(self, key: PictureKey, picture: StoredPicture, reserve: int) -> bool:
        """Keep a picture, unless less than *reserve* bytes of the disk would be left; return whether it is kept."""
        folder = self._folder / key.token
        part = folder / f"{secrets.token_hex(8)}{_PART}"
        with self._lock:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                disk = os.statvfs(folder)
                if disk.f_bavail * disk.f_frsize - len(picture.data) < reserve:
                    return False
                self._make_room(len(picture.data))
                _write(part, picture.data)
                part.rename(folder / f"{key.stem}-{picture.pages}.webp")
            except OSError as error:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
                log.warning("picture not kept", extra={"job": key.token, "reason": error.strerror or str(error)})
                return False
        return True

    def remove(self, token: str) -> None:
        """Remove the pictures of a job. Raises `OSError`."""
        folder = self._folder / token
        try:
            names = os.listdir(folder)  # noqa: PTH208  (names suffice)
        except FileNotFoundError:
            return
        for name in names:
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()

    def tokens(self) -> list[JobToken]:
        """Return the tokens of the jobs that have pictures."""
        try:
            with os.scandir(self._folder) as entries:
                return [JobToken(entry.name) for entry in entries if TOKEN.fullmatch(entry.name)]
        except FileNotFoundError:
            return []

    def _make_room(self, size: int) -> None:
        """Count *size* bytes more; remove the oldest pictures if all would be more than `MOST`."""
        if self._size is None or self._size + size > MOST:
            self._size = self._fit(size)
        self._size += max(LEAST, size)

    def _fit(self, size: int) -> int:
        """Remove the oldest pictures if *size* bytes more would be too much; return the bytes of the others."""
        files = sorted(self._files())
        total = sum(used for _, used, _ in files)
        if total + size <= MOST:
            return total
        for _, used, path in files:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # if it was the last one
            total -= used
            if total <= LEFT:
                break
        return total

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each file was written, its bytes, and its path."""
        for token in self.tokens():
            with contextlib.suppress(FileNotFoundError), os.scandir(self._folder / token) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        yield status.st_mtime, max(LEAST, status.st_size), Path(entry.path)


def is_whole(data: bytes) -> bool:
    """Return whether these bytes are a WebP file as long as its header says."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 == len(data)


def _pictures(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    """Yield the pictures of one job, each with the parts of its name."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if (found := NAME.fullmatch(entry.name)) is not None:
                yield Path(entry.path), found


def _write(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123  (a descriptor)
        file.write(data)
