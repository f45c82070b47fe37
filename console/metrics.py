"""`/metrics`: what the server gives, figures of the database, and the console's own, for Prometheus.

The figures of the database are read at most once a minute, whoever asks and how often.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cryptography import x509
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client import Counter as RequestCounter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from postscan.console.request import Console, ConsoleRequest
from postscan.core.engine import Engine, is_served
from postscan.core.errors import StoreBusy
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.subscription import EventService
from postscan.core.service.administration.metrics import metrics_socket

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

SECONDS: Final = 60.0
"""For which the figures of the database are kept."""

OF_REQUESTS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Upper bounds of the buckets, in seconds."""

UP: Final = ("ready", "degraded")
"""States of an inlet that takes scans."""

_READER: Final = Principal("metrics", Proof.LOCAL, admin=True)
"""In whose name the figures of all jobs are read; who may see them is asked before."""


def show(request: ConsoleRequest) -> Response:
    """Return the metrics."""
    return Response(ConsoleMetrics.of(request.console).page(), media_type=CONTENT_TYPE)


class ConsoleMetrics(Collector):
    """All metrics of one installation. Many callers may ask for the `page` at once: one of them reads for all."""

    def __init__(self, engine: Engine, ticks: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._ticks = ticks
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._figures: list[Metric] = []
        self._registry = CollectorRegistry()
        self._requests = RequestCounter(
            "postscan_console_requests", "Requests, by the class of their status.", ("status",), registry=self._registry
        )
        self._seconds = Histogram(
            "postscan_console_request_duration_seconds",
            "Seconds from the head of a request to the head of its response.",
            buckets=OF_REQUESTS,
            registry=self._registry,
        )
        for number in range(2, 6):
            self._requests.labels(f"{number}xx")
        ProcessCollector(namespace="postscan_console", registry=self._registry)
        self._registry.register(self)

    def describe(self) -> list[Metric]:
        """Return no metric: what is registered does not depend on what the database says."""
        return []

    @classmethod
    def of(cls, console: Console) -> ConsoleMetrics:
        """Return the metrics of a console."""
        return console.part(cls, lambda: cls(console.engine))

    def count(self, status: int, seconds: float) -> None:
        """Count a request that was answered after so many seconds."""
        self._requests.labels(f"{status // 100}xx").inc()
        self._seconds.observe(seconds)

    def page(self) -> bytes:
        """Return the page: first the metrics of the server, if one runs, then those of the console."""
        data_dir = self._engine.settings.storage.data_dir
        return metrics_socket.read(data_dir).encode() + generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the console but those of its process."""
        settings = self._engine.settings
        runs = float(is_served(settings.storage.data_dir))
        yield GaugeMetricFamily("postscan_server_up", "1 while a server runs with this data folder, else 0.", runs)
        yield from self._current()
        if settings.tls.certificate is not None:
            with contextlib.suppress(OSError, ValueError):
                end = x509.load_pem_x509_certificate(settings.tls.certificate.read_bytes()).not_valid_after_utc
                about = "When the certificate of the server ends."
                yield GaugeMetricFamily("postscan_certificate_end_seconds", about, end.timestamp())

    def _current(self) -> list[Metric]:
        """Return the figures of the database; none while it does not answer."""
        with self._lock:
            if self._read_at is None or self._ticks() - self._read_at >= SECONDS:
                try:
                    self._figures = list(self._read())
                except StoreBusy:
                    self._figures = []
                self._read_at = self._ticks()
            return self._figures

    def _read(self) -> Iterator[Metric]:
        engine = self._engine
        yield _family(
            "postscan_jobs_stored", "Jobs in the database, by state.", "state", engine.listing.counts(_READER)
        )
        services = Counter(one.port for one in engine.subscriptions.live() if not one.cancelled)
        numbers = {service: services[service] for service in EventService}
        yield _family("postscan_subscriptions", "Subscriptions to events, by service.", "service", numbers)
        inlets = engine.inlets.list(_READER)
        running = {name: int(row.state in UP and not row.stopped) for name, row in inlets.items()}
        yield _family("postscan_inlet_up", "1 while the source of this inlet takes scans, else 0.", "inlet", running)


def _family(name: str, about: str, label: str, values: Mapping[Any, int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=(label,))
    for value, number in values.items():
        family.add_metric((str(value),), number)
    return family
