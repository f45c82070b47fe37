"""`postscan device --escl`: serve a simulated scanner until it is stopped."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import typer

from postscan.cli.device.escl.behaviour.misbehaviours import parameters_of
from postscan.cli.device.escl.machine.jobs import PLATEN
from postscan.cli.device.escl.machine.paper import PaperPath
from postscan.cli.device.escl.walkup.names import WalkupApi
from postscan.cli.output import exit_codes
from postscan.cli.output.terminal import plain
from postscan.core.errors import InvalidArgument, PostscanError

if TYPE_CHECKING:
    from postscan.cli.device.escl.panel import EsclPanel
    from postscan.cli.device.escl.scanner import SimulatedEsclScanner

HIGHEST_PORT: Final = 65535
POLL: Final = 0.05  # seconds between two looks at what has changed
QUIET: Final = 2.0  # seconds without a request after which a client has finished


def serve(
    files: Sequence[Path],
    *,
    listen: str = "127.0.0.1:0",
    source: str = "feeder",
    pages: int = 0,
    quirks: Sequence[str] = (),
    misbehaviours: Sequence[str] = (),
    pause: float = 20.0,
    https: bool = False,
    announce: bool = False,
    hp: str = "",
    press: str = "",
    root: str = "eSCL",
    name: str = "",
) -> int:
    """Serve until SIGINT, SIGTERM, the command `quit`, or the end of the job of *press*; return the exit code.

    Prints the URL of eSCL as the first line, with TLS then the URL and the fingerprint of HTTPS; then a line for each
    request. Commands are read from stdin, see `panel.py`. *hp* is "", "comp" (WalkupScanToComp) or "old"
    (WalkupScan). Raises `PostscanError` for files, names and addresses that cannot be used.
    """
    from postscan.cli.device.escl.panel import EsclPanel
    from postscan.cli.device.escl.scanner import SimulatedEsclScanner

    if not files:
        raise PostscanError("--escl: needs at least one JPEG, PNG or PDF file")
    if source not in (one.value for one in PaperPath):
        raise InvalidArgument("--source", source, f"one of {', '.join(one.value for one in PaperPath)}")
    if hp not in ("", "comp", "old"):
        raise InvalidArgument("--hp", hp, "comp or old")
    if press and not hp:
        raise PostscanError("--press: needs --hp")
    address = _address(listen)
    names, values = parameters_of(tuple(misbehaviours))
    try:
        scanner = SimulatedEsclScanner(
            list(files),
            source=source,
            number=pages,
            quirks=quirks,
            misbehaviours=names,
            page_seconds=values.scan,
            pause=pause,
            cut_at=values.cut,
            jam_after=values.jam,
            cancel_after=values.cancel,
            listen=address,
            tls=https,
            root=root,
            name=name,
            hp=hp,
        )
    except OSError as error:
        raise PostscanError(f"--listen: {listen}: {error.strerror or error}") from None
    end = ServingEnd()
    with scanner, _signals(end.stop), contextlib.ExitStack() as stack:
        _print(scanner.url)
        if scanner.secure_url:
            _print(scanner.secure_url)
            _print(f"sha256 {scanner.fingerprint}")
        if announce:
            stack.enter_context(scanner.announce())
        scanner.listener = lambda line: _print(plain(line))
        threading.Thread(target=_read_commands, args=(EsclPanel(scanner), end), daemon=True).start()
        if press:
            threading.Thread(target=_press, args=(scanner, press, end), daemon=True).start()
        end.stop.wait()
    return end.code


@dataclass
class ServingEnd:
    """Whether the scanner is to stop, and the exit code."""

    stop: threading.Event = field(default_factory=threading.Event)
    code: int = 0


def _read_commands(panel: EsclPanel, end: ServingEnd) -> None:
    """Carry out the commands of stdin until its end; that of stdin does not stop the scanner."""
    for line in sys.stdin:
        if line.strip() == "quit":
            end.stop.set()
            return
        for shown in panel.run(line).splitlines():
            _print(plain(shown))


def _press(scanner: SimulatedEsclScanner, name: str, end: ServingEnd) -> None:
    """Press a name once a computer has registered it and polls for events; stop when the scan of it has ended.

    There is one page from the platen; what the client does afterwards (DELETE, a look at the state) is waited for.
    """
    walkup = scanner.walkup
    while walkup is None or not walkup.is_awaited(name):
        if end.stop.wait(POLL):
            return
    before = len(scanner.jobs)
    _print(f"press {plain(name)}: event {scanner.press(name)}")
    while not (jobs := scanner.jobs[before:]) or not jobs[0].ended:
        if end.stop.wait(POLL):
            return
    _print(f"job {jobs[0].state} {jobs[0].reason}, {jobs[0].images} images")
    if walkup.api is WalkupApi.COMP and jobs[0].settings.source == PLATEN:
        scanner.done()
    while time.monotonic() - max(one.time for one in scanner.requests) < QUIET:
        if end.stop.wait(POLL):
            return
    end.code = exit_codes.of_job(jobs[0].state)
    end.stop.set()


def _address(text: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; the host may be an IPv6 address in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal() and int(port) <= HIGHEST_PORT):
        raise InvalidArgument("--listen", text, "HOST:PORT")
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Set *stop* at SIGINT and SIGTERM."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _print(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()
