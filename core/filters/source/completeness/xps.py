"""XPS: a ZIP archive whose directory stands before its end record, and whose entries end before its directory.

An archive without a fixed document sequence is of another kind, whatever it is. Entries of the directory are believed;
the headers before their data are not read. Source: PKWARE's APPNOTE.TXT (ZIP); ECMA-388 (OpenXPS).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from postscan.core.filters.source.completeness.window import Cut, Unclear, Window

MOST_EXTRA_FIELDS: Final = 64
"""Of an entry that needs the one of ZIP64; writers have up to five."""

_END, _END64, _LOCATOR64, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_END_BYTES, _END64_BYTES, _LOCATOR64_BYTES, _ENTRY_BYTES, _LOCAL_BYTES = 22, 56, 20, 46, 30
_LONGEST_COMMENT: Final = 0xFFFF
_ELSEWHERE: Final = 0xFFFF_FFFF  # the number stands in a field of ZIP64
_ZIP64: Final = b"\x01\x00"  # the identifier of that field
_SEQUENCE: Final = (b".fdseq", b".fdseq/[0].piece", b".fdseq/[0].last.piece")
"""How the name of a fixed document sequence ends, also of one in pieces."""


class _CentralDirectory(NamedTuple):
    entries: int
    size: int
    offset: int
    end: int  # where the record begins that says all this


def check(window: Window) -> None:
    """Return if the file is whole; raise `Cut` or `Unclear`."""
    directory = _directory(window)
    if directory.offset + directory.size != directory.end:
        raise Unclear(f"its directory does not end at byte {directory.end}, where the end record begins")
    position, is_xps = directory.offset, False
    for _ in range(directory.entries):
        position, name = _entry(window, position, directory)
        is_xps |= name.endswith(_SEQUENCE)
    if not is_xps:
        raise Unclear("it is a ZIP archive without a fixed document sequence")


def _directory(window: Window) -> _CentralDirectory:
    """Return what the last end record says whose comment is inside the file."""
    begin = max(window.size - _END_BYTES - _LONGEST_COMMENT, 0)
    closing = window.at(begin, window.size - begin)
    at = len(closing)
    while (at := closing.rfind(_END, 0, at)) >= 0:
        record = closing[at : at + _END_BYTES]
        if len(record) == _END_BYTES and at + _END_BYTES + int.from_bytes(record[20:], "little") <= len(closing):
            return _end_record(window, begin + at, record)
    raise Cut("it has no end record")


def _end_record(window: Window, offset: int, record: bytes) -> _CentralDirectory:
    entries, size, begin = struct.unpack("<10xHII2x", record)
    if entries != 0xFFFF and _ELSEWHERE not in (size, begin):
        return _CentralDirectory(entries, size, begin, offset)
    locator = window.at(max(offset - _LOCATOR64_BYTES, 0), _LOCATOR64_BYTES)
    if not locator.startswith(_LOCATOR64):
        return _CentralDirectory(entries, size, begin, offset)
    offset = int.from_bytes(locator[8:16], "little")
    record = window.at(offset, _END64_BYTES)
    if not record.startswith(_END64):
        raise Unclear(f"no end record of ZIP64 is at byte {offset}")
    entries, size, begin = struct.unpack("<32xQQQ", record)
    return _CentralDirectory(entries, size, begin, offset)


def _entry(window: Window, position: int, directory: _CentralDirectory) -> tuple[int, bytes]:
    """Check an entry of the directory; return the offset behind it, and its name in lower case."""
    entry = window.at(position, min(_ENTRY_BYTES, directory.end - position)).ljust(_ENTRY_BYTES, b"\0")
    compressed, size, name, extra, comment, begin = struct.unpack("<20xII3H8xI", entry)
    end = position + _ENTRY_BYTES + name + extra + comment
    if not entry.startswith(_ENTRY) or end > directory.end:
        raise Unclear(f"no entry of its directory is at byte {position}")
    variable = window.at(position + _ENTRY_BYTES, name + extra)
    if _ELSEWHERE in (compressed, begin):
        compressed, begin = _long_numbers(variable[name:], size, compressed, begin)
    if begin + _LOCAL_BYTES + compressed > directory.offset:
        raise Unclear(f"the entry at byte {begin} ends behind the begin of the directory")
    return end, variable[:name].lower()


def _long_numbers(extra: bytes, size: int, compressed: int, begin: int) -> tuple[int, int]:
    """Return the compressed size and the offset with what the ZIP64 field of an entry says instead."""
    at = 0
    for _ in range(MOST_EXTRA_FIELDS):
        length = int.from_bytes(extra[at + 2 : at + 4], "little")
        if extra.startswith(_ZIP64, at):
            break
        at += 4 + length
    else:
        return compressed, begin
    longer = iter(struct.unpack_from(f"<{length // 8}Q", extra.ljust(at + 4 + length, b"\0"), at + 4))
    numbers = [next(longer, number) if number == _ELSEWHERE else number for number in (size, compressed, begin)]
    return numbers[1], numbers[2]
