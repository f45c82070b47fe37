"""The verbs that every front end calls, and the rules that hold for all of them.

Each verb takes the caller's `Principal`. Whose job it is, and whether the same request was answered before, is judged
by `postscan.core.service.access`; everything else that a verb must heed stands here.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator
from typing import Protocol

from postscan.core.clock import Clock
from postscan.core.errors import InvalidArgument, JobNotFound, StoreBusy, Unavailable, WrongState
from postscan.core.execution.scheduler import Scheduler
from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, User, is_sid
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.records import AuditLine, Delivery, EventRow, RequestKey
from postscan.core.model.states import JobReason, JobState, Verb
from postscan.core.registry.active_filters import ActiveFilters
from postscan.core.service.access import JobAccess, check_same, is_owned, key
from postscan.core.settings import Settings
from postscan.core.spool.images import HashingSink, Spool
from postscan.core.spool.quota import Quota
from postscan.core.spool.retention import Retention
from postscan.core.spool.uploads import Uploads
from postscan.core.store.events import IDLE, PROCESSING
from postscan.core.store.store import DuplicateRequest, Store

log = logging.getLogger(__name__)


class ScanProcesses(Protocol):
    """Where the stored scan processes come from."""

    def find(self, identifier: str) -> ScanProcess | None:
        """Return the scan process with this GUID; raise `StoredProcessInvalid` if it is broken."""

    def admit(self, process: ScanProcess, sent: Instructions) -> None:
        """Raise `InvalidArgument` if the sent instructions deviate from the stored ones where they may not."""


class ImageSink(Protocol):
    """Takes the bytes of an image in order, from one thread at a time."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""


class PostScanService:
    """What can be done with jobs. Every method but `cached` may block; call it from a thread.

    A `RequestKey` names a request that its sender may send again. Raised by every verb that takes one: `RequestReused`;
    by every verb that takes a token: `JobNotFound`, `Throttled`; by all: `StoreBusy`.

    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        spool: Spool,
        processes: ScanProcesses,
        filters: ActiveFilters,
        scheduler: Scheduler,
        uploads: Uploads,
        retention: Retention,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._spool = spool
        self._processes = processes
        self._filters = filters
        self._scheduler = scheduler
        self._uploads = uploads
        self._retention = retention
        self._clock = clock
        self._quota = Quota(settings, store, spool)
        self._ownership = JobAccess(store, clock, settings.limits.bad_tokens)

    # --- what devices do -----------------------------------------------------------------------------------------

    def create(
        self,
        by: Principal,
        user_sid: str,
        process_id: str,
        instructions: Instructions,
        request: RequestKey | None = None,
    ) -> JobToken:
        """Make a job of a scan process for a user, in state Creating, and return its token.

        Raises `InvalidArgument` (UserIdentifier, PSP_Identifier, or the element that deviates from the stored
        process or that its filter does not take), `StoredProcessInvalid`, `Unavailable` (too many open jobs, or a
        filter that does not say what it takes).
        """
        answered = self._ownership.answered(by, "create", request)
        if answered is not None:
            return JobToken(answered.result)
        user = self._user(by, user_sid)
        process = self._process(process_id, user, instructions)
        self._processes.admit(process, instructions)
        self._filters.check(instructions)
        job = Job.create(_new_token(), by, user, process, instructions, self._clock.now())
        job.deadline = self._deadline()
        detail = f"{user.name} ({user.sid}), process {process.identifier}"
        try:
            notes = self._ownership.notes(by, "create", job.token, request, job.token, detail)
            self._store.insert(job, *notes, most_open=self._settings.limits.open_jobs)
        except DuplicateRequest:
            return self.create(by, user_sid, process_id, instructions, request)
        return job.token

    @contextlib.contextmanager
    def receiving(
        self, token: str, by: Principal, document_id: int, format: str, request: RequestKey | None = None
    ) -> Iterator[ImageSink]:
        """Lend a writer for one image; on a clean exit it is durable and recorded, else nothing of it is left.

        Refuses at once, before any byte, if the job takes no images. Raises `WrongState`, `JobCanceled`,
        `InvalidArgument` (DocumentId, ImageData), `SpoolFull`.
        """
        answered = self._ownership.answered(by, "send", request)
        if answered is None:
            job = self.job(token, by)
            try:
                self._check_takes_images(job, document_id)
            except WrongState:
                answered = self._ownership.answered(by, "send", request)  # its twin was faster, and the End after it
                if answered is None:
                    raise
        if answered is not None:
            echo = HashingSink()
            yield echo
            check_same(answered, echo.sha256)
            return
        try:
            with self._uploads.one(job.token), self._arriving(job, by, document_id, format, request) as sink:
                yield sink
        except BaseException:
            self._store.extend_deadline(job.token, self._deadline())
            raise

    def end(self, token: str, by: Principal, request: RequestKey | None = None) -> None:
        """Let the job be processed; it takes no more images. Harmless when repeated while the job is active.

        Waits for an image that is still on its way, so that the last page is not lost.
        """
        if self._ownership.answered(by, "end", request) is not None:
            return
        known = self.job(token, by).token
        if not self._uploads.wait_for(known, self._settings.server.idle_seconds):
            raise Unavailable(f"an image of job {known} is still on its way")
        with self._ownership.changing(token, by, "end", request) as job:
            job.end(self._clock.now())
        self._scheduler.wake()

    def cancel(self, token: str, by: Principal, request: RequestKey | None = None) -> Job:
        """Cancel the job and return it: Canceled, or Terminating if its filters need longer than a moment to stop.

        The cancel is durable before anything is told to stop. A job that has ended is not found.
        """
        if self._ownership.answered(by, "cancel", request) is not None:
            return self.job(token, by)
        try:
            with self._ownership.changing(token, by, "cancel", request) as job:
                job.cancel(self._clock.now())
        except WrongState:
            raise JobNotFound(token) from None
        # The cancel is stored: whatever fails from here on, its answer is no fault (I11).
        if job.state is JobState.CANCELED:
            if job.documents:
                self._remove_images(job)
            return job
        self._scheduler.interrupt(job.token)
        return self._wait_ended(job)

    def job(self, token: str, by: Principal) -> Job:
        """Return the job as it stands; do not call its verbs."""
        return self._ownership.load(token, by)

    def cached(self, token: str, by: Principal) -> Job | None:
        """Return the same as `job` if that needs no waiting, else None; it may be called from an event loop."""
        job = self._store.cached(key(token))
        return job if job is not None and is_owned(job, by) else None

    # --- what administrators do ----------------------------------------------------------------------------------

    def hold(self, token: str, by: Principal) -> None:
        """Keep a waiting job from being processed. Raises `WrongState`."""
        with self._ownership.changing(token, by, "hold") as job:
            job.hold(self._clock.now())

    def release(self, token: str, by: Principal) -> JobToken:
        """Let a held job, or the images of one that timed out, be processed; return the token of the job that runs.

        A job that timed out stays Aborted: its images become a new job of the same owner. Raises `WrongState`.
        """
        job = self.job(token, by)
        if job.state is JobState.ABORTED and job.reasons == (JobReason.TIMED_OUT,) and job.images_kept:
            return self._again(job, by)
        with self._ownership.changing(token, by, "release") as job:
            job.release(self._clock.now())
        self._scheduler.wake()
        return job.token

    def discard(self, token: str, by: Principal) -> None:
        """Remove the images of a job that has ended. Raises `WrongState`."""
        job = self.job(token, by)
        if not job.state.ended:
            raise WrongState("discard", job.state)
        self._retention.remove_images(job)
        self._store.record(AuditLine.of(by, "discard", job.token, self._clock.now()))

    def active(self, by: Principal) -> list[Job]:
        """Return the caller's jobs that have not ended, oldest first; an administrator sees all."""
        jobs = self._store.open_jobs(None if by.admin else by.name)
        return [job for job in jobs if is_owned(job, by)]

    def history(self, by: Principal, limit: int = 50) -> list[Job]:
        """Return the caller's jobs that have ended, newest first; an administrator sees all."""
        jobs = self._store.ended_jobs(None if by.admin else by.name, limit)
        return [job for job in jobs if is_owned(job, by)]

    def filters(self, by: Principal) -> tuple[str, ...]:
        """Return the dialects of the filters that can be used; nothing to anybody but an administrator."""
        return self._filters.dialects if by.admin else ()

    def state(self, by: Principal) -> str:
        """Return `Processing` while any of the caller's jobs is in hand, else `Idle`; an administrator's are all."""
        busy = self._store.in_progress() if by.admin else [job for job in self.active(by) if job.state.in_progress]
        return PROCESSING if busy else IDLE

    def events(self, token: str, by: Principal) -> list[EventRow]:
        """Return what happened to the job, in order."""
        return self._store.events(self.job(token, by).token)

    def deliveries(self, token: str, by: Principal) -> list[Delivery]:
        """Return what the job's filters made visible, or were about to."""
        return self._store.deliveries(self.job(token, by).token)

    def audit(self, by: Principal, token: str | None = None, limit: int = 100) -> list[AuditLine]:
        """Return the newest lines of the audit trail, oldest first; nothing to anybody but an administrator."""
        return self._store.audit(token, limit) if by.admin else []

    # --- rules ---------------------------------------------------------------------------------------------------

    def _user(self, by: Principal, sid: str) -> User:
        strong = bool(by.sid) or self._settings.tls.mode == "client"
        if strong and by.sid not in (sid, sid.replace("s-", "S-", 1)):
            raise InvalidArgument("UserIdentifier", sid, "the SID of the user whom the client's certificate names")
        sid = by.sid or sid
        if not is_sid(sid):
            raise InvalidArgument("UserIdentifier", sid, "a SID as text: S-1-...")
        known = self._settings.users.get(sid)
        if known is not None:
            return User(sid, known.name, known.mail)
        if strong or not self._settings.allow_unknown_users:
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
    def _arriving(
        self, job: Job, by: Principal, document_id: int, format: str, request: RequestKey | None
    ) -> Iterator[ImageSink]:
        """Lend the spool's writer, and record its document; remove the bytes if they are not recorded."""
        with (
            self._quota.image(job.owner.name) as take,
            self._spool.arrive(job.token, document_id, format, self._settings.limits.image_bytes, take) as arrival,
        ):
            yield arrival
        document = arrival.document
        if document is None:
            raise AssertionError("an arrival that ended cleanly has a document")
        recorded = False
        try:
            notes = self._ownership.notes(by, "send", job.token, request, document.sha256)
            with self._store.change(job.token, *notes) as changed:
                self._check_takes_images(changed, document_id)  # again: it may have taken others meanwhile
                recorded = changed.receive(document, self._clock.now())
                changed.deadline = self._deadline()
                if recorded:
                    self._quota.check_kept(job.owner.name, document.size)
        except (DuplicateRequest, WrongState):
            recorded = False
            answered = self._ownership.answered(by, "send", request)
            if answered is None:
                raise
            check_same(answered, document.sha256)  # its twin was faster; the bytes are there under the twin's name
        except BaseException:
            recorded = False
            raise
        finally:
            if not recorded:
                self._spool.discard(document)

    def _again(self, job: Job, by: Principal) -> JobToken:
        """Make a new job of the images of one that timed out, ready to be processed."""
        token = _new_token()
        process = ScanProcess(job.process_id, job.process_name, "", Instructions("", ()))
        steps = tuple(step.instructions for step in job.steps)
        again = Job.create(
            token,
            job.owner,
            job.user,
            process,
            Instructions(job.document_root, steps, job.continue_on_error),
            self._clock.now(),
        )
        copies: list[JobDocument] = []
        try:
            for document in job.documents:
                copies.append(self._spool.copy(document, token))
                again.receive(copies[-1], self._clock.now())
            again.end(self._clock.now())
            line = AuditLine.of(by, "release", job.token, self._clock.now(), detail=f"its images became job {token}")
            self._store.insert(again, line, images_from=job.token)
        except BaseException:
            self._spool.discard(*copies)
            raise
        self._spool.discard(*job.documents)
        self._scheduler.wake()
        return token

    def _deadline(self) -> float:
        return self._clock.ticks() + self._settings.limits.silence_seconds

    def _wait_ended(self, job: Job) -> Job:
        """Wait a moment for the filters to stop, so that the answer can tell the truth (D22)."""
        until = time.monotonic() + self._settings.running.cancel_answer_seconds
        while not job.state.ended:
            left = until - time.monotonic()
            if left <= 0:
                break
            self._scheduler.wait_moved(min(left, 0.1))
            with contextlib.suppress(StoreBusy):
                job = self._store.load(job.token)
        return job

    def _remove_images(self, job: Job) -> None:
        """Remove the images of a job that was cancelled; what cannot be removed now is left to the retention."""
        try:
            self._retention.remove_images(job)
        except (StoreBusy, OSError) as error:
            log.warning("the images of the canceled job %s stay for now: %s", job.token, error)


def _new_token() -> JobToken:
    """Return a token that nobody can guess: 122 random bits of the operating system."""
    return JobToken(str(uuid.uuid4()))
