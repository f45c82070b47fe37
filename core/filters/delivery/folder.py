"""Copy one file into a folder so that its name never shows less than the whole file.

Write unseen, sync, get the grant, link (`postscan.core.filters.delivery.atomic_file`). If the name is taken, the next
one is tried; no file is ever overwritten.

All paths are relative to one open folder, so that replacing it by a symbolic link meanwhile has no effect.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from postscan.core.filters.cancellation import CancellationToken
from postscan.core.filters.delivery import atomic_file
from postscan.core.filters.facts import Document, JobFacts
from postscan.core.model import file_names

CHUNK = 1 << 20  # bytes copied between two checks of the token
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class FilterRun(Protocol):
    """What a delivery needs of the filter run that it is part of."""

    @property
    def token(self) -> CancellationToken:
        """The token to check between two chunks."""

    @property
    def job(self) -> JobFacts:
        """The job that the run is part of."""

    @property
    def earlier(self) -> Mapping[tuple[int | None, str], str]:
        """The names that earlier runs of this filter published, by document and destination."""

    def publish(self, document: Document | None, destination: str, name: str) -> AbstractContextManager[None]:
        """Let the body make one output visible; raise `Cancelled` instead if the job was cancelled."""


def deliver(
    run: FilterRun,
    document: Document,
    folder: Path,
    below: Sequence[str],
    source: Path,
    name: str,
    destination: str,
) -> Path:
    """Put a copy of *source* into the last folder of *below* as *name* or the next free one; return where it is."""
    for part in (*below, name):
        if part in ("", ".", "..") or "/" in part or "\0" in part:
            raise ValueError(f"{part!r} is not a name; expected one path component")
    with contextlib.ExitStack() as opened:
        where = _descend(folder, below, opened)
        return folder.joinpath(*below, _deliver(run, document, where, source, name, destination))


def _descend(folder: Path, below: Sequence[str], opened: contextlib.ExitStack) -> int:
    """Open *folder* and walk down *below*; only the last may be missing, and none may be a symbolic link."""
    where = os.open(folder, _FOLDER)
    opened.callback(os.close, where)
    for depth, name in enumerate(below, start=1):
        if depth == len(below):
            _make(name, where)
        try:
            where = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=where)
        except NotADirectoryError as error:
            path = str(folder.joinpath(*below[:depth]))
            raise NotADirectoryError(error.errno, "a symbolic link or a file; expected a folder", path) from None
        opened.callback(os.close, where)
    return where


def _make(name: str, where: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o750, dir_fd=where)
    os.fsync(where)  # also of a folder that a killed run has made, and perhaps not synced


def _deliver(run: FilterRun, document: Document, where: int, source: Path, name: str, destination: str) -> str:
    """Put the file into the open folder *where*, and return the name that it got."""
    with atomic_file.atomic_file(where, _hidden(run, document, destination)) as new:
        digest = _copy(run, source, new.fd)
        earlier = run.earlier.get((document.id, destination))
        if earlier and _digest(run, earlier, where) == digest:
            os.fsync(where)  # the run that linked it was perhaps killed before
            return earlier
        number = 1
        while True:
            wanted = file_names.numbered(name, number)
            if not _taken(wanted, where):
                with contextlib.suppress(FileExistsError):
                    with run.publish(document, destination, wanted):
                        new.link_as(wanted)
                    os.fsync(where)
                    return wanted
            number += 1


def _hidden(run: FilterRun, document: Document, destination: str) -> str:
    """Return the name of the unfinished file, where the file system needs one.

    It is the same in every run, so that the next one finds what a killed one left; and it cannot be guessed, since the
    job's token is in it.
    """
    delivery = f"{run.job.token}\0{document.id}\0{destination}"
    return f".{hashlib.sha256(delivery.encode()).hexdigest()[:16]}.part"


def _copy(run: FilterRun, source: Path, target: int) -> str:
    """Copy and sync, checking the token for each MiB; return the SHA-256 in hex."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, os.fdopen(target, "wb", closefd=False) as writer:
        for chunk in _chunks(run, reader):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(target)
    return digest.hexdigest()


def _digest(run: FilterRun, name: str, where: int) -> str:
    """Return the SHA-256 of a file in hex; empty if there is none, or something else under its name."""
    if not _taken(name, where, kind=stat.S_ISREG):
        return ""
    digest = hashlib.sha256()
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where), "rb") as reader:
        for chunk in _chunks(run, reader):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(run: FilterRun, reader: BinaryIO) -> Iterator[bytes]:
    while chunk := reader.read(CHUNK):
        run.token.check()
        yield chunk


def _taken(name: str, where: int, kind: Callable[[int], bool] = bool) -> bool:
    """Return whether *name* is taken by something of that kind; a symbolic link is not followed."""
    try:
        return kind(os.stat(name, dir_fd=where, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
