"""The filter against a server that speaks S3."""

from itertools import count
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store
from PIL import Image
from s3_upload import CHUNK, Instructions, S3Upload, Settings, connected

from postscan.plugins.testing import run_filter


@pytest.fixture
def pages(tmp_path: Path) -> list[Path]:
    """A small page, and one of several parts."""
    Image.new("L", (200, 300), 250).save(tmp_path / "1.png")
    Image.effect_noise((3000, 4000), 90).save(tmp_path / "2.bmp")
    assert (tmp_path / "2.bmp").stat().st_size > 2 * CHUNK
    return [tmp_path / "1.png", tmp_path / "2.bmp"]


def stored(settings: dict[str, str]) -> dict[str, bytes]:
    """Return the objects of the bucket by name."""
    store: S3Store = connected(Settings(**settings))
    names = [entry["path"] for batch in obstore.list(store) for entry in batch]
    return {name: bytes(obstore.get(store, name).bytes()) for name in names}


def test_each_page_is_an_object_in_the_folder_of_its_user(settings: dict[str, str], pages: list[Path]) -> None:
    """Byte for byte, in parts or not."""
    result = run_filter(S3Upload(), pages, instructions=Instructions("scans/letters"), settings=settings)
    objects = stored(settings)

    assert result.outcome == "CompletedSuccessfully", result.detail
    assert sorted(objects.values()) == sorted(page.read_bytes() for page in pages)
    assert all(name.startswith("scans/letters/anna@fabrikam.example/") for name in objects)


def test_a_second_run_after_a_crash_uploads_no_second_object(settings: dict[str, str], pages: list[Path]) -> None:
    """It has the same name."""
    for _ in range(2):
        run_filter(S3Upload(), pages, settings=settings)

    assert len(stored(settings)) == len(pages)


def test_whenever_it_is_cancelled_objects_are_whole(settings: dict[str, str], pages: list[Path]) -> None:
    """What is visible is a page that was sent."""
    whole = {page.read_bytes() for page in pages}
    for number in count(1):
        result = run_filter(S3Upload(), pages, settings=settings, cancel_at=number)
        assert set(stored(settings).values()) <= whole
        if result.outcome != "Canceled":
            break

    assert number > len(pages)


@pytest.mark.parametrize("folder", ["/scans", "scans//letters", "../scans", "scans/"])
def test_a_folder_that_a_store_would_change_is_refused(folder: str) -> None:
    """Before a job runs."""
    with pytest.raises(ValueError, match="Folder: "):
        Instructions(folder)


def test_a_bucket_that_is_not_there_is_named(settings: dict[str, str], pages: list[Path]) -> None:
    """The job ends with errors, and the reason has the address."""
    result = run_filter(S3Upload(), pages, settings=settings | {"bucket": "other"})

    assert result.outcome == "CompletedWithErrors"
    assert "s3://other/" in result.detail
