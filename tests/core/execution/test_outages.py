"""A database that does not answer while filters run: nothing runs twice, and nothing is lost."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator

import databases
import pytest
from conftest import ANNA, AnyProcess
from listeners import Listener, Telling
from subscribed import subscribe
from works import Works, until

from postscan.core import engine
from postscan.core.clock import SystemClock
from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.execution import run_listener
from postscan.core.execution.run_listener import RunListener
from postscan.core.execution.run_log import RunLog
from postscan.core.filters.cancellation import CancelSource
from postscan.core.model.job import Job, JobTurn
from postscan.core.model.states import JobState
from postscan.core.settings import Settings
from postscan.core.store.store import Store
from postscan.core.workers.protocol import FilterProgress, GrantReply, GrantRequest, OutputPublished
from postscan.soap.eventing import notifier

ABOUT = {"document": 1, "destination": "d", "name": "n"}


@pytest.fixture
def core(settings: Settings) -> Iterator[Engine]:
    """An engine that is not running, and waits a moment only for its filters to stop."""
    server = settings.server.model_copy(update={"drain_seconds": 0.1})
    databases.migrated(settings.storage.url)
    core = Engine(settings.model_copy(update={"server": server}), AnyProcess())
    yield core
    core.close()


@contextlib.contextmanager
def locked(store: Store) -> Iterator[None]:
    """Let the database refuse every change while the body runs, as when another program holds its lock.

    Only meanwhile the store waits for a moment, and not for seconds.
    """
    with (
        contextlib.closing(sqlite3.connect(store.url.removeprefix("sqlite:///"), isolation_level=None)) as other,
        pytest.MonkeyPatch.context() as patch,
    ):
        other.execute("PRAGMA busy_timeout=10000")
        other.execute("BEGIN IMMEDIATE")
        patch.setattr(store._database, "_busy_seconds", 0.05)
        yield
        other.execute("ROLLBACK")


def is_waiting(caplog: pytest.LogCaptureFixture) -> Callable[[], bool]:
    """Return a question: has a job begun to wait for the database? The log of a server does not show it."""
    caplog.set_level(logging.DEBUG)
    return lambda: "job waits for the database" in messages(caplog)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged so far."""
    return [one.getMessage() for one in list(caplog.records)]


def test_a_filter_that_has_ended_does_not_run_again_when_its_end_cannot_be_stored(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R13: its outcome is kept until the database takes it."""
    token = works.start("sleep until woken", "copy")
    works.await_trace(token, "sleep")
    waiting = is_waiting(caplog)
    with locked(works.core.store):
        works.wake(token)
        works.await_trace(token, "slept")
        until(waiting, "for the pipeline to wait")

    job = works.ended(token)

    assert job.state is JobState.COMPLETED
    assert [step.attempt for step in job.steps] == [1, 1]
    assert [line[0] for line in works.trace(token)] == ["sleep", "slept", "copy"]
    assert len(works.delivered()) == 1


def test_an_outage_is_a_line_when_it_begins_and_one_when_it_ends(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-R13, F-R14: scheduler, pipelines, notifier and requests fail many times meanwhile, and log nothing of it."""
    monkeypatch.setattr(engine, "MARK_SECONDS", 0.1)
    monkeypatch.setattr(notifier, "LIST_SECONDS", 0.0)
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    with contextlib.closing(core), core.running(), Listener(500) as deaf, Telling(core):
        works = Works(core, ANNA)
        subscribe(core, deaf, seconds=1.0)
        tokens = [works.start("sleep until woken") for _ in range(4)]
        for token in tokens:
            works.await_trace(token, "sleep")
        caplog.clear()
        with locked(core.store):
            for _ in range(5):
                with pytest.raises(StoreBusy):
                    works.create("copy")
            for token in tokens:
                works.wake(token)
            until(lambda: core.store.outages.failures > 15, "for many failures")
        for token in tokens:
            works.ended(token)
        until(lambda: "database available again" in messages(caplog), "for the end of the outage")

    about_it = [one for one in caplog.records if "database" in one.getMessage() or one.exc_info][:2]
    assert [one.getMessage() for one in about_it] == ["database unavailable", "database available again"]
    assert [one.levelno for one in about_it] == [logging.ERROR, logging.WARNING]
    assert vars(about_it[1])["failures"] > 15


def test_an_outcome_that_cannot_be_stored_does_not_keep_a_server_from_stopping(
    core: Engine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Then it is lost, and the filter runs again at the next start (D13)."""
    works, waiting = Works(core, ANNA), is_waiting(caplog)
    with contextlib.ExitStack() as ends, pytest.raises(StoreBusy), core.running():  # its clock cannot be stored either
        token = works.start("sleep until woken", "turn add")
        works.await_trace(token, "sleep")
        ends.enter_context(locked(core.store))
        works.wake(token)
        works.await_trace(token, "slept")
        until(waiting, "for the pipeline to wait")

    with contextlib.closing(Engine(settings, AnyProcess())) as again, again.running():
        job = Works(again, ANNA).ended(token)

    assert job.state is JobState.COMPLETED
    assert (job.steps[0].attempt, job.steps[0].crashes) == (2, 1)


@pytest.fixture
def source() -> Iterator[CancelSource]:
    """What cancels the run."""
    with CancelSource() as source:
        yield source


@pytest.fixture
def listener(core: Engine, job: Callable[..., Job], source: CancelSource) -> RunListener:
    """What listens to the first run of a filter."""
    made, at = job(), core.clock.now()
    made.end(at)
    made.claim(at)
    made.start(0, at)
    core.store.insert(made)
    run_log = RunLog(made.token, "Copy", core.settings.running)
    return RunListener(core.store, SystemClock(), JobTurn(made.token, made.turn), made.steps[0], run_log, source.wait)


def test_a_request_for_a_grant_waits_for_the_database(
    core: Engine, listener: RunListener, caplog: pytest.LogCaptureFixture
) -> None:
    """A filter runs on, and delivers when it can be recorded."""
    replies: list[GrantReply | None] = []
    waiting = is_waiting(caplog)
    asks = threading.Thread(target=lambda: replies.append(listener.handle(GrantRequest(**ABOUT))))
    with locked(core.store):
        asks.start()
        until(waiting, "for the request to wait")
        assert replies == []
    asks.join()

    assert replies == [GrantReply(granted=True)]


def test_a_request_for_a_grant_is_refused_when_the_run_is_stopped_meanwhile(
    core: Engine, listener: RunListener, source: CancelSource, caplog: pytest.LogCaptureFixture
) -> None:
    """A cancel, the time limit and a stop of the server do not wait for the database."""
    replies: list[GrantReply | None] = []
    waiting = is_waiting(caplog)
    asks = threading.Thread(target=lambda: replies.append(listener.handle(GrantRequest(**ABOUT))))
    with locked(core.store):
        asks.start()
        until(waiting, "for the request to wait")
        source.cancel("the server is stopping")
        asks.join()

    assert replies == [GrantReply(granted=False)]


def test_a_request_for_a_grant_does_not_wait_for_ever(
    core: Engine, listener: RunListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is ended after a minute, so that it does not hold its slot."""
    monkeypatch.setattr(run_listener, "GRANT_SECONDS", 0.2)
    with locked(core.store), pytest.raises(StoreBusy):
        listener.handle(GrantRequest(**ABOUT))


def test_what_was_published_during_an_outage_is_recorded_after_it(core: Engine, listener: RunListener) -> None:
    """In its order, with the next request or the end of the run; progress does not matter that much."""
    listener.handle(GrantRequest(**ABOUT))
    with locked(core.store):
        assert listener.handle(OutputPublished(**ABOUT)) is None
        assert listener.handle(FilterProgress(done=1, total=2, unit="pages")) is None

    listener.confirm()

    [delivery] = core.store.deliveries(listener._run.token)
    assert delivery.published
    assert listener.progress == "1/2 pages"


def test_a_run_whose_request_waited_in_vain_is_ended_and_begins_again(
    works: Works, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute without a database costs one run, and no job."""
    monkeypatch.setattr(run_listener, "GRANT_SECONDS", 0.2)
    token = works.start("copy until woken")
    works.await_trace(token, "copy")
    with locked(works.core.store):
        works.wake(token)
        until(lambda: "filter crashed" in messages(caplog), "for the run to be ended")

    job = works.ended(token)

    assert (job.state, job.steps[0].attempt) == (JobState.COMPLETED, 2)
    assert len(works.delivered()) == 1
