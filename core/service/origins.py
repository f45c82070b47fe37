"""The verbs of sources: a job of an origin, once for each key, and for the user whom the settings name.

A source says where pages come from and who has proven to send them; the process, the user and the owner of the job are
the server's decision. Images, end and cancel are those of all jobs: `PostScanService`.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.errors import (
    InvalidArgument,
    JobNotFound,
    OriginRefused,
    OutcomeUnknown,
    StoredProcessInvalid,
    WrongState,
)
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof, Right, inlet_of, of_source
from postscan.core.model.process import ScanProcess
from postscan.core.model.rate_limit import RateLimit
from postscan.core.model.records import REMEMBERED, AuditLine, JobOrigin, key_hash
from postscan.core.model.states import JobState
from postscan.core.registry.active_filters import ActiveFilters
from postscan.core.registry.directory.processes import ProcessLookup
from postscan.core.registry.directory.users import KnownUser, UserLookup
from postscan.core.service.job_users import AccountUsers, Claim, JobUsers
from postscan.core.service.jobs import ScanProcesses, new_token
from postscan.core.service.refusals import Refusals
from postscan.core.service.unconfirmed_jobs import UnconfirmedJobs
from postscan.core.settings import Settings
from postscan.core.settings.sources import DestinationSettings, destinations_of
from postscan.core.store.database.pages import PAGE
from postscan.core.store.sources import destinations as identifiers
from postscan.core.store.sources import origins as queries
from postscan.core.store.sources.origins import HeldKey, KeyHeld, OriginRow
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

SUBJECT: Final = 400
"""Most characters of a subject: with its inlet it is the name of an owner."""

NAME: Final = 255
"""Most characters of an account, and of a name of a job, which is cut."""

REPORT_SECONDS: Final = 600.0
"""Seconds between two lines of the log about the same destination that cannot be used."""

_SERVER: Final = Principal("server", Proof.LOCAL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Offer:
    """An origin as a source offers it. `destination` is an identifier; `name` is what people see."""

    inlet: str
    key: str
    destination: str
    claim: Claim
    name: str = ""
    remember_seconds: float = REMEMBERED


class OpeningState(StrEnum):
    """What became of an offer."""

    OPENED = "opened"
    TAKEN = "taken"  # the key is a job already that has all its pages, or has ended
    IN_PROGRESS = "in progress"  # the key is a job already that still takes pages


class Opening(NamedTuple):
    """The job of an offer, new or not; `owner` is that of a new one."""

    state: OpeningState
    token: JobToken
    owner: Principal | None = None


class Origins:
    """The verbs of sources. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        processes: ScanProcesses,
        filters: ActiveFilters,
        accounts: AccountUsers,
        refusals: Refusals,
        clock: Clock,
        users: UserLookup,
    ) -> None:
        self._settings = settings
        self._store = store
        self._processes = processes
        self._filters = filters
        self._refusals = refusals
        self._clock = clock
        self._users = JobUsers(settings, accounts, users)
        self._process_lookup = ProcessLookup(processes, users.directory)
        self._reports = RateLimit(1, REPORT_SECONDS, clock.ticks)
        self._identifiers: dict[str, str] = {}
        self._unconfirmed = UnconfirmedJobs()

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on; inlets and destinations are the same."""
        self._settings = settings
        self._users.use(settings)

    # --- when a server starts ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Give new destinations an identifier."""
        if self._settings.destinations:
            with self._store.writing() as db:
                identifiers.add_identifiers(db, self._settings.destinations)

    def fail_left(self, inlet: str | None = None) -> None:
        """Fail the jobs whose sources ended with the last server: of an inlet, or of all.

        They are looked for some at a time, and each is failed in a transaction of its own.
        """
        tokens = self._store.jobs_of_sources()
        while page := list(itertools.islice(tokens, PAGE)):
            owners = self._store.owners(page)
            for token in page:
                owner = Principal(owners.get(token, ""), Proof.SOURCE)
                if inlet in (None, inlet_of(owner)) and self.fail(token, None, "its server ended"):
                    log.warning("job aborted: its source ended", extra={"job": token})

    def destinations(self, inlet: str) -> dict[str, DestinationSettings]:
        """Return the destinations of an inlet by their identifiers, in the order of the settings."""
        return {id: destination for id, (_, destination) in self._by_identifier(inlet).items()}

    def ticket(self, destination: DestinationSettings) -> ScanTicket:
        """Return what the process of a destination asks a device for; if that is invalid, log it and return nothing."""
        try:
            return self._processes.ticket(destination.process)
        except StoredProcessInvalid as error:
            if not self._reports.take(f"ticket of {destination.label}"):
                log.warning("scan ticket ignored", extra={"label": destination.label, "reason": str(error)})
            return ScanTicket()

    # --- for one source ------------------------------------------------------------------------------------------

    def open(self, offer: Offer) -> Opening:
        """Create the job of an origin, in state Creating, unless its key is a job already.

        A job that was stored although this raised `OutcomeUnknown` is failed when its key comes again: its source has
        no token of it, and the new offer may be of another sender.

        Raises `OriginRefused`; `Unavailable` for too many open jobs of one sender or a filter that does not reply;
        `StoredProcessInvalid`.
        """
        _check_sender(offer.claim)
        known = self._known(offer)
        if known is not None:
            return known
        try:
            job, origin = self._job(offer)
        except OriginRefused as refused:
            claimed = of_source(offer.inlet, offer.claim.account or offer.claim.subject)
            self._refusals.record(claimed, "create", detail=refused.detail[:NAME])
            raise
        line = AuditLine.of(job.owner, "create", job.token, self._clock.now(), detail=_detail(job, origin))
        row = OriginRow(origin, self._clock.ticks())
        try:
            self._store.insert(job, line, row, most_open=self._settings.limits.open_jobs)
        except KeyHeld:
            return self._known(offer) or Opening(OpeningState.IN_PROGRESS, JobToken(""))
        except OutcomeUnknown:
            self._unconfirmed.add(job.token)
            raise
        return Opening(OpeningState.OPENED, job.token, job.owner)

    def fail(self, token: str, by: Principal | None, reason: str) -> bool:
        """Abort a job whose origin broke off, which frees its key; return False if it takes no pages any more.

        *by* is its owner, or None for the server. May be repeated.
        """
        line = AuditLine.of(by or _SERVER, "fail", token, self._clock.now(), detail=reason[:NAME])
        try:
            with self._store.change(token, line, owner=by) as job:
                job.break_off(self._clock.now())
        except WrongState:
            return False
        return True

    def extend(self, inlet: str, token: str) -> None:
        """Let a job that takes pages wait for further `job_seconds`."""
        self._store.extend_deadline(token, self._clock.ticks() + self._settings.sources[inlet].job_seconds)

    def told(self, inlet: str, token: str, outcome: str) -> None:
        """Record what the origin of a job said to its cancel; raise `OriginRefused` if it is no job of this inlet."""
        with self._store.writing() as db:
            if not queries.record_told(db, inlet, token, outcome):
                raise OriginRefused("there is no such job")

    def note(self, inlet: str, token: str, notes: Sequence[str]) -> None:
        """Store all notes about a job, each one line; raise `OriginRefused` if it is no job of this inlet."""
        with self._store.writing() as db:
            if not queries.record_notes(db, inlet, token, notes):
                raise OriginRefused("there is no such job")

    def state(self, inlet: str, token: str) -> Job:
        """Return a job of this inlet; raise `OriginRefused` if it is none, or was deleted."""
        with self._store.reading() as db:
            found = queries.of_job(db, token)
        if found is not None and found.inlet == inlet:
            with contextlib.suppress(JobNotFound):
                return self._store.load(token)
        raise OriginRefused("there is no such job")

    def ended(self, tokens: Sequence[str]) -> Mapping[JobToken, JobState | None]:
        """Return those of the jobs that take no pages any more, with their states; None for one that was deleted."""
        with self._store.reading() as db:
            return queries.ended_of(db, tokens)

    # --- for administrators --------------------------------------------------------------------------------------

    def of_job(self, token: str, by: Principal) -> JobOrigin | None:
        """Return where a job came from, to who may see all jobs; None for a job that no source made."""
        if not by.may(Right.SEE):
            return None
        with self._store.reading() as db:
            return queries.of_job(db, token)

    def identifiers(self) -> Mapping[str, str]:
        """Return the identifiers of destinations by their names; one that no server has had yet has none."""
        with self._store.reading() as db:
            return identifiers.read_identifiers(db)

    # --- rules ---------------------------------------------------------------------------------------------------

    def _by_identifier(self, inlet: str) -> dict[str, tuple[str, DestinationSettings]]:
        offered = destinations_of(self._settings.sources[inlet], self._settings.destinations)
        if not self._identifiers:
            with self._store.reading() as db:
                self._identifiers = identifiers.read_identifiers(db)
        return {self._identifiers[name]: (name, destination) for name, destination in offered.items()}

    def _known(self, offer: Offer) -> Opening | None:
        """Return the job that the key is already; None if it is free."""
        held = self._held(offer)
        if held is not None and held.state is JobState.CREATING and held.token in self._unconfirmed:
            self._fail_unconfirmed(held.token)
            held = self._held(offer)
        if held is None:
            return None
        is_open = held.state is JobState.CREATING
        return Opening(OpeningState.IN_PROGRESS if is_open else OpeningState.TAKEN, held.token)

    def _held(self, offer: Offer) -> HeldKey | None:
        with self._store.reading() as db:
            return queries.find_key(db, offer.inlet, key_hash(offer.key), self._clock.ticks())

    def _fail_unconfirmed(self, token: JobToken) -> None:
        """Abort a job that was stored although its source got an error; it may have ended meanwhile."""
        with contextlib.suppress(JobNotFound):
            if self.fail(token, None, "its source has no token of it"):
                log.warning("job aborted: its source has no token of it", extra={"job": token})
        self._unconfirmed.remove(token)

    def _job(self, offer: Offer) -> tuple[Job, JobOrigin]:
        """Return the new job of an offer and its origin, neither stored; raise as `open`."""
        found = self._by_identifier(offer.inlet).get(offer.destination)
        if found is None:
            raise OriginRefused("there is no such destination", f"no destination {offer.destination!r:.100}")
        name, destination = found
        known, account = self._users.decide(offer.inlet, destination, offer.claim)
        process = self._process(name, offer.inlet, destination, known)
        instructions = process.instructions
        if offer.name and process.allow_name_change:
            instructions = replace(instructions, document_root=_CONTROL.sub("?", offer.name)[:NAME])
        try:
            self._filters.check(instructions)
        except InvalidArgument as error:
            raise self._unusable(name, f"its process is refused: {error}") from error
        now, ticks = self._clock.now(), self._clock.ticks()
        owner = of_source(offer.inlet, account or offer.claim.subject)
        job = Job.create(new_token(), owner, known.user, process, instructions, now)
        job.deadline = ticks + self._settings.sources[offer.inlet].job_seconds
        origin = JobOrigin(
            token=job.token,
            inlet=offer.inlet,
            key=key_hash(offer.key),
            proof=offer.claim.proof,
            subject=offer.claim.subject,
            account=account,
            destination=name,
            until=ticks + min(offer.remember_seconds, REMEMBERED),
            with_job=offer.remember_seconds >= REMEMBERED,
        )
        return job, origin

    def _process(self, name: str, inlet: str, destination: DestinationSettings, known: KnownUser) -> ScanProcess:
        try:
            found = self._process_lookup.find(f"inlet:{inlet}", destination.process, known)
        except StoredProcessInvalid as error:
            self._report(name, str(error))
            raise
        if found is None:
            raise self._unusable(name, f"there is no scan process {destination.process}")
        if found.process is None:
            refused = f"{known.user.sid} may not use the scan process {destination.process}: {found.refused}"
            raise self._unusable(name, refused)
        return found.process

    def _unusable(self, name: str, reason: str) -> OriginRefused:
        self._report(name, reason)
        return OriginRefused("this destination cannot be used", f"destination {name}: {reason}")

    def _report(self, name: str, reason: str) -> None:
        """Log what an administrator has to mend, not more often than it can be mended."""
        if not self._reports.take(name):
            log.error("destination cannot be used", extra={"destination": name, "reason": reason})


def _check_sender(claim: Claim) -> None:
    """Raise `OriginRefused` for a sender whose name is missing, too long, or no line of text."""
    if not (claim.account if claim.proof.names_account else claim.subject):
        raise OriginRefused("the sender has no name")
    if len(claim.account) > NAME or len(claim.subject) > SUBJECT:
        raise OriginRefused(f"the name of the sender has more than {NAME} characters")
    if _CONTROL.search(f"{claim.subject}{claim.account}"):
        raise OriginRefused("the name of the sender has control characters")


def _detail(job: Job, origin: JobOrigin) -> str:
    """Return the detail of the audit line: who gets the pages, and how the sender was proven."""
    through = f"destination {origin.destination}, {origin.proof} {origin.subject}"
    return f"{job.user.name} ({job.user.sid}), process {job.process_id}, {through}"
