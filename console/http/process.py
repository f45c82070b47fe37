"""The process of the console beside a server: the server starts it, starts it again when it has ended, and stops it.

The server has the listening socket and leaves it to each process in turn, so that browsers wait for a new one instead
of being refused, and port 0 stays the same. The console ends with the server, however that ends: it reads from a pipe
whose other end only the server has.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 0.25
LONGEST_SECONDS: Final = 60.0
"""The pause before a console that has ended is started again: from the first to the longest, each twice the last."""
STABLE_SECONDS: Final = 30.0
"""A console that has run for so long begins again with the first pause."""
STOP_SECONDS: Final = 5.0

ADDRESS: Final = "console.url"
"""File in the folder of running things with the URL of the console, for the commands that print links to it."""


class ConsoleProcess:
    """Runs a command as the console, from `start` to the end of the body of a `with`.

    *command* returns the arguments for a listening descriptor and for that of the pipe.
    """

    def __init__(self, listener: socket.socket, command: Callable[[int, int], Sequence[str]]) -> None:
        self._listener = listener
        self._command = command
        self._changed = threading.Condition()
        self._running: subprocess.Popen[bytes] | None = None
        self._is_over = False
        self._is_wanted_again = False
        self._thread = threading.Thread(target=self._watch, name="postscan-console", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the console."""
        with self._changed:
            self._is_over = True
            running = self._running
            self._changed.notify_all()
        if running is not None:
            _end(running)
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def start(self) -> None:
        """Start the console, and start it again each time it ends; once."""
        self._thread.start()

    def restart(self) -> None:
        """Stop the console; another one is started at once, which reads the settings again."""
        with self._changed:
            running, self._is_wanted_again = self._running, True
            self._changed.notify_all()
        if running is not None:
            running.terminate()

    def _watch(self) -> None:
        pause = FIRST_SECONDS
        while True:
            began = time.monotonic()
            code = self._run()
            if time.monotonic() - began > STABLE_SECONDS:
                pause = FIRST_SECONDS
            if not self._is_wanted(code, pause):
                return
            pause = min(2 * pause, LONGEST_SECONDS)

    def _is_wanted(self, code: int | None, pause: float) -> bool:
        """Return whether another process is wanted: at once after `restart`, else after a pause."""
        with self._changed:
            if not (self._is_over or self._is_wanted_again):
                log.error("console ended, and is started again", extra={"code": code, "seconds": pause})
                self._changed.wait_for(lambda: self._is_over or self._is_wanted_again, pause)
            self._is_wanted_again = False
            return not self._is_over

    def _run(self) -> int | None:
        """Run one process to its end; return its exit code, None if it could not be started."""
        try:
            reading, writing = os.pipe()
            with open(writing, "wb"):  # noqa: PTH123  (a descriptor)
                with open(reading, "rb"), self._changed:  # noqa: PTH123  (a descriptor)
                    if self._is_over:
                        return 0
                    self._running = self._started(reading)
                return self._running.wait()
        except OSError as error:
            log.error("console not started", extra={"reason": str(error)})  # noqa: TRY400  (no trace helps)
            return None

    def _started(self, pipe: int) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own: a Ctrl-C at the terminal is for the server, which then stops it."""
        listener = self._listener.fileno()
        return subprocess.Popen(  # noqa: S603  (our own program)
            self._command(listener, pipe),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(listener, pipe),
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def write_address(run_dir: Path, url: str) -> None:
    """Store the URL of the running console."""
    (run_dir / ADDRESS).write_text(url)


def read_address(run_dir: Path) -> str:
    """Return the URL of the console that was started last; "" if none was."""
    try:
        return (run_dir / ADDRESS).read_text().strip()
    except OSError:
        return ""
