"""The server's side of the slots: one keeper and one worker for each filter run.

A slot is used once. What a filter leaves behind (threads, tools, daemons, open files, a changed umask) ends with its
keeper, so nothing of one user's job can meet another's. A few slots are kept warm, since starting one takes longer
than a small filter.

What a worker says is heard in the thread that ordered the run, and the kill ladder
(`postscan.core.workers.termination`) stands
in another: neither a database that is slow nor a worker that talks without end can delay it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import wait
from typing import Any, Final

from postscan.core.filters.cancellation import CancelSource, Checks
from postscan.core.workers import orphans, protocol, supervisor
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.supervisor import Report
from postscan.core.workers.termination import Termination

log = logging.getLogger(__name__)

MOST_HEARD: Final = 64 << 20  # bytes that a worker may say in one run
_READ: Final = 1 << 16
_HANGING: Final = 1.0  # seconds for a keeper to end what is below it
_LAST_WORDS: Final = 1.0  # seconds for which a killed worker's unread messages are still heard

OnMessage = Callable[[protocol.Message], protocol.Message | None]
"""What the server does with a message of the child; what it returns is sent back."""


class RunEndKind(StrEnum):
    """How a worker's run ended, as the server saw it."""

    SAID = "said"  # the worker said how
    STOPPED = "stopped"  # the ladder ended it
    UNRULY = "unruly"  # it could not be talked to, and was ended for that
    DIED = "died"  # it ended by itself and said nothing


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a run may take, all in seconds: to work, to stop after the token, to die after SIGTERM.

    `resources` is what else it may use.
    """

    seconds: float
    grace: float = 5.0
    term: float = 2.0
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run: `message` is the worker's last word, `late` says that the time limit was reached.

    `why` says what was wrong with an unruly one. `checks` counts the time from the last look to the end as well.
    `stopped_after` counts the seconds since it was asked to stop; None
    if nobody asked.
    """

    how: RunEndKind
    message: protocol.Message
    late: bool = False
    exit_code: int | None = None
    why: str = ""
    checks: Checks = field(default=Checks(0, 0.0), compare=False)
    stopped_after: float | None = field(default=None, compare=False)


class Closed(Exception):
    """No more workers are started: the server is stopping."""


class ProtocolViolation(Exception):
    """What a worker says cannot be understood or does not end."""


class Slot:
    """One keeper and its worker."""

    def __init__(self, context: Any) -> None:
        self._channel, theirs = socket.socketpair()
        self._report, its_report = socket.socketpair()
        with theirs, its_report:
            self._process = context.Process(target=supervisor.main, args=(theirs, its_report), daemon=True)
            try:
                self._process.start()
                self._handle = os.pidfd_open(self._process.pid)
            except BaseException:
                self._channel.close()
                self._report.close()
                raise
        self.keeper: int = self._process.pid
        self._busy = threading.Lock()  # one thread talks to it or ends it
        self._signalling = threading.Lock()
        self._order: protocol.Message = {}
        self._unread = bytearray()
        self._heard = 0
        self._told = bytearray()
        self._closed = False

    def do(self, order: protocol.Message, source: CancelSource, limits: Limits, on_message: OnMessage) -> RunEnd:
        """Give the worker its order and return when the run has ended, one way or another."""
        self._order = order | {"resources": limits.resources.as_table()}
        with self._busy, Termination(source, self, limits.seconds, limits.grace, limits.term) as ladder:
            how, message, why = self._talk(ladder, on_message)
            report = None if how is RunEndKind.SAID else self._read_report()
            asked = ladder.asked
            return RunEnd(
                how=RunEndKind.STOPPED if how is RunEndKind.DIED and asked is not None else how,
                message=message,
                late=ladder.late,
                exit_code=report.exit_code if report else None,
                why=why,
                checks=Checks(source.checks.number, max(source.checks.longest, source.unchecked)),
                stopped_after=None if asked is None else time.monotonic() - asked,
            )

    def ask(self) -> None:
        """Send SIGTERM to the worker and its tools."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        """Let the keeper end everything below it, and then itself."""
        self._signal(signal.SIGTERM)

    def force_kill(self) -> None:
        """End everything from outside, the keeper last."""
        orphans.end_below(self.keeper)
        self._signal(signal.SIGKILL)

    def end(self) -> bool:
        """End what is left of the run; return False if its keeper was killed, so that something may have escaped."""
        with self._busy:
            if self._closed:
                return True
            self.kill()
            if not self._is_gone(_HANGING):
                self.force_kill()
            report = self._read_report()
            self._process.join(_HANGING)
            with self._signalling:
                self._closed = True
                os.close(self._handle)
            self._channel.close()
            self._report.close()
        if report is not None:
            _log_printed(self._order, report)
        return report is not None or not self._order

    # --- what the worker says ------------------------------------------------------------------------------------

    def _talk(self, ladder: Termination, on_message: OnMessage) -> tuple[RunEndKind, protocol.Message, str]:
        """Send the order, hear the worker out; return how that ended, its last word, and what was wrong."""
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is dead; the report will say so
                self._channel.sendall(protocol.write(self._order) + b"\n")
            self._channel.setblocking(False)
            last = self._hear_out(ladder, on_message)
        except ProtocolViolation as unruly:
            log.warning("a worker is killed: %s", unruly)
            self.kill()
            if not self._is_gone(_HANGING):
                self.force_kill()
            return RunEndKind.UNRULY, {}, str(unruly)
        return (RunEndKind.DIED, {}, "") if last is None else (RunEndKind.SAID, last, "")

    def _hear_out(self, ladder: Termination, on_message: OnMessage) -> protocol.Message | None:
        """Heed message after message until the last; None if the run ended without one."""
        watched: list[Any] = [self._report, self._channel]
        while True:
            while (line := self._line()) is not None:
                killed = ladder.killed
                if killed is not None and time.monotonic() > killed + _LAST_WORDS:
                    return None
                message = _understood(line)
                if "end" in message:
                    return message
                if killed is None or "ask" not in message:  # nobody is left to hear an answer
                    self._heed(message, on_message)
            ready = wait(watched)
            if self._channel not in ready:
                return None
            if not self._read():
                watched.remove(self._channel)
                if not self._is_gone(_HANGING):
                    raise ProtocolViolation("it closed its pipe")

    def _heed(self, message: protocol.Message, on_message: OnMessage) -> None:
        try:
            answer = on_message(message)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise ProtocolViolation(f"it sent nonsense: {error!r}") from None
        if answer is None:
            return
        try:
            self._channel.sendall(protocol.write(answer) + b"\n")
        except BlockingIOError:
            raise ProtocolViolation("it does not read its answers") from None
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is dead; the report will say so

    def _line(self) -> bytes | None:
        """Return the next whole message that was read already."""
        line, end, rest = self._unread.partition(b"\n")
        if not end:
            return None
        self._unread = rest
        return bytes(line)

    def _read(self) -> bool:
        """Read what is there; return False if nothing more will come."""
        try:
            data = self._channel.recv(_READ)
        except ConnectionResetError:
            return False
        self._unread += data
        self._heard += len(data)
        if len(self._unread) > protocol.LONGEST or self._heard > MOST_HEARD:
            raise ProtocolViolation("it talks without end")
        return bool(data)

    # --- what the keeper says ------------------------------------------------------------------------------------

    def _is_gone(self, seconds: float) -> bool:
        """Wait for the keeper's end, or for *seconds*; return whether it has come."""
        return bool(wait([self._report], seconds))

    def _read_report(self) -> Report | None:
        """Return what the keeper said at its end; None if it was killed, or cannot be."""
        self._report.settimeout(_HANGING)
        try:
            while data := self._report.recv(_READ):
                self._told += data
        except (TimeoutError, ConnectionResetError):
            log.error("keeper %d does not end, not even by SIGKILL", self.keeper)  # noqa: TRY400  (no trace helps)
        return Report.read(bytes(self._told))

    def _signal(self, number: signal.Signals) -> None:
        with self._signalling, contextlib.suppress(ProcessLookupError):
            if not self._closed:
                signal.pidfd_send_signal(self._handle, number)


def _understood(line: bytes) -> protocol.Message:
    try:
        return protocol.decode(line)
    except protocol.BadMessage as error:
        raise ProtocolViolation(f"it sent nonsense: {error}") from None


def _log_printed(order: protocol.Message, report: Report) -> None:
    """Write what a run printed into the log, without what could trick a terminal."""
    about = {"job": order["job"]["token"]} if "job" in order else {}
    for line in report.printed.decode("utf-8", "replace").splitlines():
        text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
        log.debug("plugin %s printed: %s", order.get("plugin"), text, extra=about)
    if report.size > len(report.printed):
        log.debug("plugin %s printed %d bytes in all", order.get("plugin"), report.size, extra=about)
