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


# --- secrets ---------------------------------------------------------------------------------------------------------


class Kept:
    """Keeps lines in memory."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def append(self, level: str, text: str, dropped_bytes: int = 0) -> None:
        """Keep a line."""
        self.calls.append((level, text, dropped_bytes))

    def drop(self, size: int) -> None:
        """Keep the size of a line."""
        self.calls.append((size,))

    def close(self) -> None:
        """Keep that it was closed."""
        self.calls.append(())


def test_what_is_logged_is_kept_as_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With the same limits, and a level that every reader knows."""
    kept = Kept()
    log = RunLog(JOB, "Stamp", FilterSettings(log_lines=3, log_line_bytes=5), kept)
    for one in (line("12345"), line("123456"), LogLine(level="loud", text="a"), line("1234"), line("123")):
        log.write(one)
    log.close()

    assert kept.calls == [("info", "12345", 0), ("info", "12345", 1), ("info", "a", 0), (4,), (3,), ()]
    assert len(caplog.records) == 4


@pytest.mark.parametrize(
    ("text", "size", "logged"),
    [
        ("the swordfish and the swordfish", None, "the *** and the ***"),
        ("cut within the sword", 5000, "cut within the ***"),
        ("not cut: the sword", None, "not cut: the sword"),
        ("cut, but swo", 5000, "cut, but swo"),
        ("swordfish", 5000, "***"),
    ],
)
def test_no_secret_is_logged(text: str, size: int | None, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither whole, nor at the end of a line that the worker has cut, unless too little is left to be one."""
    kept = Kept()
    log = RunLog(JOB, "Stamp", FilterSettings(), kept, {"swordfish"})
    log.write(line(text, size))

    assert fields(caplog, "text") == [("filter logged", logged)]
    assert kept.calls[0][1] == logged


def test_a_secret_at_the_limit_of_a_line_is_no_part_of_it() -> None:
    """The secret is replaced before the line is cut."""
    kept = Kept()
    log = RunLog(JOB, "Stamp", FilterSettings(log_line_bytes=8), kept, {"swordfish"})
    log.write(line("key swordfish"))

    assert kept.calls == [("info", "key ***", 0)]
