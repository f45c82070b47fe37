"""One file on its way in: written below the workdir, counted and hashed, and removed unless it becomes a page."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from postscan.plugins.sources.ftp.space import UploadSpace

STEP: Final = 4 << 20
"""Bytes that have come between two steps of a hash; a smaller file is hashed when it is there."""

_READ: Final = 256 << 10  # bytes of one read: the processor's cache holds so many


class UploadTooLarge(Exception):
    """More bytes came than a file may have."""


@dataclass(frozen=True)
class UploadedFile:
    """A file that came to its end, of *sender*; `at` is the time of the clock in seconds."""

    path: Path
    size: int
    at: float
    sender: str
    space: UploadSpace = field(compare=False, repr=False)
    growing: GrowingHash | None = field(default=None, compare=False, repr=False)

    def sha256(self) -> str:
        """Return the SHA-256 of its bytes in hex; raise `OSError` if it cannot be read."""
        if self.growing is not None:
            return self.growing.result()
        with self.path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def discard(self) -> None:
        """Remove it, and give back its space."""
        with contextlib.suppress(OSError):
            self.path.unlink()
            self.space.give_back(self.sender, self.size)


class GrowingHash:
    """The SHA-256 of a file that grows: a thread reads what was written, while the next bytes come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sizes: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._digest: Future[str] = Future()
        threading.Thread(target=self._run, name="postscan-hash", daemon=True).start()

    def grown(self, size: int) -> None:
        """Go on: so many bytes are written."""
        self._sizes.put(size)

    def end(self) -> None:
        """Let the thread end behind these bytes."""
        self._sizes.put(None)

    def result(self) -> str:
        """Wait for the thread, and return the hash in hex; raise `OSError` if the file could not be read."""
        return self._digest.result()

    def _run(self) -> None:
        try:
            self._digest.set_result(self._hash())
        except BaseException as error:  # noqa: BLE001  (whatever it is, `result` waits for it)
            self._digest.set_exception(error)

    def _hash(self) -> str:
        digest, done, memory = hashlib.sha256(), 0, memoryview(bytearray(_READ))
        with self._path.open("rb", buffering=0) as file:
            for size in iter(self._sizes.get, None):
                while done < size:
                    count = file.readinto(memory[: size - done])
                    if not count:
                        raise OSError(f"{self._path.name} has become shorter")
                    digest.update(memory[:count])
                    done += count
        return digest.hexdigest()


class IncomingFile:
    """The file of one transfer, of at most *most_bytes*; exclusive, and readable for this user alone."""

    def __init__(self, space: UploadSpace, sender: str, most_bytes: int) -> None:
        """Open the file; raise `OSError` if there is no room for it."""
        space.check()
        descriptor, name = tempfile.mkstemp(prefix="upload-", dir=space.folder)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._path = Path(name)
        self._space = space
        self._sender = sender
        self._most_bytes = most_bytes
        self._growing: GrowingHash | None = None
        self._next_step = STEP
        self.size = 0

    def write(self, chunk: bytes | memoryview) -> None:
        """Append *chunk*; raise `UploadTooLarge`, or `OSError` if there is no room for it."""
        if self.size + len(chunk) > self._most_bytes:
            raise UploadTooLarge
        self._space.take(self._sender, len(chunk))
        self.size += len(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        if self.size >= self._next_step:
            self._next_step = self.size + STEP
            self._growing = self._growing or GrowingHash(self._path)
            self._growing.grown(self.size)

    def finish(self) -> UploadedFile:
        """Close the file and return it; raise `OSError` if that fails."""
        try:
            self._file.close()
        except OSError:
            self.close()
            raise
        if self._growing is not None:
            self._growing.grown(self.size)
            self._growing.end()
        return UploadedFile(self._path, self.size, time.time(), self._sender, self._space, self._growing)

    def close(self) -> None:
        """Remove the file, and give back its space: its transfer ended before the file did."""
        if self._growing is not None:
            self._growing.end()
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
            self._space.give_back(self._sender, self.size)
