"""Write locks of WebDAV (RFC 4918 sections 6, 7 and 10.4), in memory; each sender has its own.

Finder mounts a server without locks for reading only, and Explorer creates no file on it. A lock keeps the other
programs of the same sender away from a file; other senders do not see it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from postscan.plugins.sources.web.body import HttpRefused
from postscan.plugins.sources.web.paths import WebPath

LONGEST_SECONDS: Final = 600
"""Most seconds of a lock; clients renew those that they still need."""

MOST: Final = 2000
MOST_OF_SENDER: Final = 200
OWNER_CHARACTERS: Final = 256

_TOKEN: Final = re.compile(r"<(urn:uuid:[0-9A-Fa-f-]{36})>")
_SECONDS: Final = re.compile(r"Second-(\d{1,10})", re.IGNORECASE)


@dataclass(slots=True)
class DavLock:
    """One lock; `until` is monotonic. `owner` is what the client calls itself, and a URL if `owner_is_url`."""

    token: str
    path: WebPath
    is_shared: bool
    is_deep: bool
    owner: str
    owner_is_url: bool
    seconds: int
    until: float

    def covers(self, key: tuple[str, ...]) -> bool:
        """Return whether the lock holds for a path."""
        own = self.path.key
        return key == own or (self.is_deep and key[: len(own)] == own)


class LockTable:
    """The locks of all senders. *ticks* returns monotonic seconds."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._locks: dict[str, dict[str, DavLock]] = {}

    def of(self, sender: str, path: WebPath) -> list[DavLock]:
        """Return the locks that hold for a path."""
        return [lock for lock in self._valid(sender) if lock.covers(path.key)]

    def take(
        self, sender: str, path: WebPath, *, shared: bool, deep: bool, owner: tuple[str, bool], seconds: int
    ) -> DavLock:
        """Lock a path; raise `HttpRefused` if it, or something below it, is locked in a way that excludes this."""
        key = path.key
        for other in self._valid(sender):
            meets = other.covers(key) or (deep and other.path.key[: len(key)] == key)
            if meets and not (shared and other.is_shared):
                raise HttpRefused(423, "the file is locked")
        own = self._locks.setdefault(sender, {})
        if len(own) >= MOST_OF_SENDER or sum(map(len, self._locks.values())) >= MOST:
            raise HttpRefused(503, "too many locks; try again", {"retry-after": "60"})
        text, is_url = owner
        token = f"urn:uuid:{uuid.uuid4()}"
        lock = DavLock(token, path, shared, deep, text[:OWNER_CHARACTERS], is_url, seconds, self._ticks() + seconds)
        own[token] = lock
        return lock

    def renew(self, sender: str, path: WebPath, tokens: set[str], seconds: int) -> DavLock:
        """Extend the lock of one of these tokens; raise `HttpRefused` if none of them holds for the path."""
        for lock in self.of(sender, path):
            if lock.token in tokens:
                lock.seconds, lock.until = seconds, self._ticks() + seconds
                return lock
        raise HttpRefused(412, "no lock of this file has the token")

    def release(self, sender: str, path: WebPath, token: str) -> None:
        """End a lock; raise `HttpRefused` if the token is not one of this path."""
        if not any(lock.token == token for lock in self.of(sender, path)):
            raise HttpRefused(409, "no lock of this file has the token")
        del self._locks[sender][token]

    def forget(self, sender: str, path: WebPath) -> None:
        """End the locks of a path that is gone, and of those below it."""
        key = path.key
        for lock in self._valid(sender):
            if lock.path.key[: len(key)] == key:
                del self._locks[sender][lock.token]

    def check_condition(self, sender: str, path: WebPath, condition: str | None) -> None:
        """Raise `HttpRefused` (412) if an If field has tokens, and none is one of the path that the request is for."""
        submitted = tokens_in(condition or "")
        if submitted and not submitted & {lock.token for lock in self.of(sender, path)}:
            raise HttpRefused(412, "no lock of this file has the token")

    def check_change(self, sender: str, path: WebPath, condition: str | None) -> None:
        """Raise `HttpRefused` (423) if a path is locked, and the If field of a change has no token of it."""
        held = {lock.token for lock in self.of(sender, path)}
        if held and not held & tokens_in(condition or ""):
            raise HttpRefused(423, "the file is locked")

    def _valid(self, sender: str) -> Iterator[DavLock]:
        now = self._ticks()
        for owner in list(self._locks):
            own = self._locks[owner]
            for token in [token for token, lock in own.items() if lock.until <= now]:
                del own[token]
            if not own:
                del self._locks[owner]
        yield from list(self._locks.get(sender, {}).values())


def tokens_in(field: str) -> set[str]:
    """Return the lock tokens in an If or Lock-Token field.

    Of the conditions of an If field only the tokens count: clients send those of the locks that they hold.
    """
    return set(_TOKEN.findall(field))


def seconds_in(field: str | None) -> int:
    """Return the seconds of a Timeout field, at most `LONGEST_SECONDS`, which are also those without a field."""
    asked = [int(number) for number in _SECONDS.findall(field or "")]
    return min(max(asked[0], 1), LONGEST_SECONDS) if asked else LONGEST_SECONDS
