"""Pages from the folders of a source: opened without leaving the folder, examined when the spool has all bytes.

The process of the source is alive meanwhile and is not trusted: it may exchange a file or a folder for a link at any
moment. So each folder on the way is opened without following links, the file is copied through one descriptor, and what
is examined is the copy of the spool, before the job has it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from postscan.core.errors import OriginRefused
from postscan.core.filters.source.completeness import FileState, examine
from postscan.core.model import formats
from postscan.core.model.formats import UnknownFormat

CHUNK: Final = 256 << 10
"""Bytes of a page that are copied at a time, always through the same memory: the processor's cache holds so many."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_EXIF: Final = b"Exif\0"
_TIFF_NAME: Final = "page.tif"


def open_page(folder: Path, path: str) -> FileIO:
    """Open a regular file below *folder* for reading; raise `OriginRefused` for anything else."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise OriginRefused("the page is no file of the source")
    try:
        descriptor = _open_below(folder, parts)
    except OSError as error:
        raise OriginRefused(f"the page cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OriginRefused("the page is no regular file")
    return FileIO(descriptor)


def chunks(page: FileIO) -> Iterator[memoryview]:
    """Yield the bytes of a page, each time in the same memory; raise `OriginRefused` if they cannot be read."""
    memory = memoryview(bytearray(CHUNK))
    try:
        while size := page.readinto(memory):
            yield memory[:size]
    except OSError as error:
        raise OriginRefused(f"the page cannot be read: {error.strerror}") from None


def accepted_format(path: Path, *, whole: bool) -> str:
    """Return the Format keyword of a page of the spool, by its content.

    Raises `OriginRefused` for a page that is cut, for one of an unknown kind, and, unless the protocol itself has seen
    its end (*whole*), for one that does not say whether it is complete.
    """
    with path.open("rb") as page:
        found = examine(page)
        if found.state is FileState.CUT:
            raise OriginRefused(f"the page is not complete: {found.reason}")
        if not found.kind:
            raise OriginRefused(f"the page is no image that can be taken: {found.reason}")
        if found.state is FileState.UNKNOWN and not whole:
            raise OriginRefused(f"it is not known whether the page is complete: {found.reason}")
        return _keyword(page, found.kind)


def _open_below(folder: Path, parts: tuple[str, ...]) -> int:
    """Open a file below a folder, following no link but those to the folder itself; raise `OSError`."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        return os.open(parts[-1], _FILE, dir_fd=at)
    finally:
        os.close(at)


def _keyword(page: BinaryIO, kind: str) -> str:
    """Return the keyword of a page of this kind: TIFFs and JPEGs have several."""
    if kind == "tiff":
        try:
            return formats.detect(_TIFF_NAME, page)
        except UnknownFormat as error:
            reason = str(error).removeprefix(f"{_TIFF_NAME}: ")
            raise OriginRefused(f"the page is no image that can be taken: {reason}") from None
    if kind == "jfif":
        page.seek(0)
        return "exif" if page.read(11)[6:] == _EXIF else kind
    return kind
