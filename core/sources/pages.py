"""The format of a page of a source, by its content: whatever it is not known to be whole is refused."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

from postscan.core.errors import OriginRefused
from postscan.core.filters.source.completeness import FileState, examine
from postscan.core.model import formats
from postscan.core.model.formats import UnknownFormat

_EXIF: Final = b"Exif\0"
_TIFF_NAME: Final = "page.tif"


def accepted_format(path: Path, *, whole: bool) -> str:
    """Return the Format keyword of a page of the spool, by its content.

    Raises `OriginRefused` for a page that is cut, for one of an unknown kind, and, unless the protocol itself has seen
    its end (*whole*), for one that does not say whether it is complete.
    """
    with path.open("rb") as page:
        found = examine(page)
        if found.state is FileState.CUT:
            raise OriginRefused(f"the page is not complete: {found.reason}")
        if not found.kind:
            raise OriginRefused(f"the page is no image that can be taken: {found.reason}")
        if found.state is FileState.UNKNOWN and not whole:
            raise OriginRefused(f"it is not known whether the page is complete: {found.reason}")
        return _keyword(page, found.kind)


def _keyword(page: BinaryIO, kind: str) -> str:
    """Return the keyword of a page of this kind: TIFFs and JPEGs have several."""
    if kind == "tiff":
        try:
            return formats.detect(_TIFF_NAME, page)
        except UnknownFormat as error:
            reason = str(error).removeprefix(f"{_TIFF_NAME}: ")
            raise OriginRefused(f"the page is no image that can be taken: {reason}") from None
    if kind == "jfif":
        page.seek(0)
        return "exif" if page.read(11)[6:] == _EXIF else kind
    return kind
