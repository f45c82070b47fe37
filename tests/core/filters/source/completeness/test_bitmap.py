"""What of a BMP is walked through, and what of it is not clear."""

from __future__ import annotations

import struct

import pytest
from examined_files import found
from image_files import bitmap, old_bitmap, run_lengths


def header(width: int, height: int, depth: int, *, compression: int = 0, size: int = 0, bytes_: int = 40) -> bytes:
    """Return a header of this many bytes."""
    fields = struct.pack("<IiiHHIIiiII", bytes_, width, height, 1, depth, compression, size, 0, 0, 0, 0)
    return fields.ljust(bytes_, b"\0")[:bytes_]


@pytest.mark.parametrize(
    ("width", "depth", "row"), [(1, 1, 4), (32, 1, 4), (33, 1, 8), (1, 24, 4), (2, 24, 8), (3, 32, 12)]
)
@pytest.mark.parametrize("height", [3, -3])
def test_a_row_is_filled_up_to_four_bytes(width: int, depth: int, row: int, height: int) -> None:
    """Rows from the top down have a negative height."""
    content = bitmap(header(width, height, depth), bytes(3 * row))

    assert found(content) == "whole: "
    assert found(content[:-1]) == f"cut: it refers to byte {54 + 3 * row - 1}, and ends after {54 + 3 * row - 1} bytes"


@pytest.mark.parametrize("compression", [3, 6, 11])
def test_masks_and_cmyk_have_rows_too(compression: int) -> None:
    """Their size in the header does not count."""
    assert found(bitmap(header(2, 2, 32, compression=compression, size=999), bytes(16))) == "whole: "


@pytest.mark.parametrize("bytes_", [16, 64])
def test_the_second_header_of_os2_is_read(bytes_: int) -> None:
    """It may be as short as 16 bytes; its compressions have other meanings."""
    assert found(bitmap(header(2, 2, 24, bytes_=bytes_), bytes(16))) == "whole: "
    assert found(bitmap(header(2, 2, 24, bytes_=bytes_), bytes(15))).startswith("cut")
    if bytes_ == 64:
        assert found(bitmap(header(9, 9, 1, compression=3, size=5, bytes_=64), bytes(5))) == "whole: "


def test_without_any_size_a_compressed_image_is_not_clear() -> None:
    """One of the two headers has to say it."""
    assert found(run_lengths(declared=False, says=0)).startswith("unknown: neither header says")


@pytest.mark.parametrize(("says", "state"), [(0, "whole"), (10, "whole"), (71, "unknown")])
def test_the_size_in_the_first_header_is_often_wrong(says: int, state: str) -> None:
    """One that is too large makes a file with all its pixels unclear, and not cut."""
    assert found(bitmap(header(2, 2, 24), bytes(16), says=says)).startswith(state)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bitmap(header(0, 2, 24), b""), "it has 0 x 2 pixels of 24 bits"),
        (bitmap(header(2, 0, 24), b""), "it has 2 x 0 pixels of 24 bits"),
        (bitmap(header(2, 2, 5), b""), "it has 2 x 2 pixels of 5 bits"),
        (bitmap(header(2, 2, 24, bytes_=200), bytes(16)), "its header has 200 bytes; expected 12, or 16 to 124"),
        (old_bitmap().replace(b"\x20\0\0\0", b"\x03\0\0\0", 1), "its pixels begin at byte 3, inside its header"),
    ],
)
def test_an_impossible_header_is_not_clear(content: bytes, reason: str) -> None:
    """Nothing says where such an image ends."""
    assert found(content) == f"unknown: {reason}"
