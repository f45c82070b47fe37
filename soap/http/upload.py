"""One image from a request body into the spool: batches of a MiB, hashed and written in a thread.

While one batch is written, the next one fills: hashing and writing release the interpreter lock, so two cores share the
work, and the event loop never waits for the disk. At most `AHEAD` batches are in memory, so that a short delay on
either side does not stop the other.

The memory of a batch is used again: a page of new memory costs a page fault, which takes about as long as to hash it.
An error of a batch is the result of its task and not raised there: tasks, errors and frames would refer to one another.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

from anyio import to_thread

from postscan.core.service.images import ImageSink

RunInThread = Callable[..., Awaitable[Any]]
"""Calls a function with arguments in a thread and returns its result."""

BATCH: Final = 1 << 20
AHEAD: Final = 4  # batches that may wait to be written
FREE: Final = 8
"""Most batches whose memory is kept for other uploads."""

_free: Final[list[memoryview]] = []


class Upload:
    """An image of the service, opened, written, and committed or aborted in threads.

    As an asynchronous context manager it commits on a clean exit and aborts on an exception or a cancellation.
    """

    def __init__(self, open_image: Callable[[], ImageSink], run: RunInThread = to_thread.run_sync) -> None:
        self._open_image = open_image
        self._run = run
        self._image: ImageSink | None = None
        self._batch: memoryview | None = None
        self._size = 0
        self._writing: deque[asyncio.Task[Exception | None]] = deque()

    async def __aenter__(self) -> Self:
        try:
            await _to_the_end(self._run(self._open))
        except asyncio.CancelledError:
            await self._abort()
            raise
        return self

    async def write(self, data: bytes | memoryview) -> None:
        """Append bytes; may raise an error of an earlier batch."""
        rest = memoryview(data)
        while rest:
            if self._batch is None:
                self._batch = _free.pop() if _free else _new_batch()
            piece, rest = rest[: BATCH - self._size], rest[BATCH - self._size :]
            self._batch[self._size : self._size + len(piece)] = piece
            self._size += len(piece)
            if self._size == BATCH:
                await self._flush()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._flush()
                _raise(await self._written())
        except BaseException:
            await self._abort()
            raise
        if error is not None:
            await self._abort()
        elif self._image is not None:
            await _to_the_end(self._run(self._image.commit))

    def _open(self) -> None:
        self._image = self._open_image()

    async def _abort(self) -> None:
        try:
            await self._written()
        finally:
            if self._image is not None:
                await _to_the_end(self._run(self._image.abort))

    async def _flush(self) -> None:
        """Pass the batch to a thread; wait while `AHEAD` batches are not written yet."""
        while len(self._writing) >= AHEAD:
            _raise(await _to_the_end(self._writing.popleft()))
        if self._batch is not None and self._image is not None:
            before = self._writing[-1] if self._writing else None
            batch, size, self._batch, self._size = self._batch, self._size, None, 0
            self._writing.append(asyncio.create_task(self._write_after(before, self._image.write, batch, size)))

    async def _written(self) -> Exception | None:
        """Wait until no thread is writing; return the first error of the batches."""
        try:
            return await _to_the_end(self._writing[-1]) if self._writing else None
        finally:
            self._writing.clear()

    async def _write_after(
        self,
        before: asyncio.Task[Exception | None] | None,
        write: Callable[[memoryview], None],
        batch: memoryview,
        size: int,
    ) -> Exception | None:
        """Write a batch in a thread after the one before it; return its error, or the error of that one."""
        failed = await before if before is not None else None
        if failed is not None:
            return failed
        try:
            await self._run(write, batch[:size])
        except Exception as error:  # noqa: BLE001  (raised by `_flush` or `_written`)
            return error
        if len(_free) < FREE:
            _free.append(batch)
        return None


def _new_batch() -> memoryview:
    """Return memory that takes a page when a byte of it is written: most of a slow upload's batch is never used."""
    return memoryview(mmap.mmap(-1, BATCH, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


async def _to_the_end(work: Awaitable[Any]) -> Any:
    """Wait for *work*, even when this task is cancelled: a thread still uses the file."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
    finally:
        del task, work  # the traceback of an error refers to this frame


def _raise(error: Exception | None) -> None:
    """Raise an error, if there is one; the frame does not keep it."""
    try:
        if error is not None:
            raise error
    finally:
        del error
