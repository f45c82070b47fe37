"""The verbs that every front end calls, and the rules that hold for all of them.

Each verb takes the caller's `Principal`. The owner rule stands here, once: a job that is not yours answers exactly
like one that does not exist (decisions D1 and D2).
"""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Iterator
from typing import Final, Protocol

from postscan.core.clock import Clock
from postscan.core.errors import InvalidArgument, JobNotFound, Unavailable, WrongState
from postscan.core.model import Instructions, Job, JobToken, Principal, ScanProcess, User
from postscan.core.scheduler import Scheduler
from postscan.core.settings import Settings
from postscan.core.spool import Arrival, Spool
from postscan.core.states import JobState, Verb
from postscan.core.store import Delivery, EventRow, Store
from postscan.core.uploads import Uploads

SID: Final = re.compile(r"S-1-(?:\d{1,10}|0x[0-9A-Fa-f]{1,12})(?:-\d{1,10}){1,15}", re.ASCII)


class ScanProcesses(Protocol):
    """Where the stored scan processes come from."""

    def find(self, identifier: str) -> ScanProcess | None:
        """Return the scan process with this GUID; raise `StoredProcessInvalid` if it is broken."""

    def admit(self, process: ScanProcess, sent: Instructions) -> None:
        """Raise `InvalidArgument` if the sent instructions deviate from the stored ones where they may not."""


class PostScanService:
    """What can be done with jobs. Every method may block on the database or the disk; call it from a thread."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        spool: Spool,
        processes: ScanProcesses,
        scheduler: Scheduler,
        uploads: Uploads,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._spool = spool
        self._processes = processes
        self._scheduler = scheduler
        self._uploads = uploads
        self._clock = clock

    def create(self, by: Principal, user_sid: str, process_id: str, instructions: Instructions) -> JobToken:
        """Make a job of a scan process for a user, in state Creating, and return its token.

        Raises `InvalidArgument` (UserIdentifier, PSP_Identifier, or the element that deviates from the stored
        process), `StoredProcessInvalid`, `Unavailable` (too many open jobs).
        """
        user = self._user(user_sid)
        process = self._process(process_id, user, instructions)
        self._processes.admit(process, instructions)
        if self._store.count_open(by.name) >= self._settings.limits.open_jobs:
            raise Unavailable(f"{by.name} has {self._settings.limits.open_jobs} open jobs already")
        job = Job.create(JobToken(str(uuid.uuid4())), by, user, process, instructions, self._clock.now())
        job.boot, job.deadline = self._clock.boot, self._deadline()
        self._store.insert(job)
        return job.token

    @contextlib.contextmanager
    def receiving(self, token: str, by: Principal, document_id: int, format: str) -> Iterator[Arrival]:
        """Lend a writer for one image; on a clean exit it is durable and recorded, else nothing of it is left.

        Refuses at once, before any byte, if the job takes no images. Raises `JobNotFound`, `WrongState`,
        `JobCanceled`, `InvalidArgument` (DocumentId, ImageData), `SpoolFull`, `StoreBusy`.
        """
        job = self.job(token, by)
        self._check_takes_images(job, document_id)
        try:
            with self._uploads.one(job.token), self._arriving(job.token, document_id, format) as arrival:
                yield arrival
        except BaseException:
            self._store.touch(job.token, self._deadline())
            raise

    def end(self, token: str, by: Principal) -> None:
        """Let the job be processed; it takes no more images. Harmless when repeated while the job is active.

        Waits for an image that is still on its way, so that the last page is not lost.
        """
        key = self.job(token, by).token
        if not self._uploads.wait_for(key, self._settings.server.idle_seconds):
            raise Unavailable(f"an image of job {key} is still on its way")
        with self._changing(token, by) as job:
            job.end(self._clock.now())
        self._scheduler.wake()

    def cancel(self, token: str, by: Principal) -> Job:
        """Cancel the job and return it: Canceled, or Terminating if its filters need longer than a moment to stop.

        The cancel is durable before anything is told to stop. A job that has ended is not found.
        """
        try:
            with self._changing(token, by) as job:
                job.cancel(self._clock.now())
        except WrongState:
            raise JobNotFound(token) from None
        if job.state is JobState.CANCELED:
            self._spool.discard(*job.documents)
            return job
        self._scheduler.interrupt(job.token)
        return self._wait_ended(job)

    def hold(self, token: str, by: Principal) -> None:
        """Keep a waiting job from being processed."""
        with self._changing(token, by) as job:
            job.hold(self._clock.now())

    def release(self, token: str, by: Principal) -> None:
        """Let a held job be processed."""
        with self._changing(token, by) as job:
            job.release(self._clock.now())
        self._scheduler.wake()

    def job(self, token: str, by: Principal) -> Job:
        """Return the job as it stands; do not call its verbs."""
        with self._unknown_like_foreign(token):
            return _owned(self._store.load(_key(token)), token, by)

    def glance(self, token: str, by: Principal) -> Job | None:
        """Return the same as `job` if that needs no waiting, else None; it may be called from an event loop."""
        job = self._store.glance(_key(token))
        return None if job is None else _owned(job, token, by)

    def active(self, by: Principal) -> list[Job]:
        """Return the caller's jobs that have not ended, oldest first; an administrator sees all."""
        return self._store.open_jobs(None if by.admin else by.name)

    def history(self, by: Principal, limit: int = 50) -> list[Job]:
        """Return the caller's jobs that have ended, newest first; an administrator sees all."""
        return self._store.ended_jobs(None if by.admin else by.name, limit)

    def events(self, token: str, by: Principal) -> list[EventRow]:
        """Return what happened to the job, in order."""
        return self._store.events(self.job(token, by).token)

    def deliveries(self, token: str, by: Principal) -> list[Delivery]:
        """Return what the job's filters made visible, or were about to."""
        return self._store.deliveries(self.job(token, by).token)

    # --- rules ---------------------------------------------------------------------------------------------------

    def _user(self, sid: str) -> User:
        if not SID.fullmatch(sid):
            raise InvalidArgument("UserIdentifier", sid, "a SID as text: S-1-...")
        known = self._settings.users.get(sid)
        if known is not None:
            return User(sid, known.name, known.mail)
        if not self._settings.allow_unknown_users:
            raise InvalidArgument("UserIdentifier", sid, "the SID of a known user")
        return User(sid, sid)

    def _process(self, identifier: str, user: User, sent: Instructions) -> ScanProcess:
        process = self._processes.find(identifier)
        if process is None and self._settings.processes.lenient:
            process = ScanProcess(identifier, identifier, "", sent)
        if process is None or not process.open_to(user):
            raise InvalidArgument("PSP_Identifier", identifier, "the GUID of a scan process of this user")
        return process

    def _check_takes_images(self, job: Job, document_id: int) -> None:
        job.check(Verb.RECEIVE)
        known = {document.id for document in job.documents}
        if len(known) >= self._settings.limits.images_per_job and document_id not in known:
            expected = f"at most {self._settings.limits.images_per_job} images in a job"
            raise InvalidArgument("DocumentId", str(document_id), expected)

    @contextlib.contextmanager
    def _arriving(self, token: JobToken, document_id: int, format: str) -> Iterator[Arrival]:
        """Lend the spool's writer, and record its document; remove the bytes if they are not recorded."""
        with self._spool.arrive(token, document_id, format, self._settings.limits.image_bytes) as arrival:
            yield arrival
        document = arrival.document
        if document is None:
            raise AssertionError("an arrival that ended cleanly has a document")
        recorded = False
        try:
            with self._store.change(token) as job:
                new = job.receive(document, self._clock.now())
                job.deadline = self._deadline()
            recorded = new
        finally:
            if not recorded:
                self._spool.discard(document)

    @contextlib.contextmanager
    def _changing(self, token: str, by: Principal) -> Iterator[Job]:
        with self._unknown_like_foreign(token), self._store.change(_key(token)) as job:
            yield _owned(job, token, by)

    @contextlib.contextmanager
    def _unknown_like_foreign(self, token: str) -> Iterator[None]:
        """Let both errors speak of the token as the caller wrote it."""
        try:
            yield
        except JobNotFound:
            raise JobNotFound(token) from None

    def _deadline(self) -> float:
        return self._clock.ticks() + self._settings.limits.silence_seconds

    def _wait_ended(self, job: Job) -> Job:
        """Wait a moment for the filters to stop, so that the answer can tell the truth (decision D22)."""
        until = time.monotonic() + self._settings.running.cancel_answer_seconds
        while not job.state.ended:
            left = until - time.monotonic()
            if left <= 0:
                break
            self._scheduler.wait_moved(min(left, 0.1))
            job = self._store.load(job.token)
        return job


def _key(token: str) -> str:
    """Return the token as it was issued, whatever case and braces it came back in (WS-DSP digest, O-16)."""
    return token.strip().removeprefix("{").removesuffix("}").lower()


def _owned(job: Job, token: str, by: Principal) -> Job:
    if not by.admin and (job.owner.name, job.owner.proof) != (by.name, by.proof):
        raise JobNotFound(token)
    return job
