"""The tests leave no process and no temporary file behind, however their run ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import postgres
import pytest
import samba
from process_guard import FOLDER, MARK, below, mark_of
from works import PATIENCE, alive, until

SUITE = Path(__file__).parent / "interrupted" / "everything.py"
SECONDS = 120.0
"""Time after which nothing may be left: it takes two on a machine that does nothing else."""


@dataclass
class Run:
    """A run of pytest with a worker, in a process group of its own as a shell would start it."""

    process: subprocess.Popen[bytes]
    mark: str

    def programs(self) -> dict[int, str]:
        """Return the processes that run for it, and the names of their programs."""
        found = {}
        for process in below(self.mark):
            with contextlib.suppress(OSError):
                found[process] = Path(f"/proc/{process}/comm").read_text().strip()
        return found

    def temporary(self) -> list[Path]:
        """Return what there is of its temporary files, of which the first is the folder."""
        found = []
        for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}{self.process.pid}-*"):
            with contextlib.suppress(FileNotFoundError):  # the guard removes it meanwhile
                found += [folder, *folder.iterdir()]
        return found


def interrupt_group(run: Run) -> None:
    """Do what a terminal does upon Ctrl-C."""
    os.killpg(run.process.pid, signal.SIGINT)


def interrupt_alone(run: Run) -> None:
    """Interrupt the process that gives the tests to the workers, and nothing else."""
    run.process.send_signal(signal.SIGINT)


def terminate_alone(run: Run) -> None:
    """Let it end at once, as `kill` or a time limit of continuous integration does."""
    run.process.send_signal(signal.SIGTERM)


WAYS = (interrupt_group, interrupt_alone, terminate_alone)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Run]]:
    """A run for each way to end one, all in the middle of what their tests do."""
    if postgres.programs() is None:
        pytest.skip(postgres.NOT_HERE)
    if not samba.is_here():
        pytest.skip(samba.NOT_HERE)
    with contextlib.ExitStack() as stack:
        folders = [tmp_path_factory.mktemp("suite") for _ in WAYS]
        runs = [stack.enter_context(started(folder)) for folder in folders]
        for run, folder in zip(runs, folders, strict=True):
            wait_for_tests(run, folder)
        yield runs


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Run]:
    """Run the tests of `SUITE` with their files in *folder*, and kill what is left of them afterwards."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "1", f"--basetemp={folder}/base"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["INTERRUPTED_READY"] = str(folder)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, str(SUITE)],
            cwd=SUITE.parents[2],
            env=environment,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        yield Run(process, mark_of(os.environ[MARK], process.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_tests(run: Run, folder: Path) -> None:
    """Wait until the test of a run has started all that it starts."""

    def begun() -> bool:
        return (folder / "ready").exists() or run.process.poll() is not None

    until(begun, "for the test to begin", 10 * PATIENCE)
    assert run.process.poll() is None, (folder / "output").read_text()


@pytest.mark.timeout(900)  # the runs begin together, beside other tests
@pytest.mark.parametrize("way", range(len(WAYS)), ids=[way.__name__ for way in WAYS])
def test_a_run_that_is_interrupted_leaves_nothing(runs: list[Run], way: int) -> None:
    """Neither servers, databases and file servers, nor workers and the tools of their filters, nor temporary files."""
    run = runs[way]
    before = run.programs()
    names = list(before.values())
    assert {"postgres", "smbd", "sleep"} <= set(names)
    assert names.count("sleep") == 2
    assert len(names) > 20
    assert len(run.temporary()) > 2

    WAYS[way](run)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and (any(map(alive, before)) or run.temporary()):
        time.sleep(0.02)

    assert [name for process, name in before.items() if alive(process)] == []
    assert run.programs() == {}
    assert run.temporary() == []
    assert run.process.wait(PATIENCE) != 0
