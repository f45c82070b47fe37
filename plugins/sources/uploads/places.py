"""Places for connections: so many in all, and so many of one address."""

from __future__ import annotations


class Places:
    """The places of connections: at most *most*, and at most *most_of_one* of one caller. For one thread."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._taken: dict[str, int] = {}

    def of(self, caller: str) -> int:
        """Return how many places a caller has."""
        return self._taken.get(caller, 0)

    def take(self, caller: str) -> bool:
        """Take a place for *caller*; return whether there was one."""
        own = self._taken.get(caller, 0)
        if own >= self._most_of_one or sum(self._taken.values()) >= self._most:
            return False
        self._taken[caller] = own + 1
        return True

    def leave(self, caller: str) -> None:
        """Leave a place of *caller*."""
        self._taken[caller] -= 1
        if not self._taken[caller]:
            del self._taken[caller]
