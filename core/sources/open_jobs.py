"""The jobs that take pages of one process of a source, each until it is ended, failed or cancelled.

Each has a place. One that cannot be failed now, since the database does not answer, keeps its place and is failed
later: its key must not be free before, and not be taken for ever.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from postscan.core.errors import JobNotFound, OriginRefused, StoreBusy, WrongState
from postscan.core.filters.source.messages import NOTES, JobCancelled
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.states import JobState
from postscan.core.service.origins import Origins
from postscan.core.sources.places import JobPlaces
from postscan.core.spool.quota import Reservation

log = logging.getLogger(__name__)

MORE: Final = "further notes are left out"
"""The note behind the last one that is kept."""


@dataclass(eq=False)
class OpenJob:
    """A job that takes pages. `lock` is held by the request that changes it."""

    token: JobToken
    owner: Principal
    lock: threading.Lock = field(default_factory=threading.Lock)
    pages: int = 0
    asked: int = 0
    extended: float = 0.0
    room: Reservation | None = None
    closed: bool = False
    notes: tuple[str, ...] = ()
    late: str = ""
    """Why it takes no pages any more; the source has been told, at the tick `late_since`."""

    late_since: float = 0.0

    def notes_with(self, text: str) -> tuple[str, ...]:
        """Return the notes with one more: each is there once, and there are at most `NOTES` and the line about more."""
        if text in self.notes or len(self.notes) > NOTES:
            return self.notes
        return (*self.notes, text if len(self.notes) < NOTES else MORE)

    def give_back_room(self) -> None:
        """Give back the room that was reserved for the page that is being written."""
        self.asked = 0
        if self.room is not None:
            self.room.release()
            self.room = None


class OpenJobs:
    """The open jobs of one process of a source; several threads may use it at once. *ticks* returns steady seconds.

    A job that others have ended is forgotten when its source asks for its end, or after *silence* seconds.
    """

    def __init__(
        self, inlet: str, silence: float, origins: Origins, places: JobPlaces, ticks: Callable[[], float]
    ) -> None:
        self._inlet = inlet
        self._silence = silence
        self._origins = origins
        self._places = places
        self._ticks = ticks
        self._lock = threading.Lock()  # of what follows
        self._jobs: dict[str, OpenJob] = {}
        self._unfailed: dict[JobToken, str] = {}

    @property
    def number(self) -> int:
        """How many jobs take pages."""
        with self._lock:
            return len(self._jobs)

    def tokens(self) -> list[JobToken]:
        """Return the jobs whose source takes them for open."""
        with self._lock:
            return [job.token for job in self._jobs.values() if not job.late]

    # --- for the requests of the source --------------------------------------------------------------------------

    def add(self, token: JobToken, owner: Principal) -> None:
        """Add a new job, which has its place already."""
        with self._lock:
            self._jobs[token] = OpenJob(token, owner, extended=self._ticks())

    @contextlib.contextmanager
    def held(self, token: str) -> Iterator[OpenJob]:
        """Yield a job for one request at a time; raise `OriginRefused` if it is not open."""
        with self._lock:
            job = self._jobs.get(token)
        if job is None:
            raise OriginRefused("there is no such job")
        with job.lock:
            if job.closed:
                raise OriginRefused("there is no such job")
            yield job

    def fail(self, job: OpenJob, reason: str) -> None:
        """Fail a job whose origin broke off. Raises `WrongState`, `JobNotFound`.

        Raises `StoreBusy` if that cannot be stored now; the source is done with the job all the same.
        """
        try:
            failed = self._origins.fail(job.token, job.owner, reason)
        except StoreBusy:
            self.close(job, unfailed=reason)
            raise
        if not failed:
            raise WrongState("fail", "ended")
        log.warning("job failed at its origin", extra={"job": job.token, "reason": reason})
        self.close(job)

    def why_late(self, job: OpenJob, error: str) -> str:
        """Return why a job takes no pages any more; *error* if its state does not say so."""
        if job.late:
            return job.late
        state = self._origins.ended([job.token]).get(job.token)
        return job.late or (f"the job is {state}" if state else error)

    def close(self, job: OpenJob, unfailed: str = "") -> None:
        """Forget a job that is not open any more; one that is still to be failed keeps its place."""
        job.closed = True
        job.give_back_room()
        with self._lock:
            self._jobs.pop(job.token, None)
            if unfailed:
                self._unfailed[job.token] = unfailed
        if not unfailed:
            self._places.give_back(self._inlet)

    # --- beside the requests -------------------------------------------------------------------------------------

    def ended(self, states: Mapping[JobToken, JobState | None]) -> list[JobCancelled]:
        """Record which jobs others have ended, and return what the source is told of them."""
        notices = []
        for token, state in states.items():
            with self._lock:
                job = self._jobs.get(token)
                if job is None or job.late:
                    continue
                job.late = "the job was cancelled" if state is JobState.CANCELED else f"the job is {state or 'gone'}"
                job.late_since = self._ticks()
            notices.append(JobCancelled(job=token, reason=job.late))
        return notices

    def forget_late(self) -> None:
        """Forget the jobs that others have ended and of which the source has sent nothing since, for *silence*."""
        before = self._ticks() - self._silence
        with self._lock:
            late = [job for job in self._jobs.values() if job.late and job.late_since < before]
        for job in late:
            if job.lock.acquire(blocking=False):
                try:
                    if not job.closed:
                        self.close(job)
                finally:
                    job.lock.release()

    def fail_left(self) -> None:
        """Fail the jobs that could not be failed before."""
        with self._lock:
            left = dict(self._unfailed)
        for token, reason in left.items():
            try:
                failed = self._origins.fail(token, None, reason)
            except StoreBusy:
                return
            except JobNotFound:
                failed = False
            if failed:
                log.warning("job failed at its origin", extra={"job": token, "reason": reason})
            with self._lock:
                was_left = self._unfailed.pop(token, None) is not None
            if was_left:
                self._places.give_back(self._inlet)

    @property
    def has_unfailed(self) -> bool:
        """Whether `fail_left` has work left."""
        with self._lock:
            return bool(self._unfailed)

    def fail_all(self, reason: str) -> None:
        """Fail what is open, since the process of the source has ended; what cannot be failed now is left."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            with job.lock:
                if not job.closed:
                    self.close(job, unfailed=reason)
        self.fail_left()
