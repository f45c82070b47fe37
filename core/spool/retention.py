"""Retention: remove images by age and size, ended jobs by age and number, stored responses by age.

Only Completed and Canceled jobs lose their images. An Aborted job keeps them until an administrator releases or
discards it. Events of the repository are removed with the jobs of their time. Ages are in steady time, so a jump of the
wall clock removes nothing.
"""

from __future__ import annotations

import logging
from typing import Final

from postscan.core.clock import Clock
from postscan.core.model.job import Job
from postscan.core.settings.engine import RetentionSettings
from postscan.core.spool.images import Spool
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

HOUR: Final = 3600.0


class Retention:
    """Removes what the settings no longer keep; `sweep` may be called at any time."""

    def __init__(self, settings: RetentionSettings, store: Store, spool: Spool, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._spool = spool
        self._clock = clock

    def sweep(self) -> None:
        """Remove what is older, larger or more than the settings keep."""
        now = self._clock.ticks()
        self._store.record_ended(now)
        for job in self._store.disposable(ended_before=now - self._settings.image_hours * HOUR):
            self.remove_images(job)
        self._fit()
        self._store.drop_jobs(now - self._settings.job_hours * HOUR, self._settings.jobs)
        self._store.drop_responses(now - self._settings.request_hours * HOUR)

    def remove_images(self, job: Job) -> None:
        """Remove the images of one ended job: the files before the record, so that no file is left without one."""
        self._spool.discard(*job.documents, *job.made)
        self._store.record_images_removed(job.token)
        if job.documents:
            log.info("images removed", extra={"job": job.token, "images": len(job.documents)})

    def _fit(self) -> None:
        """Remove the oldest images until the rest fits into `retention.image_bytes`."""
        jobs = self._store.disposable()
        over = sum(document.size for job in jobs for document in job.documents) - self._settings.image_bytes
        for job in jobs:
            if over <= 0:
                return
            over -= sum(document.size for document in job.documents)
            self.remove_images(job)
