"""What a process needs to be ready: a database with a schema that it knows, and a spool that takes files."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Final

from postscan.core.errors import StoreBusy
from postscan.core.store.store import Store

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def database(store: Store) -> str:
    """Return why the database cannot be used now; "" if it answers."""
    try:
        with store.urgent():
            store.mark()
    except StoreBusy:
        return "the database does not answer"
    return ""


def schema(store: Store, needed: str) -> str:
    """Return why the schema of the database does not fit; "" if it is of the revision *needed*, or of a newer one.

    A newer one has what an older one has: columns and tables are only added. Raises nothing: a database that does not
    answer is another check's.
    """
    try:
        with store.urgent():
            revision = store.revision()
    except StoreBusy:
        return ""
    return "" if revision >= needed else f"the schema is of revision {revision or 'none'}; expected {needed}"


def spool(folder: Path) -> str:
    """Return why files cannot be written in a folder; "" if they can, or if only room is missing.

    A server without room for images still answers and cancels. The file that is written has no name, where the file
    system has such files.
    """
    try:
        with tempfile.TemporaryFile(prefix=".ready-", suffix=".part", dir=folder) as file:
            os.write(file.fileno(), b"\n")
    except OSError as error:
        return "" if error.errno in _FULL else f"no file can be written: {os.strerror(error.errno or 0)}"
    return ""
