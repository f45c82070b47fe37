"""All that is kept of jobs. SQL is spoken here, in the modules below it, and in `core.service.subscriptions` alone.

Every change has one shape. `with store.change(token) as job:` loads the job, lends it, and on leaving writes the row
where its version is still the one that was read, together with the events that the job collected, in one
transaction. So a cancel against a finish, an End or another cancel has exactly one winner: the database row.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from postscan.core.clock import Mark
from postscan.core.errors import Unavailable, WrongState
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.records import AuditLine, Delivery, EventRow, StoredResponse
from postscan.core.model.states import FilterState, JobState
from postscan.core.store import audit as store_audit
from postscan.core.store import database, jobs, requests
from postscan.core.store import events as store_events
from postscan.core.store.cache import JobCache
from postscan.core.store.deliveries import _delivery_key
from postscan.core.store.schema import DELIVERY, DOCUMENT, EVENT, JOB, MADE, STEP

_OPEN = [state.value for state in JobState if not state.ended]
_DISPOSABLE = [JobState.COMPLETED.value, JobState.CANCELED.value]
_IN_HAND = [state.value for state in JobState if state.in_progress]


class Blob(NamedTuple):
    """One document as the spool has it: its key, its job, its size in bytes, whether the job is still open.

    `kept` is false if it was removed, or passed on to another job; what filters made, when the job has ended.
    """

    key: str
    token: JobToken
    size: int
    open: bool
    kept: bool


class DuplicateRequest(Exception):
    """The twin of a request was faster; nothing was changed, and its answer is there now."""


ChangeRecord = StoredResponse | AuditLine
"""What can be stored together with a change of a job."""


class Store:
    """Jobs in a database. Safe to use from several threads and from several processes."""

    def __init__(self, url: str, *, busy_seconds: float = 5.0) -> None:
        self.url = url
        self._writer, self._reader = database.connect(url, busy_seconds)
        # SQLite has one writer at a time, and its own queue is unfair: threads may wait there for seconds.
        self._turn = threading.Lock() if self._writer is not self._reader else contextlib.nullcontext()
        self._memory = JobCache(self._writer.url.database if self._writer is not self._reader else None)

    def close(self) -> None:
        """Give the connections back."""
        self._memory.close()
        self._writer.dispose()
        self._reader.dispose()

    # --- one job -----------------------------------------------------------------------------------------------

    def insert(
        self, job: Job, *notes: ChangeRecord, images_from: str | None = None, most_open: int | None = None
    ) -> None:
        """Store a new job with its first events, its documents, and what is to be noted with it.

        *images_from* names an ended job whose images it takes over; raise `WrongState` if another job did so before.
        With *most_open*, raise `Unavailable` if its owner would have more jobs than that which have not ended.
        """
        with self.writing() as db:
            if images_from is not None:
                _transfer_images(db, images_from)
            jobs.insert(db, job)
            _write_records(db, notes)
            if most_open is not None and _count_open(db, job.owner.name) > most_open:
                raise Unavailable(f"{job.owner.name} has {most_open} open jobs already")

    def load(self, token: str, owner: Principal | None = None) -> Job:
        """Return the job; raise `JobNotFound`, also if it is not the *owner*'s.

        The database compares the owner, so that a foreign job takes no more time than one that does not exist.
        """
        seen = self._memory.look()
        with self.reading() as db:
            job = jobs.load(db, token, owner)
        self._memory.learn(job, seen)
        return job

    def cached(self, token: str) -> Job | None:
        """Return the job if that needs no waiting, else None. It is shared: do not call its verbs."""
        return self._memory.recall(token)

    @contextlib.contextmanager
    def change(self, token: str, *notes: ChangeRecord, owner: Principal | None = None) -> Iterator[Job]:
        """Lend the job, and save what its verbs did, with *notes*; an exception inside changes nothing.

        Raises `JobNotFound`, also if it is not the *owner*'s.
        """
        with self.writing() as db:
            job = jobs.load(db, token, owner, lock=True)
            steps, documents = list(job.steps), {document.id for document in job.documents}
            yield job
            jobs.save(db, job, steps, documents)
            _write_records(db, notes)

    def claim(self, at: datetime) -> Job | None:
        """Take the job that has waited longest, and return it Started; None if none waits."""
        waiting = (
            sa.select(JOB.c.token)
            .where(JOB.c.state == JobState.PENDING)
            .order_by(JOB.c.created, JOB.c.token)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self.writing() as db:
            token = db.scalar(waiting)
            if token is None:
                return None
            job = jobs.load(db, token, lock=True)
            steps, documents = list(job.steps), {document.id for document in job.documents}
            job.claim(at)
            jobs.save(db, job, steps, documents)
            return job

    # --- many jobs ---------------------------------------------------------------------------------------------

    def open_jobs(self, owner: str | None = None) -> list[Job]:
        """Return the jobs that have not ended, oldest first; of one owner, or of all."""
        return self._select(JOB.c.state.in_(_OPEN), owner, sa.asc(JOB.c.created))

    def ended_jobs(self, owner: str | None = None, limit: int = 50) -> list[Job]:
        """Return the jobs that have ended, newest first; of one owner, or of all."""
        return self._select(JOB.c.state.not_in(_OPEN), owner, sa.desc(JOB.c.completed), limit)

    def in_progress(self) -> dict[JobToken, JobState]:
        """Return the jobs that an executor has, or had before it died, oldest first."""
        query = sa.select(JOB.c.token, JOB.c.state).where(JOB.c.state.in_(_IN_HAND)).order_by(JOB.c.created)
        with self.reading() as db:
            return {JobToken(row.token): JobState(row.state) for row in db.execute(query)}

    def silent(self, ticks: float) -> list[JobToken]:
        """Return the jobs in Creating whose deadline has passed."""
        query = sa.select(JOB.c.token).where(JOB.c.state == JobState.CREATING, JOB.c.deadline < ticks)
        with self.reading() as db:
            return [JobToken(token) for token in db.scalars(query)]

    def touch(self, token: str, deadline: float) -> None:
        """Move the deadline of a job that is still in Creating."""
        query = sa.update(JOB).where(JOB.c.token == token, JOB.c.state == JobState.CREATING)
        with self.writing() as db:
            db.execute(query.values(deadline=deadline))

    def reset_deadlines(self, deadline: float) -> None:
        """Give every job in Creating this deadline: theirs are on a clock that nobody knows any more."""
        query = sa.update(JOB).where(JOB.c.state == JobState.CREATING)
        with self.writing() as db:
            db.execute(query.values(deadline=deadline))

    def blobs(self) -> list[Blob]:
        """Return what the spool should hold of open jobs, and may hold of the others."""
        is_open = JOB.c.state.in_(_OPEN)
        sent = sa.select(DOCUMENT.c.blob, DOCUMENT.c.token, DOCUMENT.c.size, is_open, JOB.c.images_kept)
        made = sa.select(MADE.c.blob, MADE.c.token, MADE.c.size, is_open, is_open)  # kept until the job ends
        with self.reading() as db:
            found = {
                blob.key: blob for blob in map(Blob._make, db.execute(made.join(JOB, JOB.c.token == MADE.c.token)))
            }
            of_devices = db.execute(sent.join(JOB, JOB.c.token == DOCUMENT.c.token))
            found |= {blob.key: blob for blob in map(Blob._make, of_devices)}
        return list(found.values())

    def events(self, token: str) -> list[EventRow]:
        """Return all events of a job in their order."""
        c = EVENT.c
        query = sa.select(c.seq, c.token, c.kind, c.at, c.fields).where(c.token == token).order_by(c.seq)
        with self.reading() as db:
            return [EventRow(*row) for row in db.execute(query)]

    # --- what filters do -----------------------------------------------------------------------------------------

    def record_progress(self, token: str, position: int, text: str) -> None:
        """Keep how far a running filter is."""
        query = sa.update(STEP).where(
            STEP.c.token == token, STEP.c.position == position, STEP.c.state == FilterState.PROCESSING
        )
        with self.writing() as db:
            db.execute(query.values(progress=text))

    def grant(self, token: str, position: int, attempt: int, about: Delivery, at: datetime) -> bool:
        """Record that a filter is about to make an output visible, unless the job was cancelled or runs elsewhere.

        One transaction decides and records, so no output is granted after a stored cancel.
        """
        allowed = (
            sa.select(STEP.c.attempt)
            .join(JOB, JOB.c.token == STEP.c.token)
            .where(STEP.c.token == token, STEP.c.position == position, STEP.c.attempt == attempt)
            .where(JOB.c.state == JobState.PROCESSING, STEP.c.state == FilterState.PROCESSING)
            .with_for_update()
        )
        with self.writing() as db:
            if db.scalar(allowed) is None:
                return False
            key = _delivery_key(token, position, about)
            db.execute(sa.delete(DELIVERY).where(*(DELIVERY.c[name] == value for name, value in key.items())))
            db.execute(sa.insert(DELIVERY), {**key, "name": about.name, "published": False, "at": at})
            return True

    def settle(self, token: str, position: int, about: Delivery) -> None:
        """Record that a granted output became visible, or did not."""
        key = _delivery_key(token, position, about)
        where = [DELIVERY.c[name] == value for name, value in key.items()] + [DELIVERY.c.name == about.name]
        with self.writing() as db:
            if about.published:
                db.execute(sa.update(DELIVERY).where(*where).values(published=True))
            else:
                db.execute(sa.delete(DELIVERY).where(*where))

    def deliveries(self, token: str) -> list[Delivery]:
        """Return the outputs of a job's filters."""
        c = DELIVERY.c
        query = sa.select(c.position, c.document, c.destination, c.name, c.published).where(c.token == token)
        with self.reading() as db:
            return [
                Delivery(row.position, row.document or None, row.destination, row.name, row.published)
                for row in db.execute(query.order_by(c.position, c.document, c.destination))
            ]

    # --- the ledger ----------------------------------------------------------------------------------------------

    def answered(self, owner: str, message_id: str) -> StoredResponse | None:
        """Return the answer that was given to a request of this name."""
        with self.reading() as db:
            return requests.read_response(db, owner, message_id)

    def note(self, *notes: ChangeRecord) -> None:
        """Write down what belongs to no change of a job."""
        with self.writing() as db:
            _write_records(db, notes)

    def audit(self, token: str | None = None, limit: int = 100) -> list[AuditLine]:
        """Return the newest lines of the audit trail, oldest first; of one job, or of all."""
        with self.reading() as db:
            return store_audit.read_audit(db, token, limit)

    def record_filters(self, dialects: Iterable[str], at: datetime) -> None:
        """Write down which filters can be used, if they are others than the last time."""
        with self.writing() as db:
            store_events.append_filters(db, dialects, at)

    def mark(self) -> Mark | None:
        """Return where the steady clock stood when it was last written down."""
        with self.reading() as db:
            return store_audit.read_mark(db)

    def keep_mark(self, mark: Mark) -> None:
        """Write down where the steady clock stands."""
        with self.writing() as db:
            store_audit.write_mark(db, mark)

    # --- retention -----------------------------------------------------------------------------------------------

    def spooled_bytes(self, owner: str | None = None) -> int:
        """Return how many bytes of images the spool keeps, of one owner or of all."""
        query = sa.select(sa.func.coalesce(sa.func.sum(DOCUMENT.c.size), 0)).join(JOB, JOB.c.token == DOCUMENT.c.token)
        query = query.where(JOB.c.images_kept)
        if owner is not None:
            query = query.where(JOB.c.owner == owner)
        with self.reading() as db:
            return int(db.scalar(query) or 0)

    def record_ended(self, ticks: float) -> None:
        """Write down when the jobs ended that have ended since the last call."""
        query = sa.update(JOB).where(JOB.c.ended_ticks.is_(None), JOB.c.state.not_in(_OPEN))
        with self.writing() as db:
            db.execute(query.values(ended_ticks=ticks))

    def disposable(self, ended_before: float | None = None) -> list[Job]:
        """Return the Completed and Canceled jobs whose images are kept, the one that ended first at the head."""
        query = sa.select(JOB).where(JOB.c.images_kept, JOB.c.state.in_(_DISPOSABLE), JOB.c.ended_ticks.is_not(None))
        if ended_before is not None:
            query = query.where(JOB.c.ended_ticks < ended_before)
        with self.reading() as db:
            return jobs.select(db, query.order_by(JOB.c.ended_ticks, JOB.c.token).limit(1000))

    def images_removed(self, token: str) -> None:
        """Note that the images of an ended job are gone."""
        query = sa.update(JOB).where(JOB.c.token == token)
        with self.writing() as db:
            db.execute(query.values(images_kept=False, version=JOB.c.version + 1))

    def drop_jobs(self, ended_before: float, keep: int) -> int:
        """Forget ended jobs without images that are both old and beyond the newest *keep*; return how many.

        What happened to the repository before they ended is forgotten as well.
        """
        newest = sa.select(JOB.c.token).where(JOB.c.ended_ticks.is_not(None))
        newest = newest.order_by(JOB.c.ended_ticks.desc(), JOB.c.token).limit(keep)
        query = sa.delete(JOB).where(
            JOB.c.ended_ticks < ended_before, sa.not_(JOB.c.images_kept), JOB.c.token.not_in(newest)
        )
        with self.writing() as db:
            store_events.drop_before(db, ended_before)
            return db.execute(query).rowcount

    def drop_responses(self, before: float) -> int:
        """Forget the answers that nobody will ask for again; return how many they were."""
        with self.writing() as db:
            return requests.drop_responses_before(db, before)

    # --- transactions --------------------------------------------------------------------------------------------

    def _select(
        self, condition: sa.ColumnElement[bool], owner: str | None, order: sa.UnaryExpression[Any], limit: int = 10_000
    ) -> list[Job]:
        query = sa.select(JOB).where(condition).order_by(order).limit(limit)
        if owner is not None:
            query = query.where(JOB.c.owner == owner)
        with self.reading() as db:
            return jobs.select(db, query)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Lend a transaction that writes; an exception inside leaves nothing. Raises `StoreBusy`."""
        with self._turn, database.translated():
            with self._writer.begin() as db:
                yield db
            self._memory.forget()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Lend a transaction that only reads. Raises `StoreBusy`."""
        with database.translated(), self._reader.begin() as db:
            yield db


def _count_open(db: sa.Connection, owner: str) -> int:
    query = sa.select(sa.func.count()).where(JOB.c.owner == owner, JOB.c.state.in_(_OPEN))
    return db.scalar(query) or 0


def _transfer_images(db: sa.Connection, token: str) -> None:
    query = sa.update(JOB).where(JOB.c.token == token, JOB.c.images_kept)
    if db.execute(query.values(images_kept=False, version=JOB.c.version + 1)).rowcount != 1:
        raise WrongState("release", JobState.ABORTED)


def _write_records(db: sa.Connection, notes: Sequence[ChangeRecord]) -> None:
    for note in notes:
        if isinstance(note, StoredResponse):
            try:
                requests.write_response(db, note)
            except sa.exc.IntegrityError as error:
                raise DuplicateRequest(note.request.message_id) from error
        else:
            store_audit.write_audit(db, note)
