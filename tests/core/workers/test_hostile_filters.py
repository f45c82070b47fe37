"""Filters that do harm, with real processes: what they do stays theirs (T-P4, T-P7, F-R4 to F-R8, F-R26)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import databases
import pytest
from conftest import ANNA, AnyProcess
from works import SID, Works, alive, until

from postscan.core.engine import Engine
from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.facts import JobFacts
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import User
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.settings import Settings
from postscan.core.workers import orphans, protocol, supervisor
from postscan.core.workers.pool import Workers
from postscan.core.workers.slot import Limits, RunEndKind

OUTSIDE = Path(__file__).parents[2] / "outside" / "evil"
KILLED = "it was killed: it checked its token 1 times"
ALLOWED = {"PATH", "HOME", "LANG", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "POSTSCAN_RUN"}
GRACE, TERM = 0.3, 0.3
SLACK = 30.0  # a busy machine needs it; `python -m campaigns cancels` and `python -m bench cancel` measure
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


class Den(Works):
    """A running engine whose jobs have one evil filter each."""

    def start_evil(self, name: str) -> JobToken:
        """Make a job of one evil filter, with one image, and end it."""
        asked = (FilterInstructions(f"urn:evil:{name}", b"<do/>"),)
        token = self.service.create(self.by, SID, "P", Instructions("Invoice", asked))
        self.send(token)
        self.service.end(token, self.by)
        return token

    def cancelled(self, token: str) -> Job:
        """Cancel the job, and wait for its end."""
        self.service.cancel(token, self.by)
        return self.ended(token)

    def left(self, token: str) -> list[int]:
        """Return the processes that the job's filter started, living or not."""
        return [int(line[1]) for line in self.trace(token) if line[0] == "left"]


@pytest.fixture(scope="module")
def settings_of_the_den(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Small limits, so that they are met soon."""
    folder = tmp_path_factory.mktemp("den")
    (folder / "out").mkdir()
    table = {
        "storage": {"data_dir": str(folder / "data")},
        "limits": {"open_jobs": 1000},
        "plugins": {"disabled": ["stamp", "fileshare"]},
        "running": {
            "slots": 4,
            "seconds": 600,  # at a tenth of a core, a filter needs 20 to use its 2 of the processor
            "grace_seconds": 60,
            "term_seconds": TERM,
            "memory_bytes": 512 << 20,
            "processor_seconds": 2,
            "file_bytes": 3 << 20,
            "folder_bytes": 8 << 20,
            "open_files": 64,
            "log_line_bytes": 99,
            "log_lines": 20,
        },
        "filters": {"acme": {"folder": str(folder / "out")}, "evil": {"folder": str(folder / "out")}},
    }
    return Settings.model_validate(table)


@pytest.fixture(scope="module")
def engine(settings_of_the_den: Settings) -> Iterator[Engine]:
    """One engine for all of them: each is the neighbour of those before."""
    sys.path.append(str(OUTSIDE))
    databases.migrated(settings_of_the_den.storage.url)
    core = Engine(settings_of_the_den, AnyProcess())
    with core.running():
        yield core
    core.close()
    sys.path.remove(str(OUTSIDE))


@pytest.fixture
def den(engine: Engine) -> Iterator[Den]:
    """The engine, and a job beside the test: whatever happens, it is not disturbed and nothing is left of the rest."""
    den = Den(engine, ANNA)
    neighbour = den.start("sleep 0.7", "copy")
    yield den

    job = den.ended(neighbour)
    assert job.state is JobState.COMPLETED
    assert [step.attempt for step in job.steps] == [1, 1]
    left = {process for path in den.out.glob("*.trace") for process in den.left(path.stem)}
    until(lambda: not any(alive(one) for one in left), f"for {left} to be gone")
    until(lambda: not list(engine.settings.storage.run_dir.iterdir()), "for the run folder to be empty")


@pytest.mark.parametrize(
    "name",
    [
        "hang",
        "ignore-sigterm",
        "deaf-in-c",
        "swallow",
        "blocked-in-a-tool",
        "stop-the-supervisor",
        "leave-daemons-and-hang",
        "print-without-end",
        "send-half-a-line",
        "flood",
        "ask-without-listening",
        "write-around",
        "cancel-itself",
    ],
)
def test_a_filter_that_does_not_stop_is_killed_in_time(den: Den, name: str) -> None:
    """Promise 4, F-R6, T-P7: grace, SIGTERM, SIGKILL, and the job ends Canceled, whatever the filter does meanwhile."""
    token = den.start_evil(name)
    den.await_trace(token, "begun")
    if name == "ask-without-listening":  # some hundred replies later it would be killed for that
        until(lambda: den.service.deliveries(token, den.by), "for a grant")
    else:
        time.sleep(0.3)
    begun = time.monotonic()

    job = den.cancelled(token)

    took = time.monotonic() - begun
    assert (job.state, job.reasons) == (JobState.CANCELED, (JobReason.CANCELED,))
    assert took < GRACE + TERM + SLACK
    assert not any(alive(process) for process in den.left(token))


@pytest.mark.parametrize("name", ["leave-a-daemon", "leave-a-nameless-daemon", "threads", "print-much"])
def test_what_a_good_run_leaves_behind_ends_with_it(den: Den, name: str) -> None:
    """T-P7, ruling 13: setsid, two forks and an empty environment do not help, and the run counts as done."""
    token = den.start_evil(name)

    job = den.ended(token)

    assert (job.state, job.steps[0].attempt) == (JobState.COMPLETED, 1)
    assert not any(alive(process) for process in den.left(token))


def test_what_a_filter_logs_has_so_many_lines_of_so_many_bytes(den: Den, caplog: pytest.LogCaptureFixture) -> None:
    """T-P6: the first 20 of its 25 lines, the first 99 bytes of its 10,000, and how much is missing of each."""
    with caplog.at_level(logging.INFO):
        token = den.start_evil("log-much")
        den.ended(token)

    lines = [vars(one) for one in caplog.records if vars(one).get("job") == token]
    logged = [one for one in lines if one["message"] == "filter logged"]
    assert [one["text"] for one in logged] == ["é" * 49, *(f"line {number:03}" for number in range(19))]
    assert logged[0]["dropped_bytes"] == 10_000 - 98
    [dropped] = [one for one in lines if one["message"] == "lines of a filter dropped"]
    assert (dropped["lines"], dropped["bytes"], dropped["filter"]) == (5, 40, "log-much")


def test_an_error_that_a_filter_does_not_expect_is_logged_with_its_traceback(
    den: Den, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R8: its author needs to know where it was raised."""
    token = den.start_evil("raise-something")
    den.ended(token)

    [line] = [vars(one) for one in caplog.records if one.getMessage() == "filter failed" and vars(one)["job"] == token]
    assert line["reason"] == "Odd: half a sign ? and a nul ?"
    assert 'raise Odd("half a sign' in line["traceback"]


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("exit-with-0", "its process ended by itself with exit code 0"),
        ("crash", "its process was ended by SIGSEGV"),
        ("end-by-a-nameless-signal", "its process was ended by signal 40"),
        ("leave-a-daemon-and-die", "its process was ended by SIGKILL"),
        ("kill-the-supervisor", "its process and its supervisor were killed"),
    ],
)
def test_a_filter_that_ends_its_own_process_is_tried_three_times(den: Den, name: str, detail: str) -> None:
    """F-R8, F-R26: then it has failed, in the words of how it ended; what it left is gone."""
    job = den.ended(den.start_evil(name))

    step = job.steps[0]
    assert (job.state, job.reasons) == (JobState.ABORTED, (JobReason.PROCESSING_FAILED,))
    assert (step.state, step.reasons, step.attempt) == (FilterState.ERRORS, ("UnknownError",), 3)
    assert step.detail == detail
    assert not any(alive(process) for process in den.left(job.token))


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("eat-memory", "ServerOutOfMemory", "it needed more than 512 MiB of memory"),
        ("find-no-memory", "ServerOutOfMemory", "OSError: [Errno 12] Cannot allocate memory"),
        ("fill-the-disk", "OutOfDiskSpace", "OSError: [Errno 27] File too large"),
        ("fill-its-folder", "OutOfDiskSpace", "its folder took more than 8388608 bytes; it was stopped"),
        ("open-files", "UnknownError", "OSError: [Errno 24] Too many open files"),
        ("deaf-in-c", "UnknownError", "it used more than 2 s of processor time and was ended"),
        ("raise-something", "UnknownError", "Odd: half a sign ? and a nul ?"),
        ("close-everything", "UnknownError", "it was killed: it closed its socket"),
        ("send-garbage", "UnknownError", "it was killed: it sent an invalid message"),
        ("send-a-line-without-end", "UnknownError", "it was killed: it sends without end"),
        ("ask-the-impossible", "UnknownError", "it was killed: it sent an invalid message"),
        ("ask-for-infinity", "UnknownError", "it was killed: it sent an invalid message"),
        ("end-deep", "UnknownError", "it was killed: it sent an invalid message: more than 32 lists and objects"),
        ("end-long", "UnknownError", "what it made cannot be used: 'xxxx"),
        ("use-a-long-destination", "UnknownError", "it was killed: it sent an invalid message: grant.destination: "),
        ("lie-about-the-end", "UnknownError", "it was killed: it sent an invalid message: failed.reasons.0: "),
    ],
)
def test_a_filter_that_breaks_a_rule_has_failed_at_once(den: Den, name: str, reason: str, detail: str) -> None:
    """F-R7, F-R8, T-P4: one attempt, with the reason of the protocol and a sentence that says what it did."""
    job = den.ended(den.start_evil(name))

    step = job.steps[0]
    assert (job.state, job.reasons) == (JobState.ABORTED, (JobReason.PROCESSING_FAILED,))
    assert (step.state, step.reasons[0], step.attempt) == (FilterState.ERRORS, reason, 1)
    assert step.detail.startswith(detail)
    assert len(step.detail) <= 2000


def test_odd_names_are_stored_in_a_form_that_every_database_takes(den: Den) -> None:
    """T-P6: what a filter says is data of a stranger; halves of characters and NUL become question marks."""
    job = den.ended(den.start_evil("ask-with-odd-names"))

    assert job.state is JobState.COMPLETED
    [delivery] = den.service.deliveries(job.token, den.by)
    assert (delivery.destination, delivery.name, delivery.published) == ("??", "?", False)


def test_what_a_filter_claims_of_itself_is_cut_to_what_can_be(den: Den) -> None:
    """T-P6: the receipt is stored whatever the filter has written into its page."""
    step = den.ended(den.start_evil("boast-of-itself")).steps[0]

    assert (step.state, step.receipt.checks) == (FilterState.SUCCEEDED, (1 << 31) - 1)
    assert 0 <= step.receipt.longest_gap < 600
    assert step.progress == f"{(1 << 63) - 1}/{-(1 << 63) + 1} pages"


def test_nothing_is_granted_after_the_cancel(den: Den) -> None:
    """Promise 3: the row decides, even for a filter that asks behind the back of `publish`."""
    token = den.start_evil("ask-after-the-cancel")
    den.await_trace(token, "begun")

    den.cancelled(token)

    assert den.await_trace(token, "granted") == ["granted", "False"]
    assert den.service.deliveries(token, den.by) == []


def test_a_filter_that_writes_around_the_framework_writes_nothing_after_its_job_has_ended(den: Den) -> None:
    """Ruling 5: the termination bounds what a filter can do without a grant."""
    token = den.start_evil("write-around")
    until(lambda: len(list(den.out.glob(f"{token}.*"))) > 3, "for it to write")

    den.cancelled(token)

    before = len(list(den.out.glob(f"{token}.*")))
    time.sleep(0.2)
    assert len(list(den.out.glob(f"{token}.*"))) == before


def test_a_run_finds_nothing_of_what_the_one_before_changed(den: Den) -> None:
    """Folder, umask, environment, signals and priority are those of a new process."""
    den.ended(den.start_evil("change-everything"))

    looks = looks_of(den)
    assert (looks["home"], looks["umask"], looks["sigterm"], looks["nice"]) == (True, 0o027, True, os.nice(0))
    assert looks["path"] == os.environ["PATH"]


def test_a_worker_has_no_descriptor_and_no_secret_of_the_server(den: Den, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-P4: neither its sockets nor its database, and of its environment only what a program needs to run."""
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    looks = looks_of(den)

    ours = set(descriptors())
    sockets = {one for one in looks["descriptors"] if one.startswith("socket:")}
    files = [Path(one) for one in looks["descriptors"] if one.startswith("/") and not one.startswith("/proc/")]
    assert len(sockets) == 1
    assert not sockets & ours
    assert {str(file) for file in files} == {"/dev/null", "/memfd:postscan-token (deleted)"}
    assert "DATABASE_PASSWORD" not in looks["environment"]
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PATH" in looks["start"]
    assert [one for one in looks["start"] if one not in ALLOWED and not one.startswith("LC_")] == []


def test_what_a_filter_prints_is_logged_up_to_its_cap_and_cannot_trick_a_terminal(
    den: Den, caplog: pytest.LogCaptureFixture
) -> None:
    """20 MB do not fill the log; escape sequences are replaced."""
    with caplog.at_level(logging.DEBUG, logger="postscan.core.workers.slot"):
        den.ended(den.start_evil("print-much"))

    records = [vars(one) for one in caplog.records if vars(one).get("plugin") == "evil"]
    printed = [one["text"] for one in records if one["msg"] == "plugin printed"]
    assert printed[0] == "\N{REPLACEMENT CHARACTER}[2J the first line"
    assert [one["bytes"] for one in records if one["msg"] == "plugin printed more than is logged"] == [20_000_040]
    assert sum(len(line) for line in printed) < supervisor.PRINTED + 1000


def test_a_filter_that_truncates_the_page_of_its_token_does_not_kill_the_server(den: Den) -> None:
    """T-P4: a mapped page that its file has lost is a SIGBUS for every process that reads it."""
    job = den.ended(den.start_evil("truncate-the-token"))

    assert job.state is JobState.COMPLETED


def test_the_death_of_the_forkserver_costs_no_run(den: Den) -> None:
    """The neighbour (see the fixture) goes on in its first attempt, and the next job gets a new forkserver."""
    job = den.ended(den.start_evil("kill-the-forkserver"))
    assert job.state is JobState.COMPLETED

    assert den.ended(den.start("copy")).state is JobState.COMPLETED


def test_a_filter_that_looks_away_for_longer_than_its_grace_is_named_in_the_log(
    den: Den, caplog: pytest.LogCaptureFixture
) -> None:
    """ "Must check" is enforced: the warning names the filter, how long it was, and what it declares."""
    token = den.start_evil("hang")
    den.await_trace(token, "begun")
    time.sleep(0.5)
    den.cancelled(token)

    message = "token not checked within the grace time"
    lines = [vars(record) for record in caplog.records if record.getMessage() == message]
    [warning] = [line for line in lines if line["job"] == token]  # the neighbour may have waited for the processor
    assert (warning["filter"], warning["grace_seconds"]) == ("hang", 0.3)
    assert warning["seconds"] >= 0.5


def looks_of(den: Den) -> dict[str, Any]:
    """Return what a filter's process looks like."""
    token = den.start_evil("look-around")
    den.ended(token)
    [line] = [line for line in (den.out / f"{token}.trace").read_text().splitlines() if line.startswith("looks")]
    looks: dict[str, Any] = json.loads(line.removeprefix("looks "))
    return looks


def descriptors() -> Iterator[str]:
    """Yield what the descriptors of this process lead to."""
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(one.readlink())


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


def test_a_slow_server_does_not_keep_a_filter_alive(tmp_path: Path, engine: Engine) -> None:
    """The termination has a thread of its own: a message that takes long to handle delays nothing."""
    workers = Workers()
    gone: list[float] = []
    begun = time.monotonic()

    def handle(message: protocol.RunMessage) -> None:
        if gone:
            return
        source.cancel("the test says so")
        until(lambda: not alive(process()), "for the filter to be gone while we are busy")
        gone.append(time.monotonic() - begun)

    def process() -> int:
        return int((tmp_path / "job.trace").read_text().split()[1])

    with CancelSource() as source, workers.slot() as slot:
        order = order_of("flood", tmp_path)
        ended = slot.run(order, source, Limits(60, GRACE, TERM), handle)
    workers.close()

    assert ended.kind is RunEndKind.STOPPED
    assert gone


def test_a_filter_that_closes_its_socket_is_killed_at_once_by_a_cancel(tmp_path: Path, engine: Engine) -> None:
    """Without grace: nothing that it does is seen any more. It ends as a killed run, not as a broken protocol."""
    workers = Workers()

    def cancel() -> None:
        trace = tmp_path / "job.trace"
        until(lambda: trace.exists() and "hung-up" in trace.read_text(), "for the filter to close its socket")
        source.cancel("the test says so")

    canceller = threading.Thread(target=cancel)
    with CancelSource() as source, workers.slot() as slot:
        canceller.start()
        ended = slot.run(order_of("hang-up", tmp_path), source, Limits(600, grace=600, term=600), lambda message: None)
    canceller.join()
    workers.close()

    assert (ended.kind, ended.exit_code, ended.why) == (RunEndKind.STOPPED, -9, "")


def order_of(name: str, folder: Path) -> protocol.RunOrder:
    """Return the order to run an evil filter without job and database."""
    return protocol.RunOrder(
        plugin="evil",
        dialect=f"urn:evil:{name}",
        workdir=folder,
        instructions="<do/>",
        settings={"folder": str(folder)},
        job=JobFacts("job", "Test", datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)),
        user=User(SID, "anna"),
    )


def with_plugins() -> dict[str, str]:
    """Return this environment, in which Python finds the evil filters."""
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(OUTSIDE), os.environ.get("PYTHONPATH", "")))}


def marked(mark: str) -> int:
    """Start a process with this mark."""
    return os.posix_spawn("/bin/sleep", ["sleep", "60"], {orphans.MARK: mark})
