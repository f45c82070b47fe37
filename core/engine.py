"""Construct the parts of the engine from its settings, and run jobs with them.

Every part gets what it needs when it is constructed. An `Engine` that is not running reads, changes and cancels jobs. A
server also enters `running`, which starts workers and scheduler, as the only server of its data.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from postscan.core.clock import Clock, SystemClock
from postscan.core.cluster.arriving_images import ArrivingImages, NoOtherServers, SharedArrivingImages
from postscan.core.cluster.event_numbering import EventNumbering
from postscan.core.cluster.job_locks import JobLocks, OnlyHolder
from postscan.core.cluster.leadership import LEADER, AlwaysLeader, Leadership, SharedLeadership, inlet_lock
from postscan.core.cluster.members import Membership
from postscan.core.cluster.shared_clock import SECONDS as SHARED_SECONDS
from postscan.core.cluster.shared_clock import SharedClock
from postscan.core.cluster.wakeups import JobWakeups, NoWakeups
from postscan.core.errors import SettingsError, StoreFull
from postscan.core.execution.job_mail.sender import JobMailSender
from postscan.core.execution.late_plugins import LatePlugins
from postscan.core.execution.local_executor import LocalExecutor
from postscan.core.execution.pipeline import Pipeline
from postscan.core.execution.scheduler import Chore, Scheduler
from postscan.core.execution.sweeper import Sweeper
from postscan.core.model.process import Instructions
from postscan.core.registry.active_filters import ActiveFilters
from postscan.core.registry.catalogue import Catalogue, FilterLookup
from postscan.core.registry.directory.directory import Directories
from postscan.core.registry.directory.hooks_thread import HooksThread
from postscan.core.registry.directory.users import UserLookup
from postscan.core.registry.probe import PluginProbe
from postscan.core.registry.remembered import RememberedCatalogue
from postscan.core.registry.validation import InstructionValidator
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.service.accounts.sessions import Sessions
from postscan.core.service.accounts.tokens import ApiTokens
from postscan.core.service.administration.audit_trail import AuditTrail
from postscan.core.service.administration.backup.archive import Backup
from postscan.core.service.administration.callers import Callers
from postscan.core.service.administration.listing import JobListing
from postscan.core.service.administration.metrics import readiness
from postscan.core.service.administration.metrics.condition import ConnectionUse, Watched
from postscan.core.service.administration.metrics.health import LIMIT_SECONDS, Health
from postscan.core.service.administration.metrics.overview import Overview
from postscan.core.service.administration.metrics.server_metrics import Metrics
from postscan.core.service.administration.pictures.job_pictures import Pictures
from postscan.core.service.administration.pictures.maker import PictureMaker
from postscan.core.service.inlets import Inlets
from postscan.core.service.jobs import PostScanService, ScanProcesses
from postscan.core.service.origins import Origins
from postscan.core.service.refusals import WINDOW, Refusals
from postscan.core.service.subscriptions import Subscriptions
from postscan.core.service.throttle import SharedThrottle
from postscan.core.settings import Settings
from postscan.core.sources.intake import IntakeParts
from postscan.core.sources.places import JobPlaces
from postscan.core.sources.start import start_message
from postscan.core.sources.supervisor import SourceSupervisor
from postscan.core.spool import identity, recovery
from postscan.core.spool.ballast import Ballast
from postscan.core.spool.image_store.opening import open_spool
from postscan.core.spool.quota import Quota
from postscan.core.spool.recovery import Comparison
from postscan.core.spool.retention import Retention
from postscan.core.spool.shared_looks import SharedLooks
from postscan.core.spool.uploads import Uploads
from postscan.core.store.database.file_lock import FileLock, LockHeld, process_number
from postscan.core.store.store import Store
from postscan.core.workers import orphans, work_folder
from postscan.core.workers.pool import Workers

log = logging.getLogger(__name__)

MARK_SECONDS: Final = 10.0
FORGET_SECONDS: Final = 3600.0
_LOCK: Final = "server.lock"
_SCHEDULER: Final = "scheduler"


class Engine:
    """The engine on one set of data. Close it when done."""

    def __init__(self, settings: Settings, processes: ScanProcesses, clock: Clock | None = None) -> None:
        self.settings = settings
        settings.storage.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.storage.run_dir.mkdir(exist_ok=True, mode=0o700)
        storage = settings.storage
        self.store = Store(storage.url, busy_seconds=storage.busy_seconds, connections=storage.connections)
        self.clock = clock or SystemClock(self.store.mark())
        self.leadership = _leadership(self.store, settings)
        self.arriving: ArrivingImages = (
            NoOtherServers() if self.leadership.is_alone else SharedArrivingImages(self.store)
        )
        self._numbering = EventNumbering(self.store, self.leadership)
        self._membership: Membership | None = None
        if settings.cluster.members == "several":
            self._membership = Membership(settings, self.store, self.clock, _end_process)
        self.spool = open_spool(settings, self._membership.holder if self._membership else "")
        self.subscriptions = Subscriptions(self.store, settings.events, self.clock)
        self.audit_trail = AuditTrail(self.store, self.clock)
        self.backup = Backup(settings, self.store, self.clock)
        self.listing = JobListing(self.store, self.clock)
        self.callers = Callers(settings, self.store, self.clock)
        self.overview = Overview(self.store, self.clock)
        self.uploads = Uploads()
        self.ballast = _ballast(settings)
        self.retention = Retention(settings.retention, self.store, self.spool, self.clock)
        self.filters = ActiveFilters()
        self._workers = Workers()
        self.quota = quota = Quota(settings, self.store, self.spool, self.arriving)
        self._pipeline = Pipeline(self.store, self.spool, quota, self.filters, self._workers, settings, self.clock)
        executor = LocalExecutor(self._pipeline.run, settings.running.slots, self.clock.now)
        self.health = Health()
        self.refusals = Refusals(self.store, settings.limits, self.clock)
        self._hooks = [HooksThread(name, settings, self._workers) for name in settings.plugins.tables]
        self.directory = Directories(settings.directory, self._hooks, self.clock.ticks)
        self.users = UserLookup(settings, self.directory)
        self.accounts = Accounts(settings, self.store, self.refusals, self.clock)
        self.sessions = Sessions(self.store, self.accounts, self.refusals, self.clock)
        self.tokens = ApiTokens(self.store, self.refusals, self.clock)
        chores = [Chore(MARK_SECONDS, self._keep_time), Chore(WINDOW, self.refusals.summarize)]
        self._keeps_mark = True
        locks: JobLocks = self._membership or OnlyHolder()
        wakeups: JobWakeups = self._membership.wakeups if self._membership else NoWakeups()
        throttle: SharedThrottle | None = None
        if self._membership is not None:
            chores.append(Chore(FORGET_SECONDS, self._membership.forget))
            chores.append(Chore(SHARED_SECONDS, SharedClock(self.store, self.clock, self.leadership).keep))
            throttle = SharedThrottle(self.store, settings.limits.bad_tokens, self.clock)
            chores.append(Chore(WINDOW, throttle.forget))
        self.scheduler = Scheduler(
            self.store, self.clock, executor, locks, wakeups, chores, self.spool.discard, self._scheduler_went_round
        )
        self._job_mail = JobMailSender(settings, self.store, self.clock, leadership=self.leadership)
        looks = SharedLooks(self.store, self.spool, self.clock) if settings.shares_spool else None
        self.sweeper = Sweeper(
            self.store, self.uploads, self.retention, self.clock, self.leadership, self.arriving, looks
        )
        self.service = PostScanService(
            settings,
            self.store,
            self.spool,
            quota,
            processes,
            self.filters,
            self.scheduler,
            self.uploads,
            self.retention,
            self.ballast,
            self.refusals,
            self.clock,
            self.users,
            self.arriving,
            throttle,
        )
        maker = PictureMaker(storage.run_dir)
        self.pictures = Pictures(settings, self.store, self.spool, self.service.job, maker, self.clock)
        self.inlets = Inlets(settings, self.store, self.clock)
        self.remembered_catalogue = RememberedCatalogue(self.catalogue, self.clock)
        self.origins = Origins(
            settings, self.store, processes, self.filters, self.accounts, self.refusals, self.clock, self.users
        )
        places = JobPlaces(settings.limits.source_jobs)
        parts = IntakeParts(settings, self.service, self.origins, self.accounts, quota, places, self.clock)
        self.sources = SourceSupervisor(settings, self._workers, parts, self.inlets, self.leadership)
        watched = Watched(
            settings=lambda: self.settings,
            spool=self.spool,
            outages=self.store.outages,
            refusals=self.refusals,
            catalogue=lambda: self.filters.catalogue,
            running=lambda: len(executor.running()),
            interrupted=executor.interrupted,
            database=lambda: ConnectionUse(*self.store.connections()),
            now=self.clock.now,
        )
        self.metrics = Metrics(self.store, watched)
        self.health.add("database", partial(readiness.database, self.store))
        self.health.add("spool", partial(readiness.spool, storage.spool_dir))
        if self._membership is not None:
            self.health.add("member", lambda: "" if locks.is_held else "the other members cannot see that it is alive")

    def close(self) -> None:
        """Close the database connections, and end the worker that makes a picture."""
        self.pictures.close()
        self.arriving.stop()
        self.store.close()

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on; only those of `postscan.core.settings.reload` may differ.

        Then end the subscriptions of callers who are administrators no longer. Raises `StoreBusy` if that fails.
        """
        self.settings = settings
        self.quota.use(settings)
        self._pipeline.use(settings)
        self.accounts.use(settings)
        self.callers.use(settings)
        self._job_mail.use(settings)
        self.service.use(settings)
        self.pictures.use(settings)
        self.origins.use(settings)
        self.retention.use(settings.retention)
        self.subscriptions.drop_without(settings.identity.administrators)

    def catalogue(self) -> Catalogue:
        """Probe every installed plugin, each in a worker process of its own."""
        with contextlib.closing(Workers()) as workers:
            probe = PluginProbe(workers, self.settings)
            return Catalogue((*probe.catalogue().plugins, *probe.sources(), *probe.hooks()))

    def check(self, instructions: Instructions) -> None:
        """Check instructions by their filters, as a server does before it creates a job.

        Raises as `InstructionValidator.check`. Reads the catalogue first, which takes about as long as `catalogue`.
        """
        with self.probing() as (_, validator):
            validator.check(instructions)

    @contextlib.contextmanager
    def probing(self, *, sources: bool = False) -> Iterator[tuple[Catalogue, InstructionValidator]]:
        """Yield the catalogue and the validator of its filters; their workers end with the body. Runs no jobs.

        With *sources* the catalogue has them as well.
        """
        with contextlib.closing(Workers()) as workers:
            probe = PluginProbe(workers, self.settings)
            catalogue = probe.catalogue()
            if sources:
                catalogue = Catalogue((*catalogue.plugins, *probe.sources()))
            yield catalogue, probe.validator(catalogue)

    @contextlib.contextmanager
    def validating(self, filters: FilterLookup) -> Iterator[InstructionValidator]:
        """Yield the validator for filters that were probed before; its workers end with the body."""
        with contextlib.closing(Workers()) as workers:
            yield PluginProbe(workers, self.settings).validator(filters)

    def diagnose_source(self, inlet: str) -> list[str]:
        """Return what the source of an inlet finds wrong with its settings and its surroundings. Runs no jobs."""
        self.origins.begin()
        run_dir = self.settings.storage.run_dir
        with (
            contextlib.closing(Workers()) as workers,
            tempfile.TemporaryDirectory(prefix="ask-", dir=run_dir, ignore_cleanup_errors=True) as folder,
        ):
            start = start_message(inlet, self.settings, self.origins, Path(folder), Path(folder))
            return PluginProbe(workers, self.settings).diagnose(start)

    def diagnose_hooks(self, plugin: str) -> list[str]:
        """Return what a plugin of hooks finds wrong between it and its directory; it is loaded in a new process."""
        with contextlib.closing(Workers()) as workers:
            return PluginProbe(workers, self.settings).diagnose_hooks(plugin)

    @contextlib.contextmanager
    def running(self) -> Iterator[Catalogue]:
        """Run jobs while the body runs, once in the life of an engine; on leaving, drain.

        Raises `SettingsError` if another server has the data, or if the spool is that of another database.
        """
        with self._admitted("serve"), self._led():
            self.metrics.begin()
            with contextlib.closing(self._workers) as workers:
                probe = PluginProbe(workers, self.settings)
                late = LatePlugins(probe.again, self._use)
                catalogue = probe.catalogue()
                self.store.record_filters(catalogue.dialects, self.clock.now())
                self.subscriptions.drop_without(self.settings.identity.administrators)
                workers.warm_up()
                if self.store.mark() is None:
                    self.store.reset_deadlines(self.clock.ticks() + self.settings.limits.silence_seconds)
                self._keep_time()
                with self.filters.active(catalogue, probe.validator(self.filters)), self.metrics.served():
                    self.sweeper.start()
                    self.scheduler.start()
                    self._job_mail.start()
                    late.start(catalogue)
                    try:
                        for hooks in self._hooks:
                            hooks.start()
                        self.sources.start()
                        yield catalogue
                    finally:
                        late.stop()
                        self._drain()
                        self.refusals.summarize()
                        self._keep_time()

    @contextlib.contextmanager
    def working(self) -> Iterator[Catalogue]:
        """Run jobs while the body runs, as a member that is no front end and has no sources; on leaving, drain.

        Raises `SettingsError` as `running`, and if the settings permit one server only.
        """
        if self._membership is None:
            raise SettingsError(
                'cluster.members is "one"; expected "several": a worker shares the database of a server'
            )
        self._keeps_mark = False
        with self._admitted("worker"), contextlib.closing(self._workers) as workers:
            self.metrics.begin()
            probe = PluginProbe(workers, self.settings)
            late = LatePlugins(probe.again, self.filters.use)
            catalogue = probe.catalogue()
            workers.warm_up()
            with self.filters.active(catalogue, probe.validator(self.filters)), self.metrics.served():
                self.scheduler.start()
                late.start(catalogue)
                try:
                    yield catalogue
                finally:
                    late.stop()
                    self.health.stopped(_SCHEDULER)
                    self.scheduler.stop(self.settings.server.drain_seconds)

    @contextlib.contextmanager
    def _led(self) -> Iterator[None]:
        """Take a share in the work that one of several processes does while the body runs."""
        self.leadership.start()
        self._numbering.start()
        try:
            yield
        finally:
            self._numbering.stop()
            self.leadership.stop()

    def _scheduler_went_round(self) -> None:
        """Note it, with the time that one transaction may wait: an outage of the database is no reason to restart."""
        self.health.went_round(_SCHEDULER, LIMIT_SECONDS + 2 * self.settings.storage.busy_seconds)

    def _drain(self) -> None:
        """Stop the sources, then the filters: both have `server.drain_seconds` together."""
        until = time.monotonic() + self.settings.server.drain_seconds
        self.sources.stop(self.settings.server.drain_seconds)
        self.sweeper.stop()
        self.health.stopped(_SCHEDULER)
        self.scheduler.stop(max(0.0, until - time.monotonic()))
        self._stop_hooks()
        self._job_mail.stop()

    def _stop_hooks(self) -> None:
        stops = [threading.Thread(target=hooks.stop, name="postscan-stop", daemon=True) for hooks in self._hooks]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()

    @contextlib.contextmanager
    def answering(self) -> Iterator[Directories]:
        """Run the plugins of hooks while the body runs, and nothing else: once in the life of an engine."""
        with contextlib.closing(self._workers):
            for hooks in self._hooks:
                hooks.start()
            try:
                yield self.directory
            finally:
                self._stop_hooks()

    def spool_refusal(self) -> str | None:
        """Return why a server must not use this spool with this database; None if it may."""
        return identity.refusal(self.store, self.spool)

    def compare_spool(self) -> Comparison:
        """Compare the files of the spool with the rows of the database."""
        return recovery.compare(self.store, self.spool)

    def adopt_spool(self) -> None:
        """Let this spool be that of the database, whatever they were before.

        Raises `SettingsError` if a server has the data.
        """
        with _locked(self.settings.storage.data_dir), self.store.served(_end_process):
            identity.adopt(self.store, self.spool)

    @contextlib.contextmanager
    def _admitted(self, role: str) -> Iterator[None]:
        """Be the only server of the data folder, and the only one of its database or a member, while the body runs.

        Begin with what the processes before this one have left. Raises `SettingsError`. The spool is compared first. A
        server with another one would else take the lock of the database for a moment, and the server that has lost it
        in an outage would then give up.
        """
        with contextlib.ExitStack() as held:
            held.enter_context(_locked(self.settings.storage.data_dir))
            refusal = self.spool_refusal()
            if refusal is not None:
                raise SettingsError(f"{refusal}; see: postscan spool adopt --check")
            if self._membership is None:
                held.enter_context(self.store.served(_end_process))
                self._begin()
                recovery.reconcile(self.store, self.spool, self.clock)
            else:
                with self.store.members_starting():
                    held.enter_context(self._membership.joined(role, self.scheduler.suspend))
                    self._begin()
                    if self._membership.are_others_alive():
                        log.info("spool not compared: other members use it")
                    else:
                        recovery.reconcile(self.store, self.spool, self.clock)
            yield

    def _begin(self) -> None:
        """Bind spool and database, and end what processes on this data folder have left."""
        identity.bind(self.store, self.spool)
        self.store.outages.start()
        _close_to_others(self.settings.storage.data_dir)
        orphans.end_orphans()
        _empty(self.settings.storage.run_dir)

    def _use(self, catalogue: Catalogue, *, awaits: bool) -> None:
        """Offer the filters of a catalogue from now on; first store an event if they are others. Raises `StoreBusy`."""
        if catalogue.dialects != self.filters.dialects:
            self.store.record_filters(catalogue.dialects, self.clock.now())
        self.filters.use(catalogue, awaits=awaits)

    def _keep_time(self) -> None:
        """Store the steady clock, so that it continues from here after a reboot.

        This write is repeated, so it shows whether the database answers and has room.
        """
        with contextlib.suppress(StoreFull):
            if isinstance(self.clock, SystemClock) and self._keeps_mark and self.leadership.is_leader:
                self.store.keep_mark(self.clock.mark())
            self.store.outages.recovered(has_room=self.ballast.allocate())


def _leadership(store: Store, settings: Settings) -> Leadership:
    session = store.lock_session() if settings.cluster.members == "several" else None
    if session is None:
        return AlwaysLeader()
    return SharedLeadership(session, [LEADER, *map(inlet_lock, settings.sources)])


def _ballast(settings: Settings) -> Ballast:
    """Return the ballast for a database on this machine; another database has a disk of its own."""
    storage = settings.storage
    size = storage.ballast_bytes if storage.url.startswith("sqlite") else 0
    return Ballast(storage.data_dir, size, storage.reserve_bytes // 2)


class ServerProcess(NamedTuple):
    """The process of a running server: its name, and its number, None if it is on another machine."""

    name: str
    number: int | None


def server_process(folder: Path) -> ServerProcess | None:
    """Return the process of the server that is running with this data folder; None if there is none."""
    name = FileLock(folder / _LOCK).holder()
    return None if name is None else ServerProcess(name, process_number(name))


def is_served(folder: Path) -> bool:
    """Return whether a server is running with this data folder, on this machine."""
    return FileLock(folder / _LOCK).holder() is not None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Be the only server of the data folder while the body runs; raise `SettingsError`."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FileLock(folder / _LOCK).held())
        except LockHeld as error:
            reason = f"another postscan server is running with this data_dir: {error.holder}"
            raise SettingsError(f"{folder}: {reason}") from None
        yield


def _end_process(server: str) -> None:
    """End this process at once, as if it were killed: another server has taken the database, and its jobs."""
    log.error("database taken by another server", extra={"server": server})
    os._exit(1)


def _close_to_others(folder: Path) -> None:
    """Take the permissions of group and others from the data folder; not from a folder that users share."""
    found = folder.stat()
    wider = found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if not wider:
        return
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        log.error("data folder is open to other users", extra={"file": str(folder)})
        return
    folder.chmod(stat.S_IMODE(found.st_mode) & ~wider)
    log.warning("data folder closed to other users", extra={"file": str(folder)})


def _empty(folder: Path) -> None:
    """Remove the files of runs that were killed."""
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            work_folder.remove(left)
        else:
            left.unlink(missing_ok=True)
