"""Reconcile spool and database after a crash, a restore or a manual change, before any job runs.

A file without a row is quarantined, never deleted: it may be all that is left of a scan. One that a filter made is
deleted, since the filter runs again. A job that has lost a file is aborted, and all others are served (F-R28, I4). A
file that is recorded as removed, by a server that was killed before it removed it, is removed now; so is an upload that
is incomplete.

The files are compared page by page, and the rows of jobs that have no file are read only if the job is open: most have
ended, and their files are removed.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import JobNotFound, WrongState
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason
from postscan.core.spool.image_store.image_writer import MADE
from postscan.core.spool.image_store.spool_store import SpoolStore, is_incomplete
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

PAGE: Final = 1000
"""Files whose rows are read at once."""


@dataclass
class Comparison:
    """How the files of a spool, by their keys, differ from the rows of a database.

    `damaged` has the open jobs with a file that is missing or has another size, and what is wrong with it; `unknown`
    the files without a row, and when each was last changed (POSIX time); `removed` those that are recorded as removed;
    `incomplete` the uploads in progress, and when each was last changed.
    """

    damaged: Mapping[JobToken, str] = field(default_factory=dict)
    unknown: dict[str, float] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    incomplete: dict[str, float] = field(default_factory=dict)


def compare(store: Store, spool: SpoolStore) -> Comparison:
    """Compare the files of the spool with the rows of the database, and change nothing.

    Both are read in pages: what others change meanwhile may be among the differences. A start compares before it runs
    jobs; of the jobs that it finds damaged, those that a command has ended meanwhile stay as they are.
    """
    found = Comparison()
    for _ in comparing(store, spool, found):
        pass
    return found


def comparing(store: Store, spool: SpoolStore, found: Comparison) -> Iterator[None]:
    """Do what `compare` does, into *found*; yield behind each page."""
    files = spool.files()
    while page := list(itertools.islice(files, PAGE)):
        blobs = {blob.key: blob for blob in store.blobs({file.key.partition("/")[0] for file in page})}
        for file in page:
            key = file.key
            if is_incomplete(key):
                with contextlib.suppress(FileNotFoundError):
                    found.incomplete[key] = file.changed()
            elif key not in blobs:
                with contextlib.suppress(FileNotFoundError):
                    found.unknown[key] = file.changed()
            elif not blobs[key].kept:
                found.removed.append(key)
        yield
    found.damaged = dict(_damaged(store, spool))


def reconcile(store: Store, spool: SpoolStore, clock: Clock) -> None:
    """Quarantine every older file without a row, abort every open job that lacks a file, and count the logs of jobs.

    Waits for a command that adds files before it adds their rows: `postscan jobs release`, or `retry`. Raises
    `SpoolFull`.
    """
    now = clock.now().timestamp()
    with spool.lock.alone():
        found = compare(store, spool)
        spool.drop(*found.incomplete, *found.removed)
        put_aside(spool, (key for key, changed in found.unknown.items() if changed < now))
    abort_damaged(store, spool, clock, found.damaged)
    _recount(store, spool)


def _recount(store: Store, spool: SpoolStore) -> None:
    for owner in store.recount():
        log.warning("bytes of a caller counted again", extra={"user": owner})
    _count_logs(store, spool)


def put_aside(spool: SpoolStore, files: Iterable[str]) -> None:
    """Quarantine files without a row; remove those that filters made."""
    keys = list(files)
    spool.drop(*(key for key in keys if _is_made(key)))
    _quarantine(spool, (key for key in keys if not _is_made(key)))


def abort_damaged(store: Store, spool: SpoolStore, clock: Clock, damaged: Mapping[JobToken, str]) -> None:
    """Abort jobs that have lost a file; *damaged* has the reason of each."""
    for token, reason in damaged.items():
        _abort(store, spool, clock, token, reason)


def _count_logs(store: Store, spool: SpoolStore) -> None:
    """Count the logs of the jobs, and remove those of jobs that were deleted."""
    tokens = spool.logs.tokens()
    owners = store.owners(tokens)
    for token in tokens:
        spool.logs.keep(token)
        owner = owners.get(JobToken(token))
        if owner is None:
            spool.logs.try_to_remove(token)
        else:
            spool.logs.count(token, owner)


def _is_made(key: str) -> bool:
    """Return whether a filter made this file; without a row, the end of its run was not stored, and it runs again."""
    job, _, name = key.partition("/")
    return bool(job) and name.startswith(MADE)


def _quarantine(spool: SpoolStore, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            log.warning("file without a job quarantined", extra={"file": key, "kept_as": str(spool.quarantine(key))})
        except OSError as error:
            log.warning("file without a job not quarantined", extra={"file": key, "reason": str(error)})


def _damaged(store: Store, spool: SpoolStore) -> Iterator[tuple[JobToken, str]]:
    """Yield the open jobs with a file that is missing or has another size, and what is wrong with it."""
    blobs = list(store.open_blobs())
    for blob, (_, size) in zip(blobs, spool.sizes(blob.key for blob in blobs), strict=True):
        if size != blob.size:
            found = "is missing" if size is None else f"has {size} bytes"
            yield blob.token, f"{blob.key} {found}; expected {blob.size} bytes"


def _abort(store: Store, spool: SpoolStore, clock: Clock, token: JobToken, reason: str) -> None:
    try:
        with store.change(token) as job:
            job.fail(JobReason.PROCESSING_FAILED, clock.now())
    except (JobNotFound, WrongState):
        return  # it ended meanwhile
    spool.discard(*job.made)
    log.error("job aborted: spool file damaged", extra={"job": token, "reason": reason})
