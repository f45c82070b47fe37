"""Which spool belongs to which database: both have the same random identifier.

With another spool, an empty mount point for example, a server would abort the open jobs of its database and put the
files of the spool aside. So it does not start; an administrator who means it gives both a new identifier, by
`postscan spool adopt`.

An identifier is stored in three steps: in the spool as `spool-id.part`, in the row of the database, then in the spool
under its final name. After a crash in between, the next start completes them, or begins anew if there is no row yet.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass

from postscan.core.spool.image_store.spool_store import ID, ID_PART, SpoolStore
from postscan.core.store.cluster import installation
from postscan.core.store.cluster.installation import SpoolRow
from postscan.core.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpoolIdentity:
    """The identifier in a spool, and the row of a database; None where there is none."""

    place: str
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
        spool = f"{self.place} is spool {self.identifier}" if self.identifier else f"{self.place} has no identifier"
        row = f"spool {self.row.identifier} ({self.row.place})" if self.row else "no spool yet"
        return f"{spool}, and the database {self.database} has {row}"


def read(store: Store, spool: SpoolStore) -> SpoolIdentity:
    """Return the identifiers of a spool and of the database; one that was stored in part counts from its row on."""
    with store.reading() as db:
        row = installation.read_spool(db)
    interrupted = row is not None and spool.read_mark(ID_PART) == row.identifier
    identifier = row.identifier if row and interrupted else spool.read_mark(ID)
    return SpoolIdentity(spool.name, identifier, store.name, row)


def refusal(store: Store, spool: SpoolStore) -> str | None:
    """Return why a server must not use this spool with this database; None if it may.

    Data of an older version have no identifiers. They are refused if the folder has no file of any open job.
    """
    found = read(store, spool)
    if found.fits:
        return None
    if not found.is_new:
        return f"the spool is not that of the database: {found}"
    needed = {blob.key: blob.token for blob in store.open_blobs()}
    if not needed or any(size is not None for _, size in spool.sizes(needed)):
        return None
    jobs = len(set(needed.values()))
    return f"the spool is not that of the database: {spool.name} has no file of the {jobs} open jobs in {store.name}"


def bind(store: Store, spool: SpoolStore) -> None:
    """Store an identifier if there is none, and complete one that was stored in part. Ask `refusal` first."""
    found = read(store, spool)
    if found.row is None:
        adopt(store, spool)
        return
    if spool.read_mark(ID_PART) == found.row.identifier:
        spool.rename_mark(ID_PART, ID)
    if found.row.place != spool.place:
        _write(store, found.row.identifier, spool)


def adopt(store: Store, spool: SpoolStore) -> None:
    """Give spool and database a new identifier, whatever they had."""
    identifier = str(uuid.uuid4())
    spool.write_mark(ID_PART, identifier)
    _write(store, identifier, spool)
    spool.rename_mark(ID_PART, ID)
    log.info("spool adopted by the database", extra={"spool": identifier, "file": spool.name})


def _write(store: Store, identifier: str, spool: SpoolStore) -> None:
    with store.writing() as db:
        installation.write_spool(db, SpoolRow(identifier, spool.place))
