"""Whose job it is, and whose request: the rules that every verb of the service goes through.

A job that is not the caller's answers exactly like one that does not exist (D1 and D2). Each change is
stored together with its line of the audit trail and with its answer, so that the same request, sent again, gets the
same answer and has no second effect (D14).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from postscan.core.clock import Clock
from postscan.core.errors import JobNotFound, RequestReused, WrongState
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal
from postscan.core.model.records import AuditLine, RequestKey, StoredResponse
from postscan.core.service.throttle import Throttle
from postscan.core.store.store import ChangeRecord, DuplicateRequest, Store


class JobAccess:
    """Lends callers their own jobs, and remembers what they were answered; *bad_tokens* a minute may be wrong."""

    def __init__(self, store: Store, clock: Clock, bad_tokens: int) -> None:
        self._store = store
        self._clock = clock
        self._throttle = Throttle(bad_tokens, clock)

    def load(self, token: str, by: Principal) -> Job:
        """Return the caller's job as it stands; do not call its verbs. Raises `JobNotFound`, `Throttled`."""
        with self._refusing(token, by, "get"):
            return self._store.load(key(token), owner=_owner(by))

    @contextlib.contextmanager
    def changing(self, token: str, by: Principal, verb: str, request: RequestKey | None = None) -> Iterator[Job]:
        """Lend the caller's job, and store what its verbs did. If a twin of the request was faster, store nothing."""
        notes = self.notes(by, verb, key(token), request)
        try:
            with self._refusing(token, by, verb), self._store.change(key(token), *notes, owner=_owner(by)) as job:
                yield job
        except DuplicateRequest:
            self.answered(by, verb, request)
        except WrongState:
            if self.answered(by, verb, request) is None:  # else it was its twin that moved the job on
                raise

    def answered(self, by: Principal, verb: str, request: RequestKey | None) -> StoredResponse | None:
        """Return the answer to the same request; raise `RequestReused` if its name was used for something else."""
        if request is None:
            return None
        answer = self._store.response(_sender(by), request.message_id)
        if answer is not None and (answer.verb, answer.request) != (verb, request):
            raise RequestReused(request.message_id)
        return answer

    def notes(
        self, by: Principal, verb: str, token: str, request: RequestKey | None, result: str = "", detail: str = ""
    ) -> list[ChangeRecord]:
        """Return what is stored together with a change: its answer, and its line of the audit trail."""
        notes: list[ChangeRecord] = []
        if verb != "send":  # images are told of by the job's events
            notes.append(AuditLine.of(by, verb, token, self._clock.now(), detail=detail))
        if request is not None:
            notes.append(StoredResponse(_sender(by), request, verb, result, self._clock.ticks()))
        return notes

    @contextlib.contextmanager
    def _refusing(self, token: str, by: Principal, verb: str) -> Iterator[None]:
        """Let a foreign job and an unknown one be refused alike, with the token as the caller wrote it."""
        try:
            yield
        except JobNotFound:
            if not by.admin:
                self._throttle.miss(by.name)
                self._store.record(AuditLine.of(by, verb, token, self._clock.now(), "refused"))
            raise JobNotFound(token) from None


def key(token: str) -> str:
    """Return the token as it was issued, whatever case and braces it came back in (O-16)."""
    return token.strip().removeprefix("{").removesuffix("}").lower()


def is_owned(job: Job, by: Principal) -> bool:
    """Return whether a job is the caller's; an administrator's are all."""
    return by.admin or (job.owner.name, job.owner.proof) == (by.name, by.proof)


def check_same(answered: StoredResponse, sha256: str) -> None:
    """Raise `RequestReused` if an image is not the one that was answered under this name."""
    if answered.result != sha256:
        raise RequestReused(answered.request.message_id)


def _sender(by: Principal) -> str:
    """Return whose request it is: the same name with another proof is somebody else."""
    return f"{by.proof}:{by.name}"


def _owner(by: Principal) -> Principal | None:
    """Return whose jobs the caller may touch: its own, or everybody's."""
    return None if by.admin else by
