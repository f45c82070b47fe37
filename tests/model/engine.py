"""The real service, spool, store, scheduler and pipeline on real files, with every thread replaced by an actor.

Three things are doubles, each of a border and none of a rule: the executor starts actors instead of threads, the
workers are scripted instead of forked, and the clock is moved by hand. The store is the real one, except that an
actor waits for its turn before and after each transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from conftest import AnyProcess
from model.actors import Actor, current, gate
from model.workers import ScriptedWorkers
from model.world import IMAGES, OPEN_JOBS, Ask, Verb

from postscan import migrations
from postscan.core.cluster.job_locks import OnlyHolder
from postscan.core.cluster.wakeups import NoWakeups
from postscan.core.execution.executor import JobDone
from postscan.core.execution.interrupt import Interrupt, ShuttingDown
from postscan.core.execution.pipeline import Pipeline
from postscan.core.execution.scheduler import Scheduler
from postscan.core.execution.sweeper import Sweeper
from postscan.core.model.job import JobToken, JobTurn
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.model.records import RequestKey
from postscan.core.registry.active_filters import ActiveFilters
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.core.registry.directory.directory import Directories
from postscan.core.registry.directory.users import UserLookup
from postscan.core.service.jobs import PostScanService
from postscan.core.service.refusals import Refusals
from postscan.core.service.waiting import Steps
from postscan.core.settings import Settings
from postscan.core.spool import recovery
from postscan.core.spool.ballast import Ballast
from postscan.core.spool.image_store.folder_spool import FolderSpool
from postscan.core.spool.image_store.spool_store import LOST
from postscan.core.spool.quota import Quota
from postscan.core.spool.retention import Retention
from postscan.core.spool.uploads import Uploads
from postscan.core.store.store import Store

SHM = Path("/dev/shm")
SID = "S-1-5-21-1-2-3-1001"
HOUR = 3600.0
JOBS_KEPT = 2
TABLES = ("event", "delivery", "document", "step", "job", "request", "mark", "usage")
CATALOGUE = Catalogue(
    (Plugin("model", "", "", PluginState.READY, filters=tuple(FilterInfo(f"urn:model:{n}", n, "", 1.0) for n in "ab")),)
)


class HandClock:
    """A clock whose wall and whose ticks are moved apart. It begins at the true time, since files have true times."""

    def __init__(self) -> None:
        self.right = self.wall = datetime.now(UTC) + timedelta(minutes=1)
        self.steady = 1000.0

    def now(self) -> datetime:
        """Return the wall-clock time in UTC; a millisecond passes, so that no two jobs are of one age."""
        self.advance(0.001)
        return self.wall

    def ticks(self) -> float:
        """Return seconds since boot."""
        return self.steady

    def set_wall(self, years: int) -> None:
        """Set the wall clock that many years off; 0 sets it right."""
        self.wall = self.right + timedelta(days=365 * years)

    def set_right(self) -> None:
        """Set the wall clock right, and never behind the clock that gives files their times."""
        self.right = self.wall = max(self.right, datetime.now(UTC) + timedelta(minutes=1))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += timedelta(seconds=seconds)
        self.right += timedelta(seconds=seconds)
        self.steady += seconds

    def reboot(self) -> None:
        """Go on from where the ticks were last written down: ten seconds ago."""
        self.steady -= 10.0


class SteppedStore(Store):
    """The real store; an actor waits before each transaction, and after it for what it does then."""

    writes = 0

    def forget(self) -> None:
        """Know nothing, like a store that was just opened."""
        self._cache.clear()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Wait for the turn, write, and wait again."""
        gate("write")
        with super().writing() as db, _through():
            yield db
        self.writes += 1
        gate("written")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Wait for the turn, read, and wait again."""
        gate("read")
        with super().reading() as db, _through():
            yield db
        gate("seen")


def patient(steps: Steps[Any]) -> Any:
    """Run a verb that waits three steps of other actors for each event; return its result."""
    try:
        wait = next(steps)
        while True:
            for _ in range(3):
                if wait.event.done():
                    break
                gate("patience")
            wait = steps.send(wait.event.done())
    except StopIteration as ended:
        return ended.value


class SteppedExecutor:
    """The executor port with actors for threads: each job is one more actor of the engine."""

    def __init__(self, engine: Engine, pipeline: Pipeline, slots: int) -> None:
        self._engine = engine
        self._pipeline = pipeline
        self._slots = slots
        self._interrupts: dict[JobToken, Interrupt] = {}
        self._turns: dict[JobToken, int] = {}

    def submit(self, run: JobTurn, done: JobDone) -> None:
        """Run a job that is in progress; call *done* when it has left."""
        if run.token not in self._interrupts:
            interrupt = self._interrupts[run.token] = Interrupt()
            self._turns[run.token] = run.turn
            self._engine.spawn(f"job {run.token}", lambda: self._carry(run, interrupt, done))

    def interrupt(self, token: JobToken) -> None:
        """Set the token of the job's running filter."""
        if token in self._interrupts:
            self._interrupts[token].cancel()

    def drop(self, token: JobToken) -> None:
        """Set the token of a job that another process has resumed."""
        if token in self._interrupts:
            self._interrupts[token].drop()

    def suspend(self) -> None:
        """Ask all jobs to be put down."""
        for interrupt in self._interrupts.values():
            interrupt.shutdown()

    def free(self) -> bool:
        """Return whether one more job would run at once."""
        return len(self._interrupts) < self._slots

    def running(self) -> dict[JobToken, int]:
        """Return the jobs that run here, and their turns."""
        return dict(self._turns)

    def stop(self, drain_seconds: float) -> None:
        """Ask all jobs to be put down; the engine steps them to their ends."""
        self.suspend()

    def _carry(self, run: JobTurn, interrupt: Interrupt, done: JobDone) -> str:
        error: Exception | None = None
        answer = "left"
        try:
            self._pipeline.run(run, interrupt)
        except ShuttingDown:
            answer = "put down"
        except Exception as broken:
            error = broken
        finally:
            del self._interrupts[run.token], self._turns[run.token]
        done(run.token, error)
        if error is not None:
            raise error
        return answer


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Let the log be silent while the body runs: the faults are meant, and nobody reads of them."""
    log = logging.getLogger("postscan")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


class Engine:
    """One server, its data, and its actors. Close it when done."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postscan-model-", dir=SHM if SHM.is_dir() else None))
        table: dict[str, Any] = {
            "server": {"idle_seconds": 0.001},
            "storage": {"data_dir": str(self.folder), "busy_seconds": 0.001},
            "limits": {
                "open_jobs": OPEN_JOBS,
                "images_per_job": IMAGES,
                "bad_tokens": 1_000_000,
                "refused_lines": 1_000_000,
            },
            "retention": {"jobs": JOBS_KEPT},
            "running": {"slots": 2, "cancel_answer_seconds": 0.001},
        }
        self.settings = Settings.model_validate(table)
        self.settings.storage.run_dir.mkdir()
        self.file = self.folder / "postscan.sqlite"
        self.file.write_bytes(_empty_database())
        self.watcher = sqlite3.connect(self.file, isolation_level=None)
        self.store = SteppedStore(self.settings.storage.url, busy_seconds=0.001)
        self.fresh()

    def fresh(self) -> None:
        """Begin with empty data, and with the clocks set right; only the audit trail cannot be emptied."""
        self.watcher.executescript("BEGIN;" + "".join(f"DELETE FROM {table};" for table in TABLES) + "COMMIT;")
        self.audit_from = self.watcher.execute("SELECT coalesce(max(seq), 0) FROM audit").fetchone()[0]
        self.put_files({})
        self.clock = HandClock()
        self.shown: dict[tuple[str, int, int | None, str], str] = {}
        self.start()

    def start(self) -> None:
        """Start a server on the data that are there.

        The connections stay: between transactions they keep nothing, and opening them is what takes longest.
        """
        self.store.forget()
        self.actors: list[Actor] = []
        self.spool = FolderSpool(self.settings.storage.spool_dir)
        self.uploads = Uploads()
        workers: Any = ScriptedWorkers(self.shown)
        quota = Quota(self.settings, self.store, self.spool)
        pipeline = Pipeline(self.store, self.spool, quota, CATALOGUE, workers, self.settings, self.clock)
        self.executor = SteppedExecutor(self, pipeline, self.settings.running.slots)
        self.scheduler = Scheduler(self.store, self.clock, self.executor, OnlyHolder(), NoWakeups())
        self.retention = Retention(self.settings.retention, self.store, self.spool, self.clock)
        self.sweeper = Sweeper(self.store, self.uploads, self.retention, self.clock)
        self.service = PostScanService(
            self.settings,
            self.store,
            self.spool,
            quota,
            AnyProcess(),
            ActiveFilters(),
            self.scheduler,
            self.uploads,
            self.retention,
            Ballast(self.settings.storage.data_dir, 0, 0),
            Refusals(self.store, self.settings.limits, self.clock),
            self.clock,
            UserLookup(self.settings, Directories(self.settings.directory, (), self.clock.ticks)),
        )
        self.clock.set_right()  # a stray file is told by its time
        recovery.reconcile(self.store, self.spool, self.clock)

    def crash(self) -> None:
        """Kill the server, as kill -9 would: what its threads would do on their way out does not happen."""
        files = self.files()
        shown = dict(self.shown)
        for actor in self.actors:
            if not actor.over:
                actor.kill()
        self.put_files(files)
        self.shown = shown
        self.start()

    def close(self) -> None:
        """Give everything back."""
        for actor in self.actors:
            if not actor.over:
                actor.kill()
        self.actors.clear()  # their errors hold what was open when they were killed
        self.store.close()
        self.watcher.close()
        shutil.rmtree(self.folder)

    # --- actors --------------------------------------------------------------------------------------------------

    def spawn(self, name: str, body: Callable[[], Any]) -> Actor:
        """Make an actor; it has not begun."""
        actor = Actor(name, body)
        self.actors.append(actor)
        return actor

    def scheduling(self) -> Actor:
        """Make the actor of one look of the scheduler."""
        return self.spawn("scheduler", self.scheduler.poll)

    def sweeping(self) -> Actor:
        """Make the actor of one sweep: first of the silent jobs, then of what is no longer kept."""

        def sweep() -> None:
            for _ in self.sweeper.expire():
                pass
            self.retention.sweep()

        return self.spawn("sweeper", sweep)

    def request(self, ask: Ask) -> Actor:
        """Make the actor of one request."""
        return self.spawn(str(ask), lambda: self._answer(ask))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let another process hold the database."""
        self.watcher.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            self.watcher.execute("ROLLBACK")

    def _answer(self, ask: Ask) -> Any:
        service = self.service
        if ask.verb is Verb.CREATE:
            filters = tuple(FilterInstructions(dialect, b"<do/>") for dialect in ask.filters)
            return service.create(ask.by, SID, "P", Instructions("Invoice", filters, ask.go_on), _named(ask))
        if ask.verb is Verb.SEND:
            return self._send(ask)
        if ask.verb is Verb.GET:
            return service.job(ask.token, ask.by)
        if ask.verb is Verb.END:
            return patient(service.end_steps(ask.token, ask.by, _named(ask)))
        if ask.verb is Verb.CANCEL:
            return patient(service.cancel_steps(ask.token, ask.by, _named(ask)))
        return service.hold(ask.token, ask.by) if ask.verb is Verb.HOLD else service.release(ask.token, ask.by)

    def _send(self, ask: Ask) -> None:
        with self.service.open_image(ask.token, ask.by, ask.document, "png", _named(ask)) as image:
            half = len(ask.content) // 2
            for part in (ask.content[:half], ask.content[half:]):
                order = gate("image")
                if order == "vanish":
                    raise ConnectionError("the device is gone")
                with _full_disk() if order == "disk" else contextlib.nullcontext():
                    image.write(part)

    # --- files ---------------------------------------------------------------------------------------------------

    def files(self) -> dict[str, bytes]:
        """Return all files of the spool by their names in it."""
        root = self.settings.storage.spool_dir
        paths = [path for path in root.glob("*/*") if path.parent.name != LOST]
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}

    def put_files(self, files: dict[str, bytes]) -> None:
        """Make the spool hold exactly these files."""
        root = self.settings.storage.spool_dir
        if root.exists():
            for folder in root.iterdir():
                shutil.rmtree(folder)
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


@contextlib.contextmanager
def _through() -> Iterator[None]:
    actor = current()
    if actor is None:
        yield
    else:
        with actor.through():
            yield


def _named(ask: Ask) -> RequestKey | None:
    """Return what names this request; like a front end's, the digest knows nothing of an image's bytes."""
    if not ask.message:
        return None
    return RequestKey(ask.message, hashlib.sha256(repr(replace(ask, content=b"")).encode()).hexdigest())


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """Let the kernel refuse what is written beyond the second byte of a file, after it took that much."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.sqlite"
        migrations.upgrade(f"sqlite:///{file}")
        return file.read_bytes()
