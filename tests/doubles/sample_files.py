"""What the small whole files of `image_files`, `tiff_files`, `packed_files` and `pdf_files` have in common.

They are made by the programs and libraries that make such files elsewhere, or byte by byte. A sample knows at which
shorter lengths it is still whole, since nothing refers to the bytes behind them.
"""

from __future__ import annotations

import io
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import skimage
from PIL import Image

DATA: Final = Path(skimage.__file__).parent / "data"
"""Pictures of scikit-image."""


class Sample(NamedTuple):
    """A whole file, its kind, and the shorter lengths at which it is whole too, or at which that is not clear."""

    kind: str
    content: bytes
    spare: Iterable[int] = ()
    unclear: Iterable[int] = ()


Make = Callable[[], Sample]


def noise(mode: str = "RGB", size: tuple[int, int] = (24, 16), seed: int = 1) -> Image.Image:
    """Return a picture that does not compress well, the same one every time."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    picture = Image.frombytes(
        "L" if bands == 1 else mode, size, random.Random(seed).randbytes(size[0] * size[1] * bands)
    )
    return picture.convert(mode)


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    """Return a picture in the bytes that Pillow writes."""
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def ghostscript(device: str, *options: str, pages: int = 1) -> bytes:
    """Return pages as Ghostscript writes them for one of its devices."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page"
        command = ["gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", f"-sDEVICE={device}", "-r72", "-g32x24", *options]
        page = "2 2 20 9 rectfill 0.5 setgray 7 7 15 15 rectfill showpage "
        subprocess.run([*command, f"-sOutputFile={path}", "-c", page * pages], check=True, capture_output=True)
        return path.read_bytes()


def padded(sample: Sample, padding: bytes) -> Sample:
    """Return a file with bytes at its end that mean nothing: it is whole without each of them."""
    length = len(sample.content)
    return Sample(sample.kind, sample.content + padding, {*sample.spare, *range(length, length + len(padding))})
