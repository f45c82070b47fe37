"""`postscan device --escl`: serve a simulated scanner until it is stopped."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import typer

from postscan.cli.device.escl.machine.machine import PaperPath
from postscan.core.errors import InvalidArgument, PostscanError

HIGHEST_PORT: Final = 65535


def serve(
    files: Sequence[Path],
    *,
    listen: str = "127.0.0.1:0",
    source: str = "feeder",
    pages: int = 0,
    quirks: Sequence[str] = (),
    misbehaviours: Sequence[str] = (),
    page_seconds: float = 0.0,
    pause: float = 20.0,
    cut_at: int = -1,
    cut_page: int = 1,
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
    from postscan.cli.device.escl.scanner import SimulatedEsclScanner

    if not files:
        raise PostscanError("--escl: needs at least one JPEG, PNG or PDF file")
    if source not in (one.value for one in PaperPath):
        raise InvalidArgument("--source", source, f"one of {', '.join(one.value for one in PaperPath)}")
    address = _address(listen)
    try:
        scanner = SimulatedEsclScanner(
            list(files),
            source=source,
            number=pages,
            quirks=quirks,
            misbehaviours=misbehaviours,
            page_seconds=page_seconds,
            pause=pause,
            cut_at=cut_at,
            cut_page=cut_page,
            listen=address,
            tls=https,
            root=root,
            name=name,
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
        with _signals(stop):
            stop.wait()
    return 0


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
