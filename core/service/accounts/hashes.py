"""The texts of argon2 hashes: whether argon2 can read one, and what it costs to compare a password with it.

    $argon2id$v=19$m=65536,t=3,p=4$<salt>$<digest>

`m` is in KiB, salt and digest are base64 without padding. Source: the reference implementation of argon2, encoding.c
(the form) and core.c (the limits); RFC 9106 section 4 (the costs).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

LONGEST: Final = 255  # characters, as the column of the database
MOST_MEMORY: Final = 256 * 1024
"""Most KiB of memory for one verification. More would let a login take the memory of jobs."""
MOST_WORK: Final = 1024 * 1024
"""Most KiB that are filled in one verification, all passes together: about five times what a new hash costs."""
MOST_LANES: Final = 16
"""Most threads of one verification."""

_FORM: Final = re.compile(
    r"\$(?P<kind>argon2(?:id|i|d))\$v=(?P<version>16|19)"
    r"\$m=(?P<memory>[1-9][0-9]{0,8}),t=(?P<passes>[1-9][0-9]{0,8}),p=(?P<lanes>[1-9][0-9]{0,2})"
    r"\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<digest>[A-Za-z0-9+/]+)"
)
_LEAST_SALT, _LEAST_DIGEST = 8, 4  # bytes, of what argon2 accepts
_LEAST_MEMORY: Final = 8  # KiB for each lane


class HashCost(NamedTuple):
    """What an argon2 hash is made of: `memory` in KiB, filled `passes` times; salt and digest in bytes."""

    kind: str
    version: int
    memory: int
    passes: int
    lanes: int
    salt: int
    digest: int

    @property
    def work(self) -> int:
        """KiB that are filled in one verification."""
        return self.memory * self.passes

    @property
    def is_acceptable(self) -> bool:
        """Whether the server compares passwords with such a hash."""
        return self.memory <= MOST_MEMORY and self.work <= MOST_WORK and self.lanes <= MOST_LANES

    def is_weaker_than(self, other: HashCost) -> bool:
        """Return whether a password is easier to guess from a hash of this kind than from one of the other."""
        if self.kind != "argon2id" or self.version < other.version:
            return True
        return any(
            one < another
            for one, another in (
                (self.memory, other.memory),
                (self.work, other.work),
                (self.salt, other.salt),
                (self.digest, other.digest),
            )
        )


def read(hash: str) -> HashCost | None:
    """Return what the hash is made of; None if argon2 cannot read it."""
    found = _FORM.fullmatch(hash) if len(hash) <= LONGEST else None
    if found is None:
        return None
    salt, digest = _decoded(found["salt"]), _decoded(found["digest"])
    memory, lanes = int(found["memory"]), int(found["lanes"])
    if len(salt) < _LEAST_SALT or len(digest) < _LEAST_DIGEST or memory < _LEAST_MEMORY * lanes:
        return None
    return HashCost(found["kind"], int(found["version"]), memory, int(found["passes"]), lanes, len(salt), len(digest))


def _decoded(text: str) -> bytes:
    """Return the bytes of base64 without padding; none if it is not in the one form that encoding gives."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""
    return data if encoded(data) == text else b""


def encoded(data: bytes) -> str:
    """Return bytes in base64 without padding."""
    return base64.b64encode(data).decode("ascii").rstrip("=")
