"""How many connections clients have, of one address and in all, and which one makes room for a new one.

Each connection needs a descriptor, and a second one while it uploads an image. Connections may therefore have a third
of the descriptors of the process, and a third is left for the database, the workers and the events. When all
connections are in use, a client that has clearly fewer than another one still gets one: the client with the most of
them loses its oldest connection that is not being served. Clients with about as many take none from each other: each of
them would connect again, and the server would do nothing else. Some connections are left to clients that have few,
since all connections of a client may be served without an end.
"""

from __future__ import annotations

import random
import resource
from collections.abc import Callable
from typing import Final

from postscan.core.service.administration.metrics.condition import ConnectionUse

SHARE: Final = 3
"""Descriptors for each connection: its socket, the file of an upload, and one for the other parts of the server."""

MOST_DESCRIPTORS: Final = 1 << 16

FEWER: Final = 0.75
"""A client gets a connection of another one, which then has one less, if it has at most this share of those."""

KEPT: Final = 8
"""One connection of so many is left to clients with fewer than `FEW`."""

FEW: Final = 4

LONGER: Final = 1.25
"""Times the seconds of a deadline that a connection has at most."""


def spread(seconds: float) -> float:
    """Return a deadline of at least so many seconds, a little longer at random.

    Connections that began together would end together, and begin again: a moment in which nothing else is served.
    """
    return seconds * random.uniform(1.0, LONGER)  # noqa: S311  (no secret)


def raise_descriptor_limit() -> int:
    """Raise the limit on open descriptors to the one that the administrator allows; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def most_connections(configured: int, descriptors: int) -> int:
    """Return how many connections there may be with so many descriptors."""
    return configured if descriptors == resource.RLIM_INFINITY else min(configured, descriptors // SHARE)


def open_to_all(most: int) -> int:
    """Return how many of so many connections there may be for clients with `FEW` or more."""
    return most - most // KEPT


class ConnectionPlace:
    """The place of one connection, from its accept until its socket is closed."""

    def __init__(self, connections: Connections, address: str) -> None:
        self.address = address
        self.is_served = False
        """Whether a whole request has arrived whose response is not sent yet."""
        self._connections = connections
        self._close: Callable[[], object] | None = None

    def closed_by(self, close: Callable[[], object]) -> None:
        """Set the function that closes the connection at once."""
        self._close = close

    def give_up(self) -> None:
        """Leave the place to another connection, and close this one."""
        close = self._close
        self.release()
        if close is not None:
            close()

    def release(self) -> None:
        """Leave the place; does nothing if it was left before."""
        self._connections.remove(self)
        self._close = None  # the connection refers to this place, and would be freed by the garbage collector alone


class Connections:
    """The places of all connections: at most *most*, and at most *most_per_address* of one address."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._count = 0
        self._places: dict[str, dict[ConnectionPlace, None]] = {}  # the oldest of each address comes first

    def __len__(self) -> int:
        return self._count

    def use(self) -> ConnectionUse:
        """Return how many places are taken, and how many there are."""
        return ConnectionUse(self._count, self._most)

    def admit(self, address: str) -> ConnectionPlace | None:
        """Return a place for a connection from *address*; None if there is none for it."""
        own = len(self._places.get(address, ()))
        most = self._most if own < FEW else open_to_all(self._most)
        if own >= self._most_per_address or (self._count >= most and not self._make_room(own)):
            return None
        place = ConnectionPlace(self, address)
        self._places.setdefault(address, {})[place] = None
        self._count += 1
        return place

    def remove(self, place: ConnectionPlace) -> None:
        """Take a place back; does nothing if it was taken back before."""
        places = self._places.get(place.address, {})
        if place in places:
            del places[place]
            self._count -= 1
        if not places:
            self._places.pop(place.address, None)

    def _make_room(self, own: int) -> bool:
        """Close a connection of the client that has the most; return False if a client that has *own* has to wait."""
        most = max(self._places.values(), key=len, default={})
        if own > FEWER * (len(most) - 1):
            return False
        oldest = next((place for place in most if not place.is_served), None)
        if oldest is not None:
            oldest.give_up()
        return oldest is not None
