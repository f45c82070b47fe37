"""A file of exported lines of the audit trail: one JSON object for each line, with the keys of `audit --json`."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from postscan.core.errors import InvalidArgument
from postscan.core.filters.delivery.atomic_file import atomic_file
from postscan.core.model.records import AuditLine
from postscan.core.service.administration.records import AuditRecord

_TYPES = {name: int if name == "seq" else str for name in AuditLine._fields}


def write(lines: Iterable[AuditLine], target: TextIO) -> int:
    """Write the lines; return how many."""
    count = 0
    for line in lines:
        target.write(json.dumps(AuditRecord.of(line).plain()) + "\n")
        count += 1
    target.flush()
    return count


def create(lines: Iterable[AuditLine], path: Path) -> int:
    """Write the lines into a new file, complete and durable or not at all; return how many.

    Raises `OSError`, `FileExistsError` for one that exists.
    """
    if os.path.lexists(path):
        raise _exists(path)
    where = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with atomic_file(where, f".{path.name}.part") as new:
            with os.fdopen(new.fd, "w", encoding="ascii", closefd=False) as target:
                count = write(lines, target)
            os.fsync(new.fd)
            try:
                new.link_as(path.name)
            except FileExistsError:
                raise _exists(path) from None
        os.fsync(where)
    finally:
        os.close(where)
    return count


def read(path: Path) -> Iterator[AuditLine]:
    """Yield the lines of a file; raise `InvalidArgument` for what is no line of an audit trail, `OSError`."""
    with path.open(encoding="utf-8", errors="backslashreplace") as source:
        for number, text in enumerate(source, 1):
            yield _line(text, f"{path}, line {number}")


def make_durable(path: Path) -> None:
    """Sync a file and its folder to the disk: it is about to be the only copy of what it has. Raises `OSError`."""
    for one in (path, path.parent):
        descriptor = os.open(one, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "it exists; expected the name of a new file", str(path))


def _line(text: str, place: str) -> AuditLine:
    with suppress(ValueError, RecursionError):
        record = json.loads(text)
        if isinstance(record, dict) and {name: type(value) for name, value in record.items()} == _TYPES:
            line = AuditLine(**{**record, "at": datetime.fromisoformat(record["at"])})
            if 0 < line.seq < 1 << 63:
                return line
    raise InvalidArgument(place, text.rstrip("\n"), "a line that `postscan audit export` has written")
