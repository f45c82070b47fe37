"""Who is signed in at the console, and which programs may use its API."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from postscan.core.model.principal import Principal, Proof, Role, at_console

IDLE: Final = timedelta(hours=8)
"""After so long without a request a session ends; an open stream is no request."""
LONGEST: Final = timedelta(hours=24)
"""After so long a session ends in any case."""
CONFIRMED: Final = timedelta(minutes=15)
"""For so long after a login, or another proof of who it is, a person may do what asks for a fresh proof."""

_SKEW: Final = timedelta(minutes=5)
_BYTES: Final = 32  # of a secret
_LONGEST_SECRET: Final = 128  # characters of a text that is looked up


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a person at the console.

    `way` is how it came in, `confirmed` when it has last proven who it is, `seen` its last request, to the minute.
    """

    principal: Principal
    way: str
    begun: datetime
    seen: datetime
    confirmed: datetime

    def is_over(self, now: datetime) -> bool:
        """Return whether the session has ended by its age, or because nothing was requested for long.

        One that has begun after *now* has ended as well: the wall clock was set back, and its age is not known.
        """
        return now >= min(self.seen + IDLE, self.begun + LONGEST) or self.begun > now + _SKEW

    def is_confirmed(self, now: datetime) -> bool:
        """Return whether the person has proven who it is not long ago."""
        return now < self.confirmed + CONFIRMED


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token of the API, without its secret: what it may do, for which user if for one, and until when."""

    label: str
    role: Role
    created: datetime
    created_by: str
    until: datetime
    sid: str = ""

    @property
    def principal(self) -> Principal:
        """Who sends requests with this token."""
        return at_console(f"token:{self.label}", Proof.API, self.role, self.sid)


def new_secret() -> str:
    """Return 256 random bits as text for a cookie, an address or a header."""
    return secrets.token_urlsafe(_BYTES)


def secret_hash(secret: str) -> str | None:
    """Return the SHA-256 of a secret in hex, as it is stored; None for a text that is none."""
    if not 0 < len(secret) <= _LONGEST_SECRET:
        return None
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
