"""Image formats: the protocol's Format keywords, with file suffixes, media types and first bytes; and their detection.

A file is detected by the suffix of its name, confirmed by its first bytes. Of a TIFF, all directories are read, since
the protocol distinguishes single from multi page, and one compression from another.
Source: ws-dsp.md sections 4.2 and 10; TIFF 6.0, section 2.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO, Final, NamedTuple

from postscan.core.errors import PostscanError
from postscan.core.model.formats.tiff import COMPRESSION, BrokenTiff, TiffReader


class Format(NamedTuple):
    """What a Format keyword means for a file: `suffix` with its dot, and `media_type`."""

    suffix: str
    media_type: str


MEDIA: Final = {
    "dib": Format(".bmp", "image/bmp"),
    "exif": Format(".jpg", "image/jpeg"),
    "jfif": Format(".jpg", "image/jpeg"),
    "jbig": Format(".jbg", "image/jbig"),
    "jpeg2k": Format(".jp2", "image/jp2"),
    "pdf": Format(".pdf", "application/pdf"),
    "pdf-a": Format(".pdf", "application/pdf"),
    "png": Format(".png", "image/png"),
    "xps": Format(".xps", "application/vnd.ms-xpsdocument"),
}
"""All keywords but those of TIFF; `pdf` is not one of the protocol, but filters make such documents."""

TIFF: Final = Format(".tif", "image/tiff")
OTHER: Final = Format(".bin", "application/octet-stream")

_COMPRESSIONS: Final = {1: "uncompressed", 4: "g4", 2: "g3mh", 3: "g3mh", 7: "jpeg-tn2"}
"""The last part of a TIFF's keyword, by the value of its Compression tag."""

KEYWORDS: Final = (
    *(keyword for keyword in MEDIA if keyword != "pdf"),
    *(f"tiff-{pages}-{name}" for pages in ("single", "multi") for name in dict.fromkeys(_COMPRESSIONS.values())),
)
"""The sixteen values that WS-DSP names for the Format element."""

SUFFIXES: Final = {
    ".png": "png",
    ".jpg": "jfif",
    ".jpeg": "jfif",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".pdf": "pdf-a",
    ".bmp": "dib",
    ".jp2": "jpeg2k",
    ".xps": "xps",
    ".jbg": "jbig",
}
"""The keyword for the suffix of a file's name; `tiff` is completed by the content of the file."""

_FIRST_BYTES: Final = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jfif": (b"\xff\xd8\xff",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # the last two are BigTIFF
    "pdf-a": (b"%PDF-",),
    "dib": (b"BM",),
    "jpeg2k": (b"\0\0\0\x0cjP  \r\n\x87\n",),
    "xps": (b"PK\x03\x04",),
    "jbig": (b"",),  # a JBIG stream begins with no fixed bytes
}
_TIFF_KEYWORD: Final = re.compile(r"tiff-[a-z0-9-]{1,40}")


class UnknownFormat(PostscanError):
    """No Format keyword fits the file."""


def suffix(keyword: str) -> str:
    """Return the file suffix, with its dot, for a Format keyword."""
    return _format(keyword).suffix


def media_type(keyword: str) -> str:
    """Return the media type for a Format keyword."""
    return _format(keyword).media_type


def is_known(keyword: str) -> bool:
    """Return whether this is a Format keyword with a suffix of its own."""
    return keyword in MEDIA or bool(_TIFF_KEYWORD.fullmatch(keyword))


def by_suffix(name: str) -> str:
    """Return the keyword for the suffix of a file's name, `tiff` for all TIFFs; raise `UnknownFormat`."""
    end = PurePath(name).suffix
    try:
        return SUFFIXES[end.lower()]
    except KeyError:
        raise UnknownFormat(f"{name}: unknown extension {end!r}; expected one of {' '.join(SUFFIXES)}") from None


def by_first_bytes(beginning: bytes) -> str:
    """Return the keyword for the first 16 bytes of a file, `tiff` for all TIFFs; raise `UnknownFormat`.

    A JBIG stream is not recognised: it begins with no fixed bytes.
    """
    for keyword, beginnings in _FIRST_BYTES.items():
        if all(beginnings) and beginning.startswith(beginnings):
            return keyword
    raise UnknownFormat(f"no kind of image begins with {beginning[:8].hex(' ') or 'nothing'}")


def detect(name: str, content: BinaryIO | bytes) -> str:
    """Return the Format keyword of a file by its name and content; raise `UnknownFormat`.

    *content* is the bytes of the file, or the open file, which can seek; its position moves. Raises `OSError` if it
    cannot be read.
    """
    keyword = by_suffix(name)
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    file.seek(0)
    if not file.read(16).startswith(_FIRST_BYTES[keyword]):
        raise UnknownFormat(f"{name}: does not begin like a {PurePath(name).suffix.lower()} file")
    return _detect_tiff(name, file) if keyword == "tiff" else keyword


def _format(keyword: str) -> Format:
    return TIFF if keyword.startswith("tiff-") else MEDIA.get(keyword, OTHER)


def _detect_tiff(name: str, file: BinaryIO) -> str:
    """Return `tiff-single-...` or `tiff-multi-...` for the compression that all pages share."""
    try:
        pages = list(_page_compressions(file))
    except BrokenTiff as error:
        raise UnknownFormat(f"{name}: is a broken TIFF file ({error})") from None
    used = set(pages)
    if len(used) != 1 or not used <= _COMPRESSIONS.keys():
        numbers = ", ".join(str(number) for number in sorted(used)) or "no page"
        raise UnknownFormat(
            f"{name}: the protocol has no keyword for this TIFF (compression {numbers}); "
            "expected the same on all pages, one of 1 (none), 2 or 3 (Group 3), 4 (Group 4), 7 (JPEG)"
        )
    return f"tiff-{'single' if len(pages) == 1 else 'multi'}-{_COMPRESSIONS[used.pop()]}"


def _page_compressions(file: BinaryIO) -> Iterator[int]:
    """Yield the compression of each page, following the chain of directories."""

    size = file.seek(0, io.SEEK_END)

    def read(offset: int, count: int) -> bytes:
        if offset + count > size:
            raise BrokenTiff(f"it ends at byte {size}, and refers to byte {offset + count - 1}")
        file.seek(offset)
        return file.read(count)

    reader = TiffReader(read)
    for directory in reader.directories():
        field = directory.fields.get(COMPRESSION)
        yield next(reader.numbers(field), 1) if field else 1  # the default of TIFF
