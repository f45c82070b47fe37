"""Orders of administrators for inlets, and how inlets are: through the database, so that a command reaches a server.

A running server finds an order within half a second. Each leaves a line in the audit trail.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.errors import InvalidArgument, Unavailable
from postscan.core.model.principal import Principal, Right
from postscan.core.model.records import AuditLine
from postscan.core.settings import Settings
from postscan.core.settings.sources import destinations_of
from postscan.core.store.callers import audit
from postscan.core.store.database import Transaction
from postscan.core.store.sources import destinations as identifiers
from postscan.core.store.sources import inlets as queries
from postscan.core.store.sources.inlets import InletRow
from postscan.core.store.store import Store

__all__ = ["InletRow", "InletStatus", "Inlets"]

DETAIL: Final = 2000
"""Most characters of what a source says of its health, and of the reason of a quarantine."""


RUNNING: Final = ("ready", "degraded", "away")
"""The states of an inlet whose source is loaded."""


class InletStatus(NamedTuple):
    """How an inlet is now, for people: that of its row beside a running server; without one, no source runs.

    `since` is when the state was stored. `pulls` says that its source runs and fetches scans.
    """

    name: str
    plugin: str
    state: str
    detail: str
    since: datetime | None
    last_job: datetime | None
    destinations: tuple[str, ...]
    stopped: bool
    pulls: bool


class Inlets:
    """The inlets of the settings. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock

    # --- for administrators; who may see all jobs sees the inlets, other callers find none -----------------------

    def list(self, by: Principal) -> dict[str, InletRow]:
        """Return the inlets of the settings by name, in their order; one that no server has had yet is empty."""
        if not by.may(Right.SEE):
            return {}
        rows = self.all_rows()
        return {name: rows.get(name, InletRow(name)) for name in self._settings.sources}

    def statuses(self, by: Principal) -> tuple[InletStatus, ...]:
        """Return how the inlets of the settings are, in their order."""
        rows = self.list(by)
        is_served = bool(rows) and self._store.server() is not None
        return tuple(self._status(row, is_served=is_served) for row in rows.values())

    def stop(self, name: str, by: Principal) -> None:
        """Let an inlet end, and not be started until `start`. Raises `InvalidArgument` for an unknown one."""
        with self._store.writing() as db:
            self._order(db, name, by, "stop")
            queries.order(db, name, stopped=True)

    def start(self, name: str, by: Principal) -> None:
        """Let an inlet run that was stopped or is in quarantine. Raises `InvalidArgument` for an unknown one."""
        with self._store.writing() as db:
            self._order(db, name, by, "start")
            queries.order(db, name, stopped=False)

    def scan(self, name: str, destination: str, by: Principal) -> None:
        """Order a scan to a destination of an inlet, by its name in the settings; "" for any.

        Raises `InvalidArgument` for an unknown one and for a source that fetches no scans, `Unavailable` if the inlet
        does not run, and while the last order is not passed on.
        """
        with self._store.writing() as db:
            self._order(db, name, by, "scan")
            row = queries.read_all(db)[name]
            if row.state not in RUNNING:
                raise Unavailable(f"{name} does not run; it is {row.state or 'not started'}")
            if not row.pulls:
                raise InvalidArgument("source", name, "an inlet whose source fetches scans")
            offered = self._settings.sources[name].destinations or self._settings.destinations
            known = identifiers.read_identifiers(db)
            if destination and (destination not in offered or destination not in known):
                raise InvalidArgument("destination", destination, f"the name of a destination of {name}")
            identifier = known[destination] if destination else ""
            if not queries.order_pull(db, name, identifier):
                raise Unavailable(f"a scan of {name} is ordered already, and not passed on yet")

    # --- for the server ------------------------------------------------------------------------------------------

    def begin(self, inlet: str | None = None) -> None:
        """Add the rows of new inlets; forget states and orders of the last server: of an inlet, or of all."""
        with self._store.writing() as db:
            queries.add_missing(db, self._settings.sources)
            for name, row in queries.read_all(db).items():
                if inlet not in (None, name):
                    continue
                if row.state:
                    queries.write_state(db, name, "", "", self._clock.now(), pulls=False)
                if row.pull is not None:
                    queries.take_pull(db, name, row.pull)

    def all_rows(self) -> Mapping[str, InletRow]:
        """Return all rows by name."""
        with self._store.reading() as db:
            return queries.read_all(db)

    def record_state(self, name: str, state: str, detail: str, *, pulls: bool = False) -> None:
        """Store how an inlet is, and whether its source fetches scans."""
        with self._store.writing() as db:
            queries.write_state(db, name, state, detail[:DETAIL], self._clock.now(), pulls=pulls)

    def record_job(self, name: str) -> None:
        """Store that an inlet has brought a job now."""
        with self._store.writing() as db:
            queries.write_last_job(db, name, self._clock.now())

    def quarantine(self, name: str, reason: str) -> None:
        """Store that an inlet is not started any more."""
        with self._store.writing() as db:
            queries.write_quarantine(db, name, reason[:DETAIL])

    def take_pull(self, name: str, destination: str) -> bool:
        """Remove the order of a scan before it is passed on; return False if there is none any more."""
        with self._store.writing() as db:
            return queries.take_pull(db, name, destination)

    def _status(self, row: InletRow, *, is_served: bool) -> InletStatus:
        source = self._settings.sources[row.name]
        return InletStatus(
            name=row.name,
            plugin=source.plugin,
            state=(row.state or "starting") if is_served else _resting(row, enabled=source.enabled),
            detail=row.detail if is_served else row.quarantine,
            since=row.changed if is_served else None,
            last_job=row.last_job,
            destinations=tuple(destinations_of(source, self._settings.destinations)),
            stopped=row.stopped,
            pulls=is_served and row.pulls and row.state in RUNNING,
        )

    def _order(self, db: Transaction, name: str, by: Principal, verb: str) -> None:
        if not by.may(Right.ADMINISTER) or name not in self._settings.sources:
            raise InvalidArgument("source", name, "the name of a table [sources.<name>]")
        queries.add_missing(db, [name])
        audit.write_audit(db, AuditLine.of(by, verb, f"source {name}", self._clock.now()))


def _resting(row: InletRow, *, enabled: bool) -> str:
    """Return the state of an inlet without a server."""
    if not enabled:
        return "disabled"
    if row.stopped:
        return "stopped"
    return "quarantined" if row.quarantine else "no server"
