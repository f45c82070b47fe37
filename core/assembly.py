"""Put the parts together: settings in, the service out, and the machinery that runs jobs.

`Core` alone is enough to look at jobs and to cancel them. A server also calls `running`, which starts workers and
scheduler, and makes sure that it is the only server of its data.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from postscan.core import registry, survivors, wire
from postscan.core.clock import Clock, SystemClock
from postscan.core.errors import SettingsError
from postscan.core.executor import LocalExecutor
from postscan.core.filters.cancellation import CancelSource
from postscan.core.judging import Judging
from postscan.core.model.process import Instructions
from postscan.core.pipeline import Pipeline
from postscan.core.registry import Catalogue
from postscan.core.scheduler import Chore, Scheduler
from postscan.core.service import PostScanService, ScanProcesses
from postscan.core.settings import Settings
from postscan.core.spool import recovery
from postscan.core.spool.images import Spool
from postscan.core.spool.retention import Retention
from postscan.core.spool.uploads import Uploads
from postscan.core.store.store import Store
from postscan.core.subscriptions import Subscriptions
from postscan.core.worker import Limits, Workers

MARK_SECONDS: Final = 10.0
SWEEP_SECONDS: Final = 60.0
_LOCK: Final = "server.lock"


class Core:
    """The engine on one set of data. Close it when done."""

    def __init__(self, settings: Settings, processes: ScanProcesses, clock: Clock | None = None) -> None:
        self.settings = settings
        settings.storage.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.storage.run_dir.mkdir(exist_ok=True, mode=0o700)
        self.store = Store(settings.storage.url, busy_seconds=settings.storage.busy_seconds)
        self.clock = clock or SystemClock(self.store.mark())
        self.spool = Spool(settings.storage.spool_dir)
        self.subscriptions = Subscriptions(self.store, settings.events, self.clock)
        self.uploads = Uploads()
        self.scheduler = Scheduler(self.store, self.uploads, self.clock)
        self.retention = Retention(settings.retention, self.store, self.spool, self.clock)
        self.service = PostScanService(
            settings, self.store, self.spool, processes, self.scheduler, self.uploads, self.retention, self.clock
        )

    def close(self) -> None:
        """Give the database connections back."""
        self.store.close()

    def catalogue(self) -> Catalogue:
        """Judge every installed plugin, each in a child of its own."""
        with self.asking() as (catalogue, _):
            return catalogue

    def check(self, instructions: Instructions) -> None:
        """Let the filters judge instructions as a server does before it makes a job of them; raise as `Judging.check`.

        Reads the catalogue for it, which takes about as long as `catalogue`.
        """
        with self.asking() as (_, judging):
            judging.check(instructions)

    @contextlib.contextmanager
    def asking(self) -> Iterator[tuple[Catalogue, Judging]]:
        """Lend the catalogue, and somebody who asks its filters, while the body runs. No job is run."""
        with contextlib.closing(Workers()) as workers:
            catalogue = self._catalogue(workers)
            yield catalogue, self._judging(workers, catalogue)

    @contextlib.contextmanager
    def running(self) -> Iterator[Catalogue]:
        """Run jobs while the body runs; on leaving, drain. Raises `SettingsError` if another server has the data."""
        with _alone(self.settings.storage.data_dir):
            survivors.end_orphans()
            _empty(self.settings.storage.run_dir)
            self.spool.sweep()
            recovery.reconcile(self.store, self.spool, self.clock)
            workers = Workers()
            try:
                catalogue = self._catalogue(workers)
                self.store.note_filters(catalogue.dialects, self.clock.now())
                self.subscriptions.drop_without(self.settings.identity.administrators)
                self._start(workers, catalogue)
                try:
                    yield catalogue
                finally:
                    self.scheduler.stop(self.settings.server.drain_seconds)
                    self.service.judge = None
                    self._keep_time()
            finally:
                workers.close()

    def _start(self, workers: Workers, catalogue: Catalogue) -> None:
        pipeline = Pipeline(self.store, self.spool, catalogue, workers, self.settings, self.clock)
        executor = LocalExecutor(pipeline.run, self.scheduler.done, self.settings.running.slots)
        workers.warm_up()
        if self.store.mark() is None:
            self.store.adopt_deadlines(self.clock.ticks() + self.settings.limits.silence_seconds)
        self._keep_time()
        self.service.judge, self.service.dialects = self._judging(workers, catalogue), catalogue.dialects
        chores = [Chore(MARK_SECONDS, self._keep_time), Chore(SWEEP_SECONDS, self.retention.sweep)]
        self.scheduler.start(executor, chores)

    def _keep_time(self) -> None:
        """Write down the steady clock, so that it goes on from here after a reboot."""
        if isinstance(self.clock, SystemClock):
            self.store.keep_mark(self.clock.mark())

    def _catalogue(self, workers: Workers) -> Catalogue:
        def probe(plugin: str, table: Mapping[str, Any]) -> wire.Message:
            order = {"do": "probe", "plugin": plugin, "settings": dict(table)}
            return self._ask(workers, order, self.settings.plugins.probe_seconds)

        return registry.read(probe, self.settings.filters, self.settings.plugins.disabled)

    def _judging(self, workers: Workers, catalogue: Catalogue) -> Judging:
        return Judging(catalogue, lambda order, seconds: self._ask(workers, order, seconds))

    def _ask(self, workers: Workers, order: wire.Message, seconds: float) -> wire.Message:
        """Ask a plugin something short in a worker process; return its answer, or `{"error": ...}` without an end."""
        limits = Limits(seconds, grace=0.1, term=0.1)
        folder = self.settings.storage.run_dir
        with (
            tempfile.TemporaryDirectory(prefix="ask-", dir=folder, ignore_cleanup_errors=True) as workdir,
            CancelSource(folder) as source,
            workers.slot() as slot,
        ):
            order = order | {"token": source.path, "workdir": workdir}
            ended = slot.do(order, source, limits, lambda _message: None)
        if ended.late:
            return {"error": f"the {order['do']} took longer than {seconds:g} s"}
        return ended.message or {"error": f"its process died during the {order['do']} (exit code {ended.exit_code})"}


def is_served(folder: Path) -> bool:
    """Return whether a server is running with this data folder, on this machine."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel gives back even if this process is killed."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(f"{folder}: another postscan server is running with this data_dir") from None
        yield
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    """Remove what killed runs left behind."""
    for left in folder.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
