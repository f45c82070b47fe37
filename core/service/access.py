"""The owner rule of jobs, and repeated requests: every verb of the service goes through this module.

A job of another caller is refused exactly like one that does not exist (D1 and D2). A job that came through a source
has an owner that no caller of the network is; the user whom it is for may see and cancel it, and nothing else, if a
certificate proves that (D25). The own jobs of a person at the console are all those that are for the SID that it has
proven, too; its role may let it see and change others (D26). Each change is stored together with
its line of the audit trail and its response, so that the same request, sent again, gets the same response and has no
second effect (D14).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import JobNotFound, NotAdministrator, RequestReused, WrongState
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof, Right
from postscan.core.model.records import AuditLine, RequestKey, StoredResponse
from postscan.core.service.refusals import Refusals
from postscan.core.service.throttle import TokenThrottle
from postscan.core.store.listing.listed_jobs import ListedJob
from postscan.core.store.store import ChangeRecord, DuplicateRequest, Store

_OF_THE_USER: Final = frozenset({"get", "cancel"})
"""What the user may do whom a source's job is for; its pages and its end are for the source alone."""

_OF_PEOPLE: Final = frozenset({"get", "cancel", "hold", "release"})
"""For what a person at the console finds the jobs that it may see; `actions.check` then asks for the right.

Pages and the end of a job are for its owner alone, whatever the role.
"""


class RepeatedRequest(Exception):
    """The request is stored with its response; it has changed nothing now."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__(response.request.message_id)
        self.response = response


class JobAccess:
    """Loads and changes the caller's own jobs. *throttle* limits how many unknown tokens a caller may send."""

    def __init__(self, store: Store, clock: Clock, refusals: Refusals, throttle: TokenThrottle) -> None:
        self._store = store
        self._refusals = refusals
        self._clock = clock
        self._throttle = throttle

    def load(self, token: str, by: Principal, verb: str = "get") -> Job:
        """Return the caller's job, for this verb; do not call its verbs. Raises `JobNotFound`, `Throttled`."""
        with self.refusing(token, by, "get"):
            return self._store.load(key(token), owner_filter(by, verb), sid_filter(by, verb))

    @contextlib.contextmanager
    def change(self, token: str, by: Principal, verb: str, request: RequestKey | None = None) -> Iterator[Job]:
        """Yield the caller's job, and store on exit what its verbs did; raise `RepeatedRequest` for a repeated one."""
        records = self.records(by, verb, key(token), request)
        with (
            self._store.urgent() if verb == "cancel" else contextlib.nullcontext(),
            self.refusing(token, by, verb),
            self._repeated(by, verb, request),
            self._store.change(key(token), *records, owner=owner_filter(by, verb), sid=sid_filter(by, verb)) as job,
        ):
            yield job

    @contextlib.contextmanager
    def _repeated(self, by: Principal, verb: str, request: RequestKey | None) -> Iterator[None]:
        """Raise `RepeatedRequest` instead of the error of a change whose response is stored.

        The response is read only then: most requests are new, and a repeated one always fails. Its response cannot be
        stored again, or the job's state has changed since.
        """
        try:
            yield
        except (DuplicateRequest, JobNotFound, WrongState) as error:
            response = self.stored_response(by, verb, request)
            if response is None or isinstance(error, JobNotFound):
                raise
            raise RepeatedRequest(response) from None

    def stored_response(self, by: Principal, verb: str, request: RequestKey | None) -> StoredResponse | None:
        """Return the response to the same request; raise `RequestReused` if its MessageID was used for another."""
        if request is None:
            return None
        response = self._store.response(_sender(by), request.message_id)
        if response is not None and (response.verb, response.request) != (verb, request):
            raise RequestReused(request.message_id)
        return response

    def records(
        self, by: Principal, verb: str, token: str, request: RequestKey | None, result: str = "", detail: str = ""
    ) -> list[ChangeRecord]:
        """Return what is stored together with a change: its line of the audit trail, and its response."""
        records: list[ChangeRecord] = []
        if verb != "send":  # images have events of the job instead
            records.append(AuditLine.of(by, verb, token, self._clock.now(), detail=detail))
        if request is not None:
            records.append(StoredResponse(_sender(by), request, verb, result, self._clock.ticks()))
        return records

    @contextlib.contextmanager
    def refusing(self, token: str, by: Principal, verb: str) -> Iterator[None]:
        """Refuse a foreign job and an unknown one alike, with the token as the caller sent it; record each refusal."""
        try:
            yield
        except NotAdministrator as error:
            self._refusals.record(by, verb, token, f"the right to {error.right} is missing")
            raise
        except JobNotFound:
            if not by.may(Right.SEE):
                self._refusals.record(by, verb, token)
                self._throttle.miss(by.name)
            raise JobNotFound(token) from None


def key(token: str) -> str:
    """Return the token as it was issued, without the braces and upper case that a client may add (O-16)."""
    return token.strip().removeprefix("{").removesuffix("}").lower()


def is_visible(job: Job | ListedJob, by: Principal) -> bool:
    """Return whether the caller may see a job: its own, or each one with the right to see all."""
    return by.may(Right.SEE) or is_owned(job, by)


def is_owned(job: Job | ListedJob, by: Principal) -> bool:
    """Return whether a job is the caller's own: it is the owner, or the proven user (D25, D26)."""
    if (job.owner.name, job.owner.proof) == (by.name, by.proof):
        return True
    sid = sid_filter(by, "get")
    return bool(sid) and job.user.sid == sid and (by.role is not None or job.owner.proof is Proof.SOURCE)


def require(by: Principal, right: Right) -> None:
    """Raise `NotAdministrator` if the caller has not this right."""
    if not by.may(right):
        raise NotAdministrator(by.name, right)


def check_same(response: StoredResponse, sha256: str) -> None:
    """Raise `RequestReused` if an image is not the one of the stored response."""
    if response.result != sha256:
        raise RequestReused(response.request.message_id)


def _sender(by: Principal) -> str:
    """Return the sender of a request: the same name with another proof is another sender."""
    return f"{by.proof}:{by.name}"


def sid_filter(by: Principal, verb: str) -> str:
    """Return the SID whose jobs the caller may use for this verb, those of sources or all; "" if there are none."""
    if by.role is not None:
        return by.sid if verb in _OF_PEOPLE else ""
    return by.sid if by.proof is Proof.CERTIFICATE and verb in _OF_THE_USER else ""


def owner_filter(by: Principal, verb: str = "get") -> Principal | None:
    """Return the owner whose jobs the caller finds for this verb; None for all jobs."""
    sees_all = by.may(Right.SEE) if verb in _OF_PEOPLE else by.admin
    return None if sees_all else by
