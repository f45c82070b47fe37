"""The slots and the steps that stop a run, with real processes; the children's orders are those of the acme plugin."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from works import PATIENCE, alive, until

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.facts import JobFacts
from postscan.core.filters.source import messages
from postscan.core.model.principal import User
from postscan.core.workers import protocol
from postscan.core.workers.pool import WARM, Workers
from postscan.core.workers.slot import Limits, RunEnd, RunEndKind
from postscan.core.workers.termination import Termination


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Slots of the test's own."""
    workers = Workers()
    yield workers
    workers.close()


class Run:
    """One run of an acme filter, without job and database."""

    def __init__(self, folder: Path, filter: str, argument: str = "") -> None:
        self.source = CancelSource()
        self.received: list[protocol.RunMessage] = []
        self.trace = folder / "job.trace"
        workdir = folder / "workdir"
        workdir.mkdir()
        self.order = protocol.RunOrder(
            plugin="acme",
            dialect=f"urn:acme:{filter}",
            workdir=workdir,
            instructions=f"<do>{argument}</do>",
            settings={"folder": str(folder)},
            job=JobFacts("job", "Test", datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)),
            user=User("S-1-5-21-1-2-3-1001", "anna"),
        )

    def on(self, workers: Workers, limits: Limits) -> RunEnd:
        """Carry it out."""
        with self.source, workers.slot() as slot:
            return slot.run(self.order, self.source, limits, self._handle)

    def cancelled_on(self, workers: Workers, limits: Limits, after: float = 0.0) -> RunEnd:
        """Carry it out, and cancel it so many seconds after the filter has begun."""

        def cancel() -> None:
            until(lambda: self.trace.exists() and self.trace.read_text().endswith("\n"), "for the filter to begin")
            time.sleep(after)
            self.source.cancel("the test says so")

        cancels = threading.Thread(target=cancel)
        cancels.start()
        try:
            return self.on(workers, limits)
        finally:
            cancels.join()

    def _handle(self, message: protocol.RunMessage) -> protocol.GrantReply | None:
        self.received.append(message)
        if self.trace.exists():
            self.source.cancel("the test says so")
        return None


def the_child_of(supervisor: int) -> int:
    """Wait until a supervisor has started its worker and its two threads; return the worker's process id."""
    tasks = Path(f"/proc/{supervisor}/task")
    until(lambda: len(list(tasks.iterdir())) == 3, "for the supervisor")
    return int((tasks / str(supervisor) / "children").read_text().split()[0])


def resume(process: int) -> None:
    """Let a stopped process go on, if it has not been killed."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def test_a_filter_that_ends_by_itself_says_so(workers: Workers, tmp_path: Path) -> None:
    """The last word is the child's own."""
    ended = Run(tmp_path, "warn").on(workers, Limits(PATIENCE))

    assert ended == RunEnd(RunEndKind.REPORTED, protocol.FilterDone(warnings=("the paper was thin",)))


def test_a_filter_that_takes_too_long_is_asked_to_stop_first(workers: Workers, tmp_path: Path) -> None:
    """F-R5: the time limit sets the token like a cancel does, so that a cooperative filter can clean up."""
    run = Run(tmp_path, "sleep", "30")

    ended = run.on(workers, Limits(seconds=0.3, grace=PATIENCE))

    assert ended == RunEnd(RunEndKind.REPORTED, protocol.FilterCancelled(), late=True)


def test_a_sleeping_filter_is_woken_and_does_not_poll(workers: Workers, tmp_path: Path) -> None:
    """Its worker has the pipe that the server closes, and looks at the page ten times a second in any case."""
    run = Run(tmp_path, "sleep", "30")

    ended = run.cancelled_on(workers, Limits(PATIENCE, grace=PATIENCE), after=1.0)

    began = float(run.trace.read_text().split()[-1])
    assert ended.result == protocol.FilterCancelled()
    assert run.source.cancelled_at is not None
    assert ended.checks.number < 20 * (run.source.cancelled_at - began)


def test_a_deaf_filter_is_stopped_in_all_steps(workers: Workers, tmp_path: Path) -> None:
    """It ignores token and SIGTERM: after grace and term it is killed, and its tool with it."""
    run = Run(tmp_path, "deaf")

    ended = run.cancelled_on(workers, Limits(PATIENCE, grace=0.2, term=0.2))

    _, worker, tool, _ = run.trace.read_text().split()
    assert (ended.kind, ended.late, ended.exit_code) == (RunEndKind.STOPPED, False, -9)
    assert ended.stopped_after is not None
    assert ended.stopped_after >= 0.4
    assert not alive(int(worker))
    assert not alive(int(tool))


def test_a_worker_that_dies_is_seen_at_once(workers: Workers, tmp_path: Path) -> None:
    """Not at the time limit, and with the signal that ended it."""
    ended = Run(tmp_path, "die", "9").on(workers, Limits(60))

    assert (ended.kind, ended.exit_code) == (RunEndKind.CRASHED, -9)


def test_a_worker_whose_supervisor_waits_for_the_processor_has_crashed_all_the_same(
    workers: Workers, tmp_path: Path
) -> None:
    """F-R4: the end of its socket alone is no broken protocol, so the filter runs again; its exit code is not lost."""
    run = Run(tmp_path, "die", "9")
    with run.source as source, workers.slot() as slot:
        worker = the_child_of(slot.supervisor)
        os.kill(slot.supervisor, signal.SIGSTOP)

        def resume_later() -> None:
            until(lambda: not alive(worker), "for the worker to die")
            time.sleep(2)
            resume(slot.supervisor)

        resumes = threading.Thread(target=resume_later)
        resumes.start()
        ended = slot.run(run.order, source, Limits(PATIENCE), lambda message: None)
        resumes.join()

    assert (ended.kind, ended.exit_code, ended.why) == (RunEndKind.CRASHED, -9, "")


def test_a_supervisor_that_waits_for_the_processor_still_reports_a_run_that_was_killed(
    workers: Workers, tmp_path: Path
) -> None:
    """Promise 4: the server kills the filter itself after a second, and the supervisor afterwards has time to end."""
    run = Run(tmp_path, "deaf")
    with run.source as source, workers.slot() as slot:
        worker = the_child_of(slot.supervisor)

        def stop() -> None:
            until(lambda: run.trace.exists() and run.trace.read_text().endswith("\n"), "for the filter to begin")
            os.kill(slot.supervisor, signal.SIGSTOP)
            source.cancel("the test says so")
            until(lambda: not alive(worker), "for the worker to be killed")
            resume(slot.supervisor)

        stops = threading.Thread(target=stop)
        stops.start()
        ended = slot.run(run.order, source, Limits(PATIENCE, grace=0.2, term=0.2), lambda message: None)
        stops.join()
        reported = slot.end()

    assert (ended.kind, ended.exit_code, reported) == (RunEndKind.STOPPED, -9, True)


def test_every_run_gets_a_process_of_its_own(workers: Workers, tmp_path: Path) -> None:
    """What one filter does to its process cannot reach the next."""
    processes = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        run = Run(folder, "sleep", "0")
        run.on(workers, Limits(PATIENCE))
        processes.append(run.trace.read_text().split()[1])

    assert processes[0] != processes[1]
    assert not any(alive(int(process)) for process in processes)


def test_closing_ends_every_child(tmp_path: Path) -> None:
    """The warm ones, too."""
    workers = Workers()
    workers.warm_up()
    children = [slot._process.pid for slot in workers._live]
    assert children

    workers.close()

    assert not any(alive(child) for child in children)


def test_no_more_children_wait_for_work_than_are_meant_to(workers: Workers) -> None:
    """Also when many runs begin at once, each of which has another child started in its place."""
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(lambda _: workers.warm_up(), range(8)):
            pass

    assert len(workers._live) == WARM


def test_a_worker_does_not_run_the_main_script_again(tmp_path: Path) -> None:
    """It may be large, or do things once only; multiprocessing alone would run it in every worker."""
    script = tmp_path / "program.py"
    script.write_text(
        "import pathlib\n"
        "from postscan.core.filters.cancellation import CancelSource\n"
        "from postscan.core.workers.pool import Workers\n"
        "from postscan.core.workers.protocol import ProbeOrder\n"
        "from postscan.core.workers.slot import Limits\n"
        f"with pathlib.Path({str(tmp_path / 'runs')!r}).open('a') as runs:\n"
        "    runs.write('run\\n')\n"
        "workers = Workers()\n"
        "with CancelSource() as source, workers.slot() as slot:\n"
        "    order = ProbeOrder(plugin='acme', settings={})\n"
        "    print(slot.run(order, source, Limits(90), lambda message: None).result.type)\n"
        "workers.close()\n"
    )
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=100).stdout

    assert said == "declared\n"
    assert (tmp_path / "runs").read_text() == "run\n"


def talk_until_closed(channel: socket.socket, _termination: Termination) -> None:
    """Read what a worker sends until its socket is closed."""
    channel.settimeout(PATIENCE)
    while channel.recv(1 << 16):
        pass


def source_order(folder: Path) -> protocol.SourceOrder:
    """Return the order of a source that does not exist: its worker reports that, and ends."""
    return protocol.SourceOrder(plugin="missing", workdir=folder)


def test_a_worker_that_lives_long_has_the_socket_to_itself(workers: Workers, tmp_path: Path) -> None:
    """Nothing but the end of the conversation, or a cancel, ends it; its exit code is known then."""
    seen = []

    def talk(channel: socket.socket, termination: Termination) -> None:
        start = messages.InletStarted(
            plugin="missing", inlet="x", settings={}, destinations=(), folder=tmp_path, workdir=tmp_path
        )
        channel.sendall(messages.write(start))
        with channel.makefile("rb") as lines:
            seen.append(messages.read_source(lines.readline()))
        talk_until_closed(channel, termination)

    with CancelSource() as source, workers.slot() as slot:
        code = slot.converse(source_order(tmp_path), source, Limits(0.0), talk)
        cancelled = source.cancelled

    assert code == 0
    assert cancelled
    assert [type(message).__name__ for message in seen] == ["SourceFailed"]


def test_a_conversation_that_is_over_ends_the_worker(workers: Workers, tmp_path: Path) -> None:
    """It waits for its first message, and is terminated when nobody talks to it any more."""
    with CancelSource() as source, workers.slot() as slot:
        supervisor = slot.supervisor
        code = slot.converse(source_order(tmp_path), source, Limits(0.0, grace=0.1, term=0.1), lambda *_: None)

    assert code == -signal.SIGTERM
    assert not alive(supervisor)
