"""What the spool promises: whole and durable, or nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from postscan.core.errors import InvalidArgument, SpoolFull
from postscan.core.filters.source.growing_hash import STEP
from postscan.core.model.job import JobToken
from postscan.core.spool.image_store.folder_spool import FolderSpool

TOKEN = JobToken("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the spool lies."""
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> FolderSpool:
    """An empty spool."""
    return FolderSpool(folder)


def test_an_arrived_image_has_its_bytes_its_size_and_its_hash(spool: FolderSpool) -> None:
    """The document says what is on the disk."""
    with spool.open_image(TOKEN, 7, "png", 100) as image:
        image.write(b"first ")
        image.write(memoryview(b"second"))

    document = image.document
    assert document is not None
    assert (document.id, document.format, document.size) == (7, "png", 12)
    assert document.sha256 == hashlib.sha256(b"first second").hexdigest()
    assert spool.path(document).read_bytes() == b"first second"


@pytest.mark.parametrize("size", [3, 2 * STEP + 1])
def test_an_image_can_be_hashed_by_another_thread(spool: FolderSpool, size: int) -> None:
    """Small ones too; `commit` waits for it, whether the caller has asked for the path or not."""
    content = os.urandom(size)
    for number, asked in enumerate([True, False], start=1):
        with spool.open_image(TOKEN, number, "png", size, hash_beside=True) as image:
            for begin in range(0, size, 300_000):
                image.write(content[begin : begin + 300_000])
            if asked:
                assert image.written().read_bytes() == content
        assert image.document.sha256 == hashlib.sha256(content).hexdigest()


def test_an_image_whose_bytes_cannot_be_read_again_is_not_committed(spool: FolderSpool) -> None:
    """Its hash would be that of other bytes."""
    with pytest.raises(SpoolFull), spool.open_image(TOKEN, 1, "png", 100, hash_beside=True) as image:
        image.write(b"all")
        os.truncate(image.written(), 1)

    assert list(spool.files()) == []


def test_a_broken_arrival_leaves_nothing(spool: FolderSpool, folder: Path) -> None:
    """An exception in the middle removes the bytes that came before it (I3)."""
    with pytest.raises(ConnectionError), spool.open_image(TOKEN, 1, "png", 100) as image:
        image.write(b"half")
        raise ConnectionError

    assert list(folder.iterdir()) == []


def test_an_empty_image_is_refused(spool: FolderSpool, folder: Path) -> None:
    """O-19: no bytes are not an image."""
    with pytest.raises(InvalidArgument, match="ImageData") as refused, spool.open_image(TOKEN, 1, "png", 100):
        pass

    assert refused.value.argument == "ImageData"
    assert list(folder.iterdir()) == []


def test_an_image_may_be_as_large_as_the_limit_and_no_larger(spool: FolderSpool, folder: Path) -> None:
    """The byte after the last one is refused, and nothing stays (T-M8)."""
    with spool.open_image(TOKEN, 1, "png", 10) as image:
        image.write(b"x" * 10)
    with pytest.raises(InvalidArgument, match="at most 10 bytes"), spool.open_image(TOKEN, 2, "png", 10) as image:
        image.write(b"x" * 10)
        image.write(b"x")

    assert len(list(folder.glob("*/*"))) == 1


def test_a_spool_that_cannot_be_written_says_so(spool: FolderSpool, folder: Path) -> None:
    """The disk's refusal becomes an error that callers know."""
    (folder / TOKEN).write_text("in the way")

    with pytest.raises(SpoolFull, match="cannot be written"), spool.open_image(TOKEN, 1, "png", 100):
        pass


def test_only_the_server_may_read_the_spool(spool: FolderSpool, folder: Path) -> None:
    """Folders 0700, files 0600 (T-F4)."""
    with spool.open_image(TOKEN, 1, "png", 100) as image:
        image.write(b"secret")

    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / TOKEN, spool.path(image.document))]
    assert modes == [0o700, 0o700, 0o600]


def test_discarding_removes_documents_and_leaves_an_image_that_is_on_its_way(spool: FolderSpool, folder: Path) -> None:
    """And is harmless when they are gone."""
    with spool.open_image(TOKEN, 1, "png", 100) as first:
        first.write(b"page")
    with spool.open_image(TOKEN, 2, "png", 100) as second:
        second.write(b"page")
        spool.discard(first.document)
        spool.discard(first.document)
    assert [path.name for path in folder.glob("*/*")] == [spool.path(second.document).name]

    spool.discard(second.document)

    assert list(folder.iterdir()) == []
