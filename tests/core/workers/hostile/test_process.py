"""A filter's process: it begins as a new one, has nothing of the server, and can harm neither it nor other runs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evil_runs import Den

from postscan.core.model.states import JobState

ALLOWED = {"PATH", "HOME", "LANG", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "POSTSCAN_RUN"}


def looks_of(den: Den) -> dict[str, Any]:
    """Return what a filter's process looks like."""
    token = den.start_evil("look-around")
    den.ended(token)
    [line] = [line for line in (den.out / f"{token}.trace").read_text().splitlines() if line.startswith("looks")]
    looks: dict[str, Any] = json.loads(line.removeprefix("looks "))
    return looks


def descriptors() -> Iterator[str]:
    """Yield what the descriptors of this process lead to."""
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(one.readlink())


def test_a_run_finds_nothing_of_what_the_one_before_changed(den: Den) -> None:
    """Folder, umask, environment, signals and priority are those of a new process."""
    den.ended(den.start_evil("change-everything"))

    looks = looks_of(den)
    assert (looks["home"], looks["umask"], looks["sigterm"], looks["nice"]) == (True, 0o027, True, os.nice(0))
    assert looks["path"] == os.environ["PATH"]


def test_a_worker_has_no_descriptor_and_no_secret_of_the_server(den: Den, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-P4: neither its sockets nor its database, and of its environment only what a program needs to run."""
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    looks = looks_of(den)

    ours = set(descriptors())
    sockets = {one for one in looks["descriptors"] if one.startswith("socket:")}
    files = [Path(one) for one in looks["descriptors"] if one.startswith("/") and not one.startswith("/proc/")]
    assert len(sockets) == 1
    assert not sockets & ours
    assert {str(file) for file in files} == {"/dev/null", "/memfd:postscan-token (deleted)"}
    assert "DATABASE_PASSWORD" not in looks["environment"]
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PATH" in looks["start"]
    assert [one for one in looks["start"] if one not in ALLOWED and not one.startswith("LC_")] == []


def test_a_filter_that_truncates_the_page_of_its_token_does_not_kill_the_server(den: Den) -> None:
    """T-P4: a mapped page that its file has lost is a SIGBUS for every process that reads it."""
    job = den.ended(den.start_evil("truncate-the-token"))

    assert job.state is JobState.COMPLETED


def test_the_death_of_the_forkserver_costs_no_run(den: Den) -> None:
    """The neighbour (see the fixture) goes on in its first attempt, and the next job gets a new forkserver."""
    job = den.ended(den.start_evil("kill-the-forkserver"))
    assert job.state is JobState.COMPLETED

    assert den.ended(den.start("copy")).state is JobState.COMPLETED
