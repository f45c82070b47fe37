"""Small whole files of JPEG, PNG and BMP; see `sample_files`."""

from __future__ import annotations

import struct
from typing import Final

from PIL import PngImagePlugin
from sample_files import DATA, Make, Sample, ghostscript, noise, padded, saved

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
    "JPEG with padding": lambda: padded(Sample("jfif", baseline()), bytes(5)),
}


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
    "PNG with padding": lambda: padded(Sample("png", saved(noise("L"), "PNG")), b"\n\0\0"),
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
    "BMP with padding": lambda: padded(Sample("dib", saved(noise("L", (5, 5)), "BMP")), bytes(2)),
}

SAMPLES: Final = JPEG | PNG | BMP
