"""Which Format keyword a file gets."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image

from postscan.core.model.formats import UnknownFormat, by_first_bytes, detect


def keyword(path: Path) -> str:
    """Detect a file as a program that opens it; its bytes alone give the same."""
    with path.open("rb") as file:
        found = detect(str(path), file)
    assert detect(path.name, path.read_bytes()) == found
    return found


def tiff(path: Path, compression: str | None, pages: int = 1, mode: str = "1") -> Path:
    """Save a small TIFF with Pillow; *compression* by Pillow's name."""
    first, *more = [Image.new(mode, (16, 16)) for _ in range(pages)]
    first.save(path, compression=compression, save_all=True, append_images=more)
    return path


def directory(compression: int, following: int) -> bytes:
    """Return a TIFF directory with one entry, the compression, and the offset of the next directory."""
    return struct.pack("<HHHIHHI", 1, 259, 3, 1, compression, 0, following)


@pytest.mark.parametrize(
    ("name", "beginning", "expected"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n", "png"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "jfif"),
        ("a.JPEG", b"\xff\xd8\xff\xe1", "jfif"),
        ("a.pdf", b"%PDF-1.7", "pdf-a"),
        ("a.bmp", b"BM\0\0", "dib"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2k"),
        ("a.xps", b"PK\x03\x04", "xps"),
        ("a.jbg", b"\0\0\1\0", "jbig"),
    ],
)
def test_the_extension_decides_and_the_first_bytes_agree(
    tmp_path: Path, name: str, beginning: bytes, expected: str
) -> None:
    """Each kind of file has its keyword (ws-dsp.md section 4.2)."""
    path = tmp_path / name
    path.write_bytes(beginning + b"rest")

    assert keyword(path) == expected


@pytest.mark.parametrize(
    ("compression", "pages", "mode", "expected"),
    [
        (None, 1, "L", "tiff-single-uncompressed"),
        (None, 3, "L", "tiff-multi-uncompressed"),
        ("group4", 1, "1", "tiff-single-g4"),
        ("group4", 2, "1", "tiff-multi-g4"),
        ("group3", 1, "1", "tiff-single-g3mh"),
        ("jpeg", 2, "RGB", "tiff-multi-jpeg-tn2"),
    ],
)
def test_a_tiff_is_named_after_its_pages_and_its_compression(
    tmp_path: Path, compression: str | None, pages: int, mode: str, expected: str
) -> None:
    """The protocol tells single from multi page TIFFs, and one compression from another."""
    assert keyword(tiff(tmp_path / "a.tif", compression, pages, mode)) == expected


def test_a_big_endian_tiff_is_read_too(tmp_path: Path) -> None:
    """Both byte orders are TIFF."""
    path = tmp_path / "a.tiff"
    path.write_bytes(b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 259, 3, 1, 4, 0, 0))

    assert keyword(path) == "tiff-single-g4"


def test_a_big_tiff_is_read_too(tmp_path: Path) -> None:
    """BigTIFF has the same directories with longer offsets; Pillow writes it as well."""
    path = tmp_path / "a.tif"
    Image.new("1", (16, 16)).save(path, big_tiff=True)

    assert path.read_bytes().startswith(b"II+\0")
    assert keyword(path) == "tiff-single-uncompressed"


def test_an_offset_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    """A BigTIFF has room for offsets that no system can seek to."""
    path = tmp_path / "a.tif"
    path.write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**64 - 1))

    with pytest.raises(UnknownFormat, match=r"broken TIFF file \(it ends at byte 16, and refers to byte"):
        keyword(path)


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xdb", "jfif"),
        (b"MM\0+\0\x08", "tiff"),
        (b"%PDF-2.0", "pdf-a"),
        (b"BM", "dib"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2k"),
        (b"PK\x03\x04", "xps"),
    ],
)
def test_first_bytes_alone_tell_the_kind(beginning: bytes, expected: str) -> None:
    """A file that comes without a name."""
    assert by_first_bytes(beginning) == expected


@pytest.mark.parametrize("beginning", [b"", b"GIF89a", b"\x89PNG", b"\0\0\1\0"])
def test_other_first_bytes_are_no_kind_of_image(beginning: bytes) -> None:
    """Another kind of file, a beginning that is cut, and JBIG, which has no fixed beginning."""
    with pytest.raises(UnknownFormat, match="no kind of image begins with"):
        by_first_bytes(beginning)


def test_a_compression_without_a_keyword_is_named(tmp_path: Path) -> None:
    """LZW (5) has no keyword, so the sentence names it and what is possible."""
    path = tiff(tmp_path / "a.tif", "tiff_lzw", mode="L")

    with pytest.raises(UnknownFormat, match=r"compression 5.*expected the same"):
        keyword(path)


def test_pages_of_different_compressions_have_no_keyword(tmp_path: Path) -> None:
    """A keyword speaks of all pages."""
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory(1, 26) + directory(4, 0))

    with pytest.raises(UnknownFormat, match="compression 1, 4"):
        keyword(path)


@pytest.mark.parametrize(
    "content",
    [
        b"II*\0",
        b"II*\0" + struct.pack("<I", 8),
        b"II*\0" + struct.pack("<I", 9999),
        b"II*\0" + struct.pack("<I", 8) + b"\xff\xff",
        b"II*\0" + struct.pack("<I", 8) + directory(1, 8),
    ],
    ids=["no offset", "no directory", "offset behind the end", "cut directory", "ring"],
)
def test_a_broken_tiff_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever the bytes are, the answer is a sentence, and it comes at once."""
    path = tmp_path / "a.tif"
    path.write_bytes(content)

    with pytest.raises(UnknownFormat, match="broken TIFF"):
        keyword(path)


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    """The server would only warn; the person at the keyboard can still do something about it."""
    path = tmp_path / "a.png"
    path.write_bytes(b"\xff\xd8\xff\xe0")

    with pytest.raises(UnknownFormat, match=r"a\.png: does not begin like a \.png file"):
        keyword(path)


def test_an_unknown_extension_is_refused_with_the_known_ones() -> None:
    """The sentence says what was wrong and what was expected."""
    with pytest.raises(UnknownFormat, match=r"unknown extension '\.gif'; expected one of \.png \.jpg"):
        detect("a.gif", b"GIF89a")
