"""What a filter has started ends with its run, and with a server that is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from evil_runs import EVIL, Den, order_of
from works import alive, until

from postscan.core.model.states import JobState
from postscan.core.workers import orphans, protocol

SERVER = """
import sys
from postscan.core.filters.cancellation import CancelSource
from postscan.core.workers import protocol
from postscan.core.workers.pool import Workers
from postscan.core.workers.slot import Limits

workers = Workers()
with CancelSource() as source, workers.slot() as slot:
    order = protocol.read_order(sys.argv[1].encode())
    slot.run(order, source, Limits(600), lambda message: None)
    sys.stdin.read()
"""


def with_plugins() -> dict[str, str]:
    """Return this environment, in which Python finds the evil filters."""
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(EVIL), os.environ.get("PYTHONPATH", "")))}


def marked(mark: str) -> int:
    """Start a process with this mark."""
    return os.posix_spawn("/bin/sleep", ["sleep", "60"], {orphans.MARK: mark})


@pytest.mark.parametrize("name", ["leave-a-daemon", "leave-a-nameless-daemon", "threads", "print-much"])
def test_what_a_good_run_leaves_behind_ends_with_it(den: Den, name: str) -> None:
    """T-P7, ruling 13: setsid, two forks and an empty environment do not help, and the run counts as done."""
    token = den.start_evil(name)

    job = den.ended(token)

    assert (job.state, job.steps[0].attempt) == (JobState.COMPLETED, 1)
    assert not any(alive(process) for process in den.left(token))


def test_what_a_killed_server_left_is_ended_before_the_next_one_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ruling 13: it carries the mark of a server that is no more; one of a living server is spared."""
    monkeypatch.setattr(orphans, "MARK", "POSTSCAN_TEST_RUN")  # servers of other tests begin meanwhile
    space, _, _ = orphans.mark().split(".")
    dead = marked(f"{space}.{os.getpid()}.1")
    spared = marked(orphans.mark())
    elsewhere = marked("1.1.1")

    ended = orphans.end_orphans(patience=0.05)

    try:
        assert ended == 1
        assert not alive(dead)
        assert alive(spared)
        assert alive(elsewhere)
    finally:
        for process in (spared, elsewhere):
            os.kill(process, 9)
        for process in (dead, spared, elsewhere):
            os.waitpid(process, 0)


@pytest.mark.parametrize(("name", "word"), [("leave-daemons-and-hang", "hanging"), ("leave-a-nameless-daemon", "left")])
def test_what_a_killed_server_was_running_ends_with_it(tmp_path: Path, name: str, word: str) -> None:
    """Ruling 13, F-R1: the supervisor outlives the server for a moment, and ends a daemon without a name too."""
    trace = tmp_path / "job.trace"
    command = [sys.executable, "-c", SERVER, protocol.write(order_of(name, tmp_path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=with_plugins()) as server:
        until(lambda: trace.exists() and word in trace.read_text(), "for the filter to run", patience=90)
        left = [int(line.split()[1]) for line in trace.read_text().splitlines() if line.startswith("left")]
        server.kill()

    assert left
    until(lambda: not any(alive(one) for one in left), f"for {left} to be gone")
