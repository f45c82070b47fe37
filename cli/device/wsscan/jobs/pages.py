"""The paper in the simulated scanner: image files, with the format and the pixels that their bytes tell."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from postscan.core.model import formats
from postscan.core.model.formats import UnknownFormat, test_page

A4_AT_300: Final = (2480, 3508)
"""Pixels of a page whose bytes do not tell them."""

_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class ScannedPage:
    """One side of paper: the bytes that the scanner sends for it, their Format keyword, and width and height."""

    data: bytes
    format: str
    pixels: tuple[int, int]
    name: str = ""

    @property
    def media_type(self) -> str:
        """The media type of the bytes."""
        return formats.media_type(self.format)

    @classmethod
    def of(cls, source: Path | bytes) -> Self:
        """Return the page of a file or of its bytes; raise `UnknownFormat` or `OSError`."""
        if isinstance(source, bytes):
            keyword = formats.by_first_bytes(source[:16])
            data, name = source, ""
            if keyword == "tiff":
                keyword = formats.detect("page.tif", source)
        else:
            data, name = source.read_bytes(), source.name
            keyword = formats.detect(name, data)
        if not data:
            raise UnknownFormat(f"{name or 'a page'}: is empty")
        return cls(data, keyword, _pixels(keyword, data), name)


def load(sources: Iterable[Path | bytes], count: int | None = None) -> tuple[ScannedPage, ...]:
    """Return *count* pages: the files in turn, from the first again after the last; generated ones without a file."""
    pages = [ScannedPage.of(source) for source in sources]
    if count is None:
        return tuple(pages or generated(1))
    return tuple(itertools.islice(itertools.cycle(pages), count)) if pages else tuple(generated(count))


def generated(count: int) -> Sequence[ScannedPage]:
    """Return test pages, each with another number of bars as far as a page has room for them."""
    return [ScannedPage.of(test_page.png(number % 8 + 1)) for number in range(count)]


def _pixels(keyword: str, data: bytes) -> tuple[int, int]:
    if keyword == "png" and len(data) >= 24:
        width, height = struct.unpack("!2I", data[16:24])
        return (width, height) if width and height else A4_AT_300
    return _jpeg_pixels(data) if keyword in ("jfif", "exif") else A4_AT_300


def _jpeg_pixels(data: bytes) -> tuple[int, int]:
    """Return width and height from the first start-of-frame segment (ITU T.81 B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _START_OF_FRAME:
            height, width = struct.unpack("!2H", data[at + 5 : at + 9])
            return (width, height) if width and height else A4_AT_300
        at += 2 + length
    return A4_AT_300
