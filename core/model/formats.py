"""Which Format keyword of the protocol an image file has: by its extension, confirmed by its first bytes.

A TIFF is read further, since the protocol tells single from multi page, and one compression from another.
Source: ws-dsp.md sections 4.2 and 10; TIFF 6.0, section 2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from postscan.core.errors import PostscanError

_BY_EXTENSION: Final = {
    ".png": ("png", (b"\x89PNG\r\n\x1a\n",)),
    ".jpg": ("jfif", (b"\xff\xd8\xff",)),
    ".jpeg": ("jfif", (b"\xff\xd8\xff",)),
    ".tif": ("tiff", (b"II*\0", b"MM\0*")),
    ".tiff": ("tiff", (b"II*\0", b"MM\0*")),
    ".pdf": ("pdf-a", (b"%PDF-",)),
    ".bmp": ("dib", (b"BM",)),
    ".jp2": ("jpeg2k", (b"\0\0\0\x0cjP  \r\n\x87\n",)),
    ".xps": ("xps", (b"PK\x03\x04",)),
    ".jbg": ("jbig", (b"",)),  # a JBIG stream begins with no fixed bytes
}
_COMPRESSION: Final = 259  # the tag of a TIFF directory
_KEYWORDS: Final = {1: "uncompressed", 2: "g3mh", 3: "g3mh", 4: "g4", 7: "jpeg-tn2"}
_OVERRIDE: Final = "or say what it is with --format"


class UnknownFormat(PostscanError):
    """No Format keyword fits the file."""


def keyword(path: Path) -> str:
    """Return the Format keyword of a file; raise `UnknownFormat`, or `OSError` if it cannot be read."""
    try:
        kind, beginnings = _BY_EXTENSION[path.suffix.lower()]
    except KeyError:
        known = " ".join(_BY_EXTENSION)
        raise UnknownFormat(
            f"{path}: unknown extension {path.suffix!r}; expected one of {known}, {_OVERRIDE}"
        ) from None
    with path.open("rb") as file:
        head = file.read(16)
        if not head.startswith(beginnings):
            raise UnknownFormat(f"{path}: does not begin like a {path.suffix.lower()} file, {_OVERRIDE}")
        return _tiff(path, file) if kind == "tiff" else kind


def _tiff(path: Path, file: BinaryIO) -> str:
    """Return `tiff-single-...` or `tiff-multi-...` for the compression that all pages share."""
    try:
        pages = list(_compressions(file))
    except (struct.error, ValueError) as error:
        raise UnknownFormat(f"{path}: is a broken TIFF file ({error})") from None
    used = set(pages)
    if len(used) != 1 or not used <= _KEYWORDS.keys():
        numbers = ", ".join(str(number) for number in sorted(used)) or "no page"
        raise UnknownFormat(
            f"{path}: the protocol has no keyword for this TIFF (compression {numbers}); "
            f"expected the same on all pages, one of 1 (none), 2 or 3 (Group 3), 4 (Group 4), 7 (JPEG), {_OVERRIDE}"
        )
    return f"tiff-{'single' if len(pages) == 1 else 'multi'}-{_KEYWORDS[used.pop()]}"


def _compressions(file: BinaryIO) -> Iterator[int]:
    """Yield the compression of each page, following the chain of directories."""
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    file.seek(4)
    (offset,) = struct.unpack(f"{order}I", file.read(4))
    seen = set()
    while offset:
        if offset in seen:
            raise ValueError("its directories form a ring")
        seen.add(offset)
        file.seek(offset)
        (count,) = struct.unpack(f"{order}H", file.read(2))
        entries = file.read(12 * count)
        (offset,) = struct.unpack(f"{order}I", file.read(4))
        yield _compression(order, entries)


def _compression(order: str, entries: bytes) -> int:
    for tag, _type, _count, value in struct.iter_unpack(f"{order}HHI4s", entries):
        if tag == _COMPRESSION:
            number: int = struct.unpack_from(f"{order}H", value)[0]
            return number
    return 1  # the default of TIFF


MEDIA: Final = {
    "dib": (".bmp", "image/bmp"),
    "exif": (".jpg", "image/jpeg"),
    "jfif": (".jpg", "image/jpeg"),
    "jbig": (".jbg", "image/jbig"),
    "jpeg2k": (".jp2", "image/jp2"),
    "pdf": (".pdf", "application/pdf"),
    "pdf-a": (".pdf", "application/pdf"),
    "png": (".png", "image/png"),
    "xps": (".xps", "application/vnd.ms-xpsdocument"),
}
TIFF: Final = (".tif", "image/tiff")
OTHER: Final = (".bin", "application/octet-stream")
_TIFF = re.compile(r"tiff-[a-z0-9-]{1,40}")


def extension(format: str) -> str:
    """Return the file extension, with its dot, for a Format keyword of the protocol."""
    return _media(format)[0]


def media_type(format: str) -> str:
    """Return the media type for a Format keyword of the protocol."""
    return _media(format)[1]


def is_known(format: str) -> bool:
    """Return whether this is a Format keyword whose extension is known here."""
    return format in MEDIA or bool(_TIFF.fullmatch(format))


def _media(format: str) -> tuple[str, str]:
    return TIFF if format.startswith("tiff-") else MEDIA.get(format, OTHER)
