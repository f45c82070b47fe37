"""Files that are made to cost much: they are read no more often than a limit, and little of them at once."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import BinaryIO, Final, cast

import pytest
from packed_files import box, parts
from virtual_files import VirtualFile

from postscan.core.filters.source.completeness import Completeness, FileState, examine, window
from postscan.core.filters.source.completeness.window import BLOCK

LARGE: Final = 1 << 31
"""The largest image that the server takes."""

JPEG: Final = b"\xff\xd8\xff\xc0\0\x02"
SCAN: Final = b"\xff\xda\0\x02"
PNG: Final = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def repeated(head: bytes, unit: bytes, end: bytes = b"", size: int = LARGE) -> VirtualFile:
    """Return a file of a head, then one unit again and again, and an end in place of the last ones."""
    begin = -len(head) % len(unit)
    return VirtualFile(size, unit[begin:] + unit[:begin], {0: head, size - len(end): end})


def found(file: VirtualFile) -> Completeness:
    """Return what is said about a file, which must not cost more than one pass and the jumps."""
    result = examine(cast(BinaryIO, file))

    assert file.reads <= file.size // BLOCK + window.MOST_JUMPS + 1
    assert file.longest <= 128 * 1024
    return result


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fiftieth of the steps: the limit is the same for all files."""
    monkeypatch.setattr(window, "MOST_STEPS", 20_000)


def test_a_large_file_is_read_once() -> None:
    """A JPEG of 2 GiB whose scan does not end; nothing but the largest file shows that a pass is possible."""
    file = repeated(JPEG + SCAN, b"\0")

    assert found(file) == Completeness(FileState.CUT, "jfif", "it has no end mark (EOI)")
    assert file.reads <= LARGE // BLOCK + 8


@pytest.mark.parametrize("unit", [b"\xff", b"\xff\0", b"\xff\xd0"], ids=["fill bytes", "zeros", "restarts"])
def test_marks_that_are_none_are_passed_over(unit: bytes) -> None:
    """At the cost of a pass, and of no step for each."""
    file = repeated(JPEG + SCAN, unit, size=1 << 24)

    assert found(file).reason == "it has no end mark (EOI)"
    assert file.reads <= file.size // BLOCK + 2


def test_endless_segments_end_soon() -> None:
    """Comments without content, 500 million of them."""
    file = repeated(JPEG, b"\xff\xfe\0\x02")

    assert found(file).reason == "it has more than 10000 segments"
    assert file.reads <= 3


@pytest.mark.usefixtures("few_steps")
def test_an_endless_list_of_images_ends_soon() -> None:
    """The field says that it has 268 million entries; each is for the image at the begin."""
    index = b"MPF\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0xB002, 7, 0xFFFF_FFF0, 100, 0)
    head = b"\xff\xd8\xff\xe2" + (2 + len(index)).to_bytes(2, "big") + index

    assert "steps are needed" in found(repeated(head, b"\0")).reason


@pytest.mark.usefixtures("few_steps")
def test_endless_chunks_end_soon() -> None:
    """A million chunks without content, and more."""
    file = repeated(PNG + chunk(b"IHDR"), chunk(b"teSt"))

    assert found(file).state is FileState.UNKNOWN
    assert file.reads <= 10


def test_a_million_chunks_are_too_many() -> None:
    """With the limit as it is, and all of them right."""
    file = repeated(PNG + chunk(b"IHDR"), chunk(b"IDAT"), chunk(b"IEND"), size=8 + 12 + 12 * 1_000_000 + 12)

    assert found(file) == Completeness(
        FileState.UNKNOWN, "png", "it has so many parts that more than 1000000 steps are needed"
    )


def test_a_long_chunk_is_read_once() -> None:
    """For its checksum."""
    file = repeated(PNG + chunk(b"IHDR") + b"\x03\xff\xff\0IDAT", b"\0", size=1 << 26)

    assert found(file).reason == "the checksum of its chunk at byte 20 is wrong"
    assert file.reads <= file.size // BLOCK + 3


def test_the_usual_chunks_of_the_largest_file_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """libpng writes 8 KiB in each; here is a 32nd of such a file, and of the steps."""
    monkeypatch.setattr(window, "MOST_STEPS", window.MOST_STEPS // 32)
    unit, head = chunk(b"IDAT", bytes(8192)), PNG + chunk(b"IHDR")
    size = len(head) + len(unit) * (LARGE // 32 // len(unit)) + 12
    file = repeated(head, unit, chunk(b"IEND"), size=size)

    assert found(file).state is FileState.WHOLE


PAGE: Final = struct.pack("<HHHIIHHII", 2, 273, 4, 1, 8, 279, 4, 1, 1)
"""A directory with a strip of one byte, without the offset of the next one."""


def chain(number: int) -> bytes:
    """Return a TIFF of this many pages."""
    size = len(PAGE) + 4
    directories = (PAGE + struct.pack("<I", 12 + size * (index + 1) * (index < number - 1)) for index in range(number))
    whole = b"II*\0\x0c\0\0\0abcd" + b"".join(directories)
    return whole[:-4] + bytes(4)


def test_endless_pages_end_soon() -> None:
    """A TIFF has up to 65,536 directories."""
    most, more = chain(65_536), chain(65_537)

    assert found(VirtualFile(LARGE, parts={0: most})).state is FileState.WHOLE
    file = VirtualFile(LARGE, parts={0: more})
    assert "more than 65536 directories" in found(file).reason
    assert file.reads <= 70


def test_directories_below_a_page_are_read_in_their_order() -> None:
    """Backwards each would be a jump."""
    number, size = 5_000, len(PAGE) + 4
    begin = 100 + 4 * number
    page = struct.pack("<H", 3) + PAGE[2:] + struct.pack("<HHIII", 330, 4, number, 100, 0)
    offsets = struct.pack(f"<{number}I", *range(begin, begin + size * number, size))
    content = (b"II*\0\x0c\0\0\0abcd" + page).ljust(100, b"\0") + offsets + (PAGE + bytes(4)) * number
    file = VirtualFile(len(content), parts={0: content})

    assert found(file).state is FileState.WHOLE
    assert file.reads <= len(content) // BLOCK + 4


def test_endless_strips_cost_nothing() -> None:
    """There is room for 500 million of them; none is looked at."""
    content = b"II*\0\x08\0\0\0" + struct.pack("<HHHIIHHIII", 2, 273, 4, 500_000_000, 40, 279, 4, 500_000_000, 40, 0)
    file = VirtualFile(LARGE, parts={0: content})

    assert found(file).reason == "it has more than 4000000 strips and tiles"
    assert file.reads == 1


def test_a_long_table_is_read_once() -> None:
    """A PDF of 1 GiB whose table has no trailer."""
    size = 1 << 30
    file = repeated(b"%PDF-1.7\nxref\n0 53687091\n", b"0000000000 65535 n \n", b"startxref\n9\n%%EOF\n", size=size)

    assert found(file).reason == "no cross-reference table or stream is at byte 9"
    assert file.reads <= size // BLOCK + 16


@pytest.mark.usefixtures("few_steps")
def test_endless_boxes_end_soon() -> None:
    """Of eight bytes each, behind a codestream."""
    head, codestream = parts()
    file = repeated(head + box(b"jp2c", codestream), box(b"free", b""))

    assert "steps are needed" in found(file).reason
    assert file.reads <= 10


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize(
    "unit", [b"\xff\x90\0\x0a\0\0\0\0\0\x0e\0\x01\xff\x93", b"\xff\x64\0\x02"], ids=["tiles", "comments"]
)
def test_endless_parts_of_a_codestream_end_soon(unit: bytes) -> None:
    """Tile-parts without packets, and comments."""
    file = repeated(parts()[0] + struct.pack(">I4s", 0, b"jp2c") + b"\xff\x4f", unit)

    assert "steps are needed" in found(file).reason
    assert file.reads <= 12


@pytest.mark.usefixtures("few_steps")
def test_endless_packets_end_soon() -> None:
    """Each with a mark, in a tile-part that goes on to the end of the file."""
    tile = b"\xff\x4f\xff\x90\0\x0a\0\0\0\0\0\0\0\x01\xff\x93"
    file = repeated(parts()[0] + struct.pack(">I4s", 0, b"jp2c") + tile, b"\xff\x91\0\x04\xff\xd9")

    assert "steps are needed" in found(file).reason
    assert file.reads <= 10


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("number", [46_000_000, 1 << 60])
def test_an_endless_directory_ends_soon(number: int) -> None:
    """Entries of an archive without a name."""
    entry = struct.pack("<4s42x", b"PK\x01\x02")
    size = 46 * number if number < 1 << 40 else 46 * 46_000_000
    end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, number, number, size, 46)
    end += struct.pack("<4sIQI", b"PK\x06\x07", 0, 46 + size, 1)
    end += b"PK\x05\x06" + b"\0" * 4 + b"\xff" * 12 + b"\0\0"
    file = repeated(b"PK\x03\x04".ljust(46, b"\0"), entry, end, size=46 + size + len(end))

    assert "steps are needed" in found(file).reason
    assert file.reads <= 40


def test_the_extra_fields_of_an_entry_are_counted() -> None:
    """16,000 of them fit into one; the one of ZIP64 is looked for among the first 64."""

    def archive(fields: int) -> VirtualFile:
        long = struct.pack("<HHQQ", 1, 16, 7, 0)
        extra = b"\x99\x99\0\0" * fields + long
        entry = struct.pack("<4s16xIIHHHHHII", b"PK\x01\x02", 0xFFFF_FFFF, 0, 7, len(extra), 0, 0, 0, 0, 0)
        directory = entry + b"a.fdseq" + extra
        end = struct.pack("<4s4xHHIIH", b"PK\x05\x06", 1, 1, len(directory), 46, 0)
        content = b"PK\x03\x04".ljust(46, b"\0") + directory + end
        return VirtualFile(len(content), parts={0: content})

    assert found(archive(63)).state is FileState.WHOLE
    assert found(archive(64)).reason == "the entry at byte 0 ends behind the begin of the directory"


def test_memory_does_not_grow_with_the_file() -> None:
    """The kind that keeps the most is TIFF: where its directories are, and the fields of one."""
    pages, fields = (
        chain(8_000),
        struct.pack("<H", 4096) + b"".join(struct.pack("<HHII", tag, 1, 1, 0) for tag in range(1, 4097)),
    )
    content = pages[:-4] + struct.pack("<I", len(pages)) + fields + bytes(4)
    file = VirtualFile(1 << 31, parts={0: content})
    tracemalloc.start()
    try:
        assert found(file).reason == "the strip or tile at byte 0 has no size"
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
