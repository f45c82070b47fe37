"""Replace two files of a folder together: after a crash both are new, or both are old.

The new contents are written beside the files first. Then a record that names them is put into the folder, which is the
commit: it stays until both files are replaced, and who finds it there completes what it says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Replace one file atomically and durably; it keeps its owner and its mode."""
    with contextlib.closing(_Draft(path, data)) as draft:
        draft.path.replace(path)
    sync(path.parent)


def replace_both(record: Path, files: Iterable[tuple[Path, bytes]]) -> None:
    """Replace files of the folder of *record*, which are there, all of them or none; each as `replace` does.

    Raises `OSError` while nothing is replaced: for want of room, all room is taken before the commit.
    """
    with contextlib.ExitStack() as drafts:
        written = [(drafts.enter_context(contextlib.closing(_Draft(path, data))), path) for path, data in files]
        moves = [(draft.path.name, path.name, _digest(path)) for draft, path in written]
        replace(record, json.dumps(moves).encode())
        for draft, _ in written:
            draft.is_kept = True
    complete(record)


def complete(record: Path) -> None:
    """Replace what is left to replace of a record, and remove it. A file that was edited since stays as it is."""
    folder = record.parent
    for draft, name, before in _moves(record.read_bytes()):
        new, old = folder / Path(draft).name, folder / Path(name).name
        if not new.exists():
            continue
        if _digest(old) == before:
            new.replace(old)
        else:
            new.unlink()
    sync(folder)
    record.unlink()
    sync(folder)


def _moves(data: bytes) -> list[tuple[str, str, str]]:
    """Return the moves of a record; none of a file that is no record."""
    try:
        return [(str(draft), str(name), str(before)) for draft, name, before in json.loads(data)]
    except (ValueError, TypeError):
        return []


def sync(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class _Draft:
    """The new content of a file, on the disk beside it; closed, it is removed unless it was moved or is kept."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self.is_kept = False
        try:
            with self.path.open("xb") as file:
                _take_over(file.fileno(), path)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove it if it is still there."""
        if not self.is_kept:
            self.path.unlink(missing_ok=True)


def _take_over(number: int, path: Path) -> None:
    """Give an open file the owner and the mode of the one that it replaces, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        before = path.stat()
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(number, before.st_uid, before.st_gid)
        os.fchmod(number, stat.S_IMODE(before.st_mode))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
