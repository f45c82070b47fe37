"""JPEG: marker after marker to EOI, and the further images of a Multi-Picture Format inside the file.

What a segment contains is skipped by its length, so the end of a thumbnail ends nothing. Entropy-coded data ends with
the first marker that is no restart marker. Bytes behind EOI are padding, unless another image begins there.
Source: ITU-T T.81, annex B; CIPA DC-007 (Multi-Picture Format).
"""

from __future__ import annotations

import re
import struct
from typing import Final

from postscan.core.filters.source.completeness.window import Cut, Unclear, Window
from postscan.core.model.formats.tiff import BrokenTiff, Field, TiffReader

MOST_SEGMENTS: Final = 10_000
"""A photograph has dozens, one with large metadata hundreds; progressive files have one or two for each scan."""

_MARKER: Final = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_SOI, _EOI, _SOS, _APP2 = 0xD8, 0xD9, 0xDA, 0xE2
_FRAMES: Final = (*range(0xC0, 0xD0), 0xF7)
_NO_FRAMES: Final = (0xC4, 0xC8, 0xCC)  # DHT, JPG and DAC lie between the frames' markers; 0xF7 is that of JPEG-LS

_MPF: Final = b"MPF\0"
_MP_ENTRY: Final = 0xB002
_MP_BYTES: Final = 16  # of one image in that field


def check(window: Window) -> None:
    """Return if the file is whole; raise `Cut` or `Unclear`."""
    position, has_frame, has_scan = 2, False, False
    for _ in range(MOST_SEGMENTS):
        found = window.find(_MARKER, position, window.size)
        if found is None:
            raise Cut("it has no end mark (EOI)")
        marker = window.at(found, 2)[1]
        position = found + 2
        if marker == _EOI:
            if not (has_frame and has_scan):
                raise Unclear("it ends before its first scan")
            if not _begins_image(window, position):
                return
            position, has_frame, has_scan = position + 2, False, False
        elif marker == _SOI:
            raise Unclear(f"another image begins at byte {found}, inside the one before it")
        else:
            has_frame |= marker in _FRAMES and marker not in _NO_FRAMES
            has_scan |= marker == _SOS
            position = _behind_segment(window, found, is_app2=marker == _APP2)
    raise Unclear(f"it has more than {MOST_SEGMENTS} segments")


def _begins_image(window: Window, position: int) -> bool:
    """Return whether another image stands there: some programs write one page behind the other."""
    return position + 2 <= window.size and window.at(position, 2) == bytes((0xFF, _SOI))


def _behind_segment(window: Window, marker: int, *, is_app2: bool) -> int:
    """Return the offset behind a segment, whose marker is at this offset."""
    begin, length = marker + 2, int.from_bytes(window.at(marker + 2, 2), "big")
    if length < 2:
        raise Unclear(f"the segment at byte {marker} has a length of {length} bytes; expected 2 or more")
    window.require(begin + length)
    if is_app2 and length > 2 + len(_MPF) and window.at(begin + 2, len(_MPF)) == _MPF:
        _check_further_images(window, begin + 2 + len(_MPF))
    return begin + length


def _check_further_images(window: Window, base: int) -> None:
    """Raise `Cut` or `Unclear` unless the images of an MP index, whose offsets count from *base*, are in the file."""
    try:
        index = TiffReader(lambda offset, count: window.at(base + offset, count))
        entries = next(index.directories(), None)
    except BrokenTiff as error:
        raise Unclear(f"its list of images is broken ({error})") from None
    field: Field | None = entries.fields.get(_MP_ENTRY) if entries else None
    if field is None:
        return  # that of a further image, which only describes itself
    is_little = window.at(base, 2) == b"II"
    for offset in range(0, field.size - _MP_BYTES + 1, _MP_BYTES):
        entry = window.at(base + field.offset + offset, _MP_BYTES)
        size, begin = struct.unpack("<4xII4x" if is_little else ">4xII4x", entry)
        begin = base + begin if begin else 0  # the first image begins with the file
        window.require(begin + size)
        if not _begins_image(window, begin):
            raise Unclear(f"no image begins at byte {begin}, where its list of images says so")
