"""The log of a job on the disk: what is appended and read, its limit, and what a crash or a full disk leaves of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from postscan.core.model.job import JobToken
from postscan.core.model.records import JobLogLine, JobLogPage
from postscan.core.spool import job_log
from postscan.core.spool.job_log import JobLogs, JobLogWriter
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

JOB, OTHER = JobToken("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935"), JobToken("11112222-0000-4000-8000-000000000000")
ANNA, BORIS = "device:192.0.2.7", "device:192.0.2.8"


@pytest.fixture
def logs(tmp_path: Path) -> JobLogs:
    """The logs of a folder that does not exist yet."""
    return JobLogs(tmp_path / "logs")


def writer(logs: JobLogs, position: int = 0, attempt: int = 1, *, token: JobToken = JOB, **more: Any) -> JobLogWriter:
    """Return the writer of one run; its clock stands still."""
    return JobLogWriter(logs, token, more.get("owner", ANNA), position, attempt, FakeClock(), more.get("reserve", 0))


def texts(page: JobLogPage) -> list[str]:
    """Return the texts of the lines."""
    return [line.text for line in page.lines]


def dropped(page: JobLogPage) -> list[tuple[int, int]]:
    """Return lines and bytes of what the log names as missing."""
    return [(line.dropped_lines, line.dropped_bytes) for line in page.lines if line.dropped_lines]


def test_a_line_has_time_filter_run_level_and_text(logs: JobLogs) -> None:
    """Runs append, also those after a restart, with other objects; no text of a filter can end a line."""
    first = writer(logs)
    first.append("info", "page 1 é")
    first.append("error", "two\nlines", dropped_bytes=7)
    first.close()
    again = writer(JobLogs(logs.path(JOB).parent), position=1, attempt=2)
    again.append("warning", "\ud800 is no text of UTF-8")
    again.close()

    assert logs.read(JOB).lines == (
        JobLogLine(EXAMPLE_TIME, 0, 1, "info", "page 1 é"),
        JobLogLine(EXAMPLE_TIME, 0, 1, "error", "two\nlines", 0, 7),
        JobLogLine(EXAMPLE_TIME, 1, 2, "warning", "? is no text of UTF-8"),
    )


def test_a_run_that_logs_nothing_leaves_no_file(logs: JobLogs) -> None:
    """Most filters log nothing."""
    writer(logs).close()

    assert not logs.path(JOB).parent.exists()
    assert logs.read(JOB) == JobLogPage((), 0)
    assert logs.tokens() == []


def test_the_log_is_for_the_user_of_the_server_alone(logs: JobLogs) -> None:
    """T-F4: whatever the umask is."""
    before = os.umask(0)
    try:
        writer(logs).append("info", "private")
    finally:
        os.umask(before)

    assert stat.S_IMODE(logs.path(JOB).stat().st_mode) == 0o600
    assert stat.S_IMODE(logs.path(JOB).parent.stat().st_mode) == 0o700


def test_the_log_of_a_job_is_read_part_by_part(logs: JobLogs) -> None:
    """The end of one part is the begin of the next; a line that is being written is in neither."""
    run = writer(logs)
    run.append("info", "one")
    first = logs.read(JOB)
    run.append("info", "two")
    with logs.path(JOB).open("ab") as file:
        file.write(b'{"at":"2026')
    second = logs.read(JOB, first.end)

    assert (texts(first), texts(second)) == (["one"], ["two"])
    assert logs.read(JOB, second.end) == JobLogPage((), second.end)


@pytest.mark.parametrize("half", [b'{"at":"2026-11-3', b'{"at":1,"text":[]}', b"[1]", b"\xff\xfe", b'"text"'])
def test_half_a_line_counts_as_absent_and_the_next_run_begins_its_own(logs: JobLogs, half: bytes) -> None:
    """What a crash leaves; the lines before it and behind it are whole."""
    run = writer(logs)
    run.append("info", "before")
    run.close()
    with logs.path(JOB).open("ab") as file:
        file.write(half)
    assert texts(logs.read(JOB)) == ["before"]

    run = writer(logs, attempt=2)
    run.append("info", "behind")
    run.close()

    assert texts(logs.read(JOB)) == ["before", "behind"]


def test_the_log_of_a_job_has_a_limit_and_names_what_is_missing(logs: JobLogs) -> None:
    """T-P6: of all runs together; the first line that does not fit is noted at once, the others at the end."""
    sent = 0
    for attempt in (1, 2):
        run = writer(logs, attempt=attempt)
        for _ in range(400):
            run.append("info", "x" * 2000)
            sent += 1
        run.close()
    page = logs.read(JOB)
    kept = [line for line in page.lines if line.text]
    missing = dropped(page)

    assert logs.path(JOB).stat().st_size <= job_log.MOST == 1 << 20
    assert logs.path(JOB).stat().st_size > job_log.MOST - job_log.NOTES - 4000
    assert len(kept) + sum(lines for lines, _ in missing) == sent
    assert [size for _, size in missing] == [2000 * lines for lines, _ in missing]
    assert missing[0][0] == 1


def test_lines_that_the_run_has_too_many_of_are_named_too(logs: JobLogs) -> None:
    """`running.log_lines` is counted elsewhere, and the log of the job says how many there were."""
    run = writer(logs)
    run.append("info", "kept")
    for _ in range(3):
        run.drop(10)
    run.close()
    run.close()

    assert texts(logs.read(JOB)) == ["kept", "", ""]
    assert dropped(logs.read(JOB)) == [(1, 10), (2, 20)]


def full(*_: object) -> int:
    """Write nothing: the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_written(write: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
    """Write the first half of the bytes, as much as there is room for."""
    return lambda descriptor, data: write(descriptor, data[: len(data) // 2])


@pytest.mark.parametrize("fault", [full, half_written(os.write)])
def test_a_full_disk_costs_lines_and_no_run(
    logs: JobLogs, fault: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No method raises; when there is room again, the log says what is missing."""
    run = writer(logs)
    run.append("info", "before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fault)
        run.append("info", "lost 1")
        run.append("info", "lost 2")
    run.append("info", "behind")
    run.close()

    assert [text for text in texts(logs.read(JOB)) if text] == ["before", "behind"]
    assert dropped(logs.read(JOB)) == [(2, 12)]
    assert caplog.messages == (["log of a job not written"] if fault is full else [])


def test_a_folder_that_cannot_be_made_costs_lines_and_is_logged_once(
    logs: JobLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """Something else has the name of the folder."""
    logs.path(JOB).parent.write_text("no folder")
    run = writer(logs)
    for _ in range(3):
        run.append("info", "lost")
    run.close()

    assert caplog.messages == ["log of a job not written"]


def test_the_reserve_of_the_disk_is_not_for_logs(logs: JobLogs) -> None:
    """It is for the database."""
    run = writer(logs, reserve=1 << 62)
    run.append("info", "lost")
    run.close()

    assert logs.read(JOB).lines == ()


def test_a_link_in_the_place_of_a_log_is_not_followed(logs: JobLogs, tmp_path: Path) -> None:
    """T-F4: the file behind it stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("whole")
    logs.path(JOB).parent.mkdir()
    logs.path(JOB).symlink_to(victim)

    writer(logs).append("info", "lost")

    assert victim.read_text() == "whole"


# --- bytes -----------------------------------------------------------------------------------------------------------


def test_the_bytes_of_an_owner_are_those_on_the_disk(logs: JobLogs) -> None:
    """I5: as they are written, and until they are removed."""
    for token, owner in ((JOB, ANNA), (OTHER, ANNA)):
        run = writer(logs, token=token, owner=owner)
        for _ in range(3):
            run.append("info", "x" * 100)
        run.close()
    written = [logs.path(token).stat().st_size for token in (JOB, OTHER)]
    assert (logs.bytes_of(ANNA), logs.bytes_of(BORIS)) == (sum(written), 0)

    logs.remove(JOB)
    logs.remove(JOB)
    assert logs.bytes_of(ANNA) == written[1]

    logs.path(OTHER).unlink()  # by another process
    logs.forget_removed()

    assert logs.bytes_of(ANNA) == 0


def test_a_new_server_counts_the_logs_that_are_there(logs: JobLogs) -> None:
    """I5: each once, however often it is counted."""
    writer(logs).append("info", "x" * 100)
    again = JobLogs(logs.path(JOB).parent)
    (logs.path(JOB).parent / "no log").write_text("of any job")

    assert again.tokens() == [JOB]
    for _ in range(2):
        again.count(JOB, ANNA)
        again.forget_removed()
    assert again.bytes_of(ANNA) == logs.path(JOB).stat().st_size
