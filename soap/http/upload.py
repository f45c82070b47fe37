"""One image from a request body into the spool: batches of a MiB, hashed and written in a thread.

While one batch is written, the next one fills: hashing and writing release the interpreter lock, so two cores share the
work, and the event loop never waits for the disk. At most `AHEAD` batches are in memory, so that a short delay on
either side does not stop the other.
"""

from __future__ import annotations

import asyncio
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


class Upload:
    """An image of the service, opened, written, and committed or aborted in threads.

    As an asynchronous context manager it commits on a clean exit and aborts on an exception or a cancellation.
    """

    def __init__(self, open_image: Callable[[], ImageSink], run: RunInThread = to_thread.run_sync) -> None:
        self._open_image = open_image
        self._run = run
        self._image: ImageSink | None = None
        self._batch = bytearray()
        self._writing: deque[asyncio.Task[None]] = deque()

    async def __aenter__(self) -> Self:
        try:
            await _to_the_end(self._run(self._open))
        except asyncio.CancelledError:
            await self._abort()
            raise
        return self

    async def write(self, data: bytes | memoryview) -> None:
        """Append bytes; may raise an error of an earlier batch."""
        self._batch += data
        if len(self._batch) >= BATCH:
            await self._flush()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._flush()
            await self._written()
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
        if self._image is not None:
            await _to_the_end(self._run(self._image.abort))

    async def _flush(self) -> None:
        """Pass the batch to a thread; wait while `AHEAD` batches are not written yet."""
        while len(self._writing) >= AHEAD:
            await _to_the_end(self._writing.popleft())
        batch, self._batch = self._batch, bytearray()
        if batch and self._image is not None:
            before = self._writing[-1] if self._writing else None
            self._writing.append(asyncio.create_task(self._write_after(before, self._image.write, batch)))

    async def _written(self) -> None:
        """Wait until no thread is writing; raise the first error of the batches."""
        writing = list(self._writing)
        self._writing.clear()
        results = await _to_the_end(asyncio.gather(*writing, return_exceptions=True)) if writing else []
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _write_after(
        self, before: asyncio.Task[None] | None, write: Callable[[bytearray], None], batch: bytearray
    ) -> None:
        """Write a batch in a thread after the one before it; raise the error of that one instead, if it failed."""
        if before is not None:
            await before
        await self._run(write, batch)


async def _to_the_end(work: Awaitable[Any]) -> Any:
    """Wait for *work*, even when this task is cancelled: a thread still uses the file."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
