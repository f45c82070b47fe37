"""`postscan jobs log` beside a running engine."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import commands
from conftest import ANNA
from typer.testing import Result
from works import Works

from postscan.core.engine import Engine
from postscan.core.spool.job_log import JobLogWriter

Postscan = Callable[..., Result]
UNKNOWN = "5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z"


def test_the_log_of_a_job_is_printed_line_by_line(postscan: Postscan, works: Works) -> None:
    """Time, filter as in `jobs show`, level and text."""
    token = works.start("copy", "log one two")
    works.ended(token)
    result = postscan("jobs", "log", token)
    lines = result.stdout.splitlines()

    assert result.exit_code == 0
    assert [re.sub(f"^{TIME}", "TIME", line) for line in lines] == [
        "TIME filter 2 info: one",
        "TIME filter 2 info: two",
    ]


def test_the_json_of_a_log_is_one_object_a_line(postscan: Postscan, works: Works) -> None:
    """For programs: positions begin with 0, as in the other records."""
    token = works.start("log one")
    works.ended(token)
    (line,) = map(json.loads, postscan("jobs", "log", token, "--json").stdout.splitlines())

    assert line.pop("at").endswith("+00:00")
    assert line == {
        "position": 0,
        "attempt": 1,
        "level": "info",
        "text": "one",
        "dropped_lines": 0,
        "dropped_bytes": 0,
    }


def test_what_is_missing_is_told_and_no_text_steers_the_terminal(postscan: Postscan, core: Engine) -> None:
    """T-P6: control characters of a filter are shown as escapes."""
    token = Works(core, ANNA).create("copy")
    writer = JobLogWriter(core.spool.logs, token, ANNA.name, 0, 2, core.clock, 0)
    writer.append("error", "\x1b[2J begin", dropped_bytes=5)
    writer.drop(70)
    writer.close()
    lines = [line.partition("Z ")[2] for line in postscan("jobs", "log", token).stdout.splitlines()]

    assert lines == [
        r"filter 1 run 2 error: \x1b[2J begin (5 more bytes)",
        "filter 1 run 2 warning: (1 line of 70 bytes missing here)",
    ]


def test_a_log_is_followed_until_the_job_has_ended(settings_file: Path, works: Works) -> None:
    """In a pipe, each line is there at once; the exit code says that nothing went wrong."""
    token = works.start("log before PAUSE behind")
    works.await_trace(token, "pausing")
    command = ["--config", str(settings_file), "jobs", "log", token, "--follow"]
    with commands.start(command, stdout=subprocess.PIPE) as log:
        assert log.stdout
        first = log.stdout.readline()
        works.wake(token)
        rest = list(log.stdout)
        exit_code = log.wait(60)

    assert exit_code == 0
    assert [line.rpartition(" ")[2] for line in (first, *rest)] == ["before\n", "behind\n"]


def test_a_log_of_a_job_that_runs_is_not_followed_unasked(postscan: Postscan, works: Works) -> None:
    """It prints what is there."""
    token = works.start("sleep until woken")
    works.await_trace(token, "sleep")
    result = postscan("jobs", "log", token)
    works.wake(token)

    assert (result.exit_code, result.stdout) == (0, "")


def test_the_log_of_an_unknown_job_is_one_line(postscan: Postscan) -> None:
    """Exit code 1 and a sentence."""
    result = postscan("jobs", "log", UNKNOWN)

    assert result.exit_code == 1
    assert UNKNOWN in result.stderr
