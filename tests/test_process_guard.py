"""The tests leave no process behind, however their run ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import postgres
import pytest
import samba
from process_guard import MARK, below, mark_of
from works import PATIENCE, alive, until

SUITE = Path(__file__).parent / "interrupted" / "everything.py"
SECONDS = 20.0
"""Time after which nothing may be left: it takes two on a machine that does nothing else."""


@dataclass
class Run:
    """A run of pytest with two workers, in a process group of its own as a shell would start it."""

    process: subprocess.Popen[bytes]
    mark: str

    def programs(self) -> dict[int, str]:
        """Return the processes that run for it, and the names of their programs."""
        found = {}
        for process in below(self.mark):
            with contextlib.suppress(OSError):
                found[process] = Path(f"/proc/{process}/comm").read_text().strip()
        return found


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Run]:
    """A run whose tests are in the middle of what they do."""
    if postgres.programs() is None:
        pytest.skip(postgres.NOT_HERE)
    if not samba.is_here():
        pytest.skip(samba.NOT_HERE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", f"--basetemp={tmp_path}/base"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["INTERRUPTED_READY"] = str(tmp_path)
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [*command, str(SUITE)],
            cwd=SUITE.parents[2],
            env=environment,
            stdout=said,
            stderr=said,
            process_group=0,
        )
    run = Run(process, mark_of(os.environ[MARK], process.pid))
    try:
        ready = [tmp_path / "servers", tmp_path / "engine"]
        until(lambda: all(one.exists() for one in ready) or process.poll() is not None, "for the tests to begin")
        assert process.poll() is None, (tmp_path / "said").read_text()
        yield run
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def interrupt_group(run: Run) -> None:
    """Do what a terminal does upon Ctrl-C."""
    os.killpg(run.process.pid, signal.SIGINT)


def interrupt_alone(run: Run) -> None:
    """Interrupt the process that gives the tests to the workers, and nothing else."""
    run.process.send_signal(signal.SIGINT)


def terminate_alone(run: Run) -> None:
    """Let it end at once, as `kill` or a time limit of continuous integration does."""
    run.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("how", [interrupt_group, interrupt_alone, terminate_alone])
def test_a_run_that_is_interrupted_leaves_no_process(suite: Run, how: Callable[[Run], None]) -> None:
    """Neither servers, databases and file servers, nor workers and the tools of their filters."""
    before = suite.programs()
    names = list(before.values())
    assert {"postgres", "smbd", "sleep"} <= set(names)
    assert names.count("sleep") == 2
    assert len(names) > 20

    how(suite)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and any(map(alive, before)):
        time.sleep(0.02)

    assert [name for process, name in before.items() if alive(process)] == []
    assert suite.programs() == {}
    assert suite.process.wait(PATIENCE) != 0
