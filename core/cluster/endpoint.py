"""The one endpoint that all servers of a database are to devices: its name, and the numbers of its runs."""

from __future__ import annotations

from postscan.core.cluster.leadership import Leadership
from postscan.core.store.store import Store


class SharedEndpoint:
    """The endpoint of this server, which a server alone has for itself. Every method may block.

    *name* is the server's own, which counts if the database has none yet. Raised by all: `StoreBusy`.
    """

    def __init__(self, store: Store, leadership: Leadership, name: str) -> None:
        self._store = store
        self._own = name
        self.leadership = leadership
        self.name = store.endpoint_name(name)

    def next_instance(self, least: int) -> int:
        """Return the number of the next run, at least *least*."""
        return self._store.next_instance(self._own, least)

    def is_last(self) -> bool:
        """Return whether no other server goes on when this one stops."""
        return self._store.is_last_server()
