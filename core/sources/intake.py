"""The requests of one source: each is one call of the service, and has exactly one reply.

A source is not trusted. It uses the jobs that it has opened on its own socket, and no others; the pages of its own
folders; the accounts whose passwords it has sent. Nothing here grows with what it sends: its jobs have places, its
accounts are counted, and the texts of its messages are bounded.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from postscan.core.clock import Clock
from postscan.core.errors import JobNotFound, NotInstalled, OriginRefused, WrongState
from postscan.core.filters.source.messages import (
    LEAVE,
    AccountChecked,
    CancelRequest,
    EndRequest,
    FailRequest,
    JobOpened,
    KeyTaken,
    LeaveRequest,
    NoteRequest,
    OpenRequest,
    PageRequest,
    PasswordRequest,
    Reply,
    Request,
    RequestDone,
    RequestLate,
    StateReply,
    StateRequest,
    ToldRequest,
)
from postscan.core.model.accounts.account import AccountUser, canonical_name
from postscan.core.model.rate_limit import RateLimit
from postscan.core.model.records import OriginProof
from postscan.core.service.job_users import Claim
from postscan.core.service.jobs import PostScanService
from postscan.core.service.origins import Offer, OpeningState, Origins
from postscan.core.settings import Settings
from postscan.core.sources import pages, replies
from postscan.core.sources.open_jobs import OpenJob, OpenJobs
from postscan.core.sources.page_file import PageFile
from postscan.core.sources.places import JobPlaces
from postscan.core.spool.quota import Quota

log = logging.getLogger(__name__)

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
    """Handles the requests of one process of a source; `jobs` are those that it has opened.

    Every method but `stop_opening` may block.
    """

    def __init__(
        self, parts: IntakeParts, inlet: str, folder: Path, workdir: Path, on_job: Callable[[], None] = lambda: None
    ) -> None:
        self._parts = parts
        self._inlet = inlet
        self._source = parts.settings.sources[inlet]
        self._folders = {True: folder, False: workdir}
        self._on_job = on_job
        self._ticks = parts.clock.ticks
        self.jobs = OpenJobs(inlet, self._source.job_seconds, parts.origins, parts.places, self._ticks)
        self._lock = threading.Lock()  # of `_proven`
        self._proven: OrderedDict[str, None] = OrderedDict()
        self._proofs: frozenset[str] = frozenset()
        self._opening = True
        self._reports = RateLimit(1, REPORT_SECONDS, self._ticks)

    def declared(self, proofs: Sequence[str]) -> None:
        """Record how the source can prove who sends pages."""
        self._proofs = frozenset(proofs)

    def stop_opening(self) -> None:
        """Create no more jobs: the server or the inlet is being stopped."""
        self._opening = False

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request; raise `LyingSource`."""
        try:
            return self._handle(request)
        except LyingSource:
            raise
        except replies.EXPECTED as error:
            if isinstance(error, NotInstalled):
                self._report(request, error)
            return replies.of_error(request, error)
        except Exception:
            if not self._reports.take(request.type):
                log.exception("request of a source not handled", extra=self._about(request))
            return replies.busy(request, replies.FULL_SECONDS)

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

    def _report(self, request: Request, error: NotInstalled) -> None:
        """Log what has to be installed, without a traceback: the message names it."""
        if not self._reports.take(request.type):
            log.error("request of a source not handled", extra=self._about(request) | {"reason": str(error)})

    def _about(self, request: Request) -> dict[str, str]:
        return {"inlet": self._inlet, "request": request.type}

    # --- a new job -----------------------------------------------------------------------------------------------

    def _open(self, request: OpenRequest) -> Reply:
        if request.proof not in self._proofs:
            raise LyingSource(f"it claims the proof {request.proof!r}, which it has not declared")
        claim = Claim(OriginProof(request.proof), request.subject, request.account)
        if claim.proof in (OriginProof.PASSWORD, OriginProof.CLEAR) and not self._is_proven(request.account):
            raise OriginRefused("this account has not proven its password", f"account {request.account!r:.300}")
        if not self._opening or not self._parts.places.take(self._inlet, self._source.open_jobs):
            return replies.busy(request, replies.BUSY_SECONDS)
        kept = False
        try:
            opening = self._parts.origins.open(
                Offer(self._inlet, request.key, request.destination, claim, request.name, request.remember_seconds)
            )
            if opening.owner is not None:
                self.jobs.add(opening.token, opening.owner)
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
                return replies.busy(request, replies.AGAIN_SECONDS)

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

    def _with_job(
        self, request: LeaveRequest | PageRequest | EndRequest | FailRequest | CancelRequest | NoteRequest
    ) -> Reply:
        with self.jobs.held(request.job) as job:
            try:
                self._carry_out(job, request)
            except (WrongState, JobNotFound) as error:
                late = self.jobs.why_late(job, str(error))
                if not isinstance(request, LeaveRequest | PageRequest | NoteRequest):
                    self.jobs.close(job)
                return RequestLate(id=request.id, reason=late)
        return RequestDone(id=request.id)

    def _carry_out(self, job: OpenJob, request: Request) -> None:
        match request:
            case LeaveRequest():
                self._leave(job, request.bytes)
            case PageRequest():
                self._page(job, request)
            case EndRequest():
                self._end(job)
            case NoteRequest():
                self._note(job, request.text)
            case FailRequest():
                self.jobs.fail(job, request.reason)
            case CancelRequest():
                self._parts.service.cancel(job.token, job.owner)
                log.info("job canceled by its origin", extra={"job": job.token, "reason": request.reason})
                self.jobs.close(job)

    def _leave(self, job: OpenJob, size: int) -> None:
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

    def _extend(self, job: OpenJob) -> None:
        now = self._ticks()
        if now - job.extended >= self._source.job_seconds / _EXTENDED:
            self._parts.origins.extend(self._inlet, job.token)
            job.extended = now

    def _page(self, job: OpenJob, request: PageRequest) -> None:
        job.give_back_room()
        service = self._parts.service

        def examine(path: Path) -> str:
            found = pages.accepted_format(path, whole=request.whole)
            if request.format and request.format != found:
                about = {"job": job.token, "format": request.format, "detected": found}
                log.warning("format of a page is not the given one", extra=about)
            return found

        with (
            PageFile(self._folders[request.kept], request.path) as page,
            service.open_image(job.token, job.owner, job.pages + 1, request.format, examine=examine) as image,
        ):
            if not (request.given and image.take(page.move_to, request.sha256)):
                for chunk in page.chunks():
                    image.write(chunk)
        job.pages += 1
        job.extended = self._ticks()

    def _note(self, job: OpenJob, text: str) -> None:
        if job.late:
            raise WrongState("note", job.late)
        notes = job.notes_with(text)
        if notes != job.notes:
            self._parts.origins.note(self._inlet, job.token, notes)
            job.notes = notes

    def _end(self, job: OpenJob) -> None:
        if not job.pages:
            raise OriginRefused("the job has no page")
        self._parts.service.end(job.token, job.owner)
        self.jobs.close(job)
        self._on_job()
