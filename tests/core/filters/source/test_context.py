"""What a source receives beside its jobs: accounts, devices, states, health, log, tools."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import source_server
from idle_sources import Idle, Pulling
from source_server import SourceServer
from works import PATIENCE

from postscan.core.filters.source import messages
from postscan.core.filters.source.messages import InletBusy, PasswordRequest, Request, SourceFailed
from postscan.plugins import Busy, CancellationToken, Cancelled, JobStatus, Refused, Source, SourceContext, setting

NETWORKS = ("10.0.0.0/24", "fd00::/64", "10.1.2.3", "uuid:4509a320-00a0-008f-00b6-002507510eca")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SourceServer]:
    """The server's side of an inlet."""
    source = Idle()
    with source_server.running(
        source, tmp_path, accounts={"ann": "right"}, devices=NETWORKS, allow_clear=True, requests=4
    ) as server:
        assert source.ready.wait(PATIENCE)
        server.inlet = source.inlet
        yield server


@pytest.fixture
def inlet(server: SourceServer) -> SourceContext:
    """The source's side of it."""
    return server.inlet


def test_the_settings_of_the_inlet_are_there(inlet: SourceContext) -> None:
    """The server's own keys, as far as a source has to know them."""
    assert (inlet.name, inlet.allow_clear) == ("inlet", True)
    assert [(one.id, one.label) for one in inlet.destinations] == [("d1", "Invoices")]


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("10.0.0.9", True),
        ("10.0.1.9", False),
        ("::ffff:10.0.0.9", True),
        ("fd00::9", True),
        ("fd00::9%eth0", True),
        ("fd00:1::9", False),
        ("10.1.2.3", True),
        ("10.1.2.4", False),
        ("", False),
        ("uuid:4509a320-00a0-008f-00b6-002507510eca", False),
    ],
)
def test_a_device_is_known_by_its_address(inlet: SourceContext, address: str, known: bool) -> None:
    """In each spelling that a socket gives."""
    assert inlet.is_device(address) is known


def test_a_password_is_asked_from_the_server(server: SourceServer, inlet: SourceContext) -> None:
    """The source has none; what no account can have is wrong without a question."""
    assert inlet.password("ann", "right", address="10.0.0.9") is True
    assert inlet.password("ann", "wrong") is False
    assert inlet.password("ann", "x" * 5000) is False
    assert server.passwords == [("ann", "right"), ("ann", "wrong")]


def test_too_many_wrong_passwords_are_busy(server: SourceServer, inlet: SourceContext) -> None:
    """And never a yes."""
    server.on_request = lambda request: InletBusy(id=request.id, seconds=60.0)
    with pytest.raises(Busy) as busy:
        inlet.password("ann", "right")
    assert busy.value.seconds == 60.0


def test_guessing_of_passwords_delays_no_page(server: SourceServer, inlet: SourceContext) -> None:
    """All places of passwords wait; a job passes them."""
    held = threading.Event()
    waiting = threading.Event()

    def hold(request: Request) -> None:
        if isinstance(request, PasswordRequest):
            waiting.set()
            held.wait(PATIENCE)

    server.on_request = hold
    guesses = [threading.Thread(target=inlet.password, args=("ann", str(n))) for n in range(20)]
    for one in guesses:
        one.start()
    assert waiting.wait(PATIENCE)
    with inlet.job("one", "d1", "device", "10.0.0.9") as job, job.page() as page:
        page.write(b"page")
    assert server.jobs[0].state == "Pending"
    assert sum(isinstance(request, PasswordRequest) for request in server.requests) == 1
    held.set()
    for one in guesses:
        one.join(PATIENCE)


def test_the_state_of_a_job_can_be_asked(server: SourceServer, inlet: SourceContext) -> None:
    """Also when it is no longer open."""
    with inlet.job("one", "d1", "device", "10.0.0.9") as job, job.page() as page:
        page.write(b"page")
    server.jobs[0].state = "Processing"

    assert inlet.state(job.id) == JobStatus("Processing", ())
    with pytest.raises(Refused):
        inlet.state("unknown")


def test_keys_that_differ_stay_different(server: SourceServer, inlet: SourceContext) -> None:
    """Names of files in any bytes, and longer than an index of the database takes."""
    keys = ["\udcff", "\udcfe", "?", "a\0b", "a?b", "x" * 3000 + "1", "x" * 3000 + "2"]
    for key in keys:
        with inlet.job(key, "d1", "device", "10.0.0.9") as job, job.page() as page:
            page.write(b"page")

    assert len({one.request.key for one in server.jobs}) == len(keys)


def test_texts_of_the_origin_are_cut_to_what_the_server_takes(server: SourceServer, inlet: SourceContext) -> None:
    """A long subject is no reason to lose a mail."""
    with inlet.job("one", "d1", "device", "s" * 5000, "n" * 5000) as job, job.page() as page:
        page.write(b"page")
    inlet.log("l" * 5000, "info", file="f" * 5000, number=7)
    inlet.health("degraded", "h" * 5000)
    server.wait_for(lambda: server.log and server.health)

    request = server.jobs[0].request
    assert {len(request.subject), len(request.name)} == {2048}
    assert (len(server.log[0].message), len(server.log[0].fields["file"])) == (2000, 2048)
    assert server.log[0].fields["number"] == "7"
    assert server.health[0] == ("degraded", "h" * 2000)


def test_a_proof_that_is_none_is_an_error_of_the_source(inlet: SourceContext) -> None:
    """In the source's own process, with the allowed ones."""
    with pytest.raises(Refused, match="'device', 'clear', 'password'"), inlet.job("k", "d1", "certain", "x"):
        raise AssertionError("the block must not be entered")


def test_log_lines_above_the_limit_are_counted(server: SourceServer, inlet: SourceContext) -> None:
    """A source that logs each of a million files is not ended for it, and the log says how many are missing."""
    for number in range(messages.A_SECOND):
        inlet.log("file left", file=number)
    server.wait_for(lambda: len(server.log) >= messages.A_SECOND // 4)
    time.sleep(1.0)  # the length of the window
    inlet.log("the last one")
    server.wait_for(lambda: server.log[-1].message == "the last one")

    left_out = sum(int(line.fields.get("left_out", 0)) for line in server.log)
    assert left_out > 0
    assert left_out + len(server.log) == messages.A_SECOND + 1


def test_the_health_is_reported_when_it_changes(server: SourceServer, inlet: SourceContext) -> None:
    """A source may say it in each round."""
    for state, text in (("ready", ""), ("ready", ""), ("away", "no route"), ("away", "no host"), ("ready", "")):
        inlet.health(state, text)
    inlet.log("the last one")
    server.wait_for(lambda: server.log)

    assert server.health == [("ready", ""), ("away", "no route"), ("away", "no host"), ("ready", "")]


def test_a_tool_ends_with_the_source_or_with_the_job(server: SourceServer, inlet: SourceContext) -> None:
    """Whichever token is given."""
    assert inlet.run_tool(["echo", "done"]).output == "done"
    with pytest.raises(OSError, match="no-such-tool"):
        inlet.run_tool(["no-such-tool"])
    threading.Timer(0.2, server.stop).start()
    with pytest.raises(Cancelled):
        inlet.run_tool(["sleep", "600"])


# --- run ---------------------------------------------------------------------------------------------------------


def test_a_pull_reaches_the_source_beside_its_run(tmp_path: Path) -> None:
    """One after another; one that fails is logged, and the source works on."""
    source = Pulling()
    with source_server.running(source, tmp_path) as server:
        for destination in ("d1", "broken", ""):
            server.pull(destination)
        server.wait_for(lambda: server.log)
        assert server.declared is not None
        assert server.declared.pulls
        deadline = time.monotonic() + PATIENCE
        while len(source.pulled) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)

    assert source.pulled == ["d1", "broken", ""]
    assert server.log[0].fields == {"destination": "broken", "reason": "RuntimeError: no paper"}


class Ending(Source):
    """A source that ends by itself as its settings say."""

    title = "Ending"
    proofs = ("device",)

    def __init__(self, how: str) -> None:
        self.how = how
        self.once = how == "once"

    def requires(self) -> list[str]:
        """Say what is missing."""
        return ["The library is missing.", "So is the paper."] if self.how == "lacks" else []

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """End."""
        if self.how == "raises":
            raise ValueError("what is that?")


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("lacks", "The library is missing. So is the paper."),
        ("returns", "Ending.run returned before it was stopped"),
        ("raises", "ValueError: what is that?"),
    ],
)
def test_a_source_that_ends_by_itself_has_failed(tmp_path: Path, how: str, problem: str) -> None:
    """The server is told why."""
    with source_server.running(Ending(how), tmp_path, stops=False) as server:
        server.wait_for(lambda: server.end)

    assert isinstance(server.end, SourceFailed)
    assert server.end.error == problem
    assert bool(server.end.traceback) == (how == "raises")


def test_a_source_may_have_an_end(tmp_path: Path) -> None:
    """If it says so."""
    with source_server.running(Ending("once"), tmp_path) as server:
        server.wait_for(lambda: server.end)


@dataclass(frozen=True)
class Every:
    """The settings of a source."""

    every: float = setting(default=1.0, help="seconds between two looks")


class With(Idle):
    """A source that has settings."""

    Settings = Every


def test_settings_that_the_source_does_not_take_are_named(tmp_path: Path) -> None:
    """With the section in which they are."""
    with source_server.running(With(), tmp_path, {"evry": 1}, stops=False) as server:
        server.wait_for(lambda: server.end)

    assert isinstance(server.end, SourceFailed)
    assert server.end.error == "[sources.inlet] has no setting 'evry'; it has: every"
