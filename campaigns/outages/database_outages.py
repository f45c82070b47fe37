"""Outages of the database: SQLite's lock held by another program; PostgreSQL stopped, frozen, killed, and cut off."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import databases
import postgres
from acceptance.server import Server, Tables
from postgres_relay import CUTS, PostgresRelay

from campaigns.outages.disks import NotPossible
from campaigns.outages.outage import Lasting

_CUT_PATIENCE: Final = 600.0  # seconds


@dataclass
class Locked(Lasting):
    """Another program holds SQLite's lock: IMMEDIATE lets others read, EXCLUSIVE lets them do nothing."""

    lock: str

    @property
    def name(self) -> str:
        """The lock."""
        return f"locked-{self.lock.lower()}"

    @contextlib.contextmanager
    def place(self, home: Path) -> Iterator[Tables]:
        """Use the data folder as it is."""
        yield {}

    @contextlib.contextmanager
    def injected(self, server: Server) -> Iterator[None]:
        """Take the lock."""
        file = server.settings.storage.data_dir / "postscan.sqlite"
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as other:
            other.execute(f"BEGIN {self.lock}")
            yield
            other.execute("ROLLBACK")


@dataclass(kw_only=True)
class _OnPostgres(Lasting):
    """An outage of PostgreSQL."""

    _postgres: postgres.Postgres = field(init=False)

    @contextlib.contextmanager
    def place(self, home: Path) -> Iterator[Tables]:
        """Run a PostgreSQL server."""
        try:
            with postgres.running() as self._postgres:
                name = f"outage_{uuid.uuid4().hex}"
                yield {"storage": {"database": databases.create(self._postgres.url, name, with_tables=False)}}
        except FileNotFoundError as error:
            raise NotPossible(str(error)) from error


@dataclass
class Stopped(_OnPostgres):
    """PostgreSQL is stopped, and started again."""

    @property
    def name(self) -> str:
        """Its seconds."""
        return f"postgresql-stopped-{self.seconds:g}"

    @contextlib.contextmanager
    def injected(self, server: Server) -> Iterator[None]:
        """Stop it."""
        self._postgres.stop()
        yield
        self._postgres.start()


@dataclass
class Frozen(_OnPostgres):
    """The processes of PostgreSQL stand still: it accepts connections, and answers nothing."""

    name = "postgresql-frozen"

    @contextlib.contextmanager
    def injected(self, server: Server) -> Iterator[None]:
        """Send SIGSTOP."""
        self._postgres.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._postgres.signal(signal.SIGCONT)


@dataclass
class Killed(_OnPostgres):
    """All processes of PostgreSQL are killed at the same moment, and started again after `seconds`: `times` times."""

    times: int = 5
    name = "postgresql-killed"

    @contextlib.contextmanager
    def injected(self, server: Server) -> Iterator[None]:
        """Kill it; `wait` starts and kills it again."""
        self._postgres.signal(signal.SIGKILL)
        yield
        self._postgres.start()

    def wait(self) -> None:
        """Start and kill it until it was killed `times` times."""
        for _ in range(self.times - 1):
            time.sleep(self.seconds)
            self._postgres.start()
            time.sleep(self.seconds)
            self._postgres.signal(signal.SIGKILL)
        time.sleep(self.seconds)


@dataclass
class Cut(_OnPostgres):
    """Connections to PostgreSQL end during COMMIT: before it, in it, while it goes on, after it; every second one."""

    times: int = 200
    name = "postgresql-cut"
    _relay: PostgresRelay = field(init=False)

    @contextlib.contextmanager
    def place(self, home: Path) -> Iterator[Tables]:
        """Put a relay before a PostgreSQL server."""
        with super().place(home) as tables, PostgresRelay(tables["storage"]["database"]) as self._relay:
            yield {"storage": {"database": self._relay.url}}

    @contextlib.contextmanager
    def injected(self, server: Server) -> Iterator[None]:
        """Cut the connections."""
        for _, cut in zip(range(self.times), itertools.cycle(CUTS), strict=False):
            self._relay.cuts.extend((cut, ""))
        yield
        self._relay.cuts.clear()

    def wait(self) -> None:
        """Wait until all cuts are made; raise `AssertionError` if they are not in ten minutes."""
        end = time.monotonic() + _CUT_PATIENCE
        while len(self._relay.cuts) > 1:
            if time.monotonic() > end:
                raise AssertionError(f"{len(self._relay.cuts)} commits of {2 * self.times} were not sent")
            time.sleep(0.1)
