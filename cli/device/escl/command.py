"""`postscan device --escl`: serve a simulated scanner until it is stopped."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import typer

from postscan.cli.device.escl.behaviour.misbehaviours import parameters_of
from postscan.cli.device.escl.machine.machine import PaperPath
from postscan.cli.output.terminal import plain
from postscan.core.errors import InvalidArgument, PostscanError

if TYPE_CHECKING:
    from postscan.cli.device.escl.panel import EsclPanel
    from postscan.cli.device.escl.scanner import SimulatedEsclScanner

HIGHEST_PORT: Final = 65535
POLL: Final = 0.05  # seconds between two looks at what is registered


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
    """Serve until SIGINT, SIGTERM or the command `quit`; return the exit code 0.

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
    plain_names, cut, seconds = parameters_of(tuple(misbehaviours))
    try:
        scanner = SimulatedEsclScanner(
            list(files),
            source=source,
            number=pages,
            quirks=quirks,
            misbehaviours=plain_names,
            page_seconds=seconds,
            pause=pause,
            cut_at=cut,
            listen=address,
            tls=https,
            root=root,
            name=name,
            hp=hp,
        )
    except OSError as error:
        raise PostscanError(f"--listen: {listen}: {error.strerror or error}") from None
    stop = threading.Event()
    with scanner, contextlib.ExitStack() as stack:
        _print(scanner.url)
        if scanner.secure_url:
            _print(scanner.secure_url)
            _print(f"sha256 {scanner.fingerprint}")
        if announce:
            stack.enter_context(scanner.announce())
        scanner.listener = lambda line: _print(plain(line))
        panel = EsclPanel(scanner)
        threading.Thread(target=_read_commands, args=(panel, stop), daemon=True).start()
        if press:
            threading.Thread(target=_press_when_registered, args=(scanner, press, stop), daemon=True).start()
        with _signals(stop):
            stop.wait()
    return 0


def _read_commands(panel: EsclPanel, stop: threading.Event) -> None:
    """Carry out the commands of stdin until its end; that of stdin does not stop the scanner."""
    for line in sys.stdin:
        if line.strip() == "quit":
            stop.set()
            return
        for shown in panel.run(line).splitlines():
            _print(plain(shown))


def _press_when_registered(scanner: SimulatedEsclScanner, name: str, stop: threading.Event) -> None:
    """Press a name once, as soon as a computer has registered it and polls for events."""
    while not stop.wait(POLL):
        if scanner.walkup is not None and scanner.walkup.is_awaited(name):
            _print(f"press {plain(name)}: event {scanner.press(name)}")
            return


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
