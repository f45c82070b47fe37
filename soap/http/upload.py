"""One image from the wire into the spool: batches of a MiB, hashed and written in a thread.

While one batch is written, the next one fills: hashing and writing let the interpreter go, so two cores share the
work, and the event loop never waits for the disk. A few batches are in memory at most, so that a moment of
waiting on either side does not stop the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, Self

from anyio import to_thread

from postscan.core.service.jobs import ImageSink

BATCH: Final = 1 << 20
AHEAD: Final = 4  # batches that may be on their way to the disk


class Upload:
    """An image on its way in. Leaving it cleanly makes the image durable and recorded; any other way drops it."""

    def __init__(self, receiving: AbstractContextManager[ImageSink]) -> None:
        self._receiving = receiving
        self._sink: ImageSink | None = None
        self._batch = bytearray()
        self._writing: deque[asyncio.Task[None]] = deque()

    async def __aenter__(self) -> Self:
        try:
            await _to_the_end(to_thread.run_sync(self._enter))
        except asyncio.CancelledError as cancelled:
            if self._sink is not None:
                await self._leave(type(cancelled), cancelled, cancelled.__traceback__)
            raise
        return self

    def _enter(self) -> None:
        self._sink = self._receiving.__enter__()

    async def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; what the disk said to an earlier batch may be raised here."""
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
        except BaseException as failed:
            await self._leave(type(failed), failed, failed.__traceback__)
            raise
        await self._leave(kind, error, trace)

    async def _flush(self) -> None:
        """Hand the batch to a thread; wait if too many are on their way to the disk."""
        while len(self._writing) >= AHEAD:
            await _to_the_end(self._writing.popleft())
        batch, self._batch = self._batch, bytearray()
        if batch and self._sink is not None:
            before = self._writing[-1] if self._writing else None
            self._writing.append(asyncio.create_task(_in_order(before, self._sink.write, batch)))

    async def _written(self) -> None:
        """Wait until no thread has the file in its hands; raise what the first of them that failed has said."""
        writing = list(self._writing)
        self._writing.clear()
        said = await _to_the_end(asyncio.gather(*writing, return_exceptions=True)) if writing else []
        for error in said:
            if isinstance(error, BaseException):
                raise error

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the spool's writer, in a thread."""
        await _to_the_end(to_thread.run_sync(self._receiving.__exit__, kind, error, trace))


async def _in_order(before: asyncio.Task[None] | None, write: Callable[[bytearray], None], batch: bytearray) -> None:
    """Write a batch in a thread after the one before it, and not at all if that failed."""
    if before is not None:
        await before
    await to_thread.run_sync(write, batch)


async def _to_the_end(work: Awaitable[Any]) -> Any:
    """Wait for *work*, even when this task is being cancelled: a thread has the file in its hands."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
