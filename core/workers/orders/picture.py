"""The worker's side of a picture: decode one page of a stored image, and write it smaller, as WebP.

The image is of a stranger. Pillow reads it with the decoder of its declared format alone; how many pixels it has is
checked before any is decoded. Limits of memory and time are those of the process. What is written has pixels only: no
profile, no comment and no other byte of the image.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postscan.core.model.states import FilterReason
from postscan.core.workers.protocol import MOST_PAGES, PICTURE, OrderBegun, OrderFailed, PictureMade, PictureOrder

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS: Final = 100_000_000
"""Most pixels of an image: A4 with 1,000 pixels an inch."""

_DECODERS: Final = {"png": ("PNG",), "jfif": ("JPEG",), "exif": ("JPEG",), "dib": ("BMP", "DIB")}
_QUALITY: Final = 75
_EFFORT: Final = 2  # of WebP's encoder, 0 to 6: a quarter of the time of 6, for files that are a tenth larger
_DEEP: Final = ("I;16", "I;16L", "I;16B", "I;16N")
_TO_EIGHT_BITS: Final = 255 / 65535


def decoders(format: str) -> tuple[str, ...]:
    """Return Pillow's names of the decoders that may read an image of this format; none if there is no picture of it.

    A PDF has none: whatever draws its pages is a program of its own. Neither has JPEG 2000.
    """
    return ("TIFF",) if format.startswith("tiff-") else _DECODERS.get(format, ())


def make(order: PictureOrder, send: Callable[[OrderBegun], None]) -> PictureMade | OrderFailed:
    """Write the picture into the folder of the order; its time begins when Pillow is loaded.

    Raises `MemoryError`.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        return _failed("Pillow is not installed on this server: pip install 'postscan[image]'")
    send(OrderBegun())
    warnings.simplefilter("ignore")  # a warning about a profile or a tag is no reason to show nothing
    Image.MAX_IMAGE_PIXELS = None  # checked here, with a sentence
    try:
        with Image.open(order.image, formats=decoders(order.format)) as image:
            pages = _pages(image)
            if not 1 <= order.page <= pages:
                return _failed(f"it has {pages} pages, and no page {order.page}")
            if order.page > 1:
                image.seek(order.page - 1)
            width, height = image.size
            if width * height > MOST_PIXELS:
                return _failed(f"it has {width} x {height} pixels; at most {MOST_PIXELS:,} are read")
            _write(_reduced(image, order.side), order.workdir / PICTURE)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return _failed(f"it is no image of the format {order.format}")
    except Exception as error:  # noqa: BLE001  (decoders have no common error)
        return _failed(f"it cannot be read as {order.format}: {_reason(error)}")
    return PictureMade(pages=pages)


def _pages(image: Image.Image) -> int:
    """Return the number of pages; of formats that have pages."""
    return min(getattr(image, "n_frames", 1), MOST_PAGES) if image.format == "TIFF" else 1


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Return the image, in grey or RGB, not larger than *side*, and turned as its camera says."""
    from PIL import ImageOps

    image.draft(None, (2 * side, 2 * side))  # a JPEG is decoded at half its size or less, if that is enough
    plain = _plain(image)
    plain.thumbnail((side, side), reducing_gap=2.0)
    return ImageOps.exif_transpose(plain)


def _plain(image: Image.Image) -> Image.Image:
    """Return the image in grey or RGB: what is transparent becomes white, and 16 bits become 8."""
    from PIL import Image

    if image.mode in _DEEP:
        return image.point(lambda value: value * _TO_EIGHT_BITS).convert("L")
    if image.mode in ("L", "RGB") and not image.has_transparency_data:
        return image  # no copy: it may have most of the memory
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        paper = Image.new("RGB", clear.size, "white")
        paper.paste(clear, mask=clear.getchannel("A"))
        return paper
    return image.convert("L" if image.mode in ("1", "L", "I", "F") else "RGB")


def _write(picture: Image.Image, target: Path) -> None:
    picture.info.clear()  # a profile would be copied
    picture.save(target, "WEBP", quality=_QUALITY, method=_EFFORT)


def _reason(error: Exception) -> str:
    """Return the text of an error, without the path of the file."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__


def _failed(error: str) -> OrderFailed:
    return OrderFailed(reasons=(FilterReason.UNKNOWN_ERROR,), error=error[:500])
