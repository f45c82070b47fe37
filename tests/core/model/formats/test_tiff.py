"""Which directories and fields a TIFF file has, in both byte orders and in BigTIFF, and where reading stops."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy
import pytest
import tifffile

from postscan.core.model.formats import tiff
from postscan.core.model.formats.tiff import BrokenTiff, Field, TiffReader


def reader(content: bytes, read: Callable[[int, int], bytes] | None = None) -> TiffReader:
    """Return a reader of these bytes."""
    return TiffReader(read or (lambda offset, count: content[offset : offset + count]))


def directory(*fields: tuple[int, int, int, int], following: int = 0) -> bytes:
    """Return a directory; of each field the tag, the type, the count, and the value or its offset."""
    entries = b"".join(struct.pack("<HHII", *field) for field in fields)
    return struct.pack("<H", len(fields)) + entries + struct.pack("<I", following)


@pytest.mark.parametrize("is_big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_file_of_another_writer_is_read(order: str, is_big: bool) -> None:
    """tifffile says where it put the strips of two pages, and with which tags."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=order, bigtiff=is_big) as writer:
        for _ in range(2):
            writer.write(numpy.zeros((9, 5), "uint8"), rowsperstrip=2, metadata=None, description="a" * 40)
    pages = tifffile.TiffFile(io.BytesIO(file.getvalue())).pages

    found = reader(file.getvalue())

    for mine, theirs in zip(found.directories(), pages, strict=True):
        assert mine.fields.keys() == {tag.code for tag in theirs.tags}
        assert tuple(found.numbers(mine.fields[273])) == theirs.dataoffsets
        assert tuple(found.numbers(mine.fields[279])) == theirs.databytecounts
        assert [(field.offset, field.values) for field in mine.fields.values()] == [
            (tag.valueoffset, tag.count) for tag in theirs.tags
        ]


def test_a_value_that_fits_is_in_the_field_itself() -> None:
    """Four bytes do; a fifth is elsewhere."""
    content = b"II*\0\x08\0\0\0" + directory((1, 1, 4, 99), (2, 1, 5, 99), (3, 77, 5, 99))

    fields = reader(content).directory(8).fields

    assert fields[1] == Field(1, 1, 4, 18, 4)
    assert fields[2] == Field(2, 1, 5, 99, 5)
    assert fields[3].size == 0, "a type that is not known has no size"


def test_many_numbers_are_read_some_at_a_time() -> None:
    """A field of any length needs little memory; the next part is read when it is asked for."""
    content = b"II*\0\x08\0\0\0" + directory((273, 3, 10_000, 26)) + struct.pack("<10000H", *range(10_000))
    asked: list[int] = []

    def read(offset: int, count: int) -> bytes:
        asked.append(count)
        return content[offset : offset + count]

    found = reader(content, read)
    numbers = found.numbers(found.directory(8).fields[273])

    assert next(numbers) == 0
    assert asked[-1] == 8192
    assert list(numbers) == list(range(1, 10_000))
    assert max(asked) == 8192


def test_numbers_with_a_sign_or_a_fraction_are_not_taken() -> None:
    """A RATIONAL is no offset."""
    found = reader(b"II*\0\x08\0\0\0" + directory((273, 5, 1, 8)))

    with pytest.raises(BrokenTiff, match="tag 273 has type 5; expected whole numbers"):
        next(found.numbers(found.directory(8).fields[273]))


def test_a_ring_of_directories_ends() -> None:
    """Each is read once."""
    content = b"II*\0\x08\0\0\0" + directory(following=14) + directory(following=8)
    pages = reader(content).directories()

    assert [next(pages).following, next(pages).following] == [14, 8]
    with pytest.raises(BrokenTiff, match="form a ring"):
        next(pages)


def endless(fields: int) -> TiffReader:
    """Return a reader of a file without an end: each directory has so many fields, and another one behind it."""

    def read(offset: int, count: int) -> bytes:
        if offset < 8:
            return b"II*\0\x08\0\0\0"[offset : offset + count]
        if count == 2:
            return struct.pack("<H", fields)
        return bytes(count - 4) + struct.pack("<I", offset + count)

    return reader(b"", read)


def test_directories_without_end_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is that of all of them together."""
    monkeypatch.setattr(tiff, "MOST_DIRECTORIES", 100)
    found = 0

    with pytest.raises(BrokenTiff, match="more than 100 directories"):
        for _ in endless(1).directories():
            found += 1

    assert found == 100


def test_fields_without_end_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """In all directories together: 4,096 in each of 65,536 would be 3 GiB."""
    monkeypatch.setattr(tiff, "MOST_FIELDS", 1000)
    found = 0

    with pytest.raises(BrokenTiff, match="a directory has 99 fields; expected 4096, and 1000 in all"):
        for _ in endless(99).directories():
            found += 1

    assert found == 10


@pytest.mark.parametrize("beginning", [b"II*\0\x08\0\0\0\x01\x10", b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 4097)])
def test_the_fields_of_one_directory_are_counted(beginning: bytes) -> None:
    """They are in memory together, and a BigTIFF could announce 2^64 of them."""
    found = reader(beginning)

    with pytest.raises(BrokenTiff, match="a directory has 4097 fields; expected 4096"):
        found.directory(found.first)
