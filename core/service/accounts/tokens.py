"""Tokens of the API: a label, a role and an end. The secret is shown once; the database has its SHA-256 alone.

A token is read at each request, so one that is removed is refused at once. It does not depend on the account of the
administrator who has made it: who leaves takes no program along.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import InvalidArgument, Unavailable
from postscan.core.model.accounts.session import ApiToken, new_secret, secret_hash
from postscan.core.model.principal import Principal, Proof, Right, Role
from postscan.core.model.records import AuditLine
from postscan.core.service.access import require
from postscan.core.service.accounts.sessions import MISSES, check_user
from postscan.core.service.refusals import Refusals
from postscan.core.service.throttle import Throttle
from postscan.core.store.callers import audit
from postscan.core.store.callers import tokens as queries
from postscan.core.store.database.pages import in_pages
from postscan.core.store.store import Store

PREFIX: Final = "postscan_"
"""At the beginning of each secret, so that scanners for leaked secrets find it."""
MOST: Final = 1_000

_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ApiTokens:
    """All tokens of the API. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(self, store: Store, refusals: Refusals, clock: Clock) -> None:
        self._store = store
        self._refusals = refusals
        self._clock = clock
        self._throttle = Throttle(MISSES, clock)

    def add(self, label: str, role: Role, until: datetime, by: Principal, sid: str = "") -> str:
        """Store a token that counts until a time, and return its secret.

        *sid* is that of the user whose own jobs it sees. Raises `NotAdministrator`, `InvalidArgument` (label, until,
        user), `Unavailable` if there are too many.
        """
        require(by, Right.ADMINISTER)
        check_user(sid)
        now = self._clock.now()
        if not _LABEL.fullmatch(label):
            raise InvalidArgument("label", label, "1 to 64 letters, digits, dots, hyphens and underscores")
        if until.tzinfo is None or until <= now:
            raise InvalidArgument("until", until.isoformat(), "a time to come, with its zone")
        secret = f"{PREFIX}{new_secret()}"
        hash = secret_hash(secret)
        assert hash is not None
        with self._store.writing() as db:
            if queries.count(db) >= MOST:
                raise Unavailable(f"there are {MOST} tokens already")
            queries.insert(db, ApiToken(label, role, now, by.name, until, sid), hash)
            detail = f"role {role}, until {until.isoformat()}" + (f", for {sid}" if sid else "")
            audit.write_audit(db, self._line(by, "add-token", label, detail))
        return secret

    def find(self, secret: str, address: str = "") -> Principal | None:
        """Return who sends a request with this secret; None if no token that counts has it.

        *address* is the client's. Raises `Throttled` after too many secrets that are none.
        """
        hash = secret_hash(secret)
        if hash is not None:
            with self._store.reading() as db:
                found = queries.find(db, hash, self._clock.now())
            if found is not None:
                return found.principal
        by = Principal(f"api:{address}"[:512].removesuffix(":"), Proof.ADDRESS)
        self._refusals.record(by, "login", "api", "a token that is unknown, removed or too old")
        self._throttle.miss(by.name)
        return None

    def all(self, by: Principal) -> list[ApiToken]:
        """Return the tokens by label, those too whose time is over; raise `NotAdministrator`."""
        require(by, Right.ADMINISTER)
        return list(in_pages(self._store.reading, queries.load_page))

    def remove(self, label: str, by: Principal) -> None:
        """Delete a token; it is refused at once. Raises `InvalidArgument` (label), `NotAdministrator`."""
        require(by, Right.ADMINISTER)
        with self._store.writing() as db:
            if not queries.delete(db, label):
                raise InvalidArgument("label", label, "the label of a token")
            audit.write_audit(db, self._line(by, "remove-token", label))

    def _line(self, by: Principal, verb: str, label: str, detail: str = "") -> AuditLine:
        return AuditLine.of(by, verb, f"token:{label}", self._clock.now(), detail=detail)
