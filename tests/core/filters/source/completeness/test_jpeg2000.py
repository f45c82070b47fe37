"""What of a JPEG 2000 is walked through, and what of it is not clear."""

from __future__ import annotations

import pytest
from examined_files import found
from packed_files import box, boxed, parts

HEAD, CODESTREAM = parts()


def test_a_file_without_a_codestream_is_cut() -> None:
    """Its boxes are whole, and the pixels would follow."""
    assert found(HEAD) == "cut: it has no codestream"


def test_fragments_are_not_clear() -> None:
    """Pixels of a JPX may lie in other files."""
    assert found(HEAD + box(b"ftbl", b"")) == "unknown: it consists of fragments"


def test_a_box_is_as_long_as_its_head_at_least() -> None:
    """Else the same box would come again."""
    assert found(HEAD + b"\0\0\0\x07xml ").endswith("has a length of 7 bytes; expected 8")
    assert found(HEAD + b"\0\0\0\x01xml " + b"\0\0\0\0\0\0\0\x0f").endswith("has a length of 15 bytes; expected 16")


def test_bytes_that_are_too_few_for_a_box_are_padding_if_they_are_zeros() -> None:
    """Else they are the begin of a box."""
    assert found(boxed(behind=bytes(7))) == "whole: "
    assert found(boxed(behind=b"\0\0\0\x10xml")).startswith("cut")


def test_a_codestream_that_its_box_cuts_off_is_not_clear() -> None:
    """All bytes that its box announces are there; in a box without a length some are missing."""
    assert (
        found(HEAD + box(b"jp2c", CODESTREAM[:-2])) == "unknown: it has no end mark (EOC) in the box of its codestream"
    )
    assert found(HEAD + box(b"jp2c", CODESTREAM[:-2], is_open=True)) == "cut: it has no end mark (EOC)"


def changed(place: int, value: bytes) -> bytes:
    """Return a JP2 whose codestream has other bytes at this place."""
    return HEAD + box(b"jp2c", CODESTREAM[:place] + value + CODESTREAM[place + len(value) :])


FIRST_TILE = CODESTREAM.index(b"\xff\x90\0\x0a")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (changed(0, b"\xff\x51"), "no codestream begins at byte"),
        (changed(2, b"ab"), "there is no marker at byte"),
        (changed(4, b"\0\x01"), "has a length of 1 bytes; expected 2 or more"),
        (changed(FIRST_TILE + 6, b"\0\0\0\x0d"), "has 13 bytes; expected 14 or more"),
    ],
)
def test_a_broken_codestream_is_not_clear(content: bytes, reason: str) -> None:
    """It leads nowhere, and never round."""
    assert found(content).startswith("unknown: ")
    assert reason in found(content)
