"""The filter on photographs of real pages, and under the contract of filters."""

from itertools import count
from pathlib import Path

import numpy
import pytest
import skimage.data
from blank_pages import BlankPages, Instructions
from PIL import Image

from postscan.plugins.testing import assert_filter_contract, run_filter


@pytest.fixture
def pages(tmp_path: Path) -> list[Path]:
    """A printed page, a bare piece of its paper, a written page, and white paper with the noise of a scanner."""
    printed, other = skimage.data.page(), skimage.data.text()
    bare = printed[126:146, 190:380]
    noise = numpy.random.default_rng(7).normal(246, 3, (400, 300)).clip(0, 255).astype("uint8")
    paths = []
    for number, picture in enumerate((printed, bare, other, noise), start=1):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(picture).save(paths[-1])
    return paths


def test_blank_pages_are_left_out_and_printed_ones_go_on(pages: list[Path]) -> None:
    """The paper is grey and unevenly lit, and counts as paper."""
    result = run_filter(BlankPages(), pages)

    assert result.outcome == "CompletedSuccessfully"
    assert [document.id for document in result.documents or []] == [1, 3]


def test_a_scan_process_says_how_much_ink_a_blank_page_may_have(pages: list[Path]) -> None:
    """With 100 percent everything is blank."""
    result = run_filter(BlankPages(), pages, instructions=Instructions(ink=100))

    assert result.documents == []


def test_a_file_of_several_pages_stays_if_one_of_them_is_printed(pages: list[Path], tmp_path: Path) -> None:
    """A document is removed as a whole or stays."""
    first, *others = [Image.open(page) for page in (pages[1], pages[3], pages[0])]
    first.save(tmp_path / "mixed.tif", save_all=True, append_images=others)
    first.save(tmp_path / "blank.tif", save_all=True, append_images=others[:1])
    for image in (first, *others):
        image.close()
    result = run_filter(BlankPages(), [tmp_path / "mixed.tif", tmp_path / "blank.tif"])

    assert [document.id for document in result.documents or []] == [1]


def test_what_is_no_image_stays_and_is_named(tmp_path: Path) -> None:
    """A warning names it."""
    (tmp_path / "letter.xps").write_bytes(b"PK not an image")
    result = run_filter(BlankPages(), [tmp_path / "letter.xps"])

    assert result.documents is None
    assert "xps cannot be read, so it stays" in result.warnings[0]


def test_whenever_it_is_cancelled_nothing_is_left_out(pages: list[Path]) -> None:
    """Changes of a cancelled run do not count."""
    for number in count(1):
        result = run_filter(BlankPages(), pages, cancel_at=number)
        if result.outcome != "Canceled":
            break
        assert result.documents is None

    assert number > len(pages)


def test_it_keeps_the_contract(pages: list[Path]) -> None:
    """Run, cancelled and run again, it has no defects."""
    assert_filter_contract(BlankPages(), pages)
