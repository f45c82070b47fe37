"""What of a JPEG is walked through, and what of it is not clear."""

from __future__ import annotations

import pytest
from examined_files import found
from image_files import baseline, multi_picture

from postscan.core.filters.source.completeness import jpeg

SCAN = b"\xff\xda\0\x02"
FRAME = b"\xff\xc0\0\x02"


def test_fill_bytes_and_restart_markers_are_no_end() -> None:
    """Any number of 0xFF may stand before a marker; 0xFF 0x00 is a byte of the image, 0xFF 0xD0 to 0xD7 a restart."""
    content = b"\xff\xd8" + b"\xff" * 5 + FRAME + SCAN + b"\xff\0\xff\xd0a\xff\xd7" + b"\xff" * 3 + b"\xff\xd9"

    assert found(content) == "whole: "
    assert found(content[:-1]) == "cut: it has no end mark (EOI)"


def test_jpeg_ls_has_other_bytes_in_its_scan() -> None:
    """There a bit is stuffed, so that what follows 0xFF is below 0x80 (ITU-T T.87)."""
    assert found(b"\xff\xd8\xff\xf7\0\x02" + SCAN + b"\xff\x7f\xff\x01\xff\xd9") == "whole: "


def test_tables_without_an_image_are_not_clear() -> None:
    """An abbreviated stream is no picture."""
    assert found(b"\xff\xd8\xff\xdb\0\x02\xff\xd9") == "unknown: it ends before its first scan"
    assert found(b"\xff\xd8\xff\xc4\0\x02" + SCAN + b"\xff\xd9") == "unknown: it ends before its first scan"


def test_an_image_inside_an_image_is_not_clear() -> None:
    """The begin of another file, where one was cut and the next one appended."""
    content = baseline()
    length = len(content) - 10

    assert found(content[:length] + content).startswith(f"unknown: another image begins at byte {length}")


def test_a_segment_without_a_length_is_not_clear() -> None:
    """Its two bytes count themselves."""
    assert found(b"\xff\xd8" + FRAME + b"\xff\xe1\0\x01\xff\xd9").startswith(
        "unknown: the segment at byte 6 has a length"
    )


def test_segments_are_counted() -> None:
    """A file of nothing but comments ends somewhere."""
    few = b"\xff\xd8" + FRAME + SCAN + b"\xff\xfe\0\x02" * (jpeg.MOST_SEGMENTS - 3) + b"\xff\xd9"
    many = few.replace(FRAME, FRAME + b"\xff\xfe\0\x02")

    assert found(few) == "whole: "
    assert found(many) == "unknown: it has more than 10000 segments"


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_the_images_of_an_index_are_looked_for(byte_order: str) -> None:
    """Where it says, an image begins: there is none in a file that is still being written."""
    content = multi_picture(byte_order)
    second = content.index(b"\xff\xd8\xff", 2)
    begin = content.rindex(b"\xff\xd8\xff")
    assert second == begin, "the sample has two images"

    assert found(content) == "whole: "
    assert found(content[:begin] + bytes(len(content) - begin)).startswith(f"unknown: no image begins at byte {begin}")
    assert found(content[:begin]) == f"cut: it refers to byte {len(content) - 1}, and ends after {begin} bytes"


def test_an_index_without_images_refers_to_none() -> None:
    """That of the second image, which has become a file of its own, has only its attributes."""
    content = multi_picture()
    index = content.replace(b"\x02\xb0\x07\0", b"\x03\xb0\x07\0", 1)
    assert index != content

    assert found(index[: content.rindex(b"\xff\xd8\xff")]) == "whole: "


def test_a_broken_index_is_not_clear() -> None:
    """Here its first directory is as long as it can be."""
    content = multi_picture()
    at = content.index(b"MPF\0") + 12

    assert found(content[:at] + b"\xff\xff" + content[at + 2 :]).startswith("unknown: its list of images is broken (")
