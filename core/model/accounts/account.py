"""Accounts: names with a password, each of which stands for a user at the inlets of sources.

Names are compared by the rule UsernameCaseMapped of RFC 8265 section 3.3: narrow, in lower case, in normal form C, of
letters, digits, marks and printable ASCII. Of the characters that the RFC allows only in some contexts none is allowed
here, and its rule for texts in two directions is not applied: a name is compared, and not shown beside others.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from postscan.core.model.principal import Principal, Proof, Role, at_console

CONSOLE: Final = "console"
"""Stands for the console among the inlets of an account."""

LONGEST_NAME: Final = 128  # characters, as the column of the database
EXPECTED_NAME: Final = f"1 to {LONGEST_NAME} letters, digits and ASCII signs without spaces"

_ACCOUNT: Final = "account:"
_KINDS: Final = frozenset({"Ll", "Lo", "Lm", "Nd", "Mn", "Mc"})
_WIDE_OR_NARROW: Final = ("<wide>", "<narrow>")
_ARABIC_DIGITS: Final = "\u0660-\u0669\u06f0-\u06f9"
_TATWEELS: Final = "\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b"
_OLD_HANGUL: Final = "\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb"
_INVISIBLE: Final = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
_DISALLOWED: Final = re.compile(f"[{_ARABIC_DIGITS}{_TATWEELS}{_OLD_HANGUL}{_INVISIBLE}]")
"""Letters, digits and marks that RFC 8264 section 9 and RFC 5892 disallow, or allow in some contexts only."""


class AccountUser(NamedTuple):
    """The user for whom an account stands: the account's name as it is compared, and a SID."""

    account: str
    sid: str


@dataclass(frozen=True, slots=True)
class Account:
    """An account. `hash` is that of its password, `inlets` are the names of the inlets where it counts; none: all.

    `created`, and `changed` for its password, are None if it stands in the settings. `role` is that of its user at the
    console.
    """

    name: str
    hash: str = field(repr=False)
    sid: str
    inlets: tuple[str, ...] = ()
    created: datetime | None = None
    changed: datetime | None = None
    role: Role = Role.OWNER

    @property
    def person(self) -> Principal:
        """Who has signed in at the console with this account."""
        return at_console(person_name(self.name), Proof.ACCOUNT, self.role, self.sid)

    @property
    def stamp(self) -> str:
        """What stays the same until the account gets another password, user, role or other inlets."""
        password = self.hash if self.in_settings else (self.created, self.changed)
        told = repr((self.name, password, self.sid, self.role.value, self.counts_at(CONSOLE)))
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def in_settings(self) -> bool:
        """Whether the account stands in the settings, not in the database."""
        return self.created is None

    @property
    def user(self) -> AccountUser:
        """The user for whom the account stands."""
        return AccountUser(self.name, self.sid)

    def counts_at(self, inlet: str) -> bool:
        """Return whether the account may be used at this inlet."""
        return not self.inlets or inlet in self.inlets


def person_name(account: str) -> str:
    """Return the name of the principal that has signed in with an account."""
    return f"{_ACCOUNT}{account}"


def account_of(person: Principal) -> str | None:
    """Return the name of the account with which a person has signed in; None if it came another way."""
    return person.name.removeprefix(_ACCOUNT) if person.proof is Proof.ACCOUNT else None


def canonical_name(text: str) -> str | None:
    """Return the name of an account as it is stored and compared; None if the text cannot be one."""
    if not 0 < len(text) <= LONGEST_NAME:
        return None
    name = unicodedata.normalize("NFC", "".join(map(_narrow, text)).lower())
    return name if 0 < len(name) <= LONGEST_NAME and all(map(_is_allowed, name)) else None


def _narrow(character: str) -> str:
    """Return a full-width or half-width character as the ordinary one."""
    kind, _, points = unicodedata.decomposition(character).partition(" ")
    return "".join(chr(int(point, 16)) for point in points.split()) if kind in _WIDE_OR_NARROW else character


def _is_allowed(character: str) -> bool:
    if character.isascii():
        return character.isprintable() and character != " "
    if unicodedata.category(character) not in _KINDS or _DISALLOWED.match(character):
        return False
    return unicodedata.normalize("NFKC", character) == unicodedata.normalize("NFC", character)
