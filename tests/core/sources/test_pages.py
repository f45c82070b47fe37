"""The format of a page of a source, and which pages are refused by their content."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sourced import picture

from postscan.core.errors import OriginRefused
from postscan.core.sources import pages

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def accepted(tmp_path: Path, data: bytes, *, whole: bool = False) -> str:
    """Return the format of a page of the spool with these bytes."""
    path = tmp_path / "spooled"
    path.write_bytes(data)
    return pages.accepted_format(path, whole=whole)


def image(kind: str, **options: Any) -> bytes:
    """Return a small image, as Pillow writes it."""
    file = io.BytesIO()
    Image.new("1" if options.get("compression") == "group4" else "L", (8, 8)).save(file, kind, **options)
    return file.getvalue()


def exif() -> bytes:
    """Return a JPEG that begins with Exif, as cameras write it."""
    whole = image("JPEG")
    return whole[:2] + b"\xff\xe1\0\x10Exif\0\0" + b"II*\0\x08\0\0\0" + whole[20:]


@pytest.mark.parametrize(
    ("data", "keyword"),
    [
        (picture(), "png"),
        (image("JPEG"), "jfif"),
        (exif(), "exif"),
        (image("TIFF", compression="group4"), "tiff-single-g4"),
        (image("TIFF", append_images=[Image.new("L", (8, 8))], save_all=True), "tiff-multi-uncompressed"),
        (image("PDF"), "pdf-a"),
        (image("BMP"), "dib"),
        (image("JPEG2000"), "jpeg2k"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_whole_image_has_the_format_of_its_content(tmp_path: Path, data: bytes, keyword: str) -> None:
    """Whatever the source said."""
    assert accepted(tmp_path, data) == keyword


def test_a_tiff_whose_compression_has_no_keyword_is_refused(tmp_path: Path) -> None:
    """No filter would know what it gets."""
    with pytest.raises(OriginRefused, match="no keyword for this TIFF"):
        accepted(tmp_path, image("TIFF", compression="tiff_lzw"), whole=True)


@pytest.mark.parametrize("data", [picture()[:-1], picture()[:40], picture()[:-12], JPEG + b"\xff\xda"], ids=range(4))
@pytest.mark.parametrize("whole", [False, True])
def test_a_page_that_is_cut_is_refused(tmp_path: Path, data: bytes, whole: bool) -> None:
    """T-S2: also if the source says that it has seen the end."""
    with pytest.raises(OriginRefused, match="the page is not complete"):
        accepted(tmp_path, data, whole=whole)


@pytest.mark.parametrize("data", [b"", b"%!PS-Adobe-3.0", b"GIF89a", b"<html>", b"\0" * 100], ids=range(5))
def test_what_is_no_image_that_is_known_is_refused(tmp_path: Path, data: bytes) -> None:
    """Whoever says that it is whole."""
    with pytest.raises(OriginRefused, match="the page is"):
        accepted(tmp_path, data, whole=True)


def unclear() -> bytes:
    """Return a PNG whose end is there, and whose structure is broken in another way."""
    whole = picture()
    return whole[:8] + whole[33:]


def test_a_page_that_does_not_say_whether_it_is_whole_needs_the_protocols_end(tmp_path: Path) -> None:
    """T-S2: where the protocol has one, and the source has seen it."""
    with pytest.raises(OriginRefused, match="not known whether the page is complete"):
        accepted(tmp_path, unclear())

    assert accepted(tmp_path, unclear(), whole=True) == "png"
