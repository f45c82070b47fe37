"""The benchmarks end with an error that they meet in another process; what they measure is no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import commit_beside_reads, ended_jobs


def test_an_error_of_the_process_that_reads_ends_the_benchmark_with_its_text(tmp_path: Path) -> None:
    """The text is the argument of `SystemExit`: Python writes it to standard error and exits with code 1."""
    settings = ended_jobs.settings(tmp_path / "data")
    settings["server"]["port"] = "no port"

    with pytest.raises(SystemExit) as ended, commit_beside_reads.reading(settings, "open jobs"):
        pass

    assert str(ended.value.code).startswith("the process that reads (open jobs) has failed: Traceback")
    assert "server.port" in str(ended.value.code)
