"""What of a TIFF is walked through, and what of it is not clear."""

from __future__ import annotations

import struct

import pytest
from examined_files import found

from postscan.core.filters.source.completeness import tiff

PIXELS = b"\x01" * 20
STRIP = {273: (4, 1, 8), 279: (4, 1, 20)}
"""One strip behind the header."""


def directory(fields: dict[int, tuple[int, int, int]], following: int = 0) -> bytes:
    """Return a directory; of each tag the type, the number of values, and the value or its offset."""
    entries = b"".join(struct.pack("<HHII", tag, *field) for tag, field in fields.items())
    return struct.pack("<H", len(fields)) + entries + struct.pack("<I", following)


def file(*directories: bytes, first: int = 28) -> bytes:
    """Return a TIFF with 20 bytes of pixels and these directories, which begin at byte 28."""
    return b"II*\0" + struct.pack("<I", first) + PIXELS + b"".join(directories)


SIZE = len(directory(STRIP))
WITH_ONE_BELOW = {**STRIP, 330: (4, 1, 100)}
BELOW = 28 + len(directory(WITH_ONE_BELOW))


def test_a_page_with_a_strip_is_whole() -> None:
    """The smallest file of the others here."""
    assert found(file(directory(STRIP))) == "whole: "


def test_a_file_without_a_page_is_not_clear() -> None:
    """So is a page without pixels, and one of zeros."""
    assert found(file(first=0)) == "unknown: it has no page"
    assert found(file(directory({256: (4, 1, 5)}))).startswith("unknown: one of its pages has neither strips nor tiles")
    assert found(file(directory({**STRIP, 0: (0, 0, 0)}))).startswith("unknown: one of its pages has neither")


@pytest.mark.parametrize("following", [28, 28 + SIZE])
def test_a_ring_of_pages_is_not_clear(following: int) -> None:
    """Back to the first page, and a page that follows itself."""
    content = file(directory(STRIP, 28 + SIZE), directory(STRIP, following))

    assert found(content) == "unknown: its structure cannot be followed (its directories form a ring, or share one)"


def test_directories_below_a_page_may_be_listed_and_chained() -> None:
    """Some writers do both; each is checked once."""
    page = {**STRIP, 330: (4, 2, 28 + SIZE + 12)}
    first, second = BELOW + 8, BELOW + 8 + SIZE
    content = file(directory(page), struct.pack("<II", first, second), directory(STRIP, second), directory(STRIP))

    assert found(content) == "whole: "
    assert found(content[:-1]).startswith("cut: it refers to byte")


@pytest.mark.parametrize("tag", [330, 34665])
def test_a_directory_below_itself_is_not_clear(tag: int) -> None:
    """A ring, whichever field leads round."""
    page, below = {**STRIP, 330: (4, 1, BELOW)}, {**STRIP, tag: (4, 1, BELOW)}

    assert found(file(directory(page), directory(below))) == "unknown: its directories form a ring"


def test_a_page_below_itself_is_not_clear() -> None:
    """A ring as well."""
    assert "form a ring" in found(file(directory({**STRIP, 330: (4, 1, 28)})))


def test_the_directory_behind_one_that_describes_is_not_looked_for() -> None:
    """Exif has no successor, and some writers leave anything there; SubIFDs have."""
    content = file(directory({**STRIP, 34665: (4, 1, BELOW)}), directory({37510: (7, 4, 0)}, 99_999))

    assert found(content) == "whole: "
    assert found(content.replace(struct.pack("<H", 34665), struct.pack("<H", 330))).startswith("cut: ")


def test_references_are_counted() -> None:
    """They are in memory together."""
    content = file(directory({**STRIP, 330: (4, 70_000, 100)})) + bytes(4 * 70_000 + 100)

    assert found(content) == "unknown: its directories refer to others more than 65536 times"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({273: (4, 1, 8)}, "a page has no size for each"),
        ({273: (4, 1, 8), 279: (4, 2, 8)}, "a page has no size for each"),
        ({273: (4, 1, 8), 279: (4, 1, 0)}, "the strip or tile at byte 8 has no size"),
        ({**STRIP, 259: (3, 1, 6)}, "a page is compressed as JPEG in the way of TIFF 6.0"),
        ({273: (5, 1, 8), 279: (5, 1, 8)}, "its structure cannot be followed (tag 273 has type 5"),
    ],
    ids=["no sizes", "too many sizes", "a size of 0", "old JPEG", "fractions"],
)
def test_pieces_without_an_end_are_not_clear(fields: dict[int, tuple[int, int, int]], reason: str) -> None:
    """A file that is cut there would look the same."""
    assert found(file(directory(fields))).startswith(f"unknown: {reason}")


def test_a_thumbnail_may_be_compressed_in_the_old_way() -> None:
    """Its stream has an offset and a length."""
    stream = {259: (3, 1, 6), 513: (4, 1, 8), 514: (4, 1, 20)}

    assert found(file(directory(STRIP, 28 + SIZE), directory(stream))) == "whole: "


def test_a_value_behind_the_end_is_missing() -> None:
    """Whatever it says."""
    assert found(file(directory({**STRIP, 270: (2, 50, 60)}))) == "cut: it refers to byte 109, and ends after 70 bytes"


def test_pieces_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In all pages together."""
    monkeypatch.setattr(tiff, "MOST_PIECES", 1)

    assert found(file(directory(STRIP))) == "whole: "
    assert found(file(directory(STRIP, 28 + SIZE), directory(STRIP))) == "unknown: it has more than 1 strips and tiles"


@pytest.mark.parametrize(("compression", "state"), [(1, "whole"), (4, "unknown")])
def test_zeros_are_no_end_of_compressed_pixels(compression: int, state: str) -> None:
    """They may be the end of others."""
    content = file(directory({**STRIP, 259: (3, 1, compression)})).replace(PIXELS, b"\x01" * 4 + bytes(16))

    assert found(content).startswith(state)
