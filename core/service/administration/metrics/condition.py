"""Metrics that are read from the parts of the server each time: what is true now, and what the parts have counted."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from postscan.core.errors import SpoolFull
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobState
from postscan.core.registry.catalogue import Catalogue, PluginState
from postscan.core.service.refusals import Refusals
from postscan.core.settings import Settings
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.core.store.database.outages import OutageLog


class ConnectionUse(NamedTuple):
    """Connections: how many are in use, and how many may be."""

    number: int
    most: int


class Watched(NamedTuple):
    """The parts of a server whose condition is read.

    *running* returns the number of slots in use; *interrupted* the jobs whose filters were told of a cancel since the
    last call, with the time; *database* how many connections to the database are in use.
    """

    settings: Callable[[], Settings]
    spool: SpoolStore
    outages: OutageLog
    refusals: Refusals
    catalogue: Callable[[], Catalogue]
    running: Callable[[], int]
    interrupted: Callable[[], Sequence[tuple[JobToken, datetime]]]
    database: Callable[[], ConnectionUse]
    now: Callable[[], datetime]


class StoredFigures(NamedTuple):
    """What the database says: the numbers of open jobs by state, when the oldest that waits was created, all bytes."""

    open: Mapping[JobState, int]
    oldest_pending: datetime | None
    kept_bytes: int


class ConditionCollector(Collector):
    """Reads the condition of the parts at each collection.

    `stored` is what the database has said last; while it is None, as in an outage, the metrics of it are absent.
    `connections` is called for the connections; None where there are none to count.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self.stored: StoredFigures | None = None
        self.connections: Callable[[], ConnectionUse] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._server()
        yield from self._jobs()
        yield from self._spool()
        yield from self._database()
        yield from self._clients()

    def _server(self) -> Iterator[Metric]:
        watched = self._watched
        version = importlib.metadata.version("postscan")
        yield _labelled("postscan_build_info", "The version of the server; always 1.", "version", {version: 1})
        yield _gauge("postscan_metrics_time_seconds", "When these figures were written.", watched.now().timestamp())
        yield _gauge("postscan_slots", "Filters that may run at once.", watched.settings().running.slots)
        yield _gauge("postscan_slots_used", "Jobs whose filters run.", watched.running())
        states = Counter(plugin.state for plugin in watched.catalogue().plugins)
        yield _labelled(
            "postscan_plugins", "Installed plugins by state.", "state", {state: states[state] for state in PluginState}
        )

    def _jobs(self) -> Iterator[Metric]:
        if self.stored is None:
            return
        yield _labelled("postscan_jobs", "Jobs that have not ended, by state.", "state", self.stored.open)
        oldest = self.stored.oldest_pending
        seconds = max(0.0, (self._watched.now() - oldest).total_seconds()) if oldest else 0.0
        yield _gauge(
            "postscan_oldest_pending_seconds", "Seconds since the creation of the oldest job that waits.", seconds
        )

    def _spool(self) -> Iterator[Metric]:
        if self.stored is not None:
            yield _gauge("postscan_spool_bytes", "Bytes of all documents in the spool.", self.stored.kept_bytes)
        try:
            free = self._watched.spool.free_bytes()
        except SpoolFull:
            return  # its folder cannot be read
        yield _gauge("postscan_spool_free_bytes", "Free bytes of the disk of the spool.", free)
        reserve = self._watched.settings().storage.reserve_bytes
        yield _gauge("postscan_spool_reserve_bytes", "Bytes of that disk that images leave free.", reserve)

    def _database(self) -> Iterator[Metric]:
        answers = self.stored is not None and not self._watched.outages.failures
        yield _gauge("postscan_database_up", "1 while the database answers and has room, else 0.", answers)
        outages = CounterMetricFamily(
            "postscan_database_outages", "Outages of the database, by kind.", labels=("kind",)
        )
        for kind, number in self._watched.outages.begun.items():
            outages.add_metric((kind,), number)
        yield outages
        number, most = self._watched.database()
        yield _gauge("postscan_database_connections", "Connections to the database that are in use.", number)
        yield _gauge("postscan_database_connections_limit", "Connections to the database that there may be.", most)

    def _clients(self) -> Iterator[Metric]:
        refused = CounterMetricFamily(
            "postscan_refused_requests", "Requests that were refused, by verb.", labels=("verb",)
        )
        for verb, number in sorted(self._watched.refusals.by_verb.items()):
            refused.add_metric((verb,), number)
        yield refused
        if self.connections is not None:
            number, most = self.connections()
            yield _gauge("postscan_connections", "Connections of clients.", number)
            yield _gauge("postscan_connections_limit", "Connections of clients that there may be.", most)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, float(value))


def _labelled(name: str, about: str, label: str, values: Mapping[Any, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=(label,))
    for value, number in values.items():
        family.add_metric((str(value),), number)
    return family
