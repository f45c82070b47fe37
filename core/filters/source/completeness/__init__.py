"""Whether an image file is whole, as its own structure says: no pixel is decoded.

Where a protocol does not say that a file has ended, the file has to. What a file's content can cost is limited: see
`window`, and the limits of each kind beside its module. Memory is that of some blocks, however large the file is.
Why each kind is judged as it is: decision 72.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final

from postscan.core.filters.source.completeness import bitmap, jpeg, jpeg2000, pdf, png, tiff, xps
from postscan.core.filters.source.completeness.window import Cut, Unclear, Window
from postscan.core.model import formats

__all__ = ["Completeness", "FileState", "examine"]

_CHECKS: Final[dict[str, Callable[[Window], None]]] = {
    "dib": bitmap.check,
    "jfif": jpeg.check,
    "jpeg2k": jpeg2000.check,
    "pdf-a": pdf.check,
    "png": png.check,
    "tiff": tiff.check,
    "xps": xps.check,
}
"""By the keywords of `formats.by_first_bytes`."""


class FileState(StrEnum):
    """What is known about a file."""

    WHOLE = "whole"
    """Its structure is complete: every byte that it refers to is there."""

    CUT = "cut"
    """It has no end mark, refers to bytes behind its end, or has other bytes than its checksums say."""

    UNKNOWN = "unknown"
    """It is of another kind, broken in another way, or too intricate to examine."""


@dataclass(frozen=True)
class Completeness:
    """What was found: the state; the kind, as a Format keyword, or ""; and why it is not whole, as a sentence's end."""

    state: FileState
    kind: str = ""
    reason: str = ""


def examine(file: BinaryIO) -> Completeness:
    """Return whether a file is whole; it must be able to seek, and its position moves.

    `kind` is "tiff" for all TIFFs, "jfif" for all JPEGs, "pdf-a" for all PDFs. A file that grows meanwhile is examined
    as long as it was at first. Raises `OSError` if it cannot be read.
    """
    kind = ""
    try:
        window = Window(file)
        kind = formats.by_first_bytes(window.at(0, min(16, window.size)))
        _CHECKS[kind](window)
    except Cut as missing:
        return Completeness(FileState.CUT, kind, str(missing))
    except (Unclear, formats.UnknownFormat) as error:
        return Completeness(FileState.UNKNOWN, kind, str(error))
    return Completeness(FileState.WHOLE, kind)
