"""Accounts: who stands for which user, by a password; and their administration.

An account stands in the settings, or is a row of the database. A name in the settings counts, and not a row of the same
name. The row is read at each call, so that a running server refuses a removed account at once.

Passwords and hashes are in no error, log line, event and line of the audit trail. Neither is the name that a client
sent, unless there is such an account: people type passwords in its place. Source: T-O10, T-O11.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import AccountNotFound, InvalidArgument, StoreBusy, Throttled
from postscan.core.model.accounts.account import (
    CONSOLE,
    EXPECTED_NAME,
    Account,
    AccountUser,
    account_of,
    canonical_name,
    person_name,
)
from postscan.core.model.principal import Principal, Proof, Right, Role, is_sid
from postscan.core.model.records import AuditLine
from postscan.core.service.access import require
from postscan.core.service.accounts import passwords as rules
from postscan.core.service.accounts.attempts import Attempt, Attempts
from postscan.core.service.accounts.passwords import Passwords
from postscan.core.service.accounts.queue import ComparisonQueue
from postscan.core.service.refusals import Refusals
from postscan.core.settings import Settings
from postscan.core.store.callers import accounts as queries
from postscan.core.store.callers import audit, sessions
from postscan.core.store.database import Transaction
from postscan.core.store.database.pages import in_pages
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

_WHO: Final = 512  # characters of a caller in the audit trail
_NOT_OF_DATABASE: Final = "one that is not in the settings: change it there, and run: postscan reload"


class Accounts:
    """All accounts. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(
        self, settings: Settings, store: Store, refusals: Refusals, clock: Clock, passwords: Passwords | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._refusals = refusals
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._attempts = Attempts(settings.limits, clock)
        self._queues = {was_right: ComparisonQueue() for was_right in (True, False)}
        self._of_settings = _accounts_of(settings)

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on: with the accounts in them, and their users."""
        self._settings = settings
        self._of_settings = _accounts_of(settings)

    # --- for sources ---------------------------------------------------------------------------------------------

    def verify(self, account: str, password: str, inlet: str, address: str = "") -> AccountUser | None:
        """Return the user for whom the account stands, if the password is right and it counts at this inlet; else None.

        *address* is the client's; where it is "", all clients of the inlet share the limits of an account. Takes a
        fraction of a second of the processor, and may wait for others. Raises `Throttled` after too many wrong
        passwords, `Unavailable` if too many callers wait, `NotInstalled`.
        """
        found = self._verified(Attempt(inlet, address, canonical_name(account) or ""), password)
        return found.user if found is not None else None

    def sign_in(self, account: str, password: str, address: str) -> Account | None:
        """Return the account of a person at the console, if the password is right and it counts there; else None.

        It counts if it is one of all inlets, or if `console` is among its inlets. Wrong passwords count as at an inlet
        of this name. Raises as `verify`.
        """
        return self._verified(Attempt(CONSOLE, address, canonical_name(account) or ""), password)

    def named_by_proxy(self, name: str) -> Account | None:
        """Return the account that a proxy has identified, if it counts at the console; None if there is none."""
        found = self._find(canonical_name(name))
        return found if found is not None and found.counts_at(CONSOLE) else None

    def _verified(self, attempt: Attempt, password: str) -> Account | None:
        """Return the account if this is its password and it counts at the inlet of the attempt."""
        inlet = attempt.inlet
        try:
            self._attempts.check(attempt)
            found = self._find(attempt.account)
            if found is not None and self._attempts.is_fresh(attempt, password, found.hash):
                return found if found.counts_at(inlet) else None
            refusal, renewed = self._compared(attempt, found, password)
        except Throttled:
            self._record(attempt, None, "too many wrong passwords")
            raise
        if found is None or refusal:
            self._record(attempt, found, refusal)
            return None
        if renewed is not None:
            with contextlib.suppress(StoreBusy), self._store.writing() as db:  # else the next time
                queries.replace_hash(db, found, renewed)
        return self._still(found, inlet)

    def user_of(self, account: str, inlet: str) -> AccountUser | None:
        """Return the user for whom an account stands that was verified before; None if it counts no more."""
        found = self._find(canonical_name(account))
        return found.user if found is not None and found.counts_at(inlet) else None

    # --- for administrators --------------------------------------------------------------------------------------

    def all(self, by: Principal) -> list[Account]:
        """Return the accounts of the settings, then those of the database, each by name; raise `NotAdministrator`."""
        require(by, Right.ADMINISTER)
        rows = in_pages(self._store.reading, queries.load_page)
        return [*sorted(self._of_settings.values(), key=lambda one: one.name), *rows]

    def add(
        self, name: str, password: str, sid: str, inlets: Sequence[str], by: Principal, role: Role = Role.OWNER
    ) -> Account:
        """Store an account for a user, at these inlets (none: at all), with a role at the console, and return it.

        Raises `InvalidArgument` (name, password, user, inlet), `NotInstalled`, `NotAdministrator`.
        """
        require(by, Right.ADMINISTER)
        canonical = canonical_name(name)
        if canonical is None:
            raise InvalidArgument("name", name, EXPECTED_NAME)
        if canonical in self._of_settings:
            raise InvalidArgument("name", canonical, "one that is not in the settings")
        self._check_user(sid)
        self._check_inlets(inlets)
        hash, now = self._hash(canonical, password), self._clock.now()
        added = Account(canonical, hash, sid, tuple(dict.fromkeys(inlets)), now, now, role)
        detail = f"for {sid}, at {', '.join(added.inlets) or 'all inlets'}"
        if role is not Role.OWNER:
            detail += f", role {role}"
        with self._store.writing() as db:
            queries.insert(db, added)
            audit.write_audit(db, self._line(by, "add-account", canonical, detail))
        return added

    def change_password(self, name: str, password: str, by: Principal) -> None:
        """Store another password, and end the account's sessions.

        Raises `AccountNotFound`, `InvalidArgument`, `NotInstalled`, `NotAdministrator`.
        """
        require(by, Right.ADMINISTER)
        canonical = self._of_database(name)
        hash = self._hash(canonical, password)
        with self._store.writing() as db:
            if not queries.change_password(db, canonical, hash, self._clock.now()):
                raise AccountNotFound(name)
            sessions.delete_of(db, person_name(canonical))
            audit.write_audit(db, self._line(by, "change-password", canonical))

    def change_role(self, name: str, role: Role, by: Principal) -> None:
        """Store another role at the console; raise as `change_password`. The sessions of the account end."""
        require(by, Right.ADMINISTER)
        canonical = self._of_database(name)
        with self._store.writing() as db:
            if not queries.change_role(db, canonical, role):
                raise AccountNotFound(name)
            sessions.delete_of(db, person_name(canonical))
            audit.write_audit(db, self._line(by, "change-role", canonical, f"role {role}"))

    def remove(self, name: str, by: Principal) -> None:
        """Delete an account; raise `AccountNotFound`, `InvalidArgument` if the settings have it, `NotAdministrator`."""
        require(by, Right.ADMINISTER)
        canonical = canonical_name(name) or ""
        with self._store.writing() as db:
            if not queries.delete(db, canonical):
                self._of_database(name)
                raise AccountNotFound(name)
            sessions.delete_of(db, person_name(canonical))
            audit.write_audit(db, self._line(by, "remove-account", canonical))

    # --- for the person ------------------------------------------------------------------------------------------

    def change_own_password(self, person: Principal, old: str, new: str, address: str) -> Account:
        """Store another password of the account with which a person has signed in, and return it as it is then.

        Its sessions end. Raises `InvalidArgument` (old, password, name if the settings have the account),
        `AccountNotFound` if the person came another way or the account has changed meanwhile, and as `sign_in`.
        """
        name = self._of_database(account_of(person) or "")
        found = self.sign_in(name, old, address)
        if found is None or found.person != person:
            raise InvalidArgument("old", rules.HIDDEN, "the password of the account")
        with self._queues[True].turn(Attempt(CONSOLE, address, name).client):
            hash = self._hash(name, new)
        with self._store.writing() as db:
            now = queries.find(db, name)
            if now is None or now.stamp != found.stamp:
                raise AccountNotFound(name)
            queries.change_password(db, name, hash, self._clock.now())
            sessions.delete_of(db, person.name)
            audit.write_audit(db, self._line(person, "change-password", name))
            changed = queries.find(db, name)
        assert changed is not None
        return changed

    # --- rules ---------------------------------------------------------------------------------------------------

    def find_in(self, db: Transaction, name: str) -> Account | None:
        """Return the account of this name as it counts now, in an open transaction; None if there is none."""
        return self._of_settings.get(name, queries.find(db, name))

    def _find(self, name: str | None) -> Account | None:
        """Return the account of this name. The row is read whatever the name is: each answer takes the same time."""
        with self._store.reading() as db:
            return self.find_in(db, name or "")

    def _compared(self, attempt: Attempt, found: Account | None, password: str) -> tuple[str, str | None]:
        """Compare a password when it is its turn; return why it is refused ("" if it is right), and a newer hash of it.

        Clients whose password was right before have a queue of their own, so that they do not wait for guesses.
        """
        renewed = None
        with self._queues[self._attempts.was_right(attempt)].turn(attempt.client):
            self._attempts.check(attempt)  # those that had their turn meanwhile may have been wrong
            refusal = self._refusal(found, password, attempt.inlet)
            if found is None or refusal:
                self._attempts.wrong(attempt)
            else:
                self._attempts.right(attempt, password, found.hash)
                renewed = None if found.in_settings else self._passwords.renewed(password, found.hash)
        return refusal, renewed

    def _refusal(self, found: Account | None, password: str, inlet: str) -> str:
        """Return why the password is refused; "" if it is right. Takes the same time without an account."""
        right = self._passwords.matches(password, found.hash if found is not None else None)
        if found is None:
            return "there is no such account"
        if not rules.is_usable(found.hash):
            log.error("hash of account not usable", extra={"account": found.name})
            return "the hash of its password cannot be used"
        if not right:
            return "wrong password"
        return "" if found.counts_at(inlet) else "the account does not count at this inlet"

    def _still(self, found: Account, inlet: str) -> Account | None:
        """Return the account as it is now; None if it was removed or got another password during the comparison."""
        now = self._find(found.name)
        if now is None or (now.created, now.changed) != (found.created, found.changed):
            return None
        return now if now.counts_at(inlet) else None

    def _record(self, attempt: Attempt, account: Account | None, reason: str) -> None:
        at_console = attempt.inlet == CONSOLE
        by = Principal(attempt.caller[:_WHO], Proof.ADDRESS if at_console else Proof.SOURCE)
        self._refusals.record(
            by, "login" if at_console else "authenticate", _token(account.name) if account is not None else "", reason
        )

    def _line(self, by: Principal, verb: str, name: str, detail: str = "") -> AuditLine:
        return AuditLine.of(by, verb, _token(name), self._clock.now(), detail=detail)

    def _of_database(self, name: str) -> str:
        """Return the name of an account that can be changed; raise `AccountNotFound`, `InvalidArgument`."""
        canonical = canonical_name(name)
        if canonical is None:
            raise AccountNotFound(name)
        if canonical in self._of_settings:
            raise InvalidArgument("name", canonical, _NOT_OF_DATABASE)
        return canonical

    def _hash(self, name: str, password: str) -> str:
        if canonical_name(password) == name:
            raise InvalidArgument("password", rules.HIDDEN, "another text than the account's name")
        return self._passwords.hash(password)

    def _check_user(self, sid: str) -> None:
        if not is_sid(sid):
            raise InvalidArgument("user", sid, "a SID as text: S-1-...")
        may_be_known = self._settings.allow_unknown_users or self._settings.plugins.tables  # by a directory
        if not may_be_known and sid not in self._settings.users:
            raise InvalidArgument("user", sid, "the SID of a table [users], since allow_unknown_users is false")

    def _check_inlets(self, inlets: Sequence[str]) -> None:
        for inlet in inlets:
            if inlet not in self._settings.sources and inlet != CONSOLE:
                raise InvalidArgument("inlet", inlet, f"the name of a table [sources.<name>], or {CONSOLE}")


def _accounts_of(settings: Settings) -> dict[str, Account]:
    """Return the accounts in the settings by name."""
    return {
        name: Account(name, one.hash, one.user, one.inlets, role=Role(one.role))
        for name, one in settings.accounts.items()
    }


def _token(name: str) -> str:
    """Return what stands for the token of a job in lines about an account."""
    return f"account:{name}"
