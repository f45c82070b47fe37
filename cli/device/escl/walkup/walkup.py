"""The walk-up part of an HP device without HTTP: registered names, presses, and the table of events.

The table has one event of each kind, a ScanEvent for each destination, oldest first. Its ETag is the AgingStamp of the
newest one: the number of the start of the device, and that of the event. Registrations and events do not survive a
restart.
Source: escl.md section 8.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postscan.cli.device.escl.walkup.names import MAX_DESTINATIONS, WalkupApi, WalkupState
from postscan.core.errors import PostscanError

SCAN_EVENT: Final = "ScanEvent"
ACTION_SECONDS: Final = 60.0
"""UserActionTimeout: after so long without an action of the user a press is over."""
_TICK: Final = 0.1


class UnknownWalkupName(PostscanError):
    """No computer has registered that name, or there is no press that could go on."""


class NoWalkupRoom(Exception):
    """There are `MAX_DESTINATIONS` destinations already."""


@dataclass(frozen=True, slots=True)
class WalkupDestination:
    """A registered name. *shortcut* and *duplex* are what the user has chosen last; "" before the first press."""

    identity: str
    name: str
    hostname: str
    shortcut: str = ""
    duplex: bool = False


@dataclass(frozen=True, slots=True)
class TableEvent:
    """A row of the table; *destination* is the identity of one, "" for other kinds than ScanEvent."""

    category: str
    stamp: str
    destination: str = ""


class WalkupMachine:
    """Destinations and events. Every method may be called by any thread."""

    def __init__(
        self,
        api: WalkupApi,
        *,
        multi_page: bool = True,
        action_seconds: float = ACTION_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.api = api
        self.multi_page = multi_page
        self.action_seconds = action_seconds
        self.most_waiting = 0
        """The largest number of requests that waited for events at the same time."""
        self._clock = clock
        self._changed = threading.Condition()
        self._destinations: dict[str, WalkupDestination] = {}
        self._events: list[TableEvent] = []
        self._state = WalkupState.COMPLETE
        self._acted = 0.0
        self._starts = 0
        self._number = 0
        self._waiting = 0
        self._pressed = ""
        self._stopped = False
        self.reboot()

    # --- what a client does

    @property
    def destinations(self) -> list[WalkupDestination]:
        """All destinations, oldest first."""
        with self._changed:
            return list(self._destinations.values())

    def register(self, name: str, hostname: str) -> WalkupDestination:
        """Add a destination; a second one of the same name as well. Raise `NoWalkupRoom`."""
        with self._changed:
            if len(self._destinations) >= MAX_DESTINATIONS:
                raise NoWalkupRoom
            added = WalkupDestination(str(uuid.uuid4()), name, hostname)
            self._destinations[added.identity] = added
            return added

    def find(self, identity: str) -> WalkupDestination | None:
        """Return the destination of this identity."""
        with self._changed:
            return self._destinations.get(identity)

    def delete(self, identity: str) -> bool:
        """Remove a destination; return whether it was there."""
        with self._changed:
            return self._destinations.pop(identity, None) is not None

    @property
    def state(self) -> WalkupState:
        """How far the press is."""
        with self._changed:
            if self._clock() - self._acted > self.action_seconds:
                return WalkupState.COMPLETE
            return self._state

    def table(self, known: str, seconds: float, gone: Callable[[], bool]) -> tuple[str, list[TableEvent]] | None:
        """Return ETag and events once the ETag is not *known*; None after *seconds*, or if the client has gone.

        An empty *known* is never current.
        """
        deadline = self._clock() + seconds
        with self._changed:
            self._waiting += 1
            self.most_waiting = max(self.most_waiting, self._waiting)
            try:
                while known and known == self._etag():
                    left = deadline - self._clock()
                    if left <= 0 or self._stopped:
                        return None
                    self._changed.wait(min(left, _TICK))
                    if gone():
                        return None
                return self._etag(), list(self._events)
            finally:
                self._waiting -= 1

    @property
    def waiting(self) -> int:
        """How many requests wait for events now."""
        with self._changed:
            return self._waiting

    def is_awaited(self, name: str) -> bool:
        """Tell whether a computer has registered this name, and one waits for events."""
        with self._changed:
            return self._waiting > 0 and any(one.name == name for one in self._destinations.values())

    # --- the panel

    def press(self, name: str, *, shortcut: str = "SavePDF", duplex: bool = False, start: bool = True) -> str:
        """Choose a name and, with *start*, a shortcut; return the AgingStamp. Raise `UnknownWalkupName`.

        Without *start* the user has only chosen the computer: `choose` goes on. The older interface has no such state.
        """
        with self._changed:
            identity = next((one.identity for one in self._destinations.values() if one.name == name), None)
            if identity is None:
                known = ", ".join(one.name for one in self._destinations.values()) or "none"
                raise UnknownWalkupName(f"no destination is called {name!r}; registered: {known}")
            self._pressed = identity
            self._choose(shortcut if start else "", duplex)
            self._set(WalkupState.SCAN_REQUESTED if start else WalkupState.HOST_SELECTED)
            return self._add(SCAN_EVENT, identity)

    def choose(self, shortcut: str = "SavePDF", *, duplex: bool = False) -> None:
        """Choose the shortcut of the press, and start it. Raise `UnknownWalkupName` without a press."""
        with self._changed:
            self._require_press()
            self._choose(shortcut, duplex)
            self._set(WalkupState.SCAN_REQUESTED)

    def next_page(self) -> str:
        """Ask for another page from the platen; return the AgingStamp. Raise `UnknownWalkupName` without a press."""
        return self._go_on(WalkupState.NEW_PAGE)

    def done(self) -> str:
        """Say that there is no other page; return the AgingStamp. Raise `UnknownWalkupName` without a press."""
        return self._go_on(WalkupState.COMPLETE)

    def note(self, category: str) -> str:
        """Add an event that is no press, as JobEvent; return its AgingStamp."""
        with self._changed:
            return self._add(category)

    def reboot(self) -> None:
        """Forget destinations and events, and begin with a PowerUpEvent."""
        with self._changed:
            self._starts += 1
            self._number = 0
            self._destinations.clear()
            self._events.clear()
            self._pressed = ""
            self._state = WalkupState.COMPLETE
            self._add("PowerUpEvent")

    def stop(self) -> None:
        """End every waiting request."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # --- inside, with the lock held

    def _etag(self) -> str:
        return f"{self._starts}-{self._number}"

    def _add(self, category: str, destination: str = "") -> str:
        self._number += 1
        added = TableEvent(category, self._etag(), destination)
        kept = [one for one in self._events if (one.category, one.destination) != (category, destination)]
        self._events = [*kept, added]
        self._changed.notify_all()
        return added.stamp

    def _set(self, state: WalkupState) -> None:
        self._state, self._acted = state, self._clock()

    def _choose(self, shortcut: str, duplex: bool) -> None:
        old = self._destinations[self._pressed]
        self._destinations[old.identity] = WalkupDestination(old.identity, old.name, old.hostname, shortcut, duplex)

    def _require_press(self) -> None:
        if self._pressed not in self._destinations:
            raise UnknownWalkupName("there is no press that could go on")

    def _go_on(self, state: WalkupState) -> str:
        with self._changed:
            if self.api is WalkupApi.OLD:  # an event would be another press
                raise UnknownWalkupName("the older walk-up has one scan for each press")
            self._require_press()
            self._set(state)
            return self._add(SCAN_EVENT, self._pressed)
