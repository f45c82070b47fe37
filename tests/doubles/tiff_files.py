"""Small whole files of TIFF and BigTIFF; see `sample_files`."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from typing import Final

import numpy
import tifffile
from PIL import Image
from sample_files import DATA, Make, Sample, ghostscript, noise, padded, saved


def pages(compression: str | None, mode: str = "1", **options: object) -> bytes:
    """Return a TIFF of two pages, as Pillow writes it, or libtiff where there is a compression."""
    second = noise(mode, seed=2)
    return saved(noise(mode), "TIFF", compression=compression, save_all=True, append_images=[second], **options)


def described() -> bytes:
    """Return a TIFF with directories for Exif and for GPS."""
    exif = Image.Exif()
    exif.get_ifd(34665)[37510] = b"a comment that needs room"
    exif.get_ifd(34853)[29] = "2026:11:30"
    return saved(noise("L"), "TIFF", exif=exif)


def tiled(byte_order: str = "<", *, is_big: bool = False) -> bytes:
    """Return a TIFF in tiles with two SubIFDs, as tifffile writes it."""
    pixels = numpy.asarray(noise("L", (40, 40)))
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=byte_order, bigtiff=is_big) as writer:
        writer.write(pixels, tile=(16, 16), subifds=2, compression="zlib", metadata=None)
        for factor in (2, 4):
            writer.write(pixels[::factor, ::factor], subfiletype=1, compression="zlib", metadata=None)
    return file.getvalue()


def reordered(content: bytes) -> bytes:
    """Return a TIFF of one directory with this directory in front, as some devices write it, and the pixels behind."""
    (at,) = struct.unpack_from("<I", content, 4)
    (number,) = struct.unpack_from("<H", content, at)
    directory = bytearray(content[at : at + 6 + 12 * number])
    rest = content[8:at]
    for field in range(2, 2 + 12 * number, 12):
        tag, type_, count, value = struct.unpack_from("<HHII", directory, field)
        if tag == 273 or count * {2: 1, 3: 2, 4: 4, 5: 8}[type_] > 4:
            struct.pack_into("<HHII", directory, field, tag, type_, count, value + len(directory))
    return content[:4] + struct.pack("<I", 8) + bytes(directory) + rest


def filled(content: bytes) -> Sample:
    """Return a TIFF that Pillow has filled up to a multiple of 16 bytes: tifffile tells where its last part ends."""
    end = 0
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        for page in file.pages:
            following = 8 if file.is_bigtiff else 4
            end = max(end, *(tag.valueoffset + tag.valuebytecount for tag in page.tags), *map(sum, _extents(page)))
            end = max(end, max(tag.offset for tag in page.tags) + file.tiff.tagsize + following)
    return Sample("tiff", content, range(end, len(content)))


def _extents(page: tifffile.TiffPage) -> Iterable[tuple[int, int]]:
    return zip(page.dataoffsets, page.databytecounts, strict=True)


SAMPLES: Final[dict[str, Make]] = {
    "TIFF": lambda: filled(pages(None, "RGB")),
    "TIFF, Group 3": lambda: filled(pages("group3")),
    "TIFF, Group 4": lambda: filled(pages("group4")),
    "TIFF, Group 4, directory in front": lambda: filled(reordered(saved(noise("1"), "TIFF", compression="group4"))),
    "TIFF, JPEG": lambda: filled(pages("jpeg", "RGB")),
    "TIFF, LZW": lambda: filled(pages("tiff_lzw", "L")),
    "TIFF with Exif and GPS": lambda: Sample("tiff", described()),
    "TIFF in tiles with SubIFDs": lambda: Sample("tiff", tiled()),
    "TIFF, big-endian": lambda: Sample("tiff", tiled(">")),
    "BigTIFF": lambda: Sample("tiff", tiled(is_big=True)),
    "BigTIFF, big-endian": lambda: Sample("tiff", tiled(">", is_big=True)),
    "BigTIFF of Pillow": lambda: filled(pages(None, "L", big_tiff=True)),
    "TIFF of Ghostscript": lambda: Sample("tiff", ghostscript("tiffg4", pages=2)),
    "TIFF of scikit-image": lambda: Sample("tiff", (DATA / "multipage.tif").read_bytes()),
    "TIFF with padding": lambda: padded(Sample("tiff", described()), bytes(4)),
}
