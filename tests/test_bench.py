"""Benchmarks of inlets work; one ends with an error that it meets in another process. What they measure is no test."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from bench import commit_beside_reads, console, ended_jobs, inlets, mails, scans, uploads
from postscan.core.filters.source.completeness import FileState, examine


def test_an_error_of_the_process_that_reads_ends_the_benchmark_with_its_text(tmp_path: Path) -> None:
    """The text is the argument of `SystemExit`: Python writes it to standard error and exits with code 1."""
    settings = ended_jobs.settings(tmp_path / "data")
    settings["server"]["port"] = "no port"

    with pytest.raises(SystemExit) as ended, commit_beside_reads.reading(settings, "open jobs"):
        pass

    assert str(ended.value.code).startswith("the process that reads (open jobs) has failed: Traceback")
    assert "server.port" in str(ended.value.code)


def test_requests_are_measured_beside_browsers_that_get_events(tmp_path: Path) -> None:
    """Each stream has begun with a region; the benchmark checks that none is refused."""
    [one] = console.measured(tmp_path, browsers=2, rounds=1, seconds=0.5)

    assert min(one.without, one.beside) > 0
    assert one.events >= 2


def test_mails_become_jobs_and_files_of_the_bare_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One round of an instant: at least a mail on each connection. That each is a job, the benchmark checks itself."""
    rounds = mails.measured(tmp_path, connections=2, rounds=1, seconds=0.1)
    inlets.print_rounds("mails", 1, "mails", rounds)

    [ours], [bare] = rounds["postscan"], rounds["bare"]
    assert len(ours.latencies) >= 2
    assert len(list((tmp_path / "bare").iterdir())) == len(bare.latencies) >= 2
    assert min(ours.spent) > 0
    assert bare.spent.written > len(bare.latencies) * mails.PAGE_BYTES
    assert "of the bare server" in capsys.readouterr().out


def test_uploads_become_jobs_beside_the_bare_server(tmp_path: Path) -> None:
    """One file of a megabyte; all of it is written by both."""
    rounds = uploads.measured(tmp_path, scans.scan("PNG", 1 << 20), rounds=1)

    assert [len(one.latencies) for found in rounds.values() for one in found] == [1, 1]
    assert min(one.spent.written for found in rounds.values() for one in found) >= 1 << 20


@pytest.mark.parametrize("kind", scans.KINDS)
def test_the_scans_that_are_uploaded_are_whole_and_about_as_large_as_they_say(kind: str) -> None:
    """What is not whole would be refused."""
    content = scans.scan(kind, 3 << 20)

    assert examine(io.BytesIO(content)).state is FileState.WHOLE
    assert 0.8 < len(content) / (3 << 20) < 1.5


def test_a_page_that_is_acknowledged_and_no_job_ends_the_benchmark(tmp_path: Path) -> None:
    """Else a server that stores nothing would be the fastest."""
    with inlets.postscan(tmp_path, "ftp", uploads.uploader("anonymous", "/Bench", inlets.picture(b"first"))):
        inlets.check_jobs(tmp_path, 1)

        with pytest.raises(AssertionError, match="2 pages were acknowledged, and 1 jobs are stored"):
            inlets.check_jobs(tmp_path, 2)
