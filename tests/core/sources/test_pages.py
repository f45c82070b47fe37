"""Pages from the folders of a source: nothing but a whole image that is a regular file there."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sourced import picture

from postscan.core.errors import OriginRefused
from postscan.core.sources import pages

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a source, beside a file that is not its own."""
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "work"
    (folder / "below").mkdir(parents=True)
    (folder / "page").write_bytes(b"page")
    (folder / "below" / "page").write_bytes(b"below")
    return folder


def content(folder: Path, path: str) -> bytes:
    """Return what is copied of a page."""
    with pages.open_page(folder, path) as page:
        return b"".join(pages.chunks(page))


def test_a_file_of_the_folder_is_read(folder: Path) -> None:
    """Also one in a folder below."""
    assert content(folder, "page") == b"page"
    assert content(folder, "below/page") == b"below"


def link_of_the_file(folder: Path) -> str:
    (folder / "link").symlink_to(folder.parent / "secret")
    return "link"


def link_of_its_folder(folder: Path) -> str:
    (folder / "up").symlink_to(folder.parent)
    return "up/secret"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "pipe"


def socket_file(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    return "socket"


@pytest.mark.parametrize(
    "path",
    [
        link_of_the_file,
        link_of_its_folder,
        pipe,
        socket_file,
        lambda folder: "below",
        lambda folder: "missing",
        lambda folder: "",
        lambda folder: ".",
        lambda folder: "../secret",
        lambda folder: "below/../../secret",
        lambda folder: str(folder.parent / "secret"),
        lambda folder: "/dev/zero",
        lambda folder: "page/page",
        lambda folder: "x" * 300,
    ],
    ids=range(14),
)
def test_nothing_else_is(folder: Path, path: Callable[[Path], str]) -> None:
    """T-S4: no link is followed, no device, pipe or socket is opened, and nothing waits."""
    with pytest.raises(OriginRefused, match="the page"):
        content(folder, path(folder))


def test_a_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    """Its bytes end with an error of the disk; here, of a folder that was opened in its place."""
    with (
        pytest.raises(OriginRefused, match="cannot be read"),
        os.fdopen(os.open(folder / "page", os.O_WRONLY), "rb", closefd=True) as page,
    ):
        list(pages.chunks(page))


def accepted(folder: Path, data: bytes, *, whole: bool = False) -> str:
    """Return the format of a page of the spool with these bytes."""
    path = folder / "spooled"
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
def test_a_whole_image_has_the_format_of_its_content(folder: Path, data: bytes, keyword: str) -> None:
    """Whatever the source said."""
    assert accepted(folder, data) == keyword


def test_a_tiff_whose_compression_has_no_keyword_is_refused(folder: Path) -> None:
    """No filter would know what it gets."""
    with pytest.raises(OriginRefused, match="no keyword for this TIFF"):
        accepted(folder, image("TIFF", compression="tiff_lzw"), whole=True)


@pytest.mark.parametrize("data", [picture()[:-1], picture()[:40], picture()[:-12], JPEG + b"\xff\xda"], ids=range(4))
@pytest.mark.parametrize("whole", [False, True])
def test_a_page_that_is_cut_is_refused(folder: Path, data: bytes, whole: bool) -> None:
    """T-S2: also if the source says that it has seen the end."""
    with pytest.raises(OriginRefused, match="the page is not complete"):
        accepted(folder, data, whole=whole)


@pytest.mark.parametrize("data", [b"", b"%!PS-Adobe-3.0", b"GIF89a", b"<html>", b"\0" * 100], ids=range(5))
def test_what_is_no_image_that_is_known_is_refused(folder: Path, data: bytes) -> None:
    """Whoever says that it is whole."""
    with pytest.raises(OriginRefused, match="the page is"):
        accepted(folder, data, whole=True)


def unclear() -> bytes:
    """Return a PNG whose end is there, and whose structure is broken in another way."""
    whole = picture()
    return whole[:8] + whole[33:]


def test_a_page_that_does_not_say_whether_it_is_whole_needs_the_protocols_end(folder: Path) -> None:
    """T-S2: where the protocol has one, and the source has seen it."""
    with pytest.raises(OriginRefused, match="not known whether the page is complete"):
        accepted(folder, unclear())

    assert accepted(folder, unclear(), whole=True) == "png"
