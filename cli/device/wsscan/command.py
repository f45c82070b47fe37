"""`postscan device --wsscan`: serve a simulated WSD scanner, with its panel on the terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import typer

from postscan.cli.device.scenarios.progress_log import ProgressLog
from postscan.cli.device.wsscan.panel import PanelError, PanelPress, PressState, page_count
from postscan.cli.device.wsscan.panel_commands import PanelCommands
from postscan.cli.device.wsscan.scanner import WsdScanner
from postscan.cli.output import exit_codes, terminal
from postscan.core.errors import InvalidArgument, PostscanError

HIGHEST_PORT: Final = 65535
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
HUMAN_SECONDS: Final = 0.5
"""Seconds from the moment when the panel shows a destination until `--press` chooses it."""

_POLL: Final = 0.05
_MAX_LINE: Final = 1000

EXIT_CODES: Final = {
    PressState.COMPLETED: 0,
    PressState.CANCELED: exit_codes.of_job("Canceled"),
    PressState.ABORTED: exit_codes.of_job("Aborted"),
}
"""The exit codes of `--press`; any other end is an error."""


def serve(
    files: Sequence[Path],
    *,
    listen: str = "127.0.0.1:0",
    source: str = "feeder",
    pages: int = 0,
    quirks: Sequence[str] = (),
    misbehaviours: Sequence[str] = (),
    press: str = "",
    announce: bool = False,
    name: str = "",
) -> int:
    """Serve until SIGINT, SIGTERM, the command `quit`, or the end of the scan that *press* starts; return an exit code.

    The first line on stdout is the URL of the device. Raises `PostscanError` for values that cannot be used.
    """
    host, port = _address(listen)
    log = ProgressLog(terminal.console())
    scanner = WsdScanner(
        files,
        count=pages or None,
        source=source,
        host=host,
        port=port,
        quirks=quirks,
        misbehaviours=misbehaviours,
        name=name or "Simulated scanner",
        announce=announce,
        log=log.write,
    )
    stop = threading.Event()
    with _signals(stop), contextlib.ExitStack() as stack:
        try:
            stack.enter_context(scanner)
        except OSError as error:
            raise PostscanError(f"--listen: {listen}: {error.strerror or error}") from None
        typer.echo(scanner.url)
        sys.stdout.flush()
        log.write(f"the scan service is {scanner.service_url}; {page_count(len(scanner.pages))} ({source})")
        if announce and host in LOOPBACK:
            log.write("only this machine reaches it: it listens at a loopback address; see --listen")
        commands = PanelCommands(scanner, log.write, stop)
        log.write("type help for what the panel can do" if sys.stdin.isatty() else "commands are read from stdin")
        return _run(scanner, commands, stop, press, log)


def _run(scanner: WsdScanner, commands: PanelCommands, stop: threading.Event, label: str, log: ProgressLog) -> int:
    lines = _StdinLines()
    chosen: PanelPress | None = None
    shown_at = float("inf")
    if label:
        log.write(f"waiting for the destination {label!r}")
    while not stop.wait(0 if lines.is_open else _POLL):
        if label not in scanner.destinations:
            shown_at = float("inf")
        elif label and chosen is None:
            shown_at = min(shown_at, time.monotonic())
        if chosen is None and time.monotonic() - shown_at >= HUMAN_SECONDS:
            with contextlib.suppress(PanelError):  # busy with a scan of another client: the panel is tried again
                chosen = scanner.press(label)
        if chosen is not None and chosen.ended.is_set():
            return EXIT_CODES.get(chosen.state, exit_codes.ERROR)
        for line in lines.read(_POLL):
            commands.run(line)
    return exit_codes.ERROR if label else 0


class _StdinLines:
    """Lines of stdin, without a thread that would outlive the command."""

    def __init__(self) -> None:
        self._rest = b""
        try:
            self._fd = sys.stdin.fileno()
            self.is_open = True
        except (OSError, ValueError, AttributeError):
            self.is_open = False

    def read(self, seconds: float) -> list[str]:
        """Return the lines that have come within so many seconds."""
        if not self.is_open or not select.select([self._fd], [], [], seconds)[0]:
            return []
        data = os.read(self._fd, _MAX_LINE)
        self.is_open = bool(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:_MAX_LINE]
        return [line.decode("utf-8", "replace") for line in lines]


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
