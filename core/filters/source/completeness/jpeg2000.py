"""JPEG 2000: box after box to the end, and in a codestream tile-part after tile-part to EOC.

Boxes behind the last codestream are optional, and nothing refers to them: a file that is cut between two of them is
whole. Source: ITU-T T.800, annex A (codestream) and annex I (JP2 file format).
"""

from __future__ import annotations

import re
from typing import Final

from postscan.core.filters.source.completeness.window import Cut, Unclear, Window

_SOC, _SOT, _SOD, _EOC = b"\xff\x4f", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_SOT_BYTES: Final = 12
_SOP_OR_EOC: Final = re.compile(rb"\xff[\x91\xd9]")
_SOP_BYTES: Final = 6
"""No packet has a marker inside but SOP, whose number may look like one."""


def check(window: Window) -> None:
    """Return if the file is whole; raise `Cut` or `Unclear`."""
    position, types = 0, set[bytes]()
    while position < window.size:
        left = window.size - position
        if b"jp2c" in types and left < 8 and not any(window.at(position, left)):
            break  # padding
        head = window.at(position, 8)
        length, begin = int.from_bytes(head[:4], "big"), position + 8
        if length == 1:
            length, begin = int.from_bytes(window.at(begin, 8), "big"), begin + 8
        end = position + length if length else window.size
        if end < begin:
            raise Unclear(f"the box at byte {position} has a length of {length} bytes; expected {begin - position}")
        window.require(end)
        if head[4:] == b"jp2c":
            _Codestream(window, begin, end, is_open=not length).check()
        types |= {head[4:]} & {b"jp2c", b"ftbl"}
        position = end
    if b"ftbl" in types:
        raise Unclear("it consists of fragments")
    if b"jp2c" not in types:
        raise Cut("it has no codestream")


class _Codestream:
    """The bytes of a box; *is_open* if it ends where the file does, without a length of its own."""

    def __init__(self, window: Window, begin: int, end: int, *, is_open: bool) -> None:
        self._window = window
        self._begin = begin
        self._end = end
        self._is_open = is_open

    def check(self) -> None:
        """Follow the markers to EOC."""
        if self._marker(self._begin) != _SOC:
            raise Unclear(f"no codestream begins at byte {self._begin}")
        position = self._begin + 2
        while (marker := self._marker(position)) != _EOC:
            position = self._end_mark(position) if marker == _SOD else self._behind(marker, position)

    def _marker(self, position: int) -> bytes:
        if position + 2 > self._end:
            text = "it has no end mark (EOC)"
            raise Cut(text) if self._is_open else Unclear(f"{text} in the box of its codestream")
        marker = self._window.at(position, 2)
        if marker[0] != 0xFF:
            raise Unclear(f"there is no marker at byte {position}")
        return marker

    def _behind(self, marker: bytes, position: int) -> int:
        """Return the offset behind a segment, or behind a tile-part that says how long it is."""
        length = int.from_bytes(self._window.at(position + 2, 2), "big")
        if length < 2:
            raise Unclear(f"the segment at byte {position} has a length of {length} bytes; expected 2 or more")
        tile_part = int.from_bytes(self._window.at(position + 6, 4), "big") if marker == _SOT else 0
        if not tile_part:  # also a tile-part that goes on to EOC: its SOD comes first
            return position + 2 + length
        if tile_part < _SOT_BYTES + 2:
            raise Unclear(f"the tile-part at byte {position} has {tile_part} bytes; expected 14 or more")
        return position + tile_part

    def _end_mark(self, position: int) -> int:
        """Return the offset of EOC behind the packets that follow *position*; the end if there is none."""
        while (found := self._window.find(_SOP_OR_EOC, position, self._end)) is not None:
            if self._window.at(found, 2) == _EOC:
                return found
            position = found + _SOP_BYTES
        return self._end
