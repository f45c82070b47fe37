"""What the filters of a job log is kept with the job: with real workers, across restarts, and for administrators."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import databases
import pytest
from conftest import ANNA, BORIS, AnyProcess
from works import Works, until

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound
from postscan.core.model.principal import Principal, Proof
from postscan.core.settings import Settings

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
SECRET = "forty years of swordfish"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with a secret, with which a filter is stopped at once when the server stops."""
    server = settings.server.model_copy(update={"drain_seconds": 0.1})
    filters = {"acme": {**settings.filters["acme"], "api_key": SECRET}}
    return settings.model_copy(update={"server": server, "filters": filters})


@pytest.fixture
def engines(settings: Settings) -> Iterator[list[Engine]]:
    """Two engines for the same data; run one after the other."""
    databases.migrated(settings.storage.url)
    engines = [Engine(settings, AnyProcess()) for _ in range(2)]
    yield engines
    for engine in engines:
        engine.close()


def kept(core: Engine, token: str) -> list[tuple[int, int, str, str]]:
    """Return filter, run, level and text of each line of a job's log."""
    return [(one.position, one.attempt, one.level, one.text) for one in core.service.lines(token, ADMIN).lines]


def test_the_lines_of_all_filters_are_kept_after_the_end_of_the_job(works: Works) -> None:
    """Each with the filter that it is of, in their order."""
    token = works.start("log one two", "copy", "log three")
    works.ended(token)

    assert kept(works.core, token) == [(0, 1, "info", "one"), (0, 1, "info", "two"), (2, 1, "info", "three")]


def test_no_secret_of_a_plugin_is_in_any_log(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in that of the job nor in that of the server; the settings of the plugin have it."""
    with caplog.at_level(logging.INFO):
        token = works.start("log KEY")
        works.ended(token)

    assert kept(works.core, token) == [(0, 1, "info", "key ***")]
    assert [vars(one)["text"] for one in caplog.records if one.message == "filter logged"] == ["key ***"]
    assert SECRET.encode() not in works.core.spool.logs.path(token).read_bytes()


def test_a_job_that_goes_on_after_a_restart_appends_to_its_log(engines: list[Engine]) -> None:
    """The run of the first server and that of the second are told apart by their numbers."""
    first, second = engines
    with first.running():
        works = Works(first, ANNA)
        token = works.start("log before PAUSE behind")
        works.await_trace(token, "pausing")
    works.wake(token)
    with second.running():
        until(lambda: second.service.job(token, ANNA).state.ended)
        counted = second.spool.logs.bytes_of(ANNA.name)

    assert [(run, text) for _, run, _, text in kept(second, token)] == [(1, "before"), (2, "before"), (2, "behind")]
    assert counted == second.spool.logs.path(token).stat().st_size


def test_a_line_can_be_read_while_the_filter_runs(works: Works) -> None:
    """Part by part, as a command that follows the log does."""
    token = works.start("log before PAUSE behind")
    works.await_trace(token, "pausing")
    until(lambda: works.service.lines(token, ADMIN).lines)
    first = works.service.lines(token, ADMIN)
    works.wake(token)
    works.ended(token)

    assert [line.text for line in first.lines] == ["before"]
    assert [line.text for line in works.service.lines(token, ADMIN, first.end).lines] == ["behind"]


def test_the_log_is_for_administrators(works: Works) -> None:
    """The owner gets no line of it, and to others there is no such job (I13)."""
    token = works.start("log one")
    works.ended(token)

    assert works.service.lines(token, ANNA).lines == ()
    with pytest.raises(JobNotFound):
        works.service.lines(token, BORIS)


def test_a_log_that_cannot_be_written_fails_no_filter(works: Works) -> None:
    """Something else has the name of its folder."""
    works.core.spool.logs.path("").write_text("no folder")
    token = works.start("log one", "copy")

    assert works.ended(token).reasons == ("PostScanJobCompletedSuccessfully",)
    assert len(works.delivered()) == 1


def test_too_many_lines_of_a_run_are_named_in_the_log_of_the_job(settings: Settings) -> None:
    """T-P6: as in that of the server."""
    running = settings.running.model_copy(update={"log_lines": 2})
    databases.migrated(settings.storage.url)
    core = Engine(settings.model_copy(update={"running": running}), AnyProcess())
    with contextlib.closing(core), core.running():
        works = Works(core, ANNA)
        token = works.start("log one two three four")
        works.ended(token)
        lines = core.service.lines(token, ADMIN).lines

    assert [line.text for line in lines if line.text] == ["one", "two"]
    assert sum(line.dropped_lines for line in lines) == 2
    assert sum(line.dropped_bytes for line in lines) == len("three" + "four")
