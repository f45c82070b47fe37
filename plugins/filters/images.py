"""Reading untrusted images: with the decoder of their declared format alone, and with Pillow's limit on pixels.

Pillow is imported when an image is read: a plugin must be importable without its extra.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from postscan.plugins import Document, FilterFailed, FilterReason

if TYPE_CHECKING:
    from PIL import Image

DECODERS: Final = {
    "png": ("PNG",),
    "jfif": ("JPEG",),
    "exif": ("JPEG",),
    "dib": ("BMP", "DIB"),
    "jpeg2k": ("JPEG2000",),
}
"""Pillow's names of the decoders that may read a document, by its format."""

TIFF: Final = ("TIFF",)
"""The same for every `tiff-...`."""


def decoders_for(format: str) -> tuple[str, ...]:
    """Return Pillow's decoders for a format; empty if there are none."""
    return TIFF if format.startswith("tiff-") else DECODERS.get(format, ())


def open_image(document: Document, content: Path | IO[bytes] | None = None) -> Image.Image:
    """Open a document, or one page of it."""
    from PIL import Image

    return Image.open(content or document.path, formats=decoders_for(document.format))


@contextlib.contextmanager
def decoding_errors(document: Document) -> Iterator[None]:
    """Turn the errors of Pillow, and of libraries on it, in the body into `FilterFailed` that names the document."""
    from PIL import Image

    bomb = (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except bomb as error:
            raise FilterFailed(FilterReason.SERVER_OUT_OF_MEMORY, f"{document.name}: {error}") from error
        except Exception as error:  # decoders have no common error, and img2pdf has a dozen of its own
            reason = f"{document.name}: cannot be read as {document.format}: {error or type(error).__name__}"
            raise FilterFailed(FilterReason.UNKNOWN_ERROR, reason) from error
