"""One image from the wire into the spool: batches of a MiB, hashed and written in a thread.

While one batch is written, the next one fills: hashing and writing let the interpreter go, so two cores share the
work, and the event loop never waits for the disk. At most two batches are in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Self

from anyio import to_thread

from postscan.core.spool import Arrival

BATCH: Final = 1 << 20


class Upload:
    """An image on its way in. Leaving it cleanly makes the image durable and recorded; any other way drops it."""

    def __init__(self, receiving: AbstractContextManager[Arrival]) -> None:
        self._receiving = receiving
        self._arrival: Arrival | None = None
        self._batch = bytearray()
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._arrival = await to_thread.run_sync(self._receiving.__enter__)
        return self

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
        except Exception as failed:
            await self._leave(type(failed), failed, failed.__traceback__)
            raise
        await self._leave(kind, error, trace)

    async def _flush(self) -> None:
        """Hand the batch to a thread, once the one before is written."""
        await self._written()
        batch, self._batch = self._batch, bytearray()
        if batch and self._arrival is not None:
            self._writing = asyncio.create_task(_in_thread(self._arrival.write, batch))

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the spool's writer, in a thread, and even when this task is being cancelled."""
        leaving = asyncio.ensure_future(to_thread.run_sync(self._receiving.__exit__, kind, error, trace))
        try:
            await asyncio.shield(leaving)
        except asyncio.CancelledError:
            await asyncio.wait([leaving])
            raise


async def _in_thread(write: Callable[[bytearray], None], batch: bytearray) -> None:
    await to_thread.run_sync(write, batch)
