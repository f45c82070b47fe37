"""The verbs that every front end calls, and the rules that hold for all of them.

Each verb takes the caller's `Principal`. `postscan.core.service.access` has the owner rule and repeated requests,
`postscan.core.service.images` receives images; all other rules are here.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final, Protocol

from postscan.core.clock import Clock
from postscan.core.cluster.arriving_images import ArrivingImages, NoOtherServers
from postscan.core.errors import InvalidArgument, JobNotFound, PostscanError, StoreBusy, Unavailable, WrongState
from postscan.core.execution.scheduler import POLL_SECONDS, Scheduler
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.job import FilterStep, Job, JobToken
from postscan.core.model.principal import Principal, Right, User, is_sid
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.records import AuditLine, Delivery, EventRow, JobLogPage, RequestKey
from postscan.core.model.states import JobState
from postscan.core.registry.active_filters import ActiveFilters
from postscan.core.registry.directory.processes import FOLDER, ProcessLookup
from postscan.core.registry.directory.users import KnownUser, UserLookup
from postscan.core.service import waiting
from postscan.core.service.access import JobAccess, RepeatedRequest, is_visible, key, owner_filter, sid_filter
from postscan.core.service.administration import reprocessing
from postscan.core.service.administration.actions import JobAction, check, is_unfinished
from postscan.core.service.administration.reprocessing import PlannedFilter, Reprocessing
from postscan.core.service.images import Examine, ImageReceiver, ImageSink
from postscan.core.service.refusals import Refusals
from postscan.core.service.throttle import Throttle, TokenThrottle
from postscan.core.service.waiting import Steps, Wait
from postscan.core.settings import Settings
from postscan.core.spool.ballast import Ballast
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.core.spool.quota import Quota
from postscan.core.spool.retention import Retention
from postscan.core.spool.uploads import Uploads
from postscan.core.store.events import IDLE, PROCESSING
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

ELSEWHERE_SECONDS: Final = 0.1
"""Seconds between two looks whether an image still arrives at another server."""


class ScanProcesses(Protocol):
    """The stored scan processes."""

    def find(self, identifier: str) -> ScanProcess | None:
        """Return the scan process with this GUID or None; raise `StoredProcessInvalid` if it is broken."""

    def read(self, identifier: str, display_name: str, xml: str) -> ScanProcess | None:
        """Return the process of a document of a directory; None if it is that of another server.

        Raises `StoredProcessInvalid`.
        """

    def ticket(self, identifier: str) -> ScanTicket:
        """Return what this process asks a device for, empty if there is none; raise `StoredProcessInvalid`."""

    def admit(self, process: ScanProcess, sent: Instructions) -> None:
        """Raise `InvalidArgument` if the sent instructions differ from the stored ones where they must not."""


class PostScanService:
    """The verbs of jobs. Every method but `cached` may block; call it from a thread.

    A `RequestKey` identifies a request that its sender may repeat. Raised by every verb that takes one:
    `RequestReused`; by every verb that takes a token: `JobNotFound`, `Throttled`; by all: `StoreBusy`.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        spool: SpoolStore,
        quota: Quota,
        processes: ScanProcesses,
        filters: ActiveFilters,
        scheduler: Scheduler,
        uploads: Uploads,
        retention: Retention,
        ballast: Ballast,
        refusals: Refusals,
        clock: Clock,
        users: UserLookup,
        arriving: ArrivingImages | None = None,
        throttle: TokenThrottle | None = None,
    ) -> None:
        self._settings = settings
        self._arriving = arriving or NoOtherServers()
        self._store = store
        self._processes = processes
        self._users = users
        self._process_lookup = ProcessLookup(processes, users.directory)
        self._filters = filters
        self._scheduler = scheduler
        self._uploads = uploads
        self._retention = retention
        self._logs = spool.logs
        self._ballast = ballast
        self._refusals = refusals
        self._clock = clock
        self._access = JobAccess(store, clock, refusals, throttle or Throttle(settings.limits.bad_tokens, clock))
        self._images = ImageReceiver(settings, store, spool, quota, uploads, self._access, clock, self._arriving)
        self._reprocessing = Reprocessing(store, spool, clock)

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on."""
        self._settings = settings
        self._users.use(settings)
        self._images.use(settings)

    # --- for devices ---------------------------------------------------------------------------------------------

    def create(
        self,
        by: Principal,
        user_sid: str,
        process_id: str,
        instructions: Instructions,
        request: RequestKey | None = None,
    ) -> JobToken:
        """Create a job of a scan process for a user, in state Creating, and return its token.

        Raises `InvalidArgument` (UserIdentifier, PSP_Identifier, or the element that differs from the stored process
        or that its filter refuses), `StoredProcessInvalid`, `Unavailable` (too many open jobs, a filter that does not
        reply, or a directory that does not answer).
        """
        try:
            return self._create(by, user_sid, process_id, instructions, request)
        except StoreBusy:
            raise
        except PostscanError:  # a repeated request fails as well: its response cannot be stored again
            response = self._access.stored_response(by, "create", request)
            if response is None:
                raise
            return JobToken(response.result)

    def open_image(
        self,
        token: str,
        by: Principal,
        document_id: int,
        format: str,
        request: RequestKey | None = None,
        examine: Examine | None = None,
    ) -> ImageSink:
        """Return a sink for one image: its `commit` makes the image durable and records it, `abort` drops it.

        *examine* is called within `commit`, with the path of all bytes, and returns the format that counts. Raises
        before any byte if the job takes no images. Raised here and by the sink: `WrongState`, `JobCanceled`,
        `InvalidArgument` (DocumentId, ImageData), `SpoolFull`.
        """
        return self._images.open(token, by, document_id, format, request, examine)

    def end(self, token: str, by: Principal, request: RequestKey | None = None) -> None:
        """Run `end_steps` in this thread."""
        waiting.run(self.end_steps(token, by, request))

    def end_steps(self, token: str, by: Principal, request: RequestKey | None = None) -> Steps[None]:
        """Move the job to Pending; it takes no more images. Harmless when repeated while the job is active.

        Waits for uploads in progress, so that the last page is not lost. Raises `Unavailable` if one takes longer than
        `server.idle_seconds`.
        """
        if self._access.stored_response(by, "end", request) is not None:
            return
        known = self._access.load(token, by, "end").token
        uploaded, until = self._uploads.end(known), time.monotonic() + self._settings.server.idle_seconds
        if not uploaded.done() and not (yield Wait(uploaded, self._settings.server.idle_seconds)):
            raise Unavailable(f"an image of job {known} is still being uploaded")
        while self._arriving.elsewhere([known]):
            if time.monotonic() > until:
                raise Unavailable(f"an image of job {known} is still being uploaded to another server")
            yield Wait(Future(), ELSEWHERE_SECONDS)
        with contextlib.suppress(RepeatedRequest), self._access.change(token, by, "end", request) as job:
            job.end(self._clock.now())
        self._scheduler.wake()

    def cancel(self, token: str, by: Principal, request: RequestKey | None = None) -> Job:
        """Run `cancel_steps` in this thread."""
        return waiting.run(self.cancel_steps(token, by, request))

    def cancel_steps(self, token: str, by: Principal, request: RequestKey | None = None) -> Steps[Job]:
        """Cancel the job and return it: Canceled, or Terminating while its filters are being stopped.

        The cancel is durable before any filter is stopped, and before the first wait. Waits at most
        `running.cancel_answer_seconds` for the filters. Raises `JobNotFound` for a job that has ended.
        """
        try:
            job = self._ballast.spend_on(lambda: self._store_cancel(token, by, request))
        except RepeatedRequest:
            return self.job(token, by)
        except WrongState:
            raise JobNotFound(token) from None
        # The cancel is stored: a failure from here on must not become a fault (I11).
        if job.state is JobState.CANCELED:
            if job.documents:
                self._remove_images(job)
            return job
        self._scheduler.interrupt(job.token)
        return (yield from self._wait_ended(job))

    def job(self, token: str, by: Principal) -> Job:
        """Return the job; do not call its verbs."""
        return self._access.load(token, by)

    def cached(self, token: str, by: Principal) -> Job | None:
        """Return the same as `job` if it is cached, else None. Never blocks: it may be called from an event loop."""
        return self._store.cached(key(token), lambda job: is_visible(job, by))

    # --- for administrators --------------------------------------------------------------------------------------

    def hold(self, token: str, by: Principal) -> None:
        """Hold a pending job. Raises `WrongState`."""
        with self._access.change(token, by, "hold") as job:
            check(JobAction.HOLD, job, by)
            job.hold(self._clock.now())

    def release(self, token: str, by: Principal) -> JobToken:
        """Move a held job, or the images of an unfinished one, to Pending; return the token of the pending job.

        A job that timed out, or whose source failed, stays Aborted: its images become a new job of the same owner.
        Raises `WrongState`, `SpoolFull`.
        """
        job = self.job(token, by)
        if is_unfinished(job):
            self._check(JobAction.RELEASE, job, by)
            return self._reprocess(job, job.steps, by, JobAction.RELEASE)
        with self._access.change(token, by, "release") as job:
            check(JobAction.RELEASE, job, by)
            job.release(self._clock.now())
        self._scheduler.wake()
        return job.token

    def plan_retry(self, token: str, by: Principal, position: int | None = None) -> list[PlannedFilter]:
        """Return what `retry` would do with each filter of the job, and change nothing; raise as `retry`."""
        job = self._to_retry(token, by)
        return reprocessing.plan(job, self._store.deliveries(job.token), position)

    def retry(self, token: str, by: Principal, position: int | None = None) -> JobToken:
        """Create a new, pending job of the images of one that failed; return its token.

        Its filters are the one at *position*, by default the first that failed, those after it, and earlier ones that
        made documents. The failed job stays as it ended, without its images, so it can be retried once. Raises
        `WrongState`, `InvalidArgument` (from), `SpoolFull`.
        """
        job = self._to_retry(token, by)
        planned = reprocessing.plan(job, (), position)
        return self._reprocess(job, [one.step for one in planned if one.runs], by, JobAction.RETRY)

    def discard(self, token: str, by: Principal) -> None:
        """Remove the images and the log of a job that has ended. Raises `WrongState`."""
        job = self.job(token, by)
        self._check(JobAction.DISCARD, job, by)
        self._retention.remove_images(job)
        self._logs.remove(job.token)
        self._store.record(AuditLine.of(by, "discard", job.token, self._clock.now()))

    def active(self, by: Principal) -> list[Job]:
        """Return the caller's jobs that have not ended, oldest first; all, with the right to see them."""
        jobs = self._store.open_jobs(*_listed(by))
        return [job for job in jobs if is_visible(job, by)]

    def history(self, by: Principal, limit: int = 50) -> list[Job]:
        """Return the caller's jobs that have ended, newest first; all, with the right to see them."""
        jobs = self._store.ended_jobs(*_listed(by), limit)
        return [job for job in jobs if is_visible(job, by)]

    def active_and_ended(self, by: Principal, limit: int = 50) -> list[Job]:
        """Return what `active` returns, then what `history` returns, each job once."""
        active = self.active(by)  # read first: a job that ends between the two reads is in both, never in neither
        ended = self.history(by, limit)
        tokens = {job.token for job in ended}
        return [job for job in active if job.token not in tokens] + ended

    def filters(self, by: Principal) -> tuple[str, ...]:
        """Return the dialects of the usable filters to who may see all jobs; an empty tuple to other callers."""
        return self._filters.dialects if by.may(Right.SEE) else ()

    def state(self, by: Principal) -> str:
        """Return `Processing` while a job that the caller may see is in progress, else `Idle`."""
        return PROCESSING if self._store.in_progress(owner_filter(by), sid_filter(by, "get")) else IDLE

    def events(self, token: str, by: Principal) -> list[EventRow]:
        """Return the events of the job, in order."""
        return self._store.events(self.job(token, by).token)

    def deliveries(self, token: str, by: Principal) -> list[Delivery]:
        """Return the outputs that the job's filters were granted, published or not."""
        return self._store.deliveries(self.job(token, by).token)

    def notes(self, token: str, by: Principal) -> tuple[str, ...]:
        """Return what the source of the job has noted about it; nothing for a job that no source made."""
        return self._store.notes(self.job(token, by).token)

    def lines(self, token: str, by: Principal, after: int = 0) -> JobLogPage:
        """Return what the job's filters have logged behind *after*, the `end` of an earlier page.

        Callers without the right to operate get no line.
        """
        job = self.job(token, by)
        return self._logs.read(job.token, after) if by.may(Right.OPERATE) else JobLogPage((), after)

    def audit(self, by: Principal, token: str | None = None, limit: int = 100) -> list[AuditLine]:
        """Return the newest lines of the audit trail, oldest first, to an administrator; no line to other callers."""
        return self._store.audit(token, limit) if by.may(Right.ADMINISTER) else []

    def refuse_administration(self, by: Principal, action: str) -> None:
        """Record that a caller who is no administrator called the service for administrators."""
        self._refusals.record(by, "administer", detail=action)

    # --- rules ---------------------------------------------------------------------------------------------------

    def _create(
        self, by: Principal, user_sid: str, process_id: str, sent: Instructions, request: RequestKey | None
    ) -> JobToken:
        known = self._user(by, user_sid)
        process, note = self._process(by, process_id, known, sent)
        self._processes.admit(process, sent)
        self._filters.check(sent)
        user = known.user
        job = Job.create(new_token(), by, user, process, sent, self._clock.now())
        job.deadline = self._images.deadline(by)
        detail = f"{user.name} ({user.sid}), process {process.identifier}"
        detail += "".join(f"; {what}: {one}" for what, one in (("user", known.note), ("process", note)) if one)
        records = self._access.records(by, "create", job.token, request, job.token, detail)
        self._store.insert(job, *records, most_open=self._settings.limits.open_jobs)
        return job.token

    def _user(self, by: Principal, sid: str) -> KnownUser:
        strong = bool(by.sid) or self._settings.tls.mode == "client"
        if strong and by.sid not in (sid, sid.replace("s-", "S-", 1)):
            raise InvalidArgument("UserIdentifier", sid, "the SID of the user whom the client's certificate names")
        sid = by.sid or sid
        if not is_sid(sid):
            raise InvalidArgument("UserIdentifier", sid, "a SID as text: S-1-...")
        known = self._users.find(by.name, sid)
        if known is None and (strong or not self._settings.allow_unknown_users):
            raise InvalidArgument("UserIdentifier", sid, "the SID of a known user")
        if known is not None and not known.enabled:
            self._refusals.record(by, "create", detail=f"{known.user.name} ({sid}): {known.reason}")
            raise InvalidArgument("UserIdentifier", sid, "the SID of a user who is enabled")
        return known or KnownUser(User(sid, sid))

    def _process(self, by: Principal, identifier: str, known: KnownUser, sent: Instructions) -> tuple[ScanProcess, str]:
        """Return the process, and what the audit trail is to have of its directory."""
        found = self._process_lookup.find(by.name, identifier, known)
        if found is None and self._settings.processes.lenient:
            return ScanProcess(identifier, identifier, "", sent), ""
        if found is not None and found.process is not None:
            return found.process, found.note
        if found is not None and found.plugin != FOLDER:
            about = f"{known.user.name} ({known.user.sid}), process {identifier}: {found.refused}"
            self._refusals.record(by, "create", detail=about)
        raise InvalidArgument("PSP_Identifier", identifier, "the GUID of a scan process of this user")

    def _check(self, action: JobAction, job: Job, by: Principal) -> None:
        """Raise as `check`, and record that a right is missing."""
        with self._access.refusing(job.token, by, action):
            check(action, job, by)

    def _to_retry(self, token: str, by: Principal) -> Job:
        job = self.job(token, by)
        self._check(JobAction.RETRY, job, by)
        return job

    def _reprocess(self, job: Job, steps: Sequence[FilterStep], by: Principal, action: JobAction) -> JobToken:
        """Create a new, pending job with the images of an ended one; return its token."""
        token = new_token()
        self._reprocessing.start(job, token, steps, by, action)
        self._scheduler.wake()
        return token

    def _store_cancel(self, token: str, by: Principal, request: RequestKey | None) -> Job:
        with self._access.change(token, by, "cancel", request) as job:
            check(JobAction.CANCEL, job, by)
            job.cancel(self._clock.now())
        return job

    def _wait_ended(self, job: Job) -> Steps[Job]:
        """Wait for the filters to stop, so that the response can say that they have (D22)."""
        until = time.monotonic() + self._settings.running.cancel_answer_seconds
        while not job.state.ended and (left := until - time.monotonic()) > 0:
            exit = self._scheduler.exit(job.token)  # before the job is read: it may end at any moment
            with contextlib.suppress(StoreBusy):
                job = self._store.load(job.token)
            if job.state.ended:
                break
            is_here = self._scheduler.runs_all
            if not (yield Wait(exit, left if is_here else min(left, POLL_SECONDS))) and is_here:
                break
        return job

    def _remove_images(self, job: Job) -> None:
        """Remove the images of a cancelled job; those that cannot be removed now are left to the retention."""
        try:
            self._retention.remove_images(job)
        except (StoreBusy, OSError) as error:
            log.warning("images of canceled job not removed", extra={"job": job.token, "reason": str(error)})


def _listed(by: Principal) -> tuple[str | None, str]:
    """Return the owner whose jobs are listed to the caller, None for all; and the SID of a person at the console."""
    return (None, "") if by.may(Right.SEE) else (by.name, by.sid if by.role is not None else "")


def new_token() -> JobToken:
    """Return a token that cannot be guessed: 122 random bits of the operating system."""
    return JobToken(str(uuid.uuid4()))
