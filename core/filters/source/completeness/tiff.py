"""TIFF and BigTIFF: all directories, values, strips and tiles inside the file; what lies behind them is padding.

Directories are those of the pages, and those that fields refer to: SubIFDs, Exif, GPS, interoperability.
Source: TIFF 6.0, sections 2, 8, 15 and 22; Adobe's TIFF technical note 1 (SubIFDs); CIPA DC-008 (Exif), section 4.6.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from postscan.core.filters.source.completeness.window import Unclear, Window
from postscan.core.model.formats.tiff import COMPRESSION, MOST_DIRECTORIES, BrokenTiff, Directory, Field, TiffReader

MOST_PIECES: Final = 4_000_000
"""Strips and tiles of a file; 2 GiB in strips of 8 KiB are 262,144."""

_STREAM: Final = 513
_PIECES: Final = {273: 279, 324: 325, _STREAM: 514}
"""The tag with the sizes, by the tag with the offsets: strips, tiles, the JPEG stream of a thumbnail."""
_SUB: Final = 330
_DESCRIPTIONS: Final = (34665, 34853, 40965)  # Exif, GPS, interoperability: their directories have no successor
_NONE, _OLD_JPEG = 1, 6  # compressions
_ZEROS: Final = 16  # bytes


def check(window: Window) -> None:
    """Return if the file is whole; raise `Cut` or `Unclear`."""
    try:
        _Pages(window).check()
    except BrokenTiff as error:
        raise Unclear(f"its structure cannot be followed ({error})") from None


class _Pending(NamedTuple):
    """A directory to check, or one whose references have been checked (*is_left*)."""

    offset: int
    is_description: bool = False
    is_left: bool = False


class _Pages:
    def __init__(self, window: Window) -> None:
        self._window = window
        self._reader = TiffReader(window.at)
        self._pieces = 0
        self._last = (0, 0, _NONE)  # where the last strip or tile in the file ends, its size and its compression
        self._referred = set[int]()
        self._references_left = MOST_DIRECTORIES

    def check(self) -> None:
        """Check the pages in their order, each with the directories that it refers to."""
        if not self._reader.first:
            raise Unclear("it has no page")
        for page in self._reader.directories():
            if not self._check_fields(page) or 0 in page.fields:
                raise Unclear("one of its pages has neither strips nor tiles, or a field without a tag")
            self._check_referred(page)
        self._check_last_piece()

    def _check_referred(self, page: Directory) -> None:
        """Check the directories below a page, each once; one that is below itself makes a ring."""
        pending, above = self._references(page), set[int]()
        while pending:
            offset, is_description, is_left = pending.pop()
            if is_left:
                above.remove(offset)
                self._referred.add(offset)
            elif offset in above:
                raise Unclear("its directories form a ring")
            elif offset not in self._referred:
                above.add(offset)
                pending.append(_Pending(offset, is_left=True))
                directory = self._reader.directory(offset)
                self._check_fields(directory)
                pending += self._references(directory)
                if directory.following and not is_description:
                    pending.append(_Pending(directory.following))

    def _references(self, directory: Directory) -> list[_Pending]:
        """Return the directories that one refers to, the first one last: so they are checked in their order."""
        fields = [directory.fields[tag] for tag in (_SUB, *_DESCRIPTIONS) if tag in directory.fields]
        self._references_left -= sum(field.values for field in fields)
        if self._references_left < 0:
            raise Unclear(f"its directories refer to others more than {MOST_DIRECTORIES} times")
        found = [
            _Pending(offset, is_description=field.tag != _SUB)
            for field in fields
            for offset in self._reader.numbers(field)
            if offset
        ]
        return found[::-1]

    def _check_fields(self, directory: Directory) -> bool:
        """Check the values and the pieces of a directory; return whether it has pieces."""
        fields = directory.fields
        for field in fields.values():
            self._window.require(field.offset + field.size)
        compression = next(self._reader.numbers(fields[COMPRESSION]), 0) if COMPRESSION in fields else _NONE
        offsets = [tag for tag in _PIECES if tag in fields]
        for tag in offsets:
            self._check_pieces(fields[tag], fields.get(_PIECES[tag]), compression)
        if compression == _OLD_JPEG and _STREAM not in offsets:
            raise Unclear("a page is compressed as JPEG in the way of TIFF 6.0, whose tables have no length")
        return bool(offsets)

    def _check_pieces(self, offsets: Field, sizes: Field | None, compression: int) -> None:
        if sizes is None or sizes.values != offsets.values:
            raise Unclear("a page has no size for each of its strips or tiles")
        self._pieces += offsets.values
        if self._pieces > MOST_PIECES:
            raise Unclear(f"it has more than {MOST_PIECES} strips and tiles")
        for offset, size in zip(self._reader.numbers(offsets), self._reader.numbers(sizes), strict=True):
            if not size:
                raise Unclear(f"the strip or tile at byte {offset} has no size")
            self._window.require(offset + size)
            if offset + size > self._last[0]:
                self._last = (offset + size, size, compression)

    def _check_last_piece(self) -> None:
        """Raise `Unclear` if the last strip or tile ends with zeros that no compression makes.

        Some clients make a file as long as it will be before they write into it, and directories may stand in front.
        Pixels that are not compressed may be zeros.
        """
        end, size, compression = self._last
        if compression != _NONE and size > _ZEROS and not any(self._window.at(end - _ZEROS, _ZEROS)):
            raise Unclear(f"its last strip or tile ends with zeros at byte {end}, as if it were not written yet")
