"""Bring the spool and the rows together after a crash, a restore or a careless hand, before any job runs.

A file that no row knows is put aside, never deleted: it may be all that is left of somebody's scan. A job that has
lost a file cannot be what its owner was promised; it is aborted, and all others are served (F-R28, I4). A file that
was noted as removed, by a server that was killed before it could, is removed now.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from postscan.core.clock import Clock
from postscan.core.errors import JobNotFound, WrongState
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason
from postscan.core.spool.images import Spool
from postscan.core.store.retention import Blob
from postscan.core.store.store import Store

log = logging.getLogger(__name__)


def reconcile(store: Store, spool: Spool, clock: Clock) -> None:
    """Put aside every file that was there before now without a row, and abort every open job that lacks a file."""
    now = clock.now().timestamp()
    files = spool.files()  # before the rows are read: what is recorded meanwhile is no stray
    blobs = store.blobs()
    known = {blob.key for blob in blobs}
    spool.drop(*(blob.key for blob in blobs if blob.key in files and not blob.kept))
    _put_aside(spool, (key for key, stat in files.items() if key not in known and stat.st_mtime < now))
    sizes = {key: stat.st_size for key, stat in files.items()}
    for token, sentence in _damaged(blobs, sizes).items():
        _abort(store, clock, token, sentence)


def _put_aside(spool: Spool, strays: Iterable[str]) -> None:
    for key in strays:
        try:
            log.warning("no job knows the file %s of the spool; it is kept as %s", key, spool.quarantine(key))
        except OSError as error:
            log.warning("no job knows the file %s of the spool; it stays there: %s", key, error)


def _damaged(blobs: Iterable[Blob], sizes: Mapping[str, int]) -> dict[JobToken, str]:
    """Return the open jobs with a file that is missing or has another size, and what is wrong with it."""
    damaged = {}
    for blob in blobs:
        size = sizes.get(blob.key)
        if blob.open and size != blob.size:
            found = "is missing" if size is None else f"has {size} bytes"
            damaged[blob.token] = f"{blob.key} {found}; expected {blob.size} bytes"
    return damaged


def _abort(store: Store, clock: Clock, token: JobToken, sentence: str) -> None:
    try:
        with store.change(token) as job:
            job.fail(JobReason.PROCESSING_FAILED, clock.now())
    except (JobNotFound, WrongState):
        return  # it ended meanwhile
    log.error("job %s is given up: its file %s", token, sentence)
