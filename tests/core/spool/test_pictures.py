"""The cache of pictures: small files that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postscan.core.model.job import JobToken
from postscan.core.spool import pictures
from postscan.core.spool.pictures import PictureCache, PictureKey, StoredPicture, is_whole

ONE = JobToken("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935")
OTHER = JobToken("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c936")


def webp(size: int = 100) -> StoredPicture:
    """Return what has the header of a WebP file, of so many bytes, and two pages."""
    return StoredPicture(b"RIFF" + (size - 8).to_bytes(4, "little") + b"WEBP" + bytes(size - 12), 2)


@pytest.fixture
def cache(tmp_path: Path) -> PictureCache:
    """An empty cache, whose folder is not there yet."""
    return PictureCache(tmp_path / "pictures")


def test_a_picture_is_found_by_its_job_document_page_and_size(cache: PictureCache, tmp_path: Path) -> None:
    """And by nothing else; another process finds it as well."""
    key = PictureKey(ONE, 1, 12, 320)
    assert cache.put(key, webp(), 0)

    others = [(OTHER, 1, 12, 320), (ONE, 11, 2, 320), (ONE, 1, 1, 320), (ONE, 1, 12, 32)]
    assert cache.get(key) == PictureCache(tmp_path / "pictures").get(key) == webp()
    assert [cache.get(PictureKey(*other)) for other in others] == [None] * 4


def test_a_file_that_is_not_whole_is_no_picture(cache: PictureCache, tmp_path: Path) -> None:
    """A power cut leaves the name and not the bytes; the picture is made again, over it."""
    key = PictureKey(ONE, 1, 1, 320)
    cache.put(key, webp(), 0)
    (file,) = (tmp_path / "pictures" / ONE).iterdir()
    file.write_bytes(webp().data[:-1])

    assert cache.get(key) is None
    assert cache.put(key, webp(), 0)
    assert cache.get(key) == webp()


def test_the_pictures_of_a_job_are_removed_together(cache: PictureCache) -> None:
    """Those of another job stay. To remove them twice is harmless."""
    for key in (PictureKey(ONE, 1, 1, 320), PictureKey(ONE, 2, 1, 320), PictureKey(OTHER, 1, 1, 320)):
        cache.put(key, webp(), 0)
    cache.remove(ONE)
    cache.remove(ONE)

    assert cache.tokens() == [OTHER]


def test_the_oldest_pictures_make_room(cache: PictureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is bounded, whatever the number of jobs; also by a process that has just started."""
    monkeypatch.setattr(pictures, "MOST", 100_000)
    monkeypatch.setattr(pictures, "LEFT", 75_000)
    keys = [PictureKey(ONE if number < 3 else OTHER, number, 1, 320) for number in range(12)]
    for number, key in enumerate(keys):
        again = PictureCache(tmp_path / "pictures") if number % 2 else cache
        assert again.put(key, webp(20_000), 0)
        for file in (tmp_path / "pictures" / key.token).glob(f"{number}-*"):
            os.utime(file, (number, number))

    kept = [key.document for key in keys if cache.get(key)]
    assert kept == list(range(12 - len(kept), 12))
    assert 2 <= len(kept) <= 5
    assert cache.tokens() == [OTHER]


def test_a_disk_that_is_nearly_full_gets_no_picture(cache: PictureCache, tmp_path: Path) -> None:
    """The rest of the disk is for images and for the database."""
    disk = os.statvfs(tmp_path)
    key = PictureKey(ONE, 1, 1, 320)

    assert not cache.put(key, webp(), disk.f_blocks * disk.f_frsize)
    assert cache.get(key) is None


def test_a_cache_that_cannot_be_written_is_no_error(cache: PictureCache, tmp_path: Path) -> None:
    """The picture is shown all the same."""
    (tmp_path / "pictures").write_bytes(b"")

    assert not cache.put(PictureKey(ONE, 1, 1, 320), webp(), 0)


@pytest.mark.parametrize("data", [b"", b"RIFF", webp().data[:-1], webp().data + b"x", b"RIFX" + webp().data[4:]])
def test_only_a_webp_file_as_long_as_it_says_is_whole(data: bytes) -> None:
    """A worker that an image has taken over may write anything."""
    assert is_whole(webp().data)
    assert not is_whole(data)
