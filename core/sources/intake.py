"""The requests of one source: each is one call of the service, and has exactly one reply.

A source is not trusted. It uses the jobs that it has opened on its own socket, and no others; the pages of its own
folders; the accounts whose passwords it has sent. Nothing here grows with what it sends: its jobs have places, its
accounts are counted, and the texts of its messages are bounded.

A job that cannot be failed now, since the database does not answer, keeps its place and is failed later: its key must
not be free before, and not be taken for ever.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from postscan.core.clock import Clock
from postscan.core.errors import (
    InvalidArgument,
    JobNotFound,
    NotInstalled,
    OriginRefused,
    SpoolFull,
    StoreBusy,
    StoredProcessInvalid,
    StoreFull,
    Throttled,
    Unavailable,
    WrongState,
)
from postscan.core.filters.source.messages import (
    LEAVE,
    AccountChecked,
    CancelRequest,
    EndRequest,
    FailRequest,
    InletBusy,
    JobCancelled,
    JobOpened,
    KeyTaken,
    LeaveRequest,
    OpenRequest,
    PageRequest,
    PasswordRequest,
    Reply,
    Request,
    RequestDone,
    RequestLate,
    RequestRefused,
    StateReply,
    StateRequest,
    ToldRequest,
)
from postscan.core.model.account import AccountUser, canonical_name
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.rate_limit import RateLimit
from postscan.core.model.records import OriginProof
from postscan.core.model.states import JobState
from postscan.core.service.job_users import Claim
from postscan.core.service.jobs import PostScanService
from postscan.core.service.origins import Offer, OpeningState, Origins
from postscan.core.settings import Settings
from postscan.core.sources import pages
from postscan.core.sources.places import JobPlaces
from postscan.core.spool.quota import Quota, Reservation

log = logging.getLogger(__name__)

BUSY_SECONDS: Final = 10.0
"""After how many seconds an origin may come again when the server has no place for it."""

AGAIN_SECONDS: Final = 5.0
"""The same, when another transfer of it is in progress or the database does not answer."""

FULL_SECONDS: Final = 60.0
"""The same, when a disk is full or an administrator has to mend something."""

ACCOUNTS: Final = 10_000
"""Accounts of which one process of a source is known to have had the password; the oldest is forgotten."""

REPORT_SECONDS: Final = 600.0
"""Seconds between two lines of the log about requests of a kind that the server fails to handle."""

_EXTENDED: Final = 4  # the deadline of a job is stored again after this part of its silence


class LyingSource(Exception):
    """The source claims what it has not declared, and is ended."""


class PasswordCheck(Protocol):
    """Checks the passwords of accounts."""

    def verify(self, account: str, password: str, inlet: str, address: str = "") -> AccountUser | None:
        """Return None if they are wrong; raise `Throttled` after too many wrong ones, `Unavailable`, `NotInstalled`."""


@dataclass(eq=False)
class _OpenJob:
    """A job that takes pages. `lock` is held by the request that changes it."""

    token: JobToken
    owner: Principal
    lock: threading.Lock = field(default_factory=threading.Lock)
    pages: int = 0
    asked: int = 0
    extended: float = 0.0
    room: Reservation | None = None
    closed: bool = False
    late: str = ""
    """Why it takes no pages any more; the source has been told, at the tick `late_since`."""

    late_since: float = 0.0

    def give_back_room(self) -> None:
        """Give back the room that was reserved for the page that is being written."""
        self.asked = 0
        if self.room is not None:
            self.room.release()
            self.room = None


@dataclass(frozen=True)
class IntakeParts:
    """What the intakes of all inlets share."""

    settings: Settings
    service: PostScanService
    origins: Origins
    passwords: PasswordCheck
    quota: Quota
    places: JobPlaces
    clock: Clock


class SourceIntake:
    """Handles the requests of one process of a source. Every method but `stop_opening` may block."""

    def __init__(
        self, parts: IntakeParts, inlet: str, folder: Path, workdir: Path, on_job: Callable[[], None] = lambda: None
    ) -> None:
        self._parts = parts
        self._inlet = inlet
        self._source = parts.settings.sources[inlet]
        self._folders = {True: folder, False: workdir}
        self._on_job = on_job
        self._lock = threading.Lock()  # of what follows
        self._jobs: dict[str, _OpenJob] = {}
        self._unfailed: dict[JobToken, str] = {}
        self._proven: OrderedDict[str, None] = OrderedDict()
        self._proofs: frozenset[str] = frozenset()
        self._opening = True
        self._reports = RateLimit(1, REPORT_SECONDS, parts.clock.ticks)

    def declared(self, proofs: Sequence[str]) -> None:
        """Record how the source can prove who sends pages."""
        self._proofs = frozenset(proofs)

    def stop_opening(self) -> None:
        """Create no more jobs: the server or the inlet is being stopped."""
        self._opening = False

    @property
    def open_jobs(self) -> int:
        """How many jobs take pages."""
        with self._lock:
            return len(self._jobs)

    # --- requests ------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request; raise `LyingSource`."""
        try:
            return self._handle(request)
        except StoreFull:
            return InletBusy(id=request.id, seconds=FULL_SECONDS, full=True)
        except StoreBusy:
            return InletBusy(id=request.id, seconds=AGAIN_SECONDS)
        except SpoolFull:
            return InletBusy(id=request.id, seconds=FULL_SECONDS, full=True)
        except StoredProcessInvalid:
            return InletBusy(id=request.id, seconds=FULL_SECONDS)
        except Throttled as error:
            return InletBusy(id=request.id, seconds=error.seconds)
        except Unavailable:
            return InletBusy(id=request.id, seconds=BUSY_SECONDS)
        except (OriginRefused, InvalidArgument) as error:
            return RequestRefused(id=request.id, reason=str(error))
        except LyingSource:
            raise
        except NotInstalled as error:
            if not self._reports.take(request.type):
                log.error("request of a source not handled", extra=self._about(request) | {"reason": str(error)})  # noqa: TRY400
            return InletBusy(id=request.id, seconds=FULL_SECONDS)
        except Exception:
            if not self._reports.take(request.type):
                log.exception("request of a source not handled", extra=self._about(request))
            return InletBusy(id=request.id, seconds=FULL_SECONDS)

    def _about(self, request: Request) -> dict[str, str]:
        return {"inlet": self._inlet, "request": request.type}

    def _handle(self, request: Request) -> Reply:
        match request:
            case OpenRequest():
                return self._open(request)
            case ToldRequest():
                self._parts.origins.told(self._inlet, request.job, request.outcome)
                return RequestDone(id=request.id)
            case StateRequest():
                job = self._parts.origins.state(self._inlet, request.job)
                return StateReply(id=request.id, state=job.state, reasons=job.reasons)
            case PasswordRequest():
                return AccountChecked(id=request.id, right=self._check_password(request))
            case _:
                return self._with_job(request)

    def _open(self, request: OpenRequest) -> Reply:
        if request.proof not in self._proofs:
            raise LyingSource(f"it claims the proof {request.proof!r}, which it has not declared")
        claim = Claim(OriginProof(request.proof), request.subject, request.account)
        if claim.proof in (OriginProof.PASSWORD, OriginProof.CLEAR) and not self._is_proven(request.account):
            raise OriginRefused("this account has not proven its password", f"account {request.account!r:.300}")
        if not self._opening or not self._parts.places.take(self._inlet, self._source.open_jobs):
            return InletBusy(id=request.id, seconds=BUSY_SECONDS)
        kept = False
        try:
            opening = self._parts.origins.open(
                Offer(self._inlet, request.key, request.destination, claim, request.name, request.remember_seconds)
            )
            if opening.owner is not None:
                with self._lock:
                    self._jobs[opening.token] = _OpenJob(opening.token, opening.owner, extended=self._ticks())
                kept = True
        finally:
            if not kept:
                self._parts.places.give_back(self._inlet)
        match opening.state:
            case OpeningState.OPENED:
                return JobOpened(id=request.id, job=opening.token)
            case OpeningState.TAKEN:
                return KeyTaken(id=request.id, job=opening.token)
            case OpeningState.IN_PROGRESS:
                return InletBusy(id=request.id, seconds=AGAIN_SECONDS)

    def _check_password(self, request: PasswordRequest) -> bool:
        found = self._parts.passwords.verify(request.account, request.password, self._inlet, request.address)
        if found is None:
            return False
        with self._lock:
            self._proven[found.account] = None
            self._proven.move_to_end(found.account)
            if len(self._proven) > ACCOUNTS:
                self._proven.popitem(last=False)
        return True

    def _is_proven(self, account: str) -> bool:
        with self._lock:
            return canonical_name(account) in self._proven

    # --- requests about an open job ------------------------------------------------------------------------------

    def _with_job(self, request: LeaveRequest | PageRequest | EndRequest | FailRequest | CancelRequest) -> Reply:
        with self._lock:
            job = self._jobs.get(request.job)
        if job is None:
            raise OriginRefused("there is no such job")
        with job.lock:
            if job.closed:
                raise OriginRefused("there is no such job")
            try:
                self._carry_out(job, request)
            except (WrongState, JobNotFound) as error:
                late = job.late or self._late(job, str(error))
                if not isinstance(request, LeaveRequest | PageRequest):
                    self._close(job)
                return RequestLate(id=request.id, reason=late)
        return RequestDone(id=request.id)

    def _carry_out(self, job: _OpenJob, request: Request) -> None:
        match request:
            case LeaveRequest():
                self._leave(job, request.bytes)
            case PageRequest():
                self._page(job, request)
            case EndRequest():
                self._end(job)
            case FailRequest():
                self._fail(job, request.reason)
            case CancelRequest():
                self._parts.service.cancel(job.token, job.owner)
                log.info("job canceled by its origin", extra={"job": job.token, "reason": request.reason})
                self._close(job)

    def _leave(self, job: _OpenJob, size: int) -> None:
        """Reserve room for a part of a page, and let the job wait for the next one."""
        if job.late:
            raise WrongState("receive", job.late)
        most = self._parts.settings.limits.image_bytes
        if size:
            if job.asked + size > most + LEAVE:
                raise OriginRefused(f"a page has at most {most} bytes")
            job.room = job.room or self._parts.quota.open(job.owner.name)
            job.room.reserve(size)
            job.asked += size
        self._extend(job)

    def _extend(self, job: _OpenJob) -> None:
        now = self._ticks()
        if now - job.extended >= self._source.job_seconds / _EXTENDED:
            self._parts.origins.extend(self._inlet, job.token)
            job.extended = now

    def _page(self, job: _OpenJob, request: PageRequest) -> None:
        job.give_back_room()
        service = self._parts.service

        def examine(path: Path) -> str:
            found = pages.accepted_format(path, whole=request.whole)
            if request.format and request.format != found:
                about = {"job": job.token, "format": request.format, "detected": found}
                log.warning("format of a page is not the given one", extra=about)
            return found

        with (
            pages.open_page(self._folders[request.kept], request.path) as page,
            service.open_image(job.token, job.owner, job.pages + 1, request.format, examine=examine) as image,
        ):
            for chunk in pages.chunks(page):
                image.write(chunk)
        job.pages += 1
        job.extended = self._ticks()

    def _end(self, job: _OpenJob) -> None:
        if not job.pages:
            raise OriginRefused("the job has no page")
        self._parts.service.end(job.token, job.owner)
        self._close(job)
        self._on_job()

    def _fail(self, job: _OpenJob, reason: str) -> None:
        try:
            failed = self._parts.origins.fail(job.token, job.owner, reason)
        except StoreBusy:
            self._close(job, unfailed=reason)
            raise
        if not failed:
            raise WrongState("fail", "ended")
        log.warning("job failed at its origin", extra={"job": job.token, "reason": reason})
        self._close(job)

    def _late(self, job: _OpenJob, error: str) -> str:
        """Return why a job takes no pages any more."""
        state = self._parts.origins.ended([job.token]).get(job.token)
        return job.late or (f"the job is {state}" if state else error)

    def _close(self, job: _OpenJob, unfailed: str = "") -> None:
        """Forget a job that is not open any more; one that is still to be failed keeps its place."""
        job.closed = True
        job.give_back_room()
        with self._lock:
            self._jobs.pop(job.token, None)
            if unfailed:
                self._unfailed[job.token] = unfailed
        if not unfailed:
            self._parts.places.give_back(self._inlet)

    def _ticks(self) -> float:
        return self._parts.clock.ticks()

    # --- beside the requests -------------------------------------------------------------------------------------

    def tokens(self) -> list[JobToken]:
        """Return the jobs whose source takes them for open."""
        with self._lock:
            return [job.token for job in self._jobs.values() if not job.late]

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
        """Forget the jobs that others have ended and of which the source has sent nothing since, for `job_seconds`."""
        before = self._ticks() - self._source.job_seconds
        with self._lock:
            late = [job for job in self._jobs.values() if job.late and job.late_since < before]
        for job in late:
            if job.lock.acquire(blocking=False):
                try:
                    if not job.closed:
                        self._close(job)
                finally:
                    job.lock.release()

    def fail_left(self) -> None:
        """Fail the jobs that could not be failed before."""
        with self._lock:
            left = dict(self._unfailed)
        for token, reason in left.items():
            try:
                failed = self._parts.origins.fail(token, None, reason)
            except StoreBusy:
                return
            except JobNotFound:
                failed = False
            if failed:
                log.warning("job failed at its origin", extra={"job": token, "reason": reason})
            with self._lock:
                was_left = self._unfailed.pop(token, None) is not None
            if was_left:
                self._parts.places.give_back(self._inlet)

    @property
    def has_unfailed(self) -> bool:
        """Whether `fail_left` has work left."""
        with self._lock:
            return bool(self._unfailed)

    def close(self, reason: str) -> None:
        """Fail what is open, since the process of the source has ended."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            with job.lock:
                if not job.closed:
                    self._close(job, unfailed=reason)
        self.fail_left()
