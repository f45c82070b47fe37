"""The store: jobs, and everything stored with them, behind methods that open one transaction each.

Every change has one form. `with store.change(token) as job:` loads the job, yields it, and on exit writes the row
where its version is still the one that was read, with the events that the job collected, in one transaction. If a
cancel races a finish, an End or another cancel, exactly one of them is written.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from postscan.core.clock import Mark
from postscan.core.errors import Overtaken, SpoolFull, Unavailable
from postscan.core.model.job import Job, JobToken, JobTurn
from postscan.core.model.principal import Principal
from postscan.core.model.records import AuditLine, Delivery, EventRow, StoredResponse
from postscan.core.model.states import JobState
from postscan.core.store import deliveries, events, jobs, retention
from postscan.core.store.cache import JobCache
from postscan.core.store.callers import audit, requests
from postscan.core.store.cluster import endpoint, installation, members, numbering, owner_lock, session, turns
from postscan.core.store.cluster.members import Member, MemberBeat
from postscan.core.store.cluster.named_locks import LockSession
from postscan.core.store.cluster.session import MemberSession
from postscan.core.store.cluster.turns import JobInProgress
from postscan.core.store.database import CONNECTIONS, Database, translated
from postscan.core.store.database.pages import PAGE, in_pages, in_parts, of_jobs
from postscan.core.store.jobs import NOTHING, JobKey
from postscan.core.store.retention import Blob, Disposable, OwnerUsage
from postscan.core.store.schema import IS_OPEN, JOB, is_in
from postscan.core.store.sources import origins
from postscan.core.store.sources.origins import OriginRow

_IN_PROGRESS: Final = [state.value for state in JobState if state.in_progress]

_MOST_LISTED: Final = 10_000

_NUMBERING_ROUNDS: Final = 50

ALIVE_SECONDS: Final = 10.0
"""A member that has not shown itself for so long does not count as a server that goes on."""

_COUNT_OPEN: Final = sa.select(sa.func.count()).where(JOB.c.owner == sa.bindparam("of_owner"), IS_OPEN)


class DuplicateRequest(Unavailable):
    """The response to the same request is stored already; this one changed nothing."""


ChangeRecord = StoredResponse | AuditLine | OriginRow
"""What is stored in the transaction of a change of a job."""


class Store:
    """Jobs in a database. Safe to use from several threads and from several processes."""

    def __init__(self, url: str, *, busy_seconds: float = 5.0, connections: int = CONNECTIONS) -> None:
        self.url = url
        self._database = Database(url, busy_seconds=busy_seconds, connections=connections)
        self._cache = JobCache(self._database.file)
        self.outages = self._database.outages

    def close(self) -> None:
        """Close the connections."""
        self._cache.close()
        self._database.close()

    # --- one job -----------------------------------------------------------------------------------------------

    def insert(
        self, job: Job, *records: ChangeRecord, images_from: str | None = None, most_open: int | None = None
    ) -> None:
        """Store a new job with its first events, its documents, and *records*.

        *images_from* names an ended job whose images it takes over. Raises `WrongState` if another job has taken them
        over before; with *most_open*, `Unavailable` if its owner would have more open jobs than that;
        `DuplicateRequest`; with an origin, `KeyHeld`.
        """
        with self.writing() as db:
            before = NOTHING if images_from is None else retention.transfer_images(db, images_from)
            jobs.insert(db, job, before)
            _write_records(db, records)
            if most_open is not None:
                owner_lock.take(db, job.owner.name)
            if most_open is not None and _count_open(db, job.owner.name) > most_open:
                raise Unavailable(f"{job.owner.name} has {most_open} open jobs already")

    def load(self, token: str, owner: Principal | None = None, sid: str = "") -> Job:
        """Return the job; raise `JobNotFound`, also if it is not the *owner*'s.

        With a *sid*, jobs that are for this user count as the owner's: see `jobs.load`. The database compares the
        owner, so that a foreign job takes no more time than one that does not exist.
        """
        seen = self._cache.seen()
        with self.reading() as db:
            job = jobs.load(db, token, owner, sid)
        self._cache.put(job, seen)
        return job

    def cached(self, token: str, may_see: Callable[[Job], bool] = lambda _job: True) -> Job | None:
        """Return the job if the cache has it and *may_see* is true for it, without blocking; else None.

        It is shared: do not call its verbs.
        """
        return self._cache.get(token, may_see)

    @contextlib.contextmanager
    def change(
        self,
        token: str,
        *records: ChangeRecord,
        owner: Principal | None = None,
        sid: str = "",
        most_bytes: int | None = None,
        turn: int | None = None,
    ) -> Iterator[Job]:
        """Yield the job, and save on exit what its verbs did, with *records*; an exception inside changes nothing.

        Raises `JobNotFound`, as `load` does; `DuplicateRequest`; with *most_bytes*, `SpoolFull` if the
        job's owner would then have more bytes of documents than that; with *turn*, `Overtaken` if the job is in
        another one.
        """
        with self.writing() as db:
            job = jobs.load(db, token, owner, sid, lock=True)
            if turn is not None and job.turn != turn:
                raise Overtaken(token, turn)
            stored, files = jobs.Stored.of(job), _files(job)
            yield job
            jobs.save(db, job, stored)
            _write_records(db, records)
            if most_bytes is not None and _files(job) - files:
                _check_bytes(db, job.owner.name, most_bytes)

    def claim(self, at: datetime, holder: str) -> Job | None:
        """Move the job that has been Pending longest to Started, and return it; None if there is none.

        *holder* identifies the process that runs it.
        """
        waiting = (
            sa.select(JOB.c.token)
            .where(is_in(JobState.PENDING))
            .order_by(JOB.c.created, JOB.c.token)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self.writing() as db:
            token = db.scalar(waiting)
            if token is None:
                return None
            job = jobs.load(db, token, lock=True)
            stored = jobs.Stored.of(job)
            job.claim(at, holder)
            jobs.save(db, job, stored)
            return job

    # --- many jobs ---------------------------------------------------------------------------------------------

    def open_jobs(self, owner: str | None = None, sid: str = "") -> list[Job]:
        """Return the jobs that have not ended, oldest first, at most `_MOST_LISTED`; of one owner, or of all.

        With a *sid*, also those that are for this user.

        They are read some at a time. A job that ends or begins meanwhile may be missing; one that is open all the time
        is not. A job is read in one transaction, but not all jobs in the same one.
        """
        keys = sorted(self._open_keys(owner, sid), key=lambda key: (key.created, key.token))
        found = of_jobs(self.reading, [key.token for key in keys[:_MOST_LISTED]], jobs.of_tokens)
        return [job for job in found if not job.state.ended]

    def ended_jobs(self, owner: str | None = None, sid: str = "", limit: int = 50) -> list[Job]:
        """Return the jobs that have ended, newest first; of one owner, or of all.

        With a *sid*, also those that are for this user.

        They are read some at a time. A job that ends meanwhile may be missing, and so may one that is deleted.
        """
        keys = in_pages(self.reading, jobs.ended_keys, limit if owner is None else math.inf)
        tokens = (key.token for key in keys if owner in (None, key.owner) or (sid and key.user_sid == sid))
        return of_jobs(self.reading, list(islice(tokens, limit)), jobs.of_tokens)

    def in_progress(self, owner: Principal | None = None, sid: str = "") -> dict[JobToken, JobState]:
        """Return the jobs that are Started, Processing or Terminating, oldest first, also of a killed server.

        Of one owner as in `load`, or of all: one transaction, of as many rows as filters may run at the same time.
        """
        query = sa.select(JOB.c.token, JOB.c.state).where(is_in(*_IN_PROGRESS)).order_by(JOB.c.created)
        if owner is not None:
            query = query.where(jobs.owned(owner, sid))
        with self.reading() as db:
            found = db.execute(query, jobs.owner_parameters(owner, sid))
            return {JobToken(row.token): JobState(row.state) for row in found}

    def jobs_in_progress(self) -> Sequence[JobInProgress]:
        """Return all jobs in progress, oldest first, with their holders and turns; one transaction."""
        with self.reading() as db:
            return turns.select(db)

    def resume(self, job: JobInProgress, holder: str, *, suspended: bool = False) -> JobTurn | None:
        """Begin the next turn of a job in progress, for this holder; return None if it has ended or has begun one.

        With *suspended*, the last run is no crash: it was stopped in order.
        """
        with self.writing() as db:
            return turns.resume(db, job, holder, suspended=suspended)

    def idle(self, ticks: float) -> list[JobToken]:
        """Return the jobs in Creating whose deadline has passed; one that begins meanwhile may be missing."""
        return list(in_parts(self.reading, lambda db, last, most: retention.idle(db, ticks, last, most)))

    def jobs_of_sources(self) -> Iterator[JobToken]:
        """Yield the jobs in Creating that sources made; one that begins meanwhile may be missing."""
        return in_parts(self.reading, retention.of_sources)

    def expire(self, tokens: Sequence[str], ticks: float, at: datetime) -> list[JobToken]:
        """Abort those of the jobs that are still in Creating and past their deadline; return them."""
        with self.writing() as db:
            return retention.expire(db, tokens, ticks, at)

    def extend_deadline(self, token: str, deadline: float) -> None:
        """Set the deadline, in ticks, of a job that is still in Creating."""
        query = sa.update(JOB).where(JOB.c.token == token, JOB.c.state == JobState.CREATING)
        with self.writing() as db:
            db.execute(query.values(deadline=deadline))

    def reset_deadlines(self, deadline: float) -> None:
        """Set the deadline of every job in Creating: the stored ones are ticks of a clock whose mark is lost."""
        query = sa.update(JOB).where(is_in(JobState.CREATING))
        with self.writing() as db:
            db.execute(query.values(deadline=deadline))

    def events(self, token: str) -> list[EventRow]:
        """Return all events of a job in their order; those that have no number yet get it first."""
        self.number_events()
        return list(in_pages(self.reading, lambda db, last, most: events.select(db, token, last, most)))

    def notes(self, token: str) -> tuple[str, ...]:
        """Return what the source of a job has noted about it; nothing if no source made it."""
        with self.reading() as db:
            return origins.notes_of(db, token)

    def number_events(self) -> int:
        """Give numbers to the events that are committed and have none; return how many events got one.

        On SQLite each change does so itself. Another process may do the same at the same time. While others write very
        many events, some may be left.
        """
        if self.has_one_writer:
            return 0
        numbered = 0
        for _ in range(_NUMBERING_ROUNDS):
            with self.reading() as db:
                if not numbering.has_unnumbered(db):
                    break
            with self.writing() as db:
                numbered += numbering.number(db)
        return numbered

    # --- running filters -----------------------------------------------------------------------------------------

    def record_progress(self, run: JobTurn, position: int, text: str) -> None:
        """Store the progress of a filter, if it is still running in this turn."""
        with self.writing() as db:
            deliveries.record_progress(db, run, position, text)

    def grant(self, run: JobTurn, position: int, attempt: int, about: Delivery, at: datetime) -> bool:
        """Store that a filter is about to publish an output; return False if the job or this attempt is not running.

        One transaction checks and stores, so no output is granted after a stored cancel. Raises `Overtaken`.
        """
        with self.writing() as db:
            return deliveries.grant(db, run, position, attempt, about, at)

    def confirm(self, run: JobTurn, position: int, about: Delivery) -> None:
        """Store that an output that was granted in this turn was published; remove the grant if it was not.

        Change nothing if another turn has begun.
        """
        with self.writing() as db:
            deliveries.confirm(db, run, position, about)

    def deliveries(self, token: str) -> list[Delivery]:
        """Return the outputs of a job's filters."""
        return list(in_pages(self.reading, lambda db, last, most: deliveries.select(db, token, last, most)))

    # --- responses, audit trail, clock ---------------------------------------------------------------------------

    def response(self, owner: str, message_id: str) -> StoredResponse | None:
        """Return the stored response to the *owner*'s request with this MessageID; None if there is none."""
        with self.reading() as db:
            return requests.read_response(db, owner, message_id)

    def record(self, *records: ChangeRecord) -> None:
        """Store records that belong to no change of a job."""
        with self.writing() as db:
            _write_records(db, records)

    def audit(self, token: str | None = None, limit: int = 100) -> list[AuditLine]:
        """Return the newest lines of the audit trail, oldest first; of one job, or of all."""
        lines = in_pages(self.reading, lambda db, last, most: audit.read_newest(db, token, most, last), limit)
        return list(islice(lines, limit))[::-1]

    def record_filters(self, dialects: Iterable[str], at: datetime) -> None:
        """Store an event with the usable filters, if they differ from the last ones."""
        with self.writing() as db:
            events.append_filters(db, dialects, at)

    def mark(self) -> Mark | None:
        """Return the steady clock's position when it was last stored; None if it never was."""
        with self.reading() as db:
            return installation.read_mark(db)

    def revision(self) -> str:
        """Return the revision of the schema, four digits; "" if the database has none. Raises `StoreBusy`."""
        with self.reading() as db:
            return installation.read_revision(db)

    def keep_mark(self, mark: Mark) -> None:
        """Store the steady clock's position."""
        with self.writing() as db:
            installation.write_mark(db, mark)

    def version(self) -> int | None:
        """Return a number of SQLite that differs after each commit of any connection, without blocking.

        None while SQLite is busy, and with another database.
        """
        return self._cache.seen().version

    # --- the server of the database ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The URL of the database for messages, without the password."""
        return self._database.name

    def connections(self) -> tuple[int, int]:
        """Return how many connections to the database are in use, and how many may be at once."""
        return self._database.connections()

    def served(self, lost: Callable[[str], None]) -> AbstractContextManager[None]:
        """Be the only server of the database while the body runs: see `Database.served`. Raises `SettingsError`."""
        return self._database.served(lost)

    @property
    def file(self) -> str | None:
        """The path of an SQLite file, else None."""
        return self._database.file

    def copy_to(self, file: Path) -> None:
        """Copy an SQLite database, as it is after one of its commits, into a new file. Raises `StoreBusy`."""
        self._database.copy_to(file)

    def server(self) -> str | None:
        """Return the name of the process that serves the database; None if there is none."""
        return self._database.server()

    # --- members of a cluster ------------------------------------------------------------------------------------

    def members(self) -> Sequence[MemberBeat]:
        """Return the members of the cluster, by name; none on SQLite."""
        if self._database.file is not None:
            return ()
        with self.reading() as db:
            return members.select(db)

    def locked_members(self, found: Sequence[Member]) -> set[str]:
        """Return the identifiers of those members whose sessions are open: their processes have not ended."""
        with self.reading() as db:
            return session.locked(db, found)

    @contextlib.contextmanager
    def members_starting(self) -> Iterator[None]:
        """Let no other member start while the body runs; wait up to 60 s for one that does. Raises `StoreBusy`."""
        with translated(), self._database.separate() as db:
            session.begin_start(db)
            yield

    def open_session(self, member: Member, name: str) -> MemberSession:
        """Return the session of a member; *name* is its `application_name`. Raises `SessionLost`, `LockHeld`."""
        return MemberSession.open(self._database.separate, member, name)

    def notify(self, payloads: Sequence[str]) -> None:
        """Send texts to the sessions of all members, on a connection of its own. Raises `StoreBusy`."""
        with translated(), self._database.separate() as db:
            session.notify(db, session.channel(db), payloads)

    def forget_members(self, seconds: float) -> int:
        """Remove the members that have not been alive for so long and hold no job in progress; return how many."""
        with self.writing() as db:
            return members.forget(db, seconds)

    def lock_session(self) -> LockSession | None:
        """Return a session for locks with names; None if no other process may serve the database at the same time."""
        return None if self.has_one_writer else LockSession(self._database.separate)

    def endpoint_name(self, own: str) -> str:
        """Return the name that all servers of the database have for devices; a server alone keeps its *own*."""
        if self.has_one_writer:
            return own
        with self.writing() as db:
            return endpoint.name(db, own)

    def next_instance(self, own: str, least: int) -> int:
        """Return a number of a run that no server of the database has had; a server alone has *least*."""
        if self.has_one_writer:
            return least
        with self.writing() as db:
            return endpoint.next_instance(db, own, least)

    def is_last_server(self) -> bool:
        """Return whether at most one server, and any number of workers, has shown itself in the last seconds."""
        return sum(one.member.role == "serve" and one.age < ALIVE_SECONDS for one in self.members()) <= 1

    # --- retention -----------------------------------------------------------------------------------------------

    def blobs(self, tokens: Collection[str]) -> list[Blob]:
        """Return the files that the spool must hold for these jobs while they are open, and may hold afterwards."""
        return of_jobs(self.reading, list(tokens), retention.blobs)

    def owners(self, tokens: Sequence[str]) -> dict[JobToken, str]:
        """Return the names of the owners of these jobs, by token, without the jobs that were deleted."""
        return dict(of_jobs(self.reading, tokens, retention.owners))

    def open_blobs(self) -> Iterator[Blob]:
        """Yield the files that the spool must hold for the open jobs, read page by page.

        A job that ends or begins meanwhile may be missing.
        """
        tokens = (key.token for key in self._open_keys())
        while page := list(islice(tokens, PAGE)):
            yield from (blob for blob in self.blobs(page) if blob.open)

    def spooled_bytes(self, owner: str) -> int:
        """Return the bytes that the spool keeps of one owner: images, and what filters made for open jobs."""
        with self.reading() as db:
            return retention.spooled_bytes(db, owner)

    def usages(self) -> Iterator[OwnerUsage]:
        """Yield what the spool keeps of each owner, in the order of their names, read page by page."""
        return in_pages(self.reading, retention.usages)

    def record_ended(self, ticks: float) -> int:
        """Set the tick at which they ended for a batch of jobs that have none yet; return for how many."""
        with self.writing() as db:
            return retention.record_ended(db, ticks)

    def recount(self) -> list[str]:
        """Compute the bytes that the spool keeps again, of every owner; return the owners whose number was wrong.

        All jobs in one transaction, since a command may change one meanwhile. Only a start of the server does so.
        """
        with self.writing() as db:
            return jobs.recount(db)

    def disposable_bytes(self) -> int:
        """Return how many bytes of images of Completed and Canceled jobs the spool keeps."""
        return sum(one.disposable for one in self.usages())

    def disposable(self, ended_before: float = math.inf, *, unfinished: bool = False) -> Iterator[Disposable]:
        """Yield the Completed and Canceled jobs whose images are kept, or the *unfinished*, oldest end first.

        They are read page by page, so a job that ends meanwhile may be missing, and none is yielded twice.
        """

        def page(db: sa.Connection, last: Disposable | None, most: int) -> list[Disposable]:
            return retention.disposable(db, ended_before, last, most, unfinished=unfinished)

        return in_pages(self.reading, page)

    def record_images_removed(self, token: str) -> None:
        """Store that the images of an ended job are removed; raise `JobNotFound`."""
        with self.writing() as db:
            retention.record_images_removed(db, token)

    def drop_jobs(self, ended_before: float, keep: int) -> Sequence[JobToken]:
        """Delete a batch of ended jobs without images that are both old and beyond the newest *keep*; return them.

        Call `drop_repository_events` before it: their age follows from these jobs.
        """
        with self.writing() as db:
            return retention.drop_jobs(db, ended_before, keep)

    def drop_repository_events(self, ended_before: float) -> int:
        """Delete a batch of the repository's events from before a job that ended before that tick; return how many."""
        with self.writing() as db:
            return events.drop_before(db, ended_before, retention.BATCH)

    def drop_responses(self, before: float) -> int:
        """Delete a batch of the stored responses from before this tick; return how many."""
        with self.writing() as db:
            return requests.drop_responses_before(db, before, retention.BATCH)

    def forget_origins(self, now: float) -> int:
        """Look at a batch of origins whose time is over, and forget what need not be kept; return at how many."""
        with self.writing() as db:
            return origins.forget(db, now, retention.BATCH)

    # --- transactions --------------------------------------------------------------------------------------------

    def _open_keys(self, owner: str | None = None, sid: str = "") -> Iterator[JobKey]:
        return in_pages(self.reading, lambda db, last, most: jobs.open_keys(db, owner, sid, last, most))

    @property
    def has_one_writer(self) -> bool:
        """Whether each change waits for the one before, so that it can number its events itself."""
        return self._database.has_one_writer

    def urgent(self) -> AbstractContextManager[None]:
        """Let the transactions of this thread go before those of others while the body runs."""
        return self._database.urgent()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Yield a transaction that writes; an exception inside rolls it back. Raises `StoreBusy`, `OutcomeUnknown`."""
        try:
            with self._database.writing() as db:
                yield db
        finally:
            self._cache.committed()  # after a failed COMMIT too: it may have committed

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Yield a transaction that only reads. Raises `StoreBusy`."""
        return self._database.reading()


def _count_open(db: sa.Connection, owner: str) -> int:
    return db.scalar(_COUNT_OPEN, {"of_owner": owner}) or 0


def _files(job: Job) -> set[str]:
    """Return the keys of the job's files in the spool."""
    return {document.blob for document in (*job.documents, *job.made)}


def _check_bytes(db: sa.Connection, owner: str, most: int) -> None:
    if retention.spooled_bytes(db, owner) > most:
        raise SpoolFull(f"the documents of {owner} would be more than {most} bytes")


def _write_records(db: sa.Connection, records: Sequence[ChangeRecord]) -> None:
    for record in records:
        if isinstance(record, StoredResponse):
            try:
                requests.write_response(db, record)
            except sa.exc.IntegrityError as error:
                raise DuplicateRequest(record.request.message_id) from error
        elif isinstance(record, OriginRow):
            origins.write_origin(db, record)
        else:
            audit.write_audit(db, record)
