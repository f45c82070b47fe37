"""Bodies into files of the work folder: hashed, within bounds of size, number and disk, and gone when they are stored.

A body is stored in the work folder as a whole before a job of it is opened, since its hash is part of the job's key. It
is written in threads, in batches of a MiB, so a slow disk keeps no other request waiting.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from anyio import CapacityLimiter, to_thread

from postscan.plugins.sources.web.body import HttpRefused
from postscan.plugins.sources.web.upload.form import BadForm, FormData, FormFile, FormParser

BATCH: Final = 1 << 20
"""Bytes of a body in memory."""

SPARE: Final = 256 << 20
"""Bytes of the disk that bodies leave free: for the database, the spool, and what was received before."""

LOOK: Final = 8 << 20
"""Bytes of a body between two looks at the free space."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_THREADS: Final = 16


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A complete file in the work folder; `name` is what the client calls it, "" if it has no name."""

    path: Path
    name: str
    size: int
    sha256: str

    def remove(self) -> None:
        """Remove the file; does nothing if it is gone."""
        with contextlib.suppress(OSError):
            self.path.unlink()


class Incoming:
    """Receives bodies into *folder*: at most *most* at a time, of which one sender has half.

    *free* returns the free bytes of its disk.
    """

    def __init__(self, folder: Path, most: int, free: Callable[[], int] | None = None) -> None:
        self._folder = folder
        self._most = most
        self._share = max(1, most // 2)
        self._of_senders: Counter[str] = Counter()
        self._free = free or (lambda: shutil.disk_usage(folder).free)
        self._threads = CapacityLimiter(_THREADS)

    def available(self) -> int:
        """Return how many bytes may be sent now."""
        try:
            return max(0, self._free() - SPARE)
        except OSError:
            return 0

    @contextlib.contextmanager
    def place(self, sender: str, size: int) -> Iterator[None]:
        """Count one body while it arrives; raise `HttpRefused` if there is no room for one of *size* bytes."""
        if self._of_senders.total() >= self._most or self._of_senders[sender] >= self._share:
            raise HttpRefused(503, "too many files arrive at once; try again", {"retry-after": "5"})
        if size > self.available():
            raise _full()
        self._of_senders[sender] += 1
        try:
            yield
        finally:
            self._of_senders[sender] -= 1
            if not self._of_senders[sender]:
                del self._of_senders[sender]

    async def file(self, chunks: AsyncIterator[bytes], name: str) -> ReceivedFile:
        """Return a body as one file; raise `HttpRefused` if the disk is full, and whatever *chunks* raises."""
        file = self._new(name)
        try:
            async for chunk in chunks:
                await file.add(chunk)
            return await file.complete()
        except BaseException:
            file.remove()
            raise

    async def form(self, chunks: AsyncIterator[bytes], boundary: bytes) -> list[ReceivedFile]:
        """Return the files of a form, in their order; raise as `file` does, and for what is not a whole form."""
        parser, begun, files = FormParser(boundary), list[_FileWriter](), list[ReceivedFile]()
        try:
            async for chunk in chunks:
                for event in parser.feed(chunk):
                    match event:
                        case FormFile(name):
                            begun.append(self._new(name))
                        case FormData(data):
                            await begun[-1].add(data)
                        case _:
                            files.append(await begun[-1].complete())
            parser.close()
        except BaseException as error:
            for file in begun:
                file.remove()
            if isinstance(error, BadForm):
                raise HttpRefused(400, str(error)) from None
            raise
        return files

    def _new(self, name: str) -> _FileWriter:
        return _FileWriter(self._folder / secrets.token_hex(16), name, self.available, self._threads)


class _FileWriter:
    """One file while it arrives: batches are hashed and written in a thread."""

    def __init__(self, path: Path, name: str, available: Callable[[], int], threads: CapacityLimiter) -> None:
        self._path = path
        self._name = name
        self._available = available
        self._threads = threads
        self._batch = bytearray()
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._size = 0
        self._until_look = 0

    async def add(self, data: bytes) -> None:
        """Append bytes; raise `HttpRefused` if the disk is full."""
        self._batch += data
        if len(self._batch) >= BATCH:
            await self._flush()

    async def complete(self) -> ReceivedFile:
        """Close the file and return it; raise as `add` does."""
        await self._flush()
        if self._file is not None:
            self._file.close()
        return ReceivedFile(self._path, self._name, self._size, self._hash.hexdigest())

    def remove(self) -> None:
        """Close and remove the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _flush(self) -> None:
        batch, self._batch = self._batch, bytearray()
        try:
            await to_thread.run_sync(self._write, batch, limiter=self._threads)
        except OSError as error:
            if error.errno in _FULL:
                raise _full() from None
            raise

    def _write(self, batch: bytearray) -> None:
        if self._file is None:
            self._file = open(self._path, "xb", buffering=0, opener=_private)  # noqa: SIM115  (closed when complete)
        self._until_look -= len(batch)
        if self._until_look <= 0:
            self._until_look = LOOK
            if self._available() < len(batch):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._hash.update(batch)
        self._size += len(batch)
        rest = memoryview(batch)
        while rest:
            rest = rest[self._file.write(rest) :]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _full() -> HttpRefused:
    return HttpRefused(507, "the disk of the server is full; try again later", {"retry-after": "60"})
