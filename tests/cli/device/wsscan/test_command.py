"""`postscan device --wsscan` in a process of its own: its first line, its panel, its exit codes, Ctrl-C."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result
from wsd_computer import WsdComputer, WsdGrant, computer, image_of

from postscan.cli.device.escl.behaviour.quirks import QUIRKS as ESCL_QUIRKS
from postscan.cli.device.wsscan.behaviour.misbehaviours import MISBEHAVIOURS
from postscan.cli.device.wsscan.behaviour.quirks import QUIRKS

Run = Callable[..., Result]
LABELS = {"ctx-1": "Invoices", "ctx-2": "Archive"}
SECONDS = 30.0


class Shown:
    """A process with the lines that it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self, wanted: str = "") -> str:
        """Return the next line that has these words."""
        while True:
            line = self._lines.get(timeout=SECONDS)
            assert line is not None, f"the process ended without {wanted!r}"
            if wanted in line:
                return line

    def type(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def scanner(*arguments: object) -> Iterator[tuple[Shown, WsdComputer]]:
    """Run the command; end it with SIGTERM if it has not ended."""
    command = [sys.executable, "-m", "postscan.cli", "device", "--wsscan", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        shown = Shown(process)
        try:
            url = shown.line()
            assert url.startswith("http://127.0.0.1:"), url
            with computer(f"{url}/scan") as client:
                yield shown, client
        finally:
            if process.poll() is None:
                process.terminate()


@pytest.fixture
def files(tmp_path: Path, paper: list[bytes]) -> list[Path]:
    """The pages as files."""
    made = [tmp_path / f"{number}.jpg" for number in range(len(paper))]
    for file, data in zip(made, paper, strict=True):
        file.write_bytes(data)
    return made


def scan(client: WsdComputer, grant: WsdGrant, source: str = "ADF", images: int = 99) -> list[bytes]:
    """Fetch up to *images* pages of the next press."""
    event = client.next_event()
    token = grant.tokens[event.text("w:ScanAvailableEvent/w:ClientContext")]
    created = client.create(press=event, token=token, source=source)
    found = []
    while len(found) < images and not (reply := client.retrieve(created)).fault:
        found.append(image_of(reply))
    return found


def test_press_waits_for_its_destination_scans_and_exits(files: list[Path], paper: list[bytes]) -> None:
    """0 for a job that is Completed; the last response still arrives."""
    with scanner(*files, "--press", "Invoices") as (shown, client):
        shown.line("waiting for the destination 'Invoices'")
        assert scan(client, client.subscribe(LABELS)) == paper
        shown.line("Invoices: Completed")
        assert client.next_event("SubscriptionEnd")
        assert shown.process.wait(SECONDS) == 0


def test_the_last_page_of_the_platen_arrives_although_the_command_ends(files: list[Path], paper: list[bytes]) -> None:
    """The job is Completed with its last byte, and the process waits for that."""
    with scanner(files[0], "--press", "Archive", "--source", "platen") as (shown, client):
        assert scan(client, client.subscribe(LABELS), "Platen", images=1) == paper[:1]
        assert shown.process.wait(SECONDS) == 0


@pytest.mark.parametrize(("bad", "code"), [("jam=2", 4), ("dead-event", 1)])
def test_press_tells_how_it_ended(files: list[Path], bad: str, code: int) -> None:
    """4 for Aborted; 1 if there was no job, and here the panel is told to stop waiting by SIGTERM."""
    with scanner(*files, "--press", "Invoices", "--misbehave", bad) as (shown, client):
        grant = client.subscribe(LABELS)
        if bad == "dead-event":
            shown.line("Invoices: pressed")
            shown.process.send_signal(signal.SIGTERM)
        else:
            assert len(scan(client, grant)) == 1
        assert shown.process.wait(SECONDS) == code


def test_cancel_at_the_panel_is_3(files: list[Path]) -> None:
    """The client has fetched one page."""
    with scanner(*files, "--press", "Invoices") as (shown, client):
        scan(client, client.subscribe(LABELS), images=1)
        shown.type("cancel")
        shown.line("Invoices: Canceled (JobCanceledAtDevice), 1 page sent")
        assert shown.process.wait(SECONDS) == 3


def test_the_panel_takes_commands(files: list[Path], paper: list[bytes]) -> None:
    """By number and by label; what is wrong is said."""
    with scanner(*files) as (shown, client):
        grant = client.subscribe(LABELS)
        shown.line("destinations: 1 Invoices, 2 Archive")
        shown.type("press 2")
        assert scan(client, grant) == paper
        shown.line("Archive: Completed")
        shown.type("cancel")
        shown.line("the scan has ended")
        shown.type("press Nowhere")
        shown.line("press: the panel shows no destination 'Nowhere'")
        shown.type("misbehave jam=x")
        shown.line("misbehave: --misbehave: 'jam=x' is not valid; expected a number as PAGE")
        shown.type("dance")
        shown.line("dance: unknown")
        shown.type("jam")
        shown.type("status")
        shown.line("Stopped, MediaJam; 3 pages; subscriptions: 1")
        shown.type("clear")
        shown.type("reboot")
        shown.line("no destinations")
        shown.type("help")
        shown.line("press NUMBER|LABEL")
        shown.type("quit")
        assert shown.process.wait(SECONDS) == 0


def test_ctrl_c_ends_the_subscriptions(files: list[Path]) -> None:
    """Exit code 0, and nothing on stderr."""
    with scanner(*files) as (shown, client):
        client.subscribe(LABELS)
        shown.process.send_signal(signal.SIGINT)
        assert client.next_event("SubscriptionEnd")
        assert shown.process.wait(SECONDS) == 0


def test_a_port_that_is_taken_is_one_line(files: list[Path], postscan: Run) -> None:
    """Exit code 1."""
    with scanner(files[0]) as (_, client):
        taken = client.service.split("/")[2]
        result = postscan("device", "--wsscan", files[0], "--listen", taken)

    assert result.exit_code == 1
    assert result.stderr == f"postscan: --listen: {taken}: Address already in use\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--wsscan", "--quirk", "hp-9000"], "--quirk: 'hp-9000' is not valid"),
        (["--wsscan", "--misbehave", "cut"], "--misbehave: 'cut' is not valid"),
        (["--wsscan", "--source", "tray"], "--source: 'tray' is not valid; expected one of platen, feeder, duplex"),
        (["--wsscan", "--listen", "8018"], "--listen: '8018' is not valid; expected HOST:PORT"),
        (["--wsscan", "--process", "x"], "cannot be used with --wsscan"),
        (["--wsscan", "--https"], "cannot be used with --wsscan"),
        (["--wsscan", "--escl"], "cannot be used with --wsscan"),
        (["--quirk", "oki-mc362"], "needs --wsscan or --escl"),
        (["--wsscan", "missing.jpg"], "missing.jpg: No such file or directory"),
    ],
)
def test_what_does_not_fit_is_refused(postscan: Run, arguments: list[str], why: str) -> None:
    """Before anything listens."""
    result = postscan("device", *arguments)

    assert result.exit_code in (1, 2)
    assert why in result.stderr


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--wsscan", "--quirk", "list"], QUIRKS),
        (["--wsscan", "--misbehave", "list"], MISBEHAVIOURS),
        (["--escl", "--quirk", "list"], ESCL_QUIRKS),
    ],
)
def test_list_shows_each_row_of_a_table(postscan: Run, arguments: list[str], names: dict[str, object]) -> None:
    """One a line, in the order of the table."""
    result = postscan("device", *arguments)

    assert result.exit_code == 0
    assert [line.partition(" ")[0].partition("[")[0] for line in result.stdout.splitlines()] == list(names)
