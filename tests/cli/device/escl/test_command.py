"""`postscan device --escl` as a process: its first line, its requests, commands from stdin, signals, --press."""

from __future__ import annotations

import hashlib
import queue
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from escl_client import EsclTestClient, eventually, jpeg_page
from typer.testing import Result
from zeroconf import ServiceBrowser, ServiceListener, Zeroconf

Run = Callable[..., Result]
SECONDS: Final = 30.0
DD: Final = "http://www.hp.com/schemas/imaging/con/dictionaries/1.0/"
COMP: Final = "http://www.hp.com/schemas/imaging/con/ledm/walkupscan/2010/09/28"
PAGES: Final = [jpeg_page(1), jpeg_page(2)]


class ScannerProcess:
    """`postscan device --escl` in a process of its own."""

    def __init__(self, *arguments: object) -> None:
        self.lines: queue.Queue[str] = queue.Queue()
        command = [sys.executable, "-m", "postscan.cli", "device", "--escl", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """Return the next line of stdout."""
        return self.lines.get(timeout=SECONDS)

    def line_with(self, text: str) -> str:
        """Return the next line that has this text."""
        while text not in (line := self.line()):
            pass
        return line

    def type(self, command: str) -> None:
        """Type a command at the panel."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two pages as files."""
    paths = [tmp_path / "1.jpg", tmp_path / "2.jpg"]
    for path, data in zip(paths, PAGES, strict=True):
        path.write_bytes(data)
    return paths


@pytest.fixture
def start() -> Iterator[Callable[..., ScannerProcess]]:
    """Start scanners that do not outlive the test."""
    started: list[ScannerProcess] = []

    def run(*arguments: object) -> ScannerProcess:
        started.append(ScannerProcess(*arguments))
        return started[-1]

    yield run
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_the_first_line_is_its_url_and_each_request_is_a_line(
    start: Callable[..., ScannerProcess], files: list[Path]
) -> None:
    """SIGTERM stops it, with the exit code 0."""
    scanner = start(*files, "--pages", 3)
    client = EsclTestClient(scanner.line())

    assert client.pages(client.job()) == ([*PAGES, PAGES[0]], 404)
    assert scanner.line() == "POST /eSCL/ScanJobs 201"
    assert scanner.line() == "GET /eSCL/ScanJobs/1/NextDocument 200"
    scanner.process.send_signal(signal.SIGTERM)
    assert scanner.process.wait(SECONDS) == 0


def test_commands_are_read_from_stdin(start: Callable[..., ScannerProcess], files: list[Path]) -> None:
    """Cancel, jam, clear, load, status, reboot, quit; others are named."""
    scanner = start(*files, "--misbehave", "scan=30")
    client = EsclTestClient(scanner.line())
    job = client.job()
    scanner.type("cancel")
    scanner.line_with("cancelled")
    answers = [client.next(job).status]
    scanner.type("jam")
    scanner.line_with("jammed")
    answers.append(client.next(client.job()).status)
    for command, shown in (
        ("dance", "unknown command 'dance'; help shows all"),
        ("press 'Invoices", "No closing quotation"),
        ("press Invoices", "this scanner has no walk-up"),
        ("clear", "cleared"),
        ("status", "Idle ScannerAdfLoaded"),
        ("empty", "empty"),
        ("door", "open"),
        ("reboot", "restarted"),
    ):
        scanner.type(command)
        scanner.line_with(shown)
    scanner.type("quit")

    assert answers == [410, 409]
    assert scanner.process.wait(SECONDS) == 0


def test_https_shows_the_fingerprint_of_its_certificate(
    start: Callable[..., ScannerProcess], files: list[Path]
) -> None:
    """Second and third line."""
    scanner = start(*files, "--https")
    scanner.line()
    parts = urlsplit(scanner.line())
    pem = ssl.get_server_certificate((parts.hostname or "", parts.port or 0))

    assert parts.scheme == "https"
    assert scanner.line() == f"sha256 {hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest().hex(':')}"


@pytest.mark.parametrize(("way", "code"), [("fetch", 0), ("cancel", 3)])
def test_press_waits_for_the_name_and_ends_with_the_scan(
    start: Callable[..., ScannerProcess], files: list[Path], way: str, code: int
) -> None:
    """The exit code is that of the job."""
    scanner = start(*files, "--hp", "comp", "--press", "Invoices")
    client = EsclTestClient(scanner.line())
    name = f'<a:WalkupScanToCompDestination xmlns:a="{COMP}" xmlns:d="{DD}"><d:Name>Invoices</d:Name>'
    body = f"{name}<a:LinkType>Network</a:LinkType></a:WalkupScanToCompDestination>".encode()
    assert client.call("POST", "/WalkupScanToComp/WalkupScanToCompDestinations", body).status == 201
    etag = client.call("GET", "/EventMgmt/EventTable").headers["etag"]
    event = client.call("GET", "/EventMgmt/EventTable?timeout=300", **{"If-None-Match": etag})
    job = client.job()
    if way == "fetch":
        assert client.pages(job) == (PAGES, 404)
    else:
        client.call("DELETE", job)

    assert b"ScanEvent" in event.data
    scanner.line_with("press Invoices: event 1-2")
    scanner.line_with("job Completed" if way == "fetch" else "job Canceled")
    assert scanner.process.wait(SECONDS) == code


def test_it_announces_itself_with_the_keys_of_its_kind(start: Callable[..., ScannerProcess], files: list[Path]) -> None:
    """escl.md section 1: both services, the TXT keys, and nothing any more after its end."""
    found: dict[str, dict[str, str]] = {}

    class Listener(ServiceListener):
        def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            info = zc.get_service_info(type_, name)
            if info is not None and name.startswith("Announced"):
                text = {key.decode(): (value or b"").decode() for key, value in info.properties.items()}
                found[type_] = {**text, "port": str(info.port)}

        def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            """Change nothing."""

        def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            if name.startswith("Announced"):
                found.pop(type_, None)

    kinds = ["_uscan._tcp.local.", "_uscans._tcp.local."]
    with Zeroconf(interfaces=["127.0.0.1"]) as browser:
        ServiceBrowser(browser, kinds, Listener())
        scanner = start(*files, "--announce", "--https", "--source", "duplex", "--name", "Announced")
        urls = [urlsplit(scanner.line()), urlsplit(scanner.line())]
        eventually(lambda: len(found) == 2, SECONDS)
        text = dict(found[kinds[0]])

        assert [found[kind]["port"] for kind in kinds] == [str(url.port) for url in urls]
        assert {text[key] for key in ("txtvers", "rs", "ty", "is", "duplex")} == {
            *("1", "eSCL", "Announced", "platen,adf", "T")
        }
        assert (text["pdl"], text["cs"], text["vers"]) == ("image/jpeg", "color,grayscale,binary", "2.63")
        scanner.process.send_signal(signal.SIGTERM)
        eventually(lambda: not found, SECONDS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "needs at least one JPEG, PNG or PDF file"),
        (("--listen", "127.0.0.1"), "expected HOST:PORT"),
        (("--listen", "127.0.0.1:99999"), "expected HOST:PORT"),
        (("--listen", "192.0.2.1:0"), "192.0.2.1:0: Cannot assign requested address"),
        (("--source", "tray"), "one of platen, feeder, duplex"),
        (("--quirk", "lexmark"), "--quirk"),
        (("--misbehave", "cut=many"), "cut=BYTES"),
        (("--hp", "new"), "comp or old"),
        (("--press", "Invoices"), "--press: needs --hp"),
    ],
)
def test_a_wrong_command_line_serves_nothing(
    postscan: Run, files: list[Path], arguments: tuple[str, ...], sentence: str
) -> None:
    """It says what was expected."""
    result = postscan("device", "--escl", *(files if arguments else ()), *arguments)

    assert result.exit_code in (1, 2)
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


def test_a_file_that_no_scanner_sends_is_named(postscan: Run, tmp_path: Path) -> None:
    """Text, and a JPEG without an image."""
    for name, data in (("a.txt", b"hello"), ("b.jpg", PAGES[0][:30])):
        (tmp_path / name).write_bytes(data)
        result = postscan("device", "--escl", tmp_path / name)

        assert result.exit_code == 1
        assert f"{tmp_path / name}: not a" in result.stderr
