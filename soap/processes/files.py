"""The two files of each scan process in a folder: read, replace and remove them, each of them whole or not at all.

Who has read a process changes it only if its files are still those that were read. Commands that change a folder take
turns by a lock on its file `.lock`; an editor does not, so what it writes in the same moment can be replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postscan.core.errors import StoredProcessChanged

_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class ProcessFiles:
    """What is in the `<GUID>.xml` and in the `<GUID>.toml` of one process; None for a file that is missing."""

    xml: bytes | None
    properties: bytes | None

    @property
    def revision(self) -> str:
        """The SHA-256 of both files, in hex; another content has another revision."""
        found = hashlib.sha256()
        for data in (self.xml, self.properties):
            found.update(b"-" if data is None else b"%d:%b" % (len(data), data))
        return found.hexdigest()


NONE: Final = ProcessFiles(None, None)
"""A process that is not stored."""


def path(folder: Path, identifier: str) -> Path | None:
    """Return the path of the XML of a process, in upper or lower case; None if there is none."""
    spellings = (folder / f"{spelling}.xml" for spelling in (identifier, identifier.lower()))
    return next((path for path in spellings if path.exists()), None)


def read(folder: Path, identifier: str) -> ProcessFiles:
    """Return what is stored of a process; raise `OSError` for files that cannot be read."""
    xml = path(folder, identifier)
    return NONE if xml is None else ProcessFiles(xml.read_bytes(), _content(xml.with_suffix(".toml")))


def write(folder: Path, identifier: str, files: ProcessFiles) -> None:
    """Replace both files of a process, the one with the users first, so that no process exists without it.

    A file whose content stays is not written. *files* has both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    xml = path(folder, identifier) or folder / f"{identifier}.xml"
    for place, data in ((xml.with_suffix(".toml"), files.properties), (xml, files.xml)):
        if data is not None and _content(place) != data:
            _replace(place, data)


def replace(folder: Path, identifier: str, before: ProcessFiles, after: ProcessFiles) -> None:
    """Replace the files of a process; raise `StoredProcessChanged` if they are not those *before*."""
    with _locked(folder):
        _compare(folder, identifier, before)
        write(folder, identifier, after)


def remove(folder: Path, identifier: str, before: ProcessFiles) -> None:
    """Remove the files of a process; raise `StoredProcessChanged` if they are not those *before*.

    The XML goes first: without it there is no process, whatever becomes of the other file.
    """
    with _locked(folder):
        _compare(folder, identifier, before)
        if (xml := path(folder, identifier)) is not None:
            xml.unlink()
            xml.with_suffix(".toml").unlink(missing_ok=True)
            _sync(folder)


def _compare(folder: Path, identifier: str, before: ProcessFiles) -> None:
    if read(folder, identifier) != before:
        what = "is stored already" if before == NONE else "has changed since it was read"
        raise StoredProcessChanged(f"the scan process {identifier} {what}; nothing is changed")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder while the body runs; a network file system needs a file that is open for writing."""
    folder.mkdir(parents=True, exist_ok=True)
    number = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably; it keeps its owner and its mode."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            _take_over(file.fileno(), path)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _take_over(number: int, path: Path) -> None:
    """Give an open file the owner and the mode of the one that it replaces, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        before = path.stat()
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(number, before.st_uid, before.st_gid)
        os.fchmod(number, stat.S_IMODE(before.st_mode))


def _sync(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
