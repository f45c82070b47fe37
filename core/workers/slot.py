"""The server's side of the slots: one supervisor and one worker for each filter run.

A slot is used once. What a filter leaves behind (threads, tools, daemons, open files, a changed umask) ends with its
supervisor, so nothing of one user's job reaches another's. A few slots are kept warm, since starting one takes longer
than a small filter.

The thread that started the run reads what the worker sends. The termination (`postscan.core.workers.termination`) has
a thread of its own, so neither a slow database nor a worker that sends without end can delay it.
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
from postscan.core.model import json_lines
from postscan.core.workers import orphans, protocol
from postscan.core.workers.process import SupervisorProcess
from postscan.core.workers.protocol import GrantReply, GrantRequest, Order, OrderBegun, Result, RunMessage
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.supervisor import Report
from postscan.core.workers.termination import Termination, kill_run

log = logging.getLogger(__name__)

MOST_RECEIVED: Final = 64 << 20
"""Most bytes that a worker may send in one run."""

_READ: Final = 1 << 16
_REPORT_SECONDS: Final = 10.0  # for the supervisor of a worker whose socket is closed to report: it may wait for a core
_END_SECONDS: Final = 10.0  # for a supervisor that has reported or was killed to be gone
_LAST_MESSAGES: Final = 1.0  # seconds for which the unread messages of a killed worker are still handled

Talk = Callable[[socket.socket, Termination], None]
"""Has the socket to a worker that lives long, until it returns; may set the grace time of the termination."""

OnMessage = Callable[[RunMessage], GrantReply | None]
"""Handles a message of the worker; returns the reply to a `GrantRequest`, None for every other message."""


class RunEndKind(StrEnum):
    """How a worker's run ended, as the server saw it."""

    REPORTED = "reported"  # the worker sent a result
    STOPPED = "stopped"  # the termination ended it
    INVALID = "invalid"  # it violated the protocol and was killed
    CRASHED = "crashed"  # it ended by itself without a result


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a run may take, all in seconds: to work, to stop after the token, to end after SIGTERM.

    With `start`, the time to work begins when the worker reports that it has begun, for which it has that time.
    `resources` is what else it may use.
    """

    seconds: float
    grace: float = 5.0
    term: float = 2.0
    resources: Resources = field(default_factory=Resources)
    start: float | None = None


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run: `result` is what the worker sent, `late` says that a time limit was reached.

    `begun` is False if that was the one for the start.
    `why` is the reason of an INVALID one. `exit_code` is the worker's, None if it is not known. `checks` includes the
    time from the last check to the end. `stopped_after` is the number of seconds since the token was set; None if it
    was not.
    """

    kind: RunEndKind
    result: Result | None = None
    late: bool = False
    exit_code: int | None = None
    why: str = ""
    checks: Checks = field(default=Checks(0, 0.0), compare=False)
    stopped_after: float | None = field(default=None, compare=False)
    begun: bool = True


class Closed(Exception):
    """No more workers are started: the server is stopping."""


class ProtocolViolation(Exception):
    """A worker sent what is not a message, too much, or does not read."""


class Slot:
    """One supervisor and its worker."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._report, its_report = socket.socketpair()
        with theirs, its_report:
            self._process = SupervisorProcess(theirs, its_report)
            try:
                self._process.start()
                self.supervisor: int = self._process.pid or 0
                self._handle = os.pidfd_open(self.supervisor)
            except BaseException:
                self._channel.close()
                self._report.close()
                raise
        self._busy = threading.Lock()  # one thread at a time runs or ends it
        self._signalling = threading.Lock()
        self._order: Order | None = None
        self._unread = bytearray()
        self._received = 0
        self._report_bytes = bytearray()
        self._closed = False

    def run(self, order: Order, source: CancelSource, limits: Limits, on_message: OnMessage) -> RunEnd:
        """Send the worker its order, handle its messages, and return how the run ended."""
        self._order = order.model_copy(update={"resources": limits.resources})
        times = (limits.seconds, limits.grace, limits.term, limits.start)
        with self._busy, Termination(source, self, *times) as termination:
            kind, result, why = self._exchange(self._order, source, termination, on_message)
            report = None if kind is RunEndKind.REPORTED else self._read_report()
            cancelled = source.cancelled_at
            return RunEnd(
                kind=RunEndKind.STOPPED if kind is RunEndKind.CRASHED and cancelled is not None else kind,
                result=result,
                late=termination.late,
                begun=termination.begun or not termination.late,
                exit_code=report.exit_code if report else None,
                why=why,
                checks=Checks(source.checks.number, max(source.checks.longest, source.unchecked)),
                stopped_after=None if cancelled is None else time.monotonic() - cancelled,
            )

    def converse(self, order: Order, source: CancelSource, limits: Limits, talk: Talk) -> int | None:
        """Send the worker its order, let *talk* have the socket, and return the worker's exit code; None if not known.

        For a worker that lives long: it has no time limit. Its termination begins with the cancel of *source*, and at
        the latest when *talk* has returned.
        """
        self._order = order.model_copy(update={"resources": limits.resources})
        with self._busy, Termination(source, self, None, limits.grace, limits.term) as termination:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended; the report says how
                _send_order(self._channel, self._order, source)
            talk(self._channel, termination)
            source.cancel("the server has closed its socket")
            self._is_gone(termination.grace + limits.term + _END_SECONDS)
            report = self._read_report()
        return report.exit_code if report else None

    def terminate(self) -> None:
        """Send SIGTERM to the worker and its tools."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        """Let the supervisor kill everything below it and end."""
        self._signal(signal.SIGTERM)

    def kill_below(self) -> None:
        """Kill everything below the supervisor from outside."""
        orphans.end_below(self.supervisor)

    def force_kill(self) -> None:
        """Kill everything from outside, the supervisor last."""
        self.kill_below()
        self._signal(signal.SIGKILL)

    def end(self) -> bool:
        """End what is left of the run; return False if its supervisor was killed, so that something may be left."""
        with self._busy:
            if self._closed:
                return True
            kill_run(self, self._is_gone)
            report = self._read_report()
            self._process.join(_END_SECONDS)
            with self._signalling:
                self._closed = True
                os.close(self._handle)
            self._channel.close()
            self._report.close()
        if report is not None and self._order is not None:
            _log_printed(self._order, report)
        return report is not None or self._order is None

    # --- what the worker sends -----------------------------------------------------------------------------------

    def _exchange(
        self, order: Order, source: CancelSource, termination: Termination, on_message: OnMessage
    ) -> tuple[RunEndKind, Result | None, str]:
        """Send the order, handle every message; return how that ended, the result, and the violation if any."""
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended; the report says how
                _send_order(self._channel, order, source)
            self._channel.setblocking(False)
            result = self._receive(source, termination, on_message)
        except ProtocolViolation as violation:
            log.warning("worker killed", extra=_fields(order) | {"reason": str(violation)})
            kill_run(self, self._is_gone)
            return RunEndKind.INVALID, None, str(violation)
        return (RunEndKind.CRASHED if result is None else RunEndKind.REPORTED), result, ""

    def _receive(self, source: CancelSource, termination: Termination, on_message: OnMessage) -> Result | None:
        """Handle message after message until the result; None if the run ended without one."""
        while True:
            while (line := self._line()) is not None:
                killed = termination.killed
                if killed is not None and time.monotonic() > killed + _LAST_MESSAGES:
                    return None
                message = _message(line)
                if not isinstance(message, RunMessage):
                    return message
                if isinstance(message, OrderBegun):
                    termination.begin()
                elif killed is None or not isinstance(message, GrantRequest):  # a killed worker reads no reply
                    self._handle_message(message, on_message)
            if self._channel not in wait([self._report, self._channel]):
                return None
            if not self._read():
                self._await_report(source)
                return None

    def _await_report(self, source: CancelSource) -> None:
        """Wait until the supervisor reports the end of a worker whose socket is closed; a cancel kills it at once.

        A worker that has ended, and whose supervisor does not get the processor, looks like one that has closed its
        socket and goes on. The latter gains nothing but these seconds of its slot: it sends nothing more, gets no
        grant, and its limits remain. Raises `ProtocolViolation` for it.
        """
        watched: list[Any] = [self._report, source]
        ready = wait(watched, _REPORT_SECONDS)
        if not ready:
            raise ProtocolViolation("it closed its socket")
        if self._report not in ready:
            kill_run(self, self._is_gone)

    def _handle_message(self, message: RunMessage, on_message: OnMessage) -> None:
        reply = on_message(message)
        if reply is None:
            return
        try:
            self._channel.sendall(protocol.write(reply))
        except BlockingIOError:
            raise ProtocolViolation("it does not read the replies to its requests") from None
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended; the report says how

    def _line(self) -> bytes | None:
        """Return the next whole line that was read already."""
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
        self._received += len(data)
        if len(self._unread) > json_lines.LONGEST or self._received > MOST_RECEIVED:
            raise ProtocolViolation("it sends without end")
        return bool(data)

    # --- what the supervisor sends -------------------------------------------------------------------------------

    def _is_gone(self, seconds: float) -> bool:
        """Wait for the supervisor's end, at most for *seconds*; return whether it has come."""
        return bool(wait([self._report], seconds))

    def _read_report(self) -> Report | None:
        """Return the supervisor's report; None if it was killed, or does not end."""
        self._report.settimeout(_END_SECONDS)
        try:
            while data := self._report.recv(_READ):
                self._report_bytes += data
        except (TimeoutError, ConnectionResetError):
            log.error("supervisor survived SIGKILL", extra={"pid": self.supervisor})  # noqa: TRY400  (no trace helps)
        return Report.read(bytes(self._report_bytes))

    def _signal(self, number: signal.Signals) -> None:
        with self._signalling, contextlib.suppress(ProcessLookupError):
            if not self._closed:
                signal.pidfd_send_signal(self._handle, number)


def _send_order(channel: socket.socket, order: Order, source: CancelSource) -> None:
    """Send an order, and with its first byte the page of the token and the pipe that it sleeps on."""
    line = protocol.write(order)
    socket.send_fds(channel, [line[:1]], [source.page, source.wake])
    channel.sendall(line[1:])


def _message(line: bytes) -> RunMessage | Result:
    try:
        return protocol.read_message(line)
    except protocol.BadMessage as error:
        raise ProtocolViolation(f"it sent an invalid message: {error}") from None


def _fields(order: Order) -> dict[str, Any]:
    """Return the fields of a log line about an order."""
    return {"plugin": order.plugin} | ({"job": order.job.token} if isinstance(order, protocol.RunOrder) else {})


def _log_printed(order: Order, report: Report) -> None:
    """Log what a run printed, each unprintable character replaced."""
    for line in report.printed.decode("utf-8", "replace").splitlines():
        text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
        log.debug("plugin printed", extra=_fields(order) | {"text": text})
    if report.size > len(report.printed):
        log.debug("plugin printed more than is logged", extra=_fields(order) | {"bytes": report.size})
