"""What of a PNG is walked through, and what of it is not clear."""

from __future__ import annotations

import zlib

import pytest
from examined_files import found

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk with its length and its checksum."""
    body = kind + content
    return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


HEAD, PIXELS, END = chunk(b"IHDR", b"any"), chunk(b"IDAT", b"pixels"), chunk(b"IEND")


@pytest.mark.parametrize("place", range(8, len(HEAD + PIXELS + END)))
def test_every_byte_is_in_a_checksum(place: int) -> None:
    """One that is wrong is found; in a length it makes a chunk end elsewhere."""
    content = bytearray(SIGNATURE + HEAD + PIXELS + END)
    content[place] ^= 1

    assert found(bytes(content)).startswith("cut: ")


def test_the_chunk_with_a_wrong_checksum_is_named() -> None:
    """By its offset."""
    assert (
        found(SIGNATURE + HEAD + PIXELS.replace(b"x", b"y") + END)
        == "cut: the checksum of its chunk at byte 23 is wrong"
    )


def test_a_file_that_ends_between_two_chunks_is_cut() -> None:
    """The reason says what is missing."""
    assert found(SIGNATURE + HEAD + PIXELS) == "cut: it has no end mark (IEND)"


def test_a_file_without_pixels_is_not_clear() -> None:
    """Nothing is missing at its end."""
    assert found(SIGNATURE + HEAD + END) == "unknown: it has no pixels (IDAT)"


def test_a_file_without_a_header_is_not_clear() -> None:
    """IHDR comes first."""
    assert found(SIGNATURE + PIXELS + HEAD + END) == "unknown: it does not begin with IHDR"
