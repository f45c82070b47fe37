"""Retention: remove images by age and size, ended jobs by age and number, stored responses by age.

Images of Completed and Canceled jobs are removed by age and by size; those of a job that timed out, or whose source
failed, by their own age, since an administrator may still release them. Every other Aborted job keeps its images until
an administrator discards them. Events of the repository are removed with the jobs of their time. Origins are forgotten
when their time is over. Ages are in steady time, so a jump of the wall clock removes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import JobNotFound
from postscan.core.model.job import Job, JobToken
from postscan.core.settings.engine import RetentionSettings
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.core.store.retention import Disposable
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

HOUR: Final = 3600.0

PAGE: Final = 100
"""Jobs with pictures that are looked at together."""


class Retention:
    """Removes what the settings no longer keep, in transactions that change few jobs each."""

    def __init__(self, settings: RetentionSettings, store: Store, spool: SpoolStore, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._spool = spool
        self._clock = clock
        self._kept: set[JobToken] = set()  # jobs whose images could not be removed, so that each is logged once

    def use(self, settings: RetentionSettings) -> None:
        """Work with these settings from now on; a sweep that has begun may have begun with the old ones."""
        self._settings = settings

    def sweep(self) -> None:
        """Remove what is older, larger or more than the settings keep."""
        for _ in self.batches():
            pass

    def batches(self) -> Iterator[None]:
        """Do what `sweep` does; yield behind each transaction. One caller at a time."""
        now = self._clock.ticks()
        jobs_before = now - self._settings.job_hours * HOUR
        self._spool.logs.forget_removed()
        yield from _repeated(lambda: self._store.record_ended(now))
        for job in self._store.disposable(now - self._settings.image_hours * HOUR):
            self._try_to_remove(job)
            yield
        for job in self._store.disposable(now - self._settings.timed_out_hours * HOUR, unfinished=True):
            if self._try_to_remove(job) and job.size:
                log.warning("images of unfinished job removed", extra={"job": job.token, "bytes": job.size})
            yield
        yield from self._fit()
        yield from _repeated(lambda: self._store.drop_repository_events(jobs_before))
        yield from _repeated(lambda: self._drop_jobs(jobs_before))
        yield from _repeated(lambda: self._store.drop_responses(now - self._settings.request_hours * HOUR))
        yield from _repeated(lambda: self._store.forget_origins(now))
        yield from self._drop_pictures()

    def remove_images(self, job: Job) -> None:
        """Remove the images of one ended job: the files before the record, so that no file is left without one."""
        self._spool.discard(*job.documents, *job.made)
        self._store.record_images_removed(job.token)
        self._spool.pictures.try_to_remove(job.token)  # last: whoever makes one meanwhile looks at the record after it
        if job.documents:
            log.info("images removed", extra={"job": job.token, "images": len(job.documents)})

    def _try_to_remove(self, ended: Disposable) -> bool:
        """Remove the images of one job; if that fails, return False, and the next sweep tries again."""
        try:
            self.remove_images(self._store.load(ended.token))
        except JobNotFound:
            return False
        except OSError as error:
            if ended.token not in self._kept:
                log.warning("images not removed", extra={"job": ended.token, "reason": str(error)})
            self._kept.add(ended.token)
            return False
        self._kept.discard(ended.token)
        return True

    def _drop_jobs(self, ended_before: float) -> int:
        """Delete a batch of jobs with their logs; return how many."""
        tokens = self._store.drop_jobs(ended_before, self._settings.jobs)
        for token in tokens:
            self._spool.logs.try_to_remove(token)
        return len(tokens)

    def _drop_pictures(self) -> Iterator[None]:
        """Remove the pictures of jobs without images: of a process that ended before it removed them."""
        try:
            tokens = self._spool.pictures.tokens()
        except OSError as error:
            log.warning("pictures not listed", extra={"reason": str(error)})
            return
        for begin in range(0, len(tokens), PAGE):
            some = tokens[begin : begin + PAGE]
            kept = {blob.token for blob in self._store.blobs(some) if blob.kept}
            yield
            for token in some:
                if token not in kept:
                    self._spool.pictures.try_to_remove(token)

    def _fit(self) -> Iterator[None]:
        """Remove the oldest images of Completed and Canceled jobs until the rest fits `retention.image_bytes`."""
        over = self._store.disposable_bytes() - self._settings.image_bytes
        if over <= 0:
            return
        for job in self._store.disposable():
            if self._try_to_remove(job):
                over -= job.size
            yield
            if over <= 0:
                return


def _repeated(step: Callable[[], int]) -> Iterator[None]:
    """Repeat a transaction until it has changed nothing."""
    while step():
        yield
