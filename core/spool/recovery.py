"""Reconcile spool and database after a crash, a restore or a manual change, before any job runs.

A file without a row is quarantined, never deleted: it may be all that is left of a scan. One that a filter made is
deleted, since the filter runs again. A job that has lost a file is aborted, and all others are served (F-R28, I4). A
file that is recorded as removed, by a server that was killed before it removed it, is removed now.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from postscan.core.clock import Clock
from postscan.core.errors import JobNotFound, WrongState
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason
from postscan.core.spool.images import MADE, Spool
from postscan.core.store.retention import Blob
from postscan.core.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """The files of a spool and the rows of a database, by key, and how they differ.

    `damaged` has the open jobs with a file that is missing or has another size, and what is wrong with it; `unknown`
    the files without a row.
    """

    files: Mapping[str, os.stat_result]
    blobs: list[Blob]
    damaged: Mapping[JobToken, str]
    unknown: list[str]


def compare(store: Store, spool: Spool) -> Comparison:
    """Compare the files of the spool with the rows of the database, and change nothing."""
    files = spool.files()
    blobs = store.blobs()
    known = {blob.key for blob in blobs}
    sizes = {key: stat.st_size for key, stat in files.items()}
    return Comparison(files, blobs, _damaged(blobs, sizes), [key for key in files if key not in known])


def reconcile(store: Store, spool: Spool, clock: Clock) -> None:
    """Quarantine every older file without a row, and abort every open job that lacks a file.

    Waits for a command that adds files before it adds their rows: `postscan jobs release`. Raises `SpoolFull`.
    """
    now = clock.now().timestamp()
    with spool.lock.alone():
        found = compare(store, spool)
        spool.drop(*(blob.key for blob in found.blobs if blob.key in found.files and not blob.kept))
        unknown = [key for key in found.unknown if found.files[key].st_mtime < now]
        spool.drop(*(key for key in unknown if _is_made(key)))
        _quarantine(spool, (key for key in unknown if not _is_made(key)))
    for token, reason in found.damaged.items():
        _abort(store, spool, clock, token, reason)


def _is_made(key: str) -> bool:
    """Return whether a filter made this file; without a row, the end of its run was not stored, and it runs again."""
    job, _, name = key.partition("/")
    return bool(job) and name.startswith(MADE)


def _quarantine(spool: Spool, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            log.warning("file without a job quarantined", extra={"file": key, "kept_as": str(spool.quarantine(key))})
        except OSError as error:
            log.warning("file without a job not quarantined", extra={"file": key, "reason": str(error)})


def _damaged(blobs: Iterable[Blob], sizes: Mapping[str, int]) -> dict[JobToken, str]:
    """Return the open jobs with a file that is missing or has another size, and what is wrong with it."""
    damaged = {}
    for blob in blobs:
        size = sizes.get(blob.key)
        if blob.open and size != blob.size:
            found = "is missing" if size is None else f"has {size} bytes"
            damaged[blob.token] = f"{blob.key} {found}; expected {blob.size} bytes"
    return damaged


def _abort(store: Store, spool: Spool, clock: Clock, token: JobToken, reason: str) -> None:
    try:
        with store.change(token) as job:
            job.fail(JobReason.PROCESSING_FAILED, clock.now())
    except (JobNotFound, WrongState):
        return  # it ended meanwhile
    spool.discard(*job.made)
    log.error("job aborted: spool file damaged", extra={"job": token, "reason": reason})
