"""Which spool belongs to which database: both have the same random identifier.

With another spool, an empty mount point for example, a server would abort the open jobs of its database and put the
files of the spool aside. So it does not start; an administrator who means it gives both a new identifier, by
`postscan spool adopt`.

An identifier is stored in three steps: the file `spool-id.part`, the row of the database, then the file under its final
name. After a crash in between, the next start completes them, or begins anew if there is no row yet.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postscan.core.spool.images import ID, ID_PART, sync_folder
from postscan.core.store.cluster import installation
from postscan.core.store.cluster.installation import SpoolRow
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

_LONGEST: Final = 64  # bytes that are read of an identifier


@dataclass(frozen=True)
class SpoolIdentity:
    """The identifier in a folder, and the row of a database; None where there is none."""

    folder: Path
    identifier: str | None
    database: str
    row: SpoolRow | None

    @property
    def fits(self) -> bool:
        """Whether they belong together."""
        return self.row is not None and self.row.identifier == self.identifier

    @property
    def is_new(self) -> bool:
        """Whether neither has an identifier: no server of this version has used them."""
        return self.row is None and self.identifier is None

    def __str__(self) -> str:
        folder = f"{self.folder} is spool {self.identifier}" if self.identifier else f"{self.folder} has no identifier"
        row = f"spool {self.row.identifier} ({self.row.place})" if self.row else "no spool yet"
        return f"{folder}, and the database {self.database} has {row}"


def read(store: Store, folder: Path) -> SpoolIdentity:
    """Return the identifiers of a folder and of the database; one that was stored in part counts from its row on."""
    with store.reading() as db:
        row = installation.read_spool(db)
    interrupted = row is not None and _read(folder / ID_PART) == row.identifier
    return SpoolIdentity(folder, row.identifier if row and interrupted else _read(folder / ID), store.name, row)


def refusal(store: Store, folder: Path) -> str | None:
    """Return why a server must not use this spool with this database; None if it may.

    Data of an older version have no identifiers. They are refused if the folder has no file of any open job.
    """
    found = read(store, folder)
    if found.fits:
        return None
    if not found.is_new:
        return f"the spool is not that of the database: {found}"
    needed = {blob.key: blob.token for blob in store.open_blobs()}
    if not needed or any((folder / key).exists() for key in needed):
        return None
    jobs = len(set(needed.values()))
    return f"the spool is not that of the database: {folder} has no file of the {jobs} open jobs in {store.name}"


def bind(store: Store, folder: Path) -> None:
    """Store an identifier if there is none, and complete one that was stored in part. Ask `refusal` first."""
    found = read(store, folder)
    if found.row is None:
        adopt(store, folder)
        return
    if _read(folder / ID_PART) == found.row.identifier:
        _rename(folder)
    if found.row.place != _place(folder):
        _write(store, found.row.identifier, folder)


def adopt(store: Store, folder: Path) -> None:
    """Give folder and database a new identifier, whatever they had."""
    identifier = str(uuid.uuid4())
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / ID_PART, flags, 0o600)
    try:
        os.write(descriptor, identifier.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(folder)
    _write(store, identifier, folder)
    _rename(folder)
    log.info("spool adopted by the database", extra={"spool": identifier, "file": str(folder)})


def _write(store: Store, identifier: str, folder: Path) -> None:
    with store.writing() as db:
        installation.write_spool(db, SpoolRow(identifier, _place(folder)))


def _rename(folder: Path) -> None:
    (folder / ID_PART).rename(folder / ID)
    sync_folder(folder)


def _place(folder: Path) -> str:
    return f"{folder.absolute()} on {socket.gethostname()}"


def _read(file: Path) -> str | None:
    """Return the identifier in a file; None if there is no such file."""
    with contextlib.suppress(FileNotFoundError), file.open("rb") as opened:
        return opened.read(_LONGEST).decode(errors="replace").strip()
    return None
