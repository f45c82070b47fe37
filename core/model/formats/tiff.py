"""The directories of a TIFF or BigTIFF file, as their fields say where things are; no pixel is read.

The reader is bounded: it reads each directory once, so that a ring of directories ends, and gives up at the limits
below. Source: TIFF 6.0, sections 2 and 8; Adobe's TIFF technical note 1 (SubIFDs); BigTIFF as libtiff defines it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

MOST_DIRECTORIES: Final = 65_536
MOST_FIELDS: Final = 1_000_000
"""In all directories together."""

MOST_IN_ONE: Final = 4096
"""Fields of one directory; TIFF has room for 65,535, and BigTIFF for 2^64."""

COMPRESSION: Final = 259

_AT_ONCE: Final = 4096  # numbers that are read and converted together
_SIZES: Final = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1)) | {16: 8, 17: 8, 18: 8}
"""Bytes of a value, by the number of its type."""
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""How `struct` names the types of numbers without a sign: BYTE, SHORT, LONG, IFD, LONG8, IFD8."""

Read = Callable[[int, int], bytes]
"""Return as many bytes as asked for, from an offset; raise an error of the caller's choice if they are not there."""


class BrokenTiff(ValueError):
    """The directories cannot be followed: a ring, an impossible number, or more than the limits."""


class Field(NamedTuple):
    """One entry of a directory: so many values of a type, in `size` bytes at `offset`, perhaps in the entry itself."""

    tag: int
    type: int
    values: int
    offset: int
    size: int


class Directory(NamedTuple):
    """The fields of a directory by their tags, and the offset of the directory that follows it, 0 if none does."""

    fields: dict[int, Field]
    following: int


class _Layout(NamedTuple):
    """How `struct` reads the number of fields, a field and an offset, and the bytes of a value in a field."""

    number: struct.Struct
    field: struct.Struct
    offset: struct.Struct
    inline: int


class TiffReader:
    """Reads the directories of one file, each once; the file begins at offset 0 of *read*.

    Raises `BrokenTiff`, and what *read* raises.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._seen: set[int] = set()
        self._fields = 0
        self._order = "<" if read(0, 2) == b"II" else ">"
        (version,) = struct.unpack(f"{self._order}H", read(2, 2))
        is_big = version == 43
        count, inline = ("Q", 8) if is_big else ("H", 4)
        offset = "Q" if is_big else "I"
        self._layout = _Layout(
            struct.Struct(self._order + count),
            struct.Struct(f"{self._order}HH{offset}{inline}s"),
            struct.Struct(self._order + offset),
            inline,
        )
        (self.first,) = self._layout.offset.unpack(read(8 if is_big else 4, inline))

    def directories(self) -> Iterator[Directory]:
        """Yield the directories of the pages, following their chain."""
        offset = self.first
        while offset:
            directory = self.directory(offset)
            yield directory
            offset = directory.following

    def directory(self, offset: int) -> Directory:
        """Return the directory at this offset."""
        self._count_directory(offset)
        layout = self._layout
        (number,) = layout.number.unpack(self._read(offset, layout.number.size))
        self._count_fields(number)
        begin = offset + layout.number.size
        content = self._read(begin, number * layout.field.size + layout.offset.size)
        (following,) = layout.offset.unpack_from(content, number * layout.field.size)
        fields = (self._field(content, index, begin) for index in range(number))
        return Directory({field.tag: field for field in fields}, following)

    def numbers(self, field: Field) -> Iterator[int]:
        """Yield the numbers of a field, reading some thousands of them at a time."""
        code = _INTEGERS.get(field.type)
        if code is None:
            raise BrokenTiff(f"tag {field.tag} has type {field.type}; expected whole numbers")
        size = _SIZES[field.type]
        for begin in range(0, field.values, _AT_ONCE):
            count = min(_AT_ONCE, field.values - begin)
            yield from struct.unpack(
                f"{self._order}{count}{code}", self._read(field.offset + begin * size, count * size)
            )

    def _field(self, content: bytes, index: int, begin: int) -> Field:
        """Return a field; one of a type that is not known has no size, as readers have to ignore it."""
        at = index * self._layout.field.size
        tag, type_, count, value = self._layout.field.unpack_from(content, at)
        size = count * _SIZES.get(type_, 0)
        if size <= self._layout.inline:
            return Field(tag, type_, count, begin + at + self._layout.field.size - self._layout.inline, size)
        (offset,) = self._layout.offset.unpack(value)
        return Field(tag, type_, count, offset, size)

    def _count_directory(self, offset: int) -> None:
        if offset in self._seen:
            raise BrokenTiff("its directories form a ring, or share one")
        if len(self._seen) == MOST_DIRECTORIES:
            raise BrokenTiff(f"it has more than {MOST_DIRECTORIES} directories")
        self._seen.add(offset)

    def _count_fields(self, number: int) -> None:
        self._fields += number
        if number > MOST_IN_ONE or self._fields > MOST_FIELDS:
            raise BrokenTiff(f"a directory has {number} fields; expected {MOST_IN_ONE}, and {MOST_FIELDS} in all")
