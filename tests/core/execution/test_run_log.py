"""The lines of one filter run in the server's log: their number, their length, and what was dropped."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from postscan.core.execution.run_log import RunLog
from postscan.core.model.job import JobToken
from postscan.core.settings.engine import FilterSettings
from postscan.core.workers.protocol import LogLine

JOB = JobToken("7b0e9c54")


@pytest.fixture(autouse=True)
def _shown(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


def run_log(**limits: int) -> RunLog:
    """Return the log of a run with these limits."""
    return RunLog(JOB, "Stamp", FilterSettings(**limits))


def line(text: str, size: int | None = None) -> LogLine:
    """Return a line of *text*, the begin of one of *size* bytes."""
    return LogLine(level="info", text=text, size=len(text.encode()) if size is None else size)


def fields(caplog: pytest.LogCaptureFixture, *names: str) -> list[tuple[Any, ...]]:
    """Return message and named fields of each line."""
    return [(one.getMessage(), *(vars(one).get(name) for name in names)) for one in caplog.records]


def test_a_run_has_so_many_lines_and_one_about_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """T-P6: at the limit nothing is missing; beyond it, the last line has the number and the bytes of those dropped."""
    at_limit, beyond = run_log(log_lines=2), run_log(log_lines=2)
    for log, number in ((at_limit, 2), (beyond, 4)):
        for _ in range(number):
            log.write(line("12345"))
        log.close()

    assert fields(caplog, "lines", "bytes") == [
        *[("filter logged", None, None)] * 4,
        ("lines of a filter dropped", 2, 10),
    ]
    assert (vars(caplog.records[-1])["job"], vars(caplog.records[-1])["filter"]) == (JOB, "Stamp")


def test_a_line_has_so_many_bytes_and_says_how_many_are_missing(caplog: pytest.LogCaptureFixture) -> None:
    """T-P6: no character is divided; what the worker has cut already counts as well."""
    log = run_log(log_line_bytes=5)
    for one in (line("12345"), line("123456"), line("ééé"), line("12345", 5000), line("123", 1)):
        log.write(one)

    assert fields(caplog, "text", "dropped_bytes") == [
        ("filter logged", "12345", None),
        ("filter logged", "12345", 1),
        ("filter logged", "éé", 2),
        ("filter logged", "12345", 4995),
        ("filter logged", "123", None),
    ]
