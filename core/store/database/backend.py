"""What the two kinds of database have in common."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from postscan.core.store.database.gate import Entrance

UNTIL: Final = "postscan_until"
"""Execution option of a connection: the `time.monotonic()` until which its transaction waits to begin."""

OUTCOME_SECONDS: Final = 1.0
"""The outcome of a COMMIT is waited for at least this time, also when the transaction has used up its own."""


class Backend(ABC):
    """Connections to one database, and what becomes of a COMMIT that fails.

    `writer` and `reader` are the engines, `writers` and `readers` the gates that their transactions enter in this
    order; these let `most_connections` connections be in use. `file` is the path of an SQLite file, else None. With
    `has_one_writer`, transactions that write wait for one another to end.
    """

    has_one_writer = False

    writer: sa.Engine
    reader: sa.Engine
    writers: Sequence[Entrance]
    readers: Sequence[Entrance]
    most_connections: int
    file: str | None

    @abstractmethod
    def name_of(self, db: sa.Connection) -> str | None:
        """Return a name by which `is_committed` finds the open transaction; None if it has none."""

    @abstractmethod
    def is_committed(self, name: str | None, error: Exception, until: float) -> bool | None:
        """Return whether the transaction is committed whose COMMIT failed with *error*; None if that is not known.

        Waits for the outcome until `time.monotonic()` is *until*.
        """

    @abstractmethod
    def served(self, lost: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the lock of the server of this database while the body runs; raise `LockHeld`.

        *lost* is called in another thread if another process has taken the lock meanwhile, with its name.
        """

    @abstractmethod
    def server(self) -> str | None:
        """Return the name of the process that holds that lock; None if there is none."""

    def separate(self) -> sa.Connection:
        """Return a connection of its own, outside of the pool, that commits each statement; PostgreSQL alone."""
        raise AssertionError("an SQLite file has one server, and no members")

    def connections(self) -> tuple[int, int]:
        """Return how many connections are in use, and how many may be at once; of writers and readers together."""
        pools = {engine.pool for engine in (self.writer, self.reader)}
        return sum(pool.checkedout() for pool in pools if isinstance(pool, sa.QueuePool)), self.most_connections

    def watched(self) -> AbstractContextManager[None]:
        """Watch over the transaction of the body, which includes its connection."""
        return contextlib.nullcontext()

    def copy_to(self, file: Path) -> None:
        """Copy the database, as it is after one of its commits, into a new file; for SQLite alone."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        self.writer.dispose()
        self.reader.dispose()
