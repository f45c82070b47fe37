"""Sessions of people at the console, and the one-time links that begin one.

A session is found by a secret of 256 random bits, of which the database has the SHA-256 alone. It ends by its age, by a
logout, or when the account with which the person has signed in is removed or gets another password, role or user: an
account of the database takes its sessions with it, and each `find` compares the account as it is now, those in the
settings too. The age is told by the wall clock, since a session also ends for the reader of its times.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import AccountNotFound, InvalidArgument, StoreBusy, Throttled, Unavailable
from postscan.core.model.accounts.account import account_of
from postscan.core.model.accounts.session import IDLE, LONGEST, Session, new_secret, secret_hash
from postscan.core.model.principal import Principal, Proof, Right, Role, at_console, is_sid
from postscan.core.model.rate_limit import RateLimit
from postscan.core.model.records import AuditLine
from postscan.core.service.access import require
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.service.refusals import Refusals
from postscan.core.service.throttle import WINDOW, Throttle
from postscan.core.store.callers import audit
from postscan.core.store.callers import sessions as queries
from postscan.core.store.callers.sessions import StoredSession
from postscan.core.store.database import Transaction
from postscan.core.store.database.pages import in_pages
from postscan.core.store.store import Store

LINK_LIFE: Final = timedelta(minutes=10)
MOST_LINKS: Final = 100
MOST_OF_NAME: Final = 20
"""Sessions of one principal; one more ends its oldest."""
MOST: Final = 2_000
"""Sessions in all; one more ends the oldest."""
MISSES: Final = 10
"""Unknown secrets that a client may send in a minute."""
LOGINS: Final = 60
"""Sessions that one principal may begin in a minute: each is a commit, and a line in the audit trail."""
WRITTEN_SECONDS: Final = 60.0
"""How old the stored time of the last request may be, so that not each request writes."""

_WHO: Final = 512  # characters of a principal's name
_CONSOLE: Final = "console"  # stands for the token of a job in lines about sessions


class Sessions:
    """All sessions and links. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(self, store: Store, accounts: Accounts, refusals: Refusals, clock: Clock) -> None:
        self._store = store
        self._accounts = accounts
        self._refusals = refusals
        self._clock = clock
        self._throttle = Throttle(MISSES, clock)
        self._logins = RateLimit(LOGINS, WINDOW, clock.ticks)

    # --- sessions ------------------------------------------------------------------------------------------------

    def begin(self, principal: Principal, way: str, stamp: str | None = None) -> str:
        """Begin a session of a person at the console, which came in this *way*, and return its secret.

        *stamp* is that of the account whose password was compared. Raises `AccountNotFound` if the account has changed
        since then, `Throttled` after too many logins.
        """
        if principal.role is None:
            raise ValueError(f"{principal.name} has no role at the console")
        wait = self._logins.take(f"{principal.proof}:{principal.name}")
        if wait:
            raise Throttled(principal.name, wait, "logins")
        secret, now = new_secret(), self._clock.now()
        session = Session(principal, way, now, now, now)
        with self._store.writing() as db:
            current = self._stamp(db, principal)
            if current is None or stamp not in (None, current):
                raise AccountNotFound(principal.name)
            queries.delete_ended(db, now - IDLE, now - LONGEST)
            queries.delete_oldest(db, MOST_OF_NAME - 1, principal.name)
            queries.delete_oldest(db, MOST - 1)
            queries.insert(db, StoredSession(_hash(secret), session, current))
            detail = f"by {way}, role {principal.role}"
            audit.write_audit(db, AuditLine.of(principal, "login", _CONSOLE, now, detail=detail))
        return secret

    def find(self, secret: str, *, active: bool = True) -> Session | None:
        """Return the session with this secret; None if there is none or it has ended.

        *active* says that this request keeps the session from ending; an open stream does not.
        """
        hash, now = secret_hash(secret), self._clock.now()
        if hash is None:
            return None
        with self._store.reading() as db:
            found = queries.find(db, hash)
            if found is None or found.session.is_over(now) or not self._counts(db, found):
                return None
        if active and abs((now - found.session.seen).total_seconds()) >= WRITTEN_SECONDS:
            with contextlib.suppress(StoreBusy), self._store.writing() as db:  # else the next request writes it
                queries.write_seen(db, hash, now)
        return found.session

    def confirm(self, secret: str) -> bool:
        """Store that the person of a session has proven again who it is; return whether there is such a session."""
        hash = secret_hash(secret)
        if hash is None:
            return False
        with self._store.writing() as db:
            return queries.write_confirmed(db, hash, self._clock.now())

    def end(self, secret: str) -> None:
        """End the session with this secret, if there is one."""
        hash = secret_hash(secret)
        if hash is None:
            return
        with self._store.writing() as db:
            found = queries.find(db, hash)
            if found is not None:
                queries.delete(db, hash)
                line = AuditLine.of(found.session.principal, "logout", _CONSOLE, self._clock.now())
                audit.write_audit(db, line)

    def end_all(self, name: str, by: Principal) -> int:
        """End all sessions of the principals of this name, and return how many there were.

        Raises `NotAdministrator` for the name of another, unless *by* may administer.
        """
        if name != by.name:
            require(by, Right.ADMINISTER)
        with self._store.writing() as db:
            ended = queries.delete_of(db, name)
            if ended:
                detail = f"{ended} sessions of {name}"
                audit.write_audit(db, AuditLine.of(by, "logout", _CONSOLE, self._clock.now(), detail=detail))
        return ended

    def all(self, by: Principal) -> list[Session]:
        """Return the sessions that have not ended, the newest first: one's own, with the right to administer all."""
        now, found = self._clock.now(), []
        for stored in in_pages(self._store.reading, queries.load_page):
            session = stored.session
            is_own = (session.principal.name, session.principal.proof) == (by.name, by.proof)
            if (is_own or by.may(Right.ADMINISTER)) and not session.is_over(now):
                with self._store.reading() as db:
                    if self._counts(db, stored):
                        found.append(session)
        return sorted(found, key=lambda one: one.begun, reverse=True)

    # --- one-time links ------------------------------------------------------------------------------------------

    def make_link(self, role: Role, by: Principal, sid: str = "") -> str:
        """Store a link that signs in once, within `LINK_LIFE`, and return its secret.

        *sid* is that of the user whose own jobs the person sees. Raises `NotAdministrator`, `InvalidArgument` (user),
        `Unavailable` if there are too many links.
        """
        require(by, Right.ADMINISTER)
        check_user(sid)
        person = at_console(f"link:{by.name}"[:_WHO], Proof.LINK, role, sid)
        secret, now = new_secret(), self._clock.now()
        with self._store.writing() as db:
            queries.delete_old_links(db, now)
            if queries.count_links(db) >= MOST_LINKS:
                raise Unavailable(f"there are {MOST_LINKS} links already; each counts for {LINK_LIFE}")
            queries.insert_link(db, _hash(secret), person, now + LINK_LIFE)
            detail = f"role {role}" + (f", for {sid}" if sid else "")
            audit.write_audit(db, AuditLine.of(by, "make-link", _CONSOLE, now, detail=detail))
        return secret

    def use_link(self, secret: str, address: str = "") -> Principal | None:
        """Use up a link and return the person that it is for; None if it is unknown, used or too old.

        *address* is the client's. Raises `Throttled` after too many links that are none.
        """
        hash = secret_hash(secret)
        if hash is not None and self._is_link(hash):
            with self._store.writing() as db:
                person = queries.use_link(db, hash, self._clock.now())
            if person is not None:
                return person
        by = Principal(f"{_CONSOLE}:{address}"[:_WHO].removesuffix(":"), Proof.ADDRESS)
        self._refusals.record(by, "login", _CONSOLE, "a link that is unknown, used or too old")
        self._throttle.miss(by.name)
        return None

    def _is_link(self, hash: str) -> bool:
        """Return whether there is such a link, so that guesses are no transactions that write."""
        with self._store.reading() as db:
            return queries.has_link(db, hash)

    # --- rules ---------------------------------------------------------------------------------------------------

    def _stamp(self, db: Transaction, person: Principal) -> str | None:
        """Return the stamp of a person's account, "" for who came without one; None if there is no such account now."""
        name = account_of(person)
        if name is None:
            return ""
        account = self._accounts.find_in(db, name)
        return account.stamp if account is not None and account.person == person else None

    def _counts(self, db: Transaction, stored: StoredSession) -> bool:
        """Return whether the account of a session is still what it was."""
        return self._stamp(db, stored.session.principal) == stored.stamp


def check_user(sid: str) -> None:
    """Raise `InvalidArgument` (user) if a text is neither a SID nor ""."""
    if sid and not is_sid(sid):
        raise InvalidArgument("user", sid, "a SID as text: S-1-...")


def _hash(secret: str) -> str:
    hash = secret_hash(secret)
    assert hash is not None
    return hash
