"""Which process does what only one of several may do: the leader's work, and one inlet each.

A process alone does all of it. On PostgreSQL each piece of work has a lock with a name (`named_locks`), and the process
that holds it does the work. A process asks for its locks each second, so work moves within two seconds from a process
that ends, and within `named_locks.IDLE_SECONDS` more from one that stands still. There is no hand-over: what a former
holder does before it notices has to be harmless.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from typing import Final, Protocol

from postscan.core.errors import StoreBusy

log = logging.getLogger(__name__)

LEADER: Final = "leader"
"""The lock of the process that numbers and sends events, speaks discovery, keeps the clock, and sweeps."""

LOOK_SECONDS: Final = 1.0
"""Seconds between two questions for the locks."""

VALID_SECONDS: Final = 3.0
"""How long an answer counts, from the question on: less than the time after which the database gives a lock away."""


def inlet_lock(name: str) -> str:
    """Return the name of the lock of an inlet."""
    return f"inlet {name}"


class Leadership(Protocol):
    """The pieces of work that this process does, from `start` to `stop`."""

    @property
    def is_leader(self) -> bool:
        """Whether this process is the leader now."""

    @property
    def is_alone(self) -> bool:
        """Whether no other process can lead."""

    def holds(self, lock: str) -> bool:
        """Return whether this process holds a lock that it was constructed with, without asking the database."""

    def start(self) -> None:
        """Begin to ask for the locks; the first answer is there when this returns, if the database answers."""

    def stop(self) -> None:
        """Give up all locks. Harmless when repeated."""


class AlwaysLeader:
    """A process alone: it does all the work."""

    is_leader = True
    is_alone = True

    def holds(self, lock: str) -> bool:
        """Return True."""
        return True

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


class HeldLocks(Protocol):
    """A session on the database that holds locks, as `named_locks.LockSession` does; for one thread."""

    def look(self, wanted: Collection[str]) -> frozenset[str]:
        """Return which of these locks are held now; raise `StoreBusy` if the session has ended."""

    def close(self) -> None:
        """Give up all locks."""


class SharedLeadership:
    """One of several processes: it does the work whose locks it holds.

    An answer counts for `VALID_SECONDS`: a process that was stopped, or whose database does not answer, stops leading
    by itself before another one can begin.
    """

    is_alone = False

    def __init__(self, locks: HeldLocks, wanted: Collection[str] = (LEADER,)) -> None:
        self._locks = locks
        self._wanted = frozenset(wanted)
        self._held: frozenset[str] = frozenset()
        self._until = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="postscan-leadership", daemon=True)

    @property
    def is_leader(self) -> bool:
        """Whether this process is the leader now."""
        return self.holds(LEADER)

    def holds(self, lock: str) -> bool:
        """Return whether this process holds the lock, by the last answer."""
        return lock in self._held and time.monotonic() < self._until

    def start(self) -> None:
        """Ask once, then each `LOOK_SECONDS` in a thread."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Stop asking, and end the session."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._use(frozenset(), 0.0)
        self._locks.close()

    def _loop(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self._look()
            except Exception:
                log.exception("locks of this process not known")
                self._use(frozenset(), 0.0)

    def _look(self) -> None:
        asked = time.monotonic()
        try:
            held = self._locks.look(self._wanted)
        except StoreBusy:  # the session has ended, and the locks with it
            held = frozenset()
        self._use(held, asked + VALID_SECONDS)

    def _use(self, held: frozenset[str], until: float) -> None:
        before, self._held, self._until = self._held, held, until
        for lock in sorted(held - before):
            log.info("work taken over", extra={"lock": lock})
        for lock in sorted(before - held):
            log.info("work given up", extra={"lock": lock})
