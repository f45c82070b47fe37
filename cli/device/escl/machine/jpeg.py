"""Read the head of a JPEG file, and write one whose true height stands behind the image (DNL).

Source: ITU-T T.81 Annex B.2.2 (SOF), B.2.5 (DNL); escl.md section 7, "HP ADF, JPEG".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SOI: Final = b"\xff\xd8"
SOS: Final = 0xDA
DNL: Final = 0xDC
LARGEST: Final = 0xFFFF  # lines that 16 bits can count

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn; the others define tables
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xDA)})  # markers without a length


class NotJpeg(ValueError):
    """The bytes are no JPEG file, or end before its image begins."""


@dataclass(frozen=True, slots=True)
class JpegHead:
    """Size in pixels, number of components, dots per inch (0 if the file does not give them)."""

    width: int
    height: int
    components: int
    density: int
    frame: int
    """Offset of the height in the file."""
    image: int
    """Offset of the first entropy-coded byte."""


def head(data: bytes) -> JpegHead:
    """Read the segments before the image; raise `NotJpeg`."""
    if not data.startswith(SOI):
        raise NotJpeg("does not begin with the marker SOI")
    at, density, frame = 2, 0, 0
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise NotJpeg(f"expected a marker at byte {at}")
        code = data[at + 1]
        if code == 0xFF or code in _ALONE:
            at += 1 if code == 0xFF else 2
            continue
        length = _number(data, at + 2)
        if code == 0xE0 and data[at + 4 : at + 9] == b"JFIF\0" and length >= 14:
            density = _density(data, at + 4)
        if code in _FRAMES and length >= 8:
            frame = at + 5
        at += 2 + length
        if code == SOS:
            if not frame or at > len(data):
                break
            return JpegHead(_number(data, frame + 2), _number(data, frame), data[frame + 4], density, frame, at)
    raise NotJpeg("ends before its image")


def with_number_of_lines(data: bytes, guess: int) -> bytes:
    """Return the file with *guess* as height in its head, and the true height in a DNL segment behind the first scan.

    Raises `NotJpeg`. A guess above 65535 is cut to that.
    """
    found = head(data)
    end = found.image
    while end + 2 <= len(data):
        if data[end] == 0xFF and data[end + 1] != 0 and not 0xD0 <= data[end + 1] <= 0xD7:
            break
        end += 1
    else:
        raise NotJpeg("has no marker behind its image")
    segment = bytes((0xFF, DNL, 0, 4)) + found.height.to_bytes(2)
    guessed = min(guess, LARGEST).to_bytes(2)
    return data[: found.frame] + guessed + data[found.frame + 2 : end] + segment + data[end:]


def _density(data: bytes, at: int) -> int:
    """Return the dots per inch of a JFIF segment whose identifier stands at *at*; 0 for a mere ratio."""
    unit, dots = data[at + 7], _number(data, at + 8)
    return dots if unit == 1 else round(dots * 2.54) if unit == 2 else 0


def _number(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise NotJpeg("ends before its image")
    return int.from_bytes(data[at : at + 2])
