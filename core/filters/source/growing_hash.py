"""The SHA-256 of a file that grows: it is hashed by a thread of its own while the next bytes come."""

from __future__ import annotations

import hashlib
import queue
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Final

STEP: Final = 4 << 20
"""Bytes that have come between two steps of the thread; a smaller file has none, and is hashed when it is there."""

_READ: Final = 256 << 10  # bytes of one read: the processor's cache holds so many


class GrowingHash:
    """The SHA-256 of the file at *path*, to which one writer appends.

    The writer says how far it is, then calls `finish`, or `give_up` if the file does not come to its end. Both are
    harmless when repeated.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_step = STEP
        self._sizes: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._digest: Future[str] = Future()

    def grown(self, size: int) -> None:
        """Hash these first bytes of the file, which are written, as soon as they are a step more."""
        if size < self._next_step:
            return
        self._next_step = size + STEP
        self._sizes.put(size)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="postscan-hash", daemon=True)
            self._thread.start()

    def finish(self, size: int) -> None:
        """The file has all of its bytes, so many."""
        self._sizes.put(size)
        self.give_up()

    def give_up(self) -> None:
        """Let the thread end behind the bytes that it knows of."""
        self._sizes.put(None)

    def result(self) -> str:
        """Return the hash in hex, after `finish`; waits for the thread. Raises `OSError` if the file cannot be read."""
        if self._thread is None and not self._digest.done():
            self._run()
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
