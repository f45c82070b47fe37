"""An upload: pieces from the wire, batches on the disk, and nothing left when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import threading
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
from collector import errors_in_cycles

from postscan.core.errors import InvalidArgument
from postscan.core.model.job import JobToken
from postscan.core.spool.image_store.folder_spool import FolderSpool
from postscan.core.spool.image_store.image_writer import ImageWriter
from postscan.soap.http.threads import FairThreads
from postscan.soap.http.upload import AHEAD, BATCH, Upload

TOKEN = JobToken("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935")
LIMIT = 8 * BATCH


class Gate:
    """Lets a test hold up the disk, and notes in which order things happen."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.order: list[str] = []

    def reserve(self, _size: int) -> None:
        """Reserve room when the test lets it."""
        self.reached.set()
        assert self.open.wait(30)
        self.order.append("written")

    def open_image(self, spool: FolderSpool) -> ImageWriter:
        """Return a writer of the spool that reserves its room here, and notes its commit."""
        image = spool.open_image(TOKEN, 1, "png", LIMIT, self.reserve)
        commit = image.commit

        def noted() -> str:
            digest = commit()
            self.order.append("kept")
            return digest

        image.commit = noted  # type: ignore[method-assign]  # the real writer, watched
        return image


def anything(_size: int) -> None:
    """Have room for everything."""


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("piece", [1000, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_an_image_is_kept_byte_for_byte_however_it_comes(tmp_path: Path, piece: int) -> None:
    """T-M8: batches end where they like, and their order is kept."""
    image, spool = os.urandom(3 * BATCH + 17), FolderSpool(tmp_path)

    async def send() -> None:
        async with Upload(lambda: spool.open_image(TOKEN, 1, "png", LIMIT, anything)) as upload:
            for at in range(0, len(image), piece):
                await upload.write(memoryview(image)[at : at + piece])

    asyncio.run(send())
    _, kept = files(tmp_path)

    assert kept.read_bytes() == image


def test_an_error_of_the_sender_leaves_nothing(tmp_path: Path) -> None:
    """T-M5: it goes on to whoever asked."""

    async def send() -> None:
        async with Upload(lambda: FolderSpool(tmp_path).open_image(TOKEN, 1, "png", LIMIT, anything)) as upload:
            await upload.write(bytes(2 * BATCH))
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        asyncio.run(send())
    assert files(tmp_path) == []


@pytest.mark.parametrize("pieces", [2, 3, 4])
def test_what_the_disk_said_to_an_earlier_batch_is_raised(tmp_path: Path, pieces: int) -> None:
    """F-R10: at the next batch, or at the end; nothing is kept."""

    async def send() -> None:
        async with Upload(lambda: FolderSpool(tmp_path).open_image(TOKEN, 1, "png", BATCH + 1, anything)) as upload:
            for _ in range(pieces):
                await upload.write(bytes(BATCH))

    with pytest.raises(InvalidArgument, match="ImageData"):
        asyncio.run(send())
    assert files(tmp_path) == []


@pytest.mark.parametrize("limit", [0, BATCH, AHEAD * BATCH], ids=["at the begin", "at the next batch", "at the end"])
def test_a_failed_upload_leaves_nothing_to_the_garbage_collector(tmp_path: Path, limit: int) -> None:
    """T-H6: an error, the frames of its traceback, and the batches in them are freed at once."""

    def open_image() -> ImageWriter:
        if not limit:
            raise InvalidArgument("ImageData", "", "another job")
        return FolderSpool(tmp_path).open_image(TOKEN, 1, "png", limit, anything)

    async def send() -> None:
        with contextlib.suppress(InvalidArgument):
            async with Upload(open_image, partial(FairThreads(2, 1).run, "a")) as upload:
                await upload.write(bytes((AHEAD + 1) * BATCH))
            raise AssertionError("the upload did not fail")

    with errors_in_cycles() as found:
        asyncio.run(send())

    assert found == []


def test_the_memory_of_a_batch_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New memory costs a page fault for each page of it."""

    async def send(spool: FolderSpool) -> None:
        async with Upload(lambda: spool.open_image(TOKEN, 1, "png", LIMIT, anything)) as upload:
            await upload.write(image)

    image = memoryview(os.urandom(AHEAD * BATCH))
    asyncio.run(send(FolderSpool(tmp_path / "first")))
    new = Mock(side_effect=mmap.mmap)
    monkeypatch.setattr(mmap, "mmap", new)
    asyncio.run(send(FolderSpool(tmp_path / "second")))

    assert not new.called


def test_a_batch_takes_the_memory_that_is_written(tmp_path: Path) -> None:
    """T-H4: many slow uploads take no MiB each."""

    async def begin(spool: FolderSpool) -> int:
        async with contextlib.AsyncExitStack() as stack:
            before = psutil.Process().memory_info().rss
            for number in range(1, 65):
                open_image = partial(spool.open_image, TOKEN, number, "png", LIMIT, anything)
                upload = await stack.enter_async_context(Upload(open_image))
                await upload.write(b"page")
            return psutil.Process().memory_info().rss - before

    assert asyncio.run(begin(FolderSpool(tmp_path))) < 16 * BATCH


@pytest.mark.parametrize("pieces", [1, AHEAD + 1], ids=["while it waits for more", "while it waits for the disk"])
def test_a_server_that_stops_lets_the_disk_finish_first(tmp_path: Path, pieces: int) -> None:
    """I4: a file is never closed under the hands of the thread that writes it; nothing is left of it."""
    gate, spool = Gate(), FolderSpool(tmp_path)

    async def send() -> None:
        async with Upload(lambda: gate.open_image(spool)) as upload:
            for _ in range(pieces):
                await upload.write(bytes(BATCH))
            await asyncio.sleep(60)

    async def stop_in_the_middle() -> None:
        sending = asyncio.create_task(send())
        await asyncio.to_thread(gate.reached.wait, 30)
        sending.cancel()
        await asyncio.sleep(0.05)
        left_early = sending.done()
        gate.open.set()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        assert not left_early

    asyncio.run(stop_in_the_middle())
    assert set(gate.order) == {"written"}
    assert files(tmp_path) == []


def test_a_server_that_stops_while_an_upload_begins_leaves_nothing(tmp_path: Path) -> None:
    """I4: the file was made already, and nobody will ever write it."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> ImageWriter:
        image = FolderSpool(tmp_path).open_image(TOKEN, 1, "png", LIMIT, anything)
        begun.set()
        assert go_on.wait(30)
        return image

    async def stop_at_the_beginning() -> None:
        entering = asyncio.create_task(Upload(slowly).__aenter__())
        await asyncio.to_thread(begun.wait, 30)
        entering.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await entering

    asyncio.run(stop_at_the_beginning())
    assert files(tmp_path) == []
