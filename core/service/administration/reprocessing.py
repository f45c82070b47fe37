"""Process the images of an ended job again, as a new job: after a release of an unfinished one, or after a retry.

The ended job stays as it ended, and its images are those of the new job, so that it can be done once. A retry runs the
filter that failed and those after it. It also runs earlier filters that made documents: what they made was removed when
the job ended, and the filters after them need it (D29).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from postscan.core.clock import Clock
from postscan.core.errors import InvalidArgument
from postscan.core.model.job import FilterStep, Job, JobDocument, JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.records import AuditLine, Delivery
from postscan.core.model.states import FilterState
from postscan.core.service.administration.actions import JobAction
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.core.store.store import Store


class PlannedFilter(NamedTuple):
    """What a retry does with one filter of the ended job.

    `runs` says that it runs again, `remakes` that it does so only for the documents that it made; `published` are its
    outputs, which stay, and which a filter that runs publishes again.
    """

    step: FilterStep
    runs: bool
    remakes: bool
    published: tuple[Delivery, ...]


def plan(job: Job, deliveries: Sequence[Delivery], position: int | None) -> list[PlannedFilter]:
    """Return what a retry from the filter at *position* does with each filter; from the first that failed if None.

    Raises `InvalidArgument` (from) if there is no such filter.
    """
    first = _first_failed(job) if position is None else position
    if not 0 <= first < len(job.steps):
        raise InvalidArgument("from", str(first + 1), f"the number of a filter, 1 to {len(job.steps)}")
    planned = []
    for step in job.steps:
        remakes = step.position < first and step.documents is not None
        published = tuple(one for one in deliveries if one.position == step.position and one.published)
        planned.append(PlannedFilter(step, step.position >= first or remakes, remakes, published))
    return planned


def _first_failed(job: Job) -> int:
    """Return the position of the first filter that failed, or else of the first that did not come to its end."""
    unsuccessful = [step for step in job.steps if step.state not in (FilterState.SUCCEEDED, FilterState.WARNINGS)]
    failed = [step for step in unsuccessful if step.state is FilterState.ERRORS]
    return next((step.position for step in (*failed, *unsuccessful)), 0)


class Reprocessing:
    """Makes new jobs of ended ones."""

    def __init__(self, store: Store, spool: SpoolStore, clock: Clock) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock

    def start(self, job: Job, token: JobToken, steps: Sequence[FilterStep], by: Principal, action: JobAction) -> None:
        """Store a new, pending job of the same owner, with the images of *job* and the filters of these steps.

        Raises `WrongState` if the images are gone or those of another job already, `SpoolFull`.
        """
        process = ScanProcess(job.process_id, job.process_name, "", Instructions("", ()))
        filters = tuple(step.instructions for step in steps)
        instructions = Instructions(job.document_root, filters, job.continue_on_error)
        again = Job.create(token, job.owner, job.user, process, instructions, self._clock.now())
        line = AuditLine.of(by, action, job.token, self._clock.now(), detail=_detail(job, token, steps))
        copies: list[JobDocument] = []
        with self._spool.lock.adding(), self._spool.discarded_on_failure(copies):
            for document in job.documents:
                copies.append(self._spool.copy(document, token))
                again.receive(copies[-1], self._clock.now())
            again.end(self._clock.now())
            self._store.insert(again, line, images_from=job.token)
        self._spool.discard(*job.documents)
        self._spool.pictures.try_to_remove(job.token)


def _detail(job: Job, token: JobToken, steps: Sequence[FilterStep]) -> str:
    """Return the detail of the audit line: the new job, and its filters by their numbers unless it has all of them."""
    numbers = ", ".join(str(step.position + 1) for step in steps)
    part = "" if len(steps) == len(job.steps) else f", with filters {numbers} of {len(job.steps)}"
    return f"its images became job {token}{part}"
