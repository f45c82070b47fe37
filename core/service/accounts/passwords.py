"""Passwords: how they are prepared, hashed with argon2, and compared with a hash.

A password is prepared by the rule OpaqueString of RFC 8265 section 4.2: every space is that of ASCII, in normal form C,
without control, format, private and unassigned characters; case counts.

The parameters of a new hash are the defaults of argon2-cffi, those that RFC 9106 section 4 recommends second: argon2id,
64 MiB, 3 passes, 4 lanes. argon2-cffi is imported when the first password is hashed, so that commands that hash none
start sooner.
"""

from __future__ import annotations

import secrets
import unicodedata
from typing import TYPE_CHECKING, Final

from postscan.core.errors import InvalidArgument, NotInstalled, Unavailable
from postscan.core.service.accounts import hashes
from postscan.core.service.accounts.hashes import HashCost

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST: Final = 12  # characters of a new password
MOST_CHARACTERS: Final = 512
MOST_BYTES: Final = 1024
EXTRA: Final = "sources"

_EXPECTED: Final = (
    f"at least {SHORTEST} characters, at most {MOST_CHARACTERS} and {MOST_BYTES} bytes, none of them invisible"
)
HIDDEN: Final = "(not shown)"


class Passwords:
    """Hashes passwords and compares them; usable from several threads. Each call of `hash` and `matches` is slow.

    *hasher* has the parameters of new hashes; None: the defaults. Raised by all methods: `NotInstalled`.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher
        self._of_no_account = ""

    def hash(self, password: str) -> str:
        """Return a hash of a new password; raise `InvalidArgument` without the password if it cannot be one."""
        hasher, prepared = self._loaded(), _prepared(password)
        if prepared is None or len(prepared) < SHORTEST:
            raise InvalidArgument("password", HIDDEN if password else "", _EXPECTED)
        return hasher.hash(prepared)

    def matches(self, password: str, hash: str | None) -> bool:
        """Return whether the hash is that of the password; False if argon2 cannot read it, or if it costs too much.

        None stands for an account that does not exist: the password is compared with a hash that is none's, so that
        the answer takes the same time. Raises `Unavailable` if the machine has no memory or threads for it.
        """
        hasher, prepared = self._loaded(), _prepared(password)
        from argon2.exceptions import VerificationError, VerifyMismatchError

        usable = hash if hash is not None and is_usable(hash) else None
        try:
            hasher.verify(usable or self._decoy(hasher), prepared or "")
        except VerifyMismatchError:
            return False
        except VerificationError as error:  # of a hash that can be read: memory or threads are missing
            raise Unavailable(f"a password could not be compared: {error}") from None
        return usable is not None and prepared is not None

    def renewed(self, password: str, hash: str) -> str | None:
        """Return a new hash of a password that matches this one; None if this one has the parameters of new ones."""
        hasher, prepared = self._loaded(), _prepared(password)
        return hasher.hash(prepared) if prepared is not None and hasher.check_needs_rehash(hash) else None

    def is_weak(self, hash: str) -> bool:
        """Return whether a hash costs an attacker less than a new one would."""
        cost = hashes.read(hash)
        return cost is not None and cost.is_weaker_than(self._cost())

    def _cost(self) -> HashCost:
        cost = hashes.read(self._decoy(self._loaded()))
        assert cost is not None
        return cost

    def _decoy(self, hasher: PasswordHasher) -> str:
        """Return a hash with the parameters of new ones, of no password: its digest is random."""
        if not self._of_no_account:
            cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
            salt, digest = (secrets.token_bytes(size) for size in (hasher.salt_len, hasher.hash_len))
            self._of_no_account = f"$argon2id$v=19${cost}${hashes.encoded(salt)}${hashes.encoded(digest)}"
        return self._of_no_account

    def _loaded(self) -> PasswordHasher:
        if self._hasher is None:
            try:
                from argon2 import PasswordHasher
            except ImportError:
                raise NotInstalled("accounts need argon2-cffi", EXTRA) from None
            self._hasher = PasswordHasher()
        return self._hasher


def is_usable(hash: str) -> bool:
    """Return whether passwords are compared with this hash: argon2 can read it, and it does not cost too much."""
    cost = hashes.read(hash)
    return cost is not None and cost.is_acceptable


def _prepared(password: str) -> str | None:
    """Return a password as it is hashed; None if the text cannot be one."""
    if not 0 < len(password) <= MOST_CHARACTERS:
        return None
    spaced = "".join(" " if unicodedata.category(one) == "Zs" else one for one in password)
    prepared = unicodedata.normalize("NFC", spaced)
    if any(unicodedata.category(one).startswith(("C", "Zl", "Zp")) for one in prepared):
        return None
    return prepared if len(prepared.encode()) <= MOST_BYTES else None
