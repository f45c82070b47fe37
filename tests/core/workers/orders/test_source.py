"""The process of a source, started as the server starts it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_server import JobTable, SourceServer
from works import PATIENCE, alive, until

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.messages import (
    Destination,
    InletStarted,
    SourceDeclared,
    SourceFailed,
    SourceFinished,
)
from postscan.core.workers import protocol
from postscan.core.workers.process import SupervisorProcess
from postscan.core.workers.rlimits import Resources


class Process:
    """The process of one inlet of the outside plugin, with its supervisor."""

    def __init__(self, home: Path, plugin: str = "basket", **settings: object) -> None:
        self.scans = home / "scans"
        for folder in (self.scans, home / "folder", home / "workdir"):
            folder.mkdir()
        channel, theirs = socket.socketpair()
        self.report, its_report = socket.socketpair()
        with theirs, its_report, CancelSource() as source:
            self.supervisor = SupervisorProcess(theirs, its_report)
            self.supervisor.start()
            order = protocol.SourceOrder(
                plugin=plugin, workdir=home / "workdir", resources=Resources(processor=1.0, file=1 << 24)
            )
            line = protocol.write(order)
            socket.send_fds(channel, [line[:1]], [source.page, source.wake])
            channel.sendall(line[1:])
        started = InletStarted(
            plugin=plugin,
            inlet="desk",
            settings={"folder": str(self.scans)} | settings,
            destinations=(Destination(id="d1", label="Invoices"),),
            folder=home / "folder",
            workdir=home / "workdir",
        )
        self.channel = channel
        self.server = SourceServer(channel, started, JobTable())
        self.server.start()

    def put(self, name: str, content: bytes) -> None:
        """Put a file into the basket."""
        (self.scans / f"{name}.part").write_bytes(content)
        (self.scans / f"{name}.part").rename(self.scans / f"{name}.png")

    def running(self) -> int:
        """Wait until the source runs, and return its process."""
        trace = self.scans / "process"
        until(lambda: trace.exists() and trace.read_text(), "for the source to run")
        return int(trace.read_text().split()[0])

    def exit(self) -> None:
        """Wait for the end of the supervisor, which is behind that of everything below it."""
        self.supervisor.join(PATIENCE)
        assert self.supervisor.exitcode is not None, "the supervisor has not ended"

    def close(self) -> None:
        """End what is left."""
        if self.supervisor.is_alive():
            os.kill(self.supervisor.pid, signal.SIGTERM)
        self.supervisor.join(PATIENCE)
        self.report.close()
        self.server.die()
        self.server.join()
        self.channel.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A source that runs."""
    process = Process(tmp_path)
    yield process
    process.close()


def test_a_source_runs_in_a_process_of_its_own_and_brings_jobs(process: Process) -> None:
    """With a group and a working directory of its own, and the server's variables gone."""
    process.put("first", b"the first page")
    (job,) = process.server.wait_for_jobs(1)
    until(lambda: not (process.scans / "first.png").exists(), "for the origin to be tidied up")

    number, group, session = map(int, (process.scans / "process").read_text().split())
    assert (job.pages, job.request.proof) == ([b"the first page"], "local")
    assert number == group
    assert os.getpid() not in (number, group, session)
    assert Path(f"/proc/{number}/cwd").resolve() == process.server.started.workdir
    assert process.server.declared == SourceDeclared(title="Basket", api=1, proofs=("local",), grace=2.0, pulls=True)


def test_a_stopped_source_says_that_it_has_finished(process: Process) -> None:
    """And its process ends."""
    number = process.running()
    process.server.stop()
    process.exit()

    assert process.server.end == SourceFinished()
    assert not alive(number)


def test_a_source_ends_with_the_socket(process: Process) -> None:
    """The server died, or closed the inlet."""
    number = process.running()
    process.server.die()
    process.exit()

    assert not alive(number)


def test_a_source_lives_longer_than_the_processor_time_of_a_run(process: Process) -> None:
    """The other limits count."""
    number = process.running()
    limits = Path(f"/proc/{number}/limits").read_text()

    assert "Max cpu time              unlimited" in limits
    assert f"Max file size             {1 << 24}" in limits


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"behaviour": "raise"}, "RuntimeError: the basket has a hole"),
        ({"behaviour": "return"}, "Basket.run returned before it was stopped"),
        ({"every": 0}, "[sources.desk]: every is 0; expected seconds"),
        ({"plugin": "no-such"}, "no plugin named 'no-such' is installed"),
        ({"plugin": "acme"}, "no plugin named 'acme' is installed"),
    ],
)
def test_a_source_that_fails_says_why_and_ends(tmp_path: Path, settings: dict[str, object], error: str) -> None:
    """Its own error, its settings, and a plugin that is none; a filter is no source."""
    process = Process(tmp_path, **settings)
    process.exit()
    process.server.wait_for(lambda: process.server.end)

    assert isinstance(process.server.end, SourceFailed)
    assert process.server.end.error == error
    process.close()
