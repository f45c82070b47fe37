"""Large scans of each kind: the pixels are noise, so that nothing is compressed."""

from __future__ import annotations

import io
import math
import os

import img2pdf
from PIL import Image

from bench.inlets import picture

KINDS = ("PDF", "TIFF", "JPEG", "PNG")

_PAGE = 1 << 20  # about the bytes of a page


def scan(kind: str, size: int) -> bytes:
    """Return a whole file of a kind with about *size* bytes; PDF and TIFF have pages of a megabyte."""
    match kind:
        case "PDF":
            return bytes(img2pdf.convert([_jpeg(_PAGE)] * max(1, size // _PAGE)))
        case "TIFF":
            return _tiff(size)
        case "JPEG":
            return _jpeg(size)
        case _:
            return picture(os.urandom(size))


def _jpeg(size: int) -> bytes:
    """Return a JPEG; with this quality a pixel of noise takes a byte, or a little more."""
    return _saved([_noise(size)], "JPEG", quality=95)


def _tiff(size: int) -> bytes:
    return _saved([_noise(_PAGE) for _ in range(max(1, size // _PAGE))], "TIFF")


def _noise(pixels: int) -> Image.Image:
    side = math.isqrt(pixels)
    return Image.frombytes("L", (side, side), os.urandom(side * side))


def _saved(pages: list[Image.Image], kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    more = {"save_all": True, "append_images": pages[1:]} if len(pages) > 1 else {}
    pages[0].save(file, kind, **options, **more)
    return file.getvalue()
