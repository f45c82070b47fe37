"""Letting go of what has ended: images by age and size, jobs by age and number, answers by age.

Only jobs that ended as somebody wanted are touched, Completed and Canceled ones. An aborted job keeps its images
until an administrator releases or discards it. What happened to the repository goes with the jobs of its time. Ages are
in steady time, so a jump of the wall clock removes nothing.
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
    """The broom; `sweep` may be called at any time."""

    def __init__(self, settings: RetentionSettings, store: Store, spool: Spool, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._spool = spool
        self._clock = clock

    def sweep(self) -> None:
        """Remove what is older, larger or more than the settings want."""
        now = self._clock.ticks()
        self._store.record_ended(now)
        for job in self._store.disposable(ended_before=now - self._settings.image_hours * HOUR):
            self.remove_images(job)
        self._fit()
        self._store.drop_jobs(now - self._settings.job_hours * HOUR, self._settings.jobs)
        self._store.drop_responses(now - self._settings.request_hours * HOUR)

    def remove_images(self, job: Job) -> None:
        """Remove the images of one ended job: first the bytes, then the note, so that no byte is forgotten."""
        self._spool.discard(*job.documents, *job.made)
        self._store.record_images_removed(job.token)
        if job.documents:
            log.info("the %d images of job %s were removed", len(job.documents), job.token)

    def _fit(self) -> None:
        """Remove the oldest images until the rest fits the budget."""
        jobs = self._store.disposable()
        over = sum(document.size for job in jobs for document in job.documents) - self._settings.image_bytes
        for job in jobs:
            if over <= 0:
                return
            over -= sum(document.size for document in job.documents)
            self.remove_images(job)
