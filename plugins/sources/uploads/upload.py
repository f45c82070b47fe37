"""One file on its way in: written below the workdir, counted and hashed, and removed unless it becomes a page."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from postscan.plugins import GrowingHash
from postscan.plugins.sources.uploads.space import UploadSpace


class UploadTooLarge(Exception):
    """More bytes came than a file may have."""


@dataclass(frozen=True)
class UploadedFile:
    """A file that came to its end; `at` is the time of the clock in seconds."""

    path: Path
    size: int
    at: float
    hash: GrowingHash = field(compare=False, repr=False)
    resources: contextlib.ExitStack = field(compare=False, repr=False)

    def sha256(self) -> str:
        """Return the SHA-256 of its bytes in hex; raise `OSError` if it cannot be read."""
        return self.hash.result()

    def discard(self) -> None:
        """Remove it, if it is still there, and give back its space. Harmless when repeated."""
        self.resources.close()


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
        self._hash = GrowingHash(self._path)
        self._resources = contextlib.ExitStack()
        self._resources.callback(self._remove)
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
        self._hash.grown(self.size)

    def finish(self) -> UploadedFile:
        """Close the file and return it; raise `OSError` if that fails."""
        try:
            self._file.close()
        except OSError:
            self.close()
            raise
        self._hash.finish(self.size)
        return UploadedFile(self._path, self.size, time.time(), self._hash, self._resources)

    def close(self) -> None:
        """Remove the file, and give back its space: its transfer ended before the file did."""
        self._hash.give_up()
        with contextlib.suppress(OSError):
            self._file.close()
        self._resources.close()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # a file that stays takes its space
            self._path.unlink(missing_ok=True)
            self._space.give_back(self._sender, self.size)
