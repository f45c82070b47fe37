"""One process of a plugin of hooks: its start, its questions and answers, and its end.

One thread reads the socket and watches the times. A plugin that violates the protocol, sends too much, does not read,
or does not answer in time is ended. An answer that is invalid, or about something else than was asked, is the failure
of that question alone: who asks may choose what is asked, and must not end the process by it.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Final

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.directory import messages
from postscan.core.filters.directory.messages import (
    Answer,
    BrokenAnswer,
    HooksDeclared,
    HooksFailed,
    HooksLogLine,
    HooksServerMessage,
    HooksStarted,
    HooksStop,
)
from postscan.core.model import json_lines
from postscan.core.model.rate_limit import RateLimit
from postscan.core.registry.directory.questions import HOOKS, AskedQuestion, mismatch
from postscan.core.workers.protocol import HooksOrder
from postscan.core.workers.slot import Limits, Slot
from postscan.core.workers.termination import Termination

log = logging.getLogger(__name__)

OVERDUE_SECONDS: Final = 1.0
"""So long behind its time a question may still be answered, before the process is ended."""

POLL_SECONDS: Final = 0.25
"""Seconds between two looks at the times of questions: other threads send them."""

SEND_SECONDS: Final = 2.0
"""So long a plugin may take to read a question; it reads in a thread of its own."""

LINES: Final = 600
"""Most lines of its log in a minute."""

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


class HooksViolation(Exception):
    """A plugin of hooks does what it must not."""


@dataclass(frozen=True)
class HooksEnd:
    """How the process ended: it was `stopped`, or `reason` says why not; `counts` is False if it was never loaded."""

    stopped: bool = False
    reason: str = ""
    traceback: str = ""
    counts: bool = True


class HooksProcess:
    """One process of a plugin. *load_seconds* is the time to load it; *on_ready* is called when it is loaded."""

    def __init__(
        self, started: HooksStarted, limits: Limits, load_seconds: float, on_ready: Callable[[HooksDeclared], None]
    ) -> None:
        self._started = started
        self._limits = limits
        self._load_seconds = load_seconds
        self._on_ready = on_ready
        self._source = CancelSource(patience=limits.grace + limits.term)
        self._lock = threading.Lock()  # of what follows
        self._channel: socket.socket | None = None
        self._declared: HooksDeclared | None = None
        self._waiting: deque[AskedQuestion] = deque()
        self._open: dict[int, AskedQuestion] = {}
        self._over = ""
        self._sending = threading.Lock()
        self._lines = RateLimit(LINES, 60.0, time.monotonic)
        self._failure: HooksFailed | None = None
        self._why = ""
        self._is_late = False
        self._stopped = False

    def run(self, slot: Slot) -> HooksEnd:
        """Run the plugin in a slot until it ends; every question has an answer then."""
        order = HooksOrder(plugin=self._started.plugin, workdir=self._started.workdir)
        with self._source:
            try:
                code = slot.converse(order, self._source, self._limits, self._talk)
            finally:
                self._close()
        return self._ended(code)

    def ask(self, asked: AskedQuestion) -> None:
        """Send a question, or let it wait for its turn; it has its answer when the process ends, at the latest."""
        with self._lock:
            over = self._over
            if not over:
                self._waiting.append(asked)
        if over:
            asked.away(over)
        else:
            self._send_waiting()

    def stop(self, reason: str) -> None:
        """Let the plugin close its connections and end; it is killed after its grace time."""
        with self._lock:
            if self._stopped or self._over:
                return
            self._stopped = True
        self._send(HooksStop())
        with self._lock:  # its descriptors may be those of others when it is over
            if not self._over:
                self._source.cancel(reason)

    def cancel(self, reason: str) -> bool:
        """End a plugin that does what it must not; the first reason counts."""
        self._why = self._why or reason
        with self._lock:
            if not self._over:
                self._source.cancel(reason)
        return True

    # --- the thread of the process -------------------------------------------------------------------------------

    def _talk(self, channel: socket.socket, termination: Termination) -> None:
        channel.settimeout(SEND_SECONDS)
        with self._lock:
            self._channel = channel
            stopped = self._stopped
        try:
            self._send(self._started)
            if stopped:
                self._send(HooksStop())
            self._receive(channel)
        except HooksViolation as violation:
            self._why = self._why or str(violation)
        if self._why:
            termination.grace = 0.0

    def _receive(self, channel: socket.socket) -> None:
        load_until = time.monotonic() + self._load_seconds
        unread = bytearray()
        while not self._why:
            if not wait([channel], POLL_SECONDS):
                self._check_times(load_until)
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
                self._handle(line)
            if len(unread) > messages.LONGEST:
                raise HooksViolation(f"it sent a message of more than {messages.LONGEST} bytes")
            self._check_times(load_until)

    def _overdue(self, asked: AskedQuestion) -> float:
        return (asked.sent or 0.0) + self._started.seconds + OVERDUE_SECONDS

    def _check_times(self, load_until: float) -> None:
        now = time.monotonic()
        with self._lock:
            late = any(self._overdue(one) <= now for one in self._open.values())
            unloaded = self._declared is None and load_until <= now
        if unloaded:
            self._is_late = True
            raise HooksViolation(f"it was not loaded within {self._load_seconds:g} s")
        if late:
            raise HooksViolation(f"it did not answer within {self._started.seconds:g} s")

    def _handle(self, line: bytes) -> None:
        try:
            message = messages.read_plugin(line)
        except json_lines.BadMessage as error:
            if self._declared is not None and self._answer_badly(line, str(error)):
                return
            raise HooksViolation(f"it sent an invalid message: {error}") from None
        match message:
            case HooksDeclared():
                self._declare(message)
            case HooksFailed():
                self._failure = message
                self._why = message.error
            case HooksLogLine():
                self._log(message)
            case _:
                self._accept(message)

    def _answer_badly(self, line: bytes, error: str) -> bool:
        """Let one question fail whose answer has a wrong value; return False if the line is no answer at all."""
        number = _number_of(line)
        asked = self._take(number) if number is not None else None
        if asked is None:
            return False
        asked.reply(BrokenAnswer(id=asked.question.id, error=f"an invalid answer: {error}"[: json_lines.SENTENCE]))
        self._send_waiting()
        return True

    def _declare(self, declared: HooksDeclared) -> None:
        with self._lock:
            if self._declared is not None:
                raise HooksViolation("it declared itself twice")
            self._declared = declared
        self._on_ready(declared)
        self._send_waiting()

    def _accept(self, answer: Answer) -> None:
        asked = self._take(answer.id)
        if asked is None:
            raise HooksViolation(f"it sent an answer {answer.id} to no question")
        wrong = mismatch(asked.question, answer)
        asked.reply(BrokenAnswer(id=answer.id, error=wrong) if wrong else answer)
        self._send_waiting()

    def _take(self, number: int) -> AskedQuestion | None:
        with self._lock:
            return self._open.pop(number, None)

    def _send_waiting(self) -> None:
        """Send as many questions as the plugin takes at once; one that has waited too long gets no turn."""
        while (asked := self._next()) is not None:
            self._send(asked.question)

    def _next(self) -> AskedQuestion | None:
        with self._lock:
            while self._waiting and self._declared is not None and self._channel is not None and not self._over:
                if len(self._open) >= min(self._declared.at_once, messages.AT_ONCE):
                    return None
                asked = self._waiting.popleft()
                now = time.monotonic()
                if HOOKS[type(asked.question)] not in self._declared.hooks:
                    asked.away("it has no such hook")
                elif now >= asked.asked + self._started.seconds:
                    asked.away("the questions before it took too long")
                else:
                    asked.sent = now
                    self._open[asked.question.id] = asked
                    return asked
            return None

    def _send(self, message: HooksServerMessage) -> None:
        """Send a message; nothing happens if there is no process. A plugin that does not read is ended."""
        line = messages.write(message)
        with self._sending, contextlib.suppress(BrokenPipeError, ConnectionResetError, OSError):
            if self._channel is not None:
                try:
                    self._channel.sendall(line)
                except TimeoutError:
                    self.cancel("it does not read its questions")

    def _log(self, line: HooksLogLine) -> None:
        if self._lines.take(""):
            return
        fields: dict[str, Any] = {
            name: value for name, value in line.fields.items() if _FIELD.fullmatch(name) and name not in _NO_FIELDS
        }
        about = {"plugin": self._started.plugin, "text": line.message}
        log.log(_LEVELS.get(line.level, logging.INFO), "plugin logged", extra=fields | about)

    def _close(self) -> None:
        """Answer every question that is left."""
        with self._lock:
            self._over = self._why or ("the server is stopping" if self._stopped else "its process has ended")
            left = [*self._open.values(), *self._waiting]
            self._open.clear()
            self._waiting.clear()
            self._channel = None
        for asked in left:
            asked.away(self._over)

    def _ended(self, code: int | None) -> HooksEnd:
        if self._failure is not None:
            return HooksEnd(self._stopped, self._failure.error, self._failure.traceback)
        if self._stopped:
            return HooksEnd(stopped=True)
        if self._why:
            return HooksEnd(reason=self._why, counts=not self._is_late)
        return HooksEnd(reason="its process ended" + ("" if code is None else f" with exit code {code}"))


def _number_of(line: bytes) -> int | None:
    """Return the `id` of a message that is invalid otherwise; None if it has none."""
    try:
        found = json_lines.parse(line, messages.LONGEST).get("id")
    except json_lines.BadMessage:
        return None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
