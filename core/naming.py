"""Names for what postscan writes: always one safe path component, whatever the device or the directory sent.

Source: WS-DSP digest, section 10 (file names, extensions), and the folder rule of the scan-process digest, section 6.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

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

LONGEST: Final = 200  # characters of a file name, extension included
_LONGEST_BYTES: Final = 240  # most file systems stop at 255 bytes; leaves room for "-999"
_TIFF = re.compile(r"tiff-[a-z0-9-]{1,40}")
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?$", re.IGNORECASE)


def extension(format: str) -> str:
    """Return the file extension, with its dot, for a Format keyword of the protocol."""
    return _media(format)[0]


def media_type(format: str) -> str:
    """Return the media type for a Format keyword of the protocol."""
    return _media(format)[1]


def is_known(format: str) -> bool:
    """Return whether this is a Format keyword whose extension is known here."""
    return format in MEDIA or bool(_TIFF.fullmatch(format))


def component(text: str, fallback: str = "Scan") -> str:
    """Return *text* as one path component that every file system takes; *fallback* if nothing is left of it.

    Characters that some system forbids become `_`; invisible and direction-changing ones go; any run of blanks is one
    space. What comes out goes in unchanged.
    """
    visible = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn"))
    one_line = " ".join(_UNSAFE.sub("_", unicodedata.normalize("NFC", visible)).split())
    name = _shorten(one_line.lstrip("-.~ "), LONGEST, _LONGEST_BYTES)
    if _RESERVED.match(name):
        name = _shorten(f"_{name}", LONGEST, _LONGEST_BYTES)
    return name or fallback


def user_folder(user: str) -> str:
    """Return the folder of *user* below a destination; two users never get the same one.

    A name that had to be changed carries a piece of its own hash behind a `~`; so does one that has a `~` itself,
    or it could be chosen to look like somebody else's.
    """
    name = component(user, fallback="user")
    if name == user and "~" not in user:
        return name
    digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_shorten(name, LONGEST - 17, _LONGEST_BYTES - 17)}~{digest}"


def document_name(root: str, user: str, created: datetime, document_id: int, format: str) -> str:
    """Return `<root>_<user>_<yyyyMMdd-HHmmss>_<id>.<ext>`, time in UTC, at most 200 characters long."""
    suffix = extension(format)
    tail = f"_{created.astimezone(UTC):%Y%m%d-%H%M%S}_{document_id:03d}"
    who = _shorten(component(user, fallback="user"), 64, 80)
    room = len(tail) + len(suffix) + len(who) + 1
    stem = _shorten(component(root), LONGEST - room, _LONGEST_BYTES - room - len(who.encode()) + len(who))
    return f"{stem}_{who}{tail}{suffix}"


def numbered(name: str, number: int) -> str:
    """Return *name* for the *number*-th try: `a.png`, `a-2.png`, `a-3.png` ..."""
    if number == 1:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{number}{dot}{suffix}" if stem else f"{name}-{number}"


def _media(format: str) -> tuple[str, str]:
    return TIFF if format.startswith("tiff-") else MEDIA.get(format, OTHER)


def _shorten(text: str, characters: int, size: int) -> str:
    text = text[:characters]
    while len(text.encode()) > size:
        text = text[:-1]
    return text.rstrip(". ")
