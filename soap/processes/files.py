"""The two files of each scan process in a folder: read, replace and remove them, each of them whole or not at all.

Who has read a process changes it only if its files are still those that were read. Commands that change a folder take
turns by a lock on its file `.lock`; an editor does not, so what it writes in the same moment can be replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postscan.core.errors import StoredProcessChanged, Unavailable
from postscan.soap.processes import file_pair

LOCK_SECONDS: Final = 10.0
"""Longest wait for another change of the folder."""

_LOCK: Final = ".lock"
_PAUSE: Final = 0.02
_TRIES: Final = 5


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
    """Return what is stored of a process, both files of the same change; raise `OSError` for unreadable ones.

    A change that a crash has interrupted is completed first.
    """
    for _ in range(_TRIES):
        complete(folder, identifier)
        before = _stamps(folder, identifier)
        found = _read(folder, identifier)
        if _stamps(folder, identifier) == before and not _record(folder, identifier).exists():
            return found
    return found


def complete(folder: Path, identifier: str) -> None:
    """Complete the change of a process that a crash has interrupted; wait for one that is under way.

    Who may not write in the folder reads the files as they are.
    """
    record = _record(folder, identifier)
    if record.exists():
        with contextlib.suppress(OSError, Unavailable), _locked(folder):
            _complete(record)


def write(folder: Path, identifier: str, files: ProcessFiles) -> None:
    """Replace both files of a process together, whatever is stored; *files* has both. Raises as `replace`."""
    with _locked(folder):
        _complete(_record(folder, identifier))
        _write(folder, identifier, files)


def replace(folder: Path, identifier: str, before: ProcessFiles, after: ProcessFiles) -> None:
    """Replace the files of a process; raise `StoredProcessChanged` if they are not those *before*.

    Raised by this and by `remove`: `Unavailable` if another change of the folder takes too long.
    """
    with _locked(folder):
        _compare(folder, identifier, before)
        _write(folder, identifier, after)


def remove(folder: Path, identifier: str, before: ProcessFiles) -> None:
    """Remove the files of a process; raise `StoredProcessChanged` if they are not those *before*.

    The XML goes first: without it there is no process, whatever becomes of the other file.
    """
    with _locked(folder):
        _compare(folder, identifier, before)
        if (xml := path(folder, identifier)) is not None:
            xml.unlink()
            xml.with_suffix(".toml").unlink(missing_ok=True)
            file_pair.sync(folder)


def _write(folder: Path, identifier: str, files: ProcessFiles) -> None:
    """Replace both files of a process together; of a new one, store that with the users first.

    So no process exists without its users. A file whose content stays is not written.
    """
    xml = path(folder, identifier) or folder / f"{identifier}.xml"
    contents = ((xml.with_suffix(".toml"), files.properties), (xml, files.xml))
    changed = [(place, data) for place, data in contents if data is not None and _content(place) != data]
    if len(changed) == 2 and all(place.exists() for place, _ in changed):
        file_pair.replace_both(_record(folder, identifier), changed)
        return
    for place, data in changed:
        file_pair.replace(place, data)


def _compare(folder: Path, identifier: str, before: ProcessFiles) -> None:
    _complete(_record(folder, identifier))
    if _read(folder, identifier) != before:
        what = "is stored already" if before == NONE else "has changed since it was read"
        raise StoredProcessChanged(f"the scan process {identifier} {what}; nothing is changed")


def _complete(record: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        file_pair.complete(record)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder while the body runs; a network file system needs a file that is open for writing.

    Raises `Unavailable` if another process holds it too long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _lock(number)
        yield
    finally:
        os.close(number)


def _lock(number: int) -> None:
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Unavailable("another process is changing the scan processes") from None
            time.sleep(_PAUSE)
        else:
            return


def _record(folder: Path, identifier: str) -> Path:
    """Return the record of a change of both files of a process, which is there while they are replaced."""
    return folder / f".{identifier.upper()}.replaced"


def _read(folder: Path, identifier: str) -> ProcessFiles:
    xml = path(folder, identifier)
    return NONE if xml is None else ProcessFiles(xml.read_bytes(), _content(xml.with_suffix(".toml")))


def _stamps(folder: Path, identifier: str) -> list[tuple[int, int, int] | None]:
    xml = path(folder, identifier)
    return [] if xml is None else [_stamp(xml), _stamp(xml.with_suffix(".toml"))]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
