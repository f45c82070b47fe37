"""Write one page of a job into the workdir of its source, as far as the server gives leave."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from postscan.core.filters.source.errors import Busy, Refused

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class PageRoom(Protocol):
    """What the job of a page does for it."""

    def leave(self, size: int) -> None:
        """Wait for leave to write *size* bytes more. Raises `Busy`, `Refused` or `Ended`."""

    def check(self) -> None:
        """Raise `Ended` if the job was cancelled, `Busy` if the server has gone."""

    def store(self, path: Path, format: str, *, whole: bool, give: bool) -> None:
        """Store the file as the next page of the job; with *give* it may be gone afterwards. Raises as `leave` does."""


class PageWriter:
    """A page that is being written: leaving the block makes it durable, an exception leaves nothing of it.

    Set `whole` when the end mark of the protocol itself was seen: then a file whose structure says nothing is taken as
    well. `size` is the number of bytes so far.
    """

    def __init__(
        self, job: PageRoom, path: Path, format: str, whole: bool, *, leave_bytes: int, remind_seconds: float
    ) -> None:
        self.size = 0
        self.format = format
        self.whole = whole
        self._job = job
        self._path = path
        self._leave_bytes = leave_bytes
        self._remind_seconds = remind_seconds
        self._allowed = 0
        self._asked = time.monotonic()

    def __enter__(self) -> Self:
        self._file = self._path.open("xb")
        return self

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes and return their number.

        Raises `Busy` if there is no room, `Ended` if the job was cancelled, `Refused` if the file may not be so large.
        """
        self._job.check()
        size = memoryview(data).nbytes
        missing = self.size + size - self._allowed
        if missing > 0:
            self._ask(-(-missing // self._leave_bytes) * self._leave_bytes)
        elif time.monotonic() > self._asked + self._remind_seconds:
            self._ask(0)  # a slow page is no silence
        with _room():
            self._file.write(data)
        self.size += size
        return size

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with _room():
                    self._file.close()
                self._job.store(self._path, self.format, whole=self.whole, give=True)
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)

    def _ask(self, size: int) -> None:
        self._job.leave(size)
        self._allowed += size
        self._asked = time.monotonic()


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """Turn the error of a full disk into `Busy`, and that of a file above the limit of the process into `Refused`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise Refused("the page is larger than a file of this source may be") from error
        if error.errno in _FULL:
            raise Busy(full=True) from error
        raise
