"""One process of a source: its start, the messages on its socket, and its end.

One thread reads the socket, a few carry out requests, and the termination of the slot ends the process. A source that
violates the protocol, sends too much, or does not read is ended, with one line of the log.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Final

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source import messages
from postscan.core.filters.source.messages import (
    HealthReport,
    InletStarted,
    InletStop,
    Request,
    ServerMessage,
    SourceDeclared,
    SourceFailed,
    SourceFinished,
    SourceLogLine,
    SourceMessage,
)
from postscan.core.model import json_lines
from postscan.core.model.rate_limit import RateLimit
from postscan.core.sources.intake import LyingSource, SourceIntake
from postscan.core.workers.protocol import SourceOrder
from postscan.core.workers.slot import Limits, Slot
from postscan.core.workers.termination import Termination

log = logging.getLogger(__name__)

BURST_SECONDS: Final = 10.0
BURST: Final = 20 * messages.A_SECOND
"""Most messages in any `BURST_SECONDS`: what a source may send in them, and what its socket holds after a pause."""

LINES: Final = messages.A_SECOND // 4 * 60
"""Most lines of its log in a minute."""

THREADS: Final = 8
"""Most requests of a source that are carried out at once."""

_READ: Final = 1 << 16
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NO_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "asctime",
    "event",
    "exception",
    "level",
    "logger",
    "message",
    "timestamp",
}

OnHealth = Callable[[str, str], None]
"""Is called with the state of a source and the text beside it."""


class ProtocolViolated(Exception):
    """A source sent what is no message, too much, or does not read."""


@dataclass(frozen=True)
class ProcessEnd:
    """How the process of a source ended: it was `stopped`, has `finished`, or neither; `reason` says why not.

    `counts` is False if this machine could not start it, or not in time.
    """

    stopped: bool = False
    finished: bool = False
    reason: str = ""
    traceback: str = ""
    counts: bool = True


class InletProcess:
    """One process of a source, from its start to its end. *load_seconds* is the time that it has to load the source."""

    def __init__(
        self, started: InletStarted, intake: SourceIntake, limits: Limits, load_seconds: float, on_health: OnHealth
    ) -> None:
        self._started = started
        self._intake = intake
        self._limits = limits
        self._load_seconds = load_seconds
        self._on_health = on_health
        self._about = {"inlet": started.inlet, "plugin": started.plugin}
        self._source = CancelSource(patience=limits.grace + limits.term)
        self._channel: socket.socket | None = None
        self._sending = threading.Lock()
        self._ending = threading.Lock()
        self._over = False
        self._unanswered: set[int] = set()
        self._unanswered_lock = threading.Lock()
        self._pace = RateLimit(BURST, BURST_SECONDS, time.monotonic)
        self._lines = RateLimit(LINES, 60.0, time.monotonic)
        self._dropped = 0
        self._declared: SourceDeclared | None = None
        self._end: SourceFinished | SourceFailed | None = None
        self._why = ""
        self._stopped = False
        self._is_late = False

    @property
    def has_begun(self) -> bool:
        """Whether the source is loaded, and has read the start."""
        return self._declared is not None

    @property
    def pulls(self) -> bool:
        """Whether the source fetches a scan when it is asked to."""
        return self._declared is not None and self._declared.pulls

    def run(self, slot: Slot) -> ProcessEnd:
        """Run the source in a slot until it ends; every request is carried out, and what it left open has failed.

        The last holds as far as the database answers: `OpenJobs.fail_left` has the rest.
        """
        order = SourceOrder(plugin=self._started.plugin, workdir=self._started.workdir)
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"postscan-source-{self._started.inlet}")
        with self._source:
            try:
                code = slot.converse(order, self._source, self._limits, lambda *talk: self._talk(threads, *talk))
            finally:
                with self._ending:
                    self._over = True
                self._intake.stop_opening()
                with self._sending:
                    self._channel = None
                threads.shutdown()
                self._intake.jobs.fail_all("its source ended")
        return self._ended(code)

    def stop(self, reason: str) -> None:
        """Ask the source to end; it is killed after its grace time."""
        if not self._stopped:
            self._stopped = True
            self.notify(InletStop(reason=reason))
        self._cancel(reason)

    def cancel(self, reason: str) -> bool:
        """End a source that does what it must not, in the steps of a termination; the first reason counts."""
        self._why = self._why or reason
        self._cancel(reason)
        return True

    def notify(self, message: ServerMessage) -> None:
        """Send a message that has no request, and end the source if it does not read."""
        try:
            self.send(message)
        except ProtocolViolated as violation:
            self.cancel(str(violation))

    def send(self, message: ServerMessage) -> None:
        """Send a message; nothing happens if there is no process. Raises `ProtocolViolated` if it does not read."""
        with self._sending, contextlib.suppress(BrokenPipeError, ConnectionResetError, OSError):
            if self._channel is not None:
                try:
                    self._channel.sendall(messages.write(message))
                except BlockingIOError:
                    raise ProtocolViolated("it does not read the replies to its requests") from None

    def _cancel(self, reason: str) -> None:
        """Begin the termination, unless the process has ended: its descriptors may be those of others then."""
        with self._ending:
            if not self._over:
                self._source.cancel(reason)

    # --- what the source sends -----------------------------------------------------------------------------------

    def _talk(self, threads: ThreadPoolExecutor, channel: socket.socket, termination: Termination) -> None:
        """Handle what the source sends until the end of its socket."""
        self._channel = channel
        channel.setblocking(False)
        try:
            self.send(self._started)
            if self._stopped:
                self.send(InletStop())
            self._receive(threads, channel, termination)
        except (ProtocolViolated, LyingSource) as violation:
            self.cancel(str(violation))
        if self._why:
            termination.grace = 0.0

    def _receive(self, threads: ThreadPoolExecutor, channel: socket.socket, termination: Termination) -> None:
        until = time.monotonic() + self._load_seconds
        unread = bytearray()
        while not self._why:
            left = None if self._declared or self._end else until - time.monotonic()
            if left is not None and left <= 0:
                self._is_late = True
                raise ProtocolViolated(f"it was not loaded within {self._load_seconds:g} s")
            if not wait([channel], left):
                continue
            try:
                data = channel.recv(_READ)
            except ConnectionResetError:
                return
            if not data:
                return
            unread += data
            while (end := unread.find(b"\n") + 1) and not self._why:
                line = bytes(unread[:end])
                del unread[:end]
                self._handle(threads, line, termination)
            if len(unread) > json_lines.LONGEST:
                raise ProtocolViolated(f"it sent a message of more than {json_lines.LONGEST} bytes")

    def _handle(self, threads: ThreadPoolExecutor, line: bytes, termination: Termination) -> None:
        if self._pace.take(""):
            raise ProtocolViolated(f"it sent more than {BURST} messages in {BURST_SECONDS:g} s")
        try:
            message = messages.read_source(line)
        except json_lines.BadMessage as error:
            raise ProtocolViolated(f"it sent an invalid message: {error}") from None
        if self._end is not None:
            return  # of a thread that goes on behind the end of `run`
        match message:
            case SourceFinished() | SourceFailed():
                self._end = message
                self._cancel("it has ended")
            case SourceDeclared():
                self._declare(message, termination)
            case _ if self._declared is None:
                raise ProtocolViolated("it sent a message before it was loaded")
            case HealthReport():
                self._on_health(message.state, message.text)
            case SourceLogLine():
                self._log(message)
            case _:
                self._accept(threads, message)

    def _declare(self, declared: SourceDeclared, termination: Termination) -> None:
        if self._declared is not None:
            raise ProtocolViolated("it declared itself twice")
        self._intake.declared(declared.proofs)
        termination.grace = min(declared.grace, self._limits.grace)
        self._declared = declared
        self._on_health("ready", "")

    def _accept(self, threads: ThreadPoolExecutor, message: SourceMessage) -> None:
        """Let a thread carry out a request."""
        request: Any = message
        with self._unanswered_lock:
            if request.id in self._unanswered:
                raise ProtocolViolated(f"it sent a second request {request.id} before the reply to the first")
            if len(self._unanswered) >= self._started.requests:
                raise ProtocolViolated(f"it has more than {self._started.requests} requests without a reply")
            self._unanswered.add(request.id)
        threads.submit(self._carry_out, request)

    def _carry_out(self, request: Request) -> None:
        try:
            reply = self._intake.handle(request)
            with self._unanswered_lock:
                self._unanswered.discard(request.id)
            self.send(reply)
        except (ProtocolViolated, LyingSource) as violation:
            self.cancel(str(violation))

    def _log(self, line: SourceLogLine) -> None:
        if self._lines.take(""):
            self._dropped += 1
            return
        dropped, self._dropped = self._dropped, 0
        fields: dict[str, Any] = {
            name: value for name, value in line.fields.items() if _FIELD.fullmatch(name) and name not in _NO_FIELDS
        }
        if dropped:
            fields["lines_dropped"] = dropped
        text = {"text": line.message}
        log.log(_LEVELS.get(line.level, logging.INFO), "source logged", extra=fields | self._about | text)

    def _ended(self, code: int | None) -> ProcessEnd:
        if self._why:
            return ProcessEnd(reason=self._why, counts=not self._is_late)
        if isinstance(self._end, SourceFailed):
            return ProcessEnd(self._stopped, reason=self._end.error, traceback=self._end.traceback)
        if self._stopped or isinstance(self._end, SourceFinished):
            return ProcessEnd(self._stopped, finished=self._end is not None)
        return ProcessEnd(reason="its process ended" + ("" if code is None else f" with exit code {code}"))
