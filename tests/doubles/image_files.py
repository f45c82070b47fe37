"""Small whole files of each kind, made by the programs and libraries that make them elsewhere, or byte by byte.

`SAMPLES` has them by name. A sample knows at which shorter lengths it is still whole, since nothing refers to the bytes
behind them, and why.
"""

from __future__ import annotations

import io
import random
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import numpy
import skimage
import tifffile
from PIL import Image, PngImagePlugin

DATA: Final = Path(skimage.__file__).parent / "data"


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


# --- JPEG ------------------------------------------------------------------------------------------------------------


def baseline() -> bytes:
    """Return a JPEG as most devices write it."""
    return saved(noise(), "JPEG", quality=60)


def progressive() -> bytes:
    """Return a JPEG of ten scans with restart markers."""
    return saved(noise(size=(40, 40)), "JPEG", progressive=True, restart_marker_blocks=1)


def with_thumbnail() -> bytes:
    """Return a JPEG whose Exif segment has a whole JPEG inside, and whose comment has markers."""
    thumbnail = saved(noise(size=(8, 8)), "JPEG")
    first = struct.pack("<HHHIII", 1, 274, 3, 1, 1, 26)
    second = struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 56, 514, 4, 1, len(thumbnail), 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + first + second + thumbnail
    return saved(noise(), "JPEG", exif=exif, comment=b"\xff\xd9\xff\xda\xff\xd8")


def with_line_count() -> bytes:
    """Return a JPEG whose number of lines follows its first scan, in a DNL segment, as scanners write it."""
    content = bytearray(baseline())
    height = content.index(b"\xff\xc0") + 5
    lines = content[height : height + 2]
    content[height : height + 2] = b"\0\0"
    return bytes(content[:-2] + b"\xff\xdc\0\x04" + lines + content[-2:])


def multi_picture(byte_order: str = "<") -> bytes:
    """Return two images in one file; the index of the first one says where the second one is."""
    content = saved(noise(), "MPO", save_all=True, append_images=[noise(seed=2)])
    if byte_order == "<":
        return content
    at = content.index(b"MPF\0") + 4
    end = at + 4 + 4 + 2 + 3 * 12 + 4 + 2 * 16
    return content[:at] + _swapped(content[at:end]) + content[end:]


def two_streams() -> Sample:
    """Return one JPEG behind another, as Ghostscript writes two pages; nothing refers to the second one."""
    first = len(ghostscript("jpeg"))
    return Sample("jfif", ghostscript("jpeg", pages=2), {first, first + 1})


def _swapped(index: bytes) -> bytes:
    """Return an MP index of two images in the other byte order."""
    layout = "2sHIH" + "HHI4s" + "HHII" * 2 + "I" + "IIIHH" * 2
    values = struct.unpack(f"<{layout}", index)
    return struct.pack(f">{layout}", b"MM", *values[1:])


JPEG: Final[dict[str, Make]] = {
    "JPEG": lambda: Sample("jfif", baseline()),
    "JPEG, progressive": lambda: Sample("jfif", progressive()),
    "JPEG, grey": lambda: Sample("jfif", saved(noise("L"), "JPEG")),
    "JPEG, CMYK": lambda: Sample("jfif", saved(noise("CMYK"), "JPEG")),
    "JPEG with thumbnail": lambda: Sample("jfif", with_thumbnail()),
    "JPEG with DNL": lambda: Sample("jfif", with_line_count()),
    "JPEG of Ghostscript": lambda: Sample("jfif", ghostscript("jpeg")),
    "JPEG of Ghostscript, two pages": two_streams,
    "JPEG of two images": lambda: Sample("jfif", multi_picture()),
    "JPEG of two images, other order": lambda: Sample("jfif", multi_picture(">")),
    "JPEG with padding": lambda: _padded(Sample("jfif", baseline()), bytes(5)),
}


def _padded(sample: Sample, padding: bytes) -> Sample:
    """Return a file with bytes at its end that mean nothing: it is whole without each of them."""
    length = len(sample.content)
    return Sample(sample.kind, sample.content + padding, {*sample.spare, *range(length, length + len(padding))})


# --- PNG -------------------------------------------------------------------------------------------------------------


def commented() -> bytes:
    """Return a PNG with text before and behind its pixels."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "A page")
    info.add(b"teSt", b"behind the pixels", after_idat=True)
    return saved(noise("RGBA"), "PNG", pnginfo=info)


PNG: Final[dict[str, Make]] = {
    "PNG": lambda: Sample("png", saved(noise("1"), "PNG")),
    "PNG with text": lambda: Sample("png", commented()),
    "PNG, animated": lambda: Sample("png", saved(noise(), "PNG", save_all=True, append_images=[noise(seed=2)])),
    "PNG of Ghostscript": lambda: Sample("png", ghostscript("png16m")),
    "PNG of scikit-image": lambda: Sample("png", (DATA / "chessboard_RGB.png").read_bytes()),
    "PNG with padding": lambda: _padded(Sample("png", saved(noise("L"), "PNG")), b"\n\0\0"),
}


# --- TIFF ------------------------------------------------------------------------------------------------------------


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


TIFFS: Final[dict[str, Make]] = {
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
    "TIFF with padding": lambda: _padded(Sample("tiff", described()), bytes(4)),
}


# --- BMP -------------------------------------------------------------------------------------------------------------


def bitmap(
    header: bytes, pixels: bytes, palette: bytes = b"", behind: bytes = b"", *, says: int | None = None
) -> bytes:
    """Return a BMP of these parts; *says* is the size in its header, if that is not its own."""
    begin = 14 + len(header) + len(palette)
    size = begin + len(pixels) + len(behind) if says is None else says
    return struct.pack("<2sIII", b"BM", size, 0, begin) + header + palette + pixels + behind


def old_bitmap() -> bytes:
    """Return a BMP with the header of OS/2 1: 5 x 3 pixels of one bit."""
    return bitmap(struct.pack("<IHHHH", 12, 5, 3, 1, 1), bytes(range(12)), b"\0\0\0\xff\xff\xff")


def run_lengths(*, says: int | None = None, declared: bool = True) -> bytes:
    """Return a BMP whose rows are compressed to runs; the header may lack the bytes of the image."""
    pixels = b"\x04\x01\0\0\x04\x02\0\x01"
    header = struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 8, 1, len(pixels) if declared else 0, 0, 0, 256, 0)
    return bitmap(header, pixels, bytes(1024), says=says)


def with_profile() -> bytes:
    """Return a BMP of version 5 from the top down, with a colour profile behind its pixels."""
    pixels, profile = bytes(range(48)), b"no real profile"
    header = struct.pack("<IiiHHIIiiII", 124, 4, -4, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(16)
    header += struct.pack("<4s52xII4x", b"DEBM", 124 + len(pixels), len(profile))
    return bitmap(header, pixels, behind=profile)


BMP: Final[dict[str, Make]] = {
    "BMP": lambda: Sample("dib", saved(noise(size=(9, 7)), "BMP")),
    "BMP, black and white": lambda: Sample("dib", saved(noise("1"), "BMP")),
    "BMP of Ghostscript": lambda: Sample("dib", ghostscript("bmpmono")),
    "BMP of OS/2": lambda: Sample("dib", old_bitmap()),
    "BMP in runs": lambda: Sample("dib", run_lengths()),
    "BMP in runs without a size": lambda: Sample("dib", run_lengths(declared=False)),
    "BMP with profile": lambda: Sample("dib", with_profile()),
    "BMP with padding": lambda: _padded(Sample("dib", saved(noise("L", (5, 5)), "BMP")), bytes(2)),
}


# --- JPEG 2000 -------------------------------------------------------------------------------------------------------


def box(kind: bytes, content: bytes, *, is_long: bool = False, is_open: bool = False) -> bytes:
    """Return a box, with a length of eight bytes or without a length if need be."""
    if is_long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 0 if is_open else 8 + len(content), kind) + content


def parts() -> tuple[bytes, bytes]:
    """Return the boxes before the codestream that Pillow writes, in four tiles, and the codestream."""
    content = saved(noise("L", (20, 20)), "JPEG2000", tile_size=(10, 10), num_resolutions=2)
    at = content.index(b"jp2c") - 4
    return content[:at], content[at + 8 :]


def boxed(*, is_long: bool = False, is_open: bool = False, behind: bytes = b"") -> bytes:
    """Return a JP2 with its codestream in another form of box."""
    head, codestream = parts()
    return head + box(b"jp2c", codestream, is_long=is_long, is_open=is_open) + behind


def unsized(*, is_open: bool = True) -> bytes:
    """Return a JP2 whose last tile-part goes on to the end mark, with a packet mark that looks like one."""
    head, codestream = parts()
    last = codestream.rindex(b"\xff\x90\0\x0a")
    data = codestream.index(b"\xff\x93", last) + 2
    changed = bytearray(codestream)
    changed[last + 6 : last + 10] = bytes(4)
    changed[data:data] = b"\xff\x91\0\x04\xff\xd9"
    return head + box(b"jp2c", bytes(changed), is_open=is_open)


def jp2_with_boxes() -> Sample:
    """Return a JP2 with two boxes behind the codestream; without them it is whole, since nothing refers to them."""
    whole, xml = boxed(), box(b"xml ", b"<page/>")
    lengths = {len(whole), len(whole) + len(xml)}
    # A box that is cut within the zeros at its begin looks like padding.
    lengths |= {length + zeros for length in lengths for zeros in (1, 2, 3)}
    return _padded(Sample("jpeg2k", whole + xml + box(b"uuid", b"0123456789abcdef"), lengths), bytes(4))


JP2: Final[dict[str, Make]] = {
    "JP2": lambda: Sample("jpeg2k", saved(noise(), "JPEG2000")),
    "JP2 in tiles": lambda: Sample("jpeg2k", boxed()),
    "JP2 with a long box": lambda: Sample("jpeg2k", boxed(is_long=True)),
    "JP2 with an open box": lambda: Sample("jpeg2k", boxed(is_open=True)),
    "JP2 with an open tile": lambda: Sample("jpeg2k", unsized()),
    "JP2 with an open tile in a box": lambda: Sample("jpeg2k", unsized(is_open=False)),
    "JP2 with boxes behind": jp2_with_boxes,
}


# --- XPS -------------------------------------------------------------------------------------------------------------

_SEQUENCE: Final = b'<FixedDocumentSequence xmlns="http://schemas.microsoft.com/xps/2005/06"/>'


class _Stream(io.BytesIO):
    """A file that cannot seek: what is written into it has its sizes behind the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation


def archive(file: io.BytesIO | None = None, *, is_long: bool = False, comment: bytes = b"") -> bytes:
    """Return a small package with the parts that make it an XPS document."""
    file = file or io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        package.comment = comment
        for name in ("[Content_Types].xml", "_rels/.rels", "FixedDocSeq.fdseq", "Documents/1/Pages/1.fpage"):
            with package.open(name, "w", force_zip64=is_long) as part:
                part.write(_SEQUENCE)
    return file.getvalue()


def long_numbers() -> bytes:
    """Return a package in the form of ZIP64: all sizes and offsets in fields of eight bytes."""
    content = archive()
    at = content.rindex(b"PK\x05\x06")
    number, begin = struct.unpack_from("<H4xI", content, at + 10)
    position, directory = begin, b""
    for _ in range(number):
        entry = bytearray(content[position : position + 46])
        name_bytes, extra_bytes = struct.unpack_from("<HH", entry, 28)
        name = content[position + 46 : position + 46 + name_bytes]
        compressed, plain = struct.unpack_from("<II", entry, 20)
        (offset,) = struct.unpack_from("<I", entry, 42)
        extra = struct.pack("<HHxHHQQQ", 0x9999, 1, 1, 24, plain, compressed, offset)
        struct.pack_into("<IIHH", entry, 20, 0xFFFF_FFFF, 0xFFFF_FFFF, name_bytes, len(extra))
        struct.pack_into("<I", entry, 42, 0xFFFF_FFFF)
        directory += bytes(entry) + name + extra
        position += 46 + name_bytes + extra_bytes
    record = begin + len(directory)
    end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, number, number, len(directory), begin)
    end += struct.pack("<4sIQI", b"PK\x06\x07", 0, record, 1)
    return content[:begin] + directory + end + b"PK\x05\x06" + b"\0" * 4 + b"\xff" * 12 + b"\0\0"


XPS: Final[dict[str, Make]] = {
    "XPS": lambda: Sample("xps", archive()),
    "XPS in a stream": lambda: Sample("xps", archive(_Stream())),
    "XPS with comment": lambda: Sample("xps", archive(comment=b"a comment")),
    "XPS, ZIP64": lambda: Sample("xps", long_numbers()),
    "XPS of Ghostscript": lambda: Sample("xps", ghostscript("xpswrite", pages=2)),
    "XPS with padding": lambda: _padded(Sample("xps", archive()), bytes(3)),
}

SAMPLES: Final[dict[str, Make]] = {**JPEG, **PNG, **TIFFS, **BMP, **JP2, **XPS}
