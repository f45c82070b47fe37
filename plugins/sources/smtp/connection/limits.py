"""How many connections there may be: in all, and from one address.

A client that has not proven itself counts, too. When there is no room, the address with the most of those loses its
oldest connection to an address that has fewer: a stranger who connects again and again does not keep out a scanner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from postscan.plugins.sources.smtp.replies import TOO_MANY, Rejected


class CountedConnection:
    """One connection; `proven` says that its client may send mails."""

    def __init__(self, limits: ConnectionCount, address: str, *, proven: bool) -> None:
        self._limits = limits
        self._uses = 1
        self.address = address
        self.proven = proven
        self.give_way: Callable[[], object] = lambda: None
        """What ends the connection."""

    def hold(self) -> None:
        """Count the connection for one use more, such as a mail that is stored after its client has left."""
        self._uses += 1

    def leave(self) -> None:
        """End one use; after the last one the connection no longer counts."""
        self._uses -= 1
        if not self._uses:
            self._limits.remove(self)


class ConnectionCount:
    """All connections of an inlet, the oldest first; for one thread."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._connections: dict[CountedConnection, None] = {}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._connections)

    def admit(self, address: str, *, proven: bool) -> CountedConnection:
        """Count a new connection; raise `Rejected` if there is no room for it."""
        if self._by_address[address] >= self._most_of_one:
            raise Rejected(TOO_MANY, "too many connections from this address")
        if len(self._connections) >= self._most:
            self._make_room(address)
        connection = CountedConnection(self, address, proven=proven)
        self._connections[connection] = None
        self._by_address[address] += 1
        return connection

    def remove(self, connection: CountedConnection) -> None:
        """Count a connection no longer; nothing happens if it was removed before."""
        if connection in self._connections:
            del self._connections[connection]
            self._by_address[connection.address] -= 1
            self._by_address += Counter()  # without those that are zero

    def _make_room(self, address: str) -> None:
        """End a connection of another address with more of them; raise `Rejected` if there is none."""
        strangers = (one for one in self._connections if not one.proven)
        last = max(strangers, key=lambda one: self._by_address[one.address], default=None)
        if last is None or self._by_address[last.address] <= self._by_address[address]:
            raise Rejected(TOO_MANY, "too many connections")
        self.remove(last)
        last.give_way()
