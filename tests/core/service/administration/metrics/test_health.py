"""Whether a process works, and whether it is ready: what counts, for how long, and what waits for what."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.service.administration.metrics import health as health_module
from postscan.core.service.administration.metrics import readiness
from postscan.core.service.administration.metrics.health import FRESH_SECONDS, LIMIT_SECONDS, Health


class Watch:
    """A clock that stands still until it is moved, and a process that has started."""

    def __init__(self) -> None:
        self.now = 100.0
        self.health = Health(lambda: self.now)
        self.health.started()


@pytest.fixture
def watch() -> Watch:
    """A process that has started."""
    return Watch()


def test_a_process_works_while_its_parts_go_round(watch: Watch) -> None:
    watch.health.went_round("event loop")
    watch.health.went_round("scheduler", limit=2 * LIMIT_SECONDS)
    watch.now += LIMIT_SECONDS
    in_time = watch.health.stuck()
    watch.now += 1

    assert in_time == {}
    assert watch.health.stuck() == {"event loop": LIMIT_SECONDS + 1}


def test_a_part_that_has_stopped_is_not_late(watch: Watch) -> None:
    """A process that drains works."""
    watch.health.went_round("event loop")
    watch.health.stopped("event loop")
    watch.now += 10 * LIMIT_SECONDS

    assert watch.health.stuck() == {}


def test_a_process_is_ready_from_its_start_to_its_drain() -> None:
    health, told = Health(), []
    health.on_drain(lambda: told.append("draining"))
    before = health.unready()
    health.started()
    between = health.unready()
    health.drain()
    health.drain()
    health.started()

    assert (before, between) == ({"server": "starting"}, {})
    assert health.unready() == {"server": "stopping"}
    assert told == ["draining"]


def test_each_check_can_say_no(watch: Watch) -> None:
    watch.health.add("database", lambda: "")
    watch.health.add("listener", lambda: "it is not connected")

    assert watch.health.unready() == {"listener": "it is not connected"}


def test_a_check_that_raises_gives_no_text_away(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """Who asks may be anyone; the text may have a host name or a path. It is in the log."""

    def fail() -> str:
        raise OSError(errno.EIO, "cannot read", "/srv/scans")

    watch.health.add("spool", fail)

    assert watch.health.unready() == {"spool": "OSError"}
    assert "/srv/scans" in caplog.text


def test_who_asks_often_costs_no_more(watch: Watch) -> None:
    calls: list[float] = []
    watch.health.add("database", lambda: calls.append(watch.now) or "")
    for _ in range(50):
        watch.health.unready()
    watch.now += FRESH_SECONDS
    watch.health.unready()

    assert len(calls) == 2


def test_a_check_that_hangs_is_no_answer_and_takes_one_thread(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is asked for; as soon as it ends, its outcome counts."""
    monkeypatch.setattr(health_module, "ANSWER_SECONDS", 0.05)
    release, ended, calls = threading.Event(), threading.Event(), []

    def hang() -> str:
        calls.append(None)
        release.wait()
        ended.set()
        return ""

    watch.health.add("spool", hang)
    hanging = [watch.health.unready() for _ in range(3)]
    monkeypatch.setattr(health_module, "ANSWER_SECONDS", 60.0)
    release.set()
    ended.wait()

    assert hanging == [{"spool": "no answer within 0.05 s"}] * 3
    assert watch.health.unready() == {}
    assert len(calls) == 1


# --- what a server needs --------------------------------------------------------------------------------------------


def test_a_database_that_does_not_answer_is_told_without_its_name(
    core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = readiness.database(core.store)

    def mark() -> None:
        raise StoreBusy("connection to server at 192.0.2.9 failed")

    monkeypatch.setattr(core.store, "mark", mark)

    assert (good, readiness.database(core.store)) == ("", "the database does not answer")


@pytest.mark.parametrize(
    ("needed", "reason"),
    [("0001", ""), ("9999", "expected 9999")],
)
def test_a_schema_that_is_older_than_needed_is_told(core: Engine, needed: str, reason: str) -> None:
    """A newer one is not: the version before works on it while members are restarted one by one."""
    found = readiness.schema(core.store, needed)

    assert found.endswith(reason)
    assert bool(found) is bool(reason)


def test_a_spool_that_takes_no_files_is_told(tmp_path: Path) -> None:
    """What was written for the trial is gone."""
    good = readiness.spool(tmp_path)

    assert (good, list(tmp_path.iterdir())) == ("", [])
    assert readiness.spool(tmp_path / "missing") == "no file can be written: No such file or directory"


def test_a_full_spool_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without room for images still answers, and cancels."""

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)

    assert readiness.spool(tmp_path) == ""


def test_a_running_server_works_and_is_ready_as_far_as_its_parts_are(core: Engine) -> None:
    """The front end says when it listens."""
    with core.running():
        before = core.health.unready()
        core.health.started()

        assert (before, core.health.unready()) == ({"server": "starting"}, {})
        assert core.health.stuck() == {}
        assert "scheduler" in core.health._rounds
    assert "scheduler" not in core.health._rounds
