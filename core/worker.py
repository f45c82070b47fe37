"""The server's side of the slots: one child process and process group for each filter run, and the kill ladder.

A slot is used once. What a filter leaves behind (threads, tools, open files, a changed umask) ends with its process
group, so nothing of one user's job can meet another's. A few slots are kept warm, since a fork takes longer than a
small filter.

The ladder: token → grace time → SIGTERM to the group → a moment → SIGKILL to the group.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import wait
from typing import Any, Final

from postscan.core import child, wire
from postscan.core.cancellation import CancelSource

log = logging.getLogger(__name__)

WARM: Final = 2
_READ: Final = 1 << 16

OnMessage = Callable[[wire.Message], wire.Message | None]
"""What the server does with a message of the child; what it returns is sent back."""


class How(StrEnum):
    """How a child's work ended, as the server saw it."""

    SAID = "said"  # the child said how
    STOPPED = "stopped"  # the ladder ended it
    DIED = "died"  # it ended by itself and said nothing


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a child may take, all in seconds: to work, to stop after the token, to die after SIGTERM."""

    seconds: float
    grace: float = 5.0
    term: float = 2.0


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a child's work: `message` is its last word, `late` says that the time limit was reached."""

    how: How
    message: wire.Message
    late: bool = False
    exit_code: int | None = None


class Workers:
    """All slots. Closing it ends every child at once."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([child.__name__])
        self._warm: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._live: set[Slot] = set()
        self._lock = threading.Lock()
        self._closed = False

    def warm_up(self) -> None:
        """Start the first slots, so that the first job does not wait for them."""
        while self._warm.qsize() < WARM and not self._closed:
            self._warm.put(self._start())

    @contextlib.contextmanager
    def slot(self) -> Iterator[Slot]:
        """Lend a slot for one order; its whole process group is gone afterwards."""
        try:
            slot = self._warm.get_nowait()
        except queue.Empty:
            slot = self._start()
        else:
            threading.Thread(target=self._refill, name="postscan-warm", daemon=True).start()
        try:
            yield slot
        finally:
            self._end(slot)

    def close(self) -> None:
        """Kill every child that is left."""
        with self._lock:
            self._closed = True
            left = list(self._live)
        for slot in left:
            self._end(slot)

    def _refill(self) -> None:
        with contextlib.suppress(OSError, Closed):
            self.warm_up()

    def _start(self) -> Slot:
        slot = Slot(self._context)
        with self._lock:
            if not self._closed:
                self._live.add(slot)
                return slot
        slot.end()
        raise Closed("the server is stopping")

    def _end(self, slot: Slot) -> None:
        slot.end()
        with self._lock:
            self._live.discard(slot)


class Closed(Exception):
    """No more children are started: the server is stopping."""


class Slot:
    """One child process."""

    def __init__(self, context: Any) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = context.Process(target=child.main, args=(theirs,), daemon=True)
            self._process.start()
        ours.setblocking(False)
        self._channel = ours
        self._unread = bytearray()

    def do(self, order: wire.Message, source: CancelSource, limits: Limits, on_message: OnMessage) -> Ended:
        """Give the child its order and return when it has ended, one way or another.

        A child that floods the pipe, or does not read what it asked for, is stopped like one that is late.
        """
        self._channel.setblocking(True)
        with contextlib.suppress(BrokenPipeError):  # it is dead already; the sentinel says so below
            self._channel.sendall(wire.write(order) + b"\n")
        self._channel.setblocking(False)
        ladder = _Ladder(self, source, limits)
        watched: list[Any] = [self._process.sentinel, self._channel, source]
        while True:
            ready: list[Any] = wait(watched, timeout=ladder.left())
            if self._channel in ready:
                last, more = self._listen(on_message, ladder)
                if last is not None:
                    return Ended(How.SAID, last, ladder.late)
                if not more:
                    watched.remove(self._channel)
            elif self._process.sentinel in ready:
                self._process.join()
                how = How.STOPPED if ladder.asked else How.DIED
                return Ended(how, {}, ladder.late, self._process.exitcode)
            if source in ready:
                watched.remove(source)
                ladder.ask()
            ladder.climb()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child's process group."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)  # it has not come to lead its group yet, or is gone

    def end(self) -> None:
        """Kill what is left of the child and of everything that it started."""
        self.signal(signal.SIGKILL)
        self._process.join()
        self._channel.close()

    def _listen(self, on_message: OnMessage, ladder: _Ladder) -> tuple[wire.Message | None, bool]:
        """Read what is there; return the child's last word if that was among it, and whether more may come."""
        try:
            data = self._channel.recv(_READ)
        except ConnectionResetError:
            data = b""
        if not data:
            self._process.join(0.2)  # it closed its pipe: it has just died, or it wants to hide
            if self._process.is_alive():
                ladder.kill("it closed its pipe")
            return None, False
        self._unread += data
        if len(self._unread) > wire.LONGEST:
            ladder.kill("it sent a message without end")
            self._unread.clear()
        while b"\n" in self._unread:
            line, _, rest = self._unread.partition(b"\n")
            self._unread = rest
            try:
                message = wire.read(bytes(line))
                if "end" in message:
                    return message, False
                self._answer(on_message(message))
            except (wire.BadMessage, KeyError, TypeError, ValueError, BlockingIOError) as error:
                ladder.kill(f"it sent nonsense: {error}")
        return None, True

    def _answer(self, message: wire.Message | None) -> None:
        if message is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._channel.sendall(wire.write(message) + b"\n")


class _Ladder:
    """What to do to a child that should end, and when to do the next thing."""

    def __init__(self, slot: Slot, source: CancelSource, limits: Limits) -> None:
        self._slot = slot
        self._source = source
        self._limits = limits
        self._due = time.monotonic() + limits.seconds
        self._next: Callable[[], None] = self._too_late
        self.asked = False
        self.late = False

    def left(self) -> float:
        """Return how long to wait before `climb` has something to do."""
        return max(0.0, self._due - time.monotonic())

    def climb(self) -> None:
        """Take the next rung if its time has come."""
        if time.monotonic() >= self._due:
            self._next()

    def ask(self) -> None:
        """Give the child its grace time; its token is set."""
        if not self.asked:
            self.asked = True
            self._then(self._limits.grace, self._terminate)

    def kill(self, why: str) -> None:
        """Skip the other rungs: the child cannot be talked to any more."""
        if self._next != self._wait:
            log.warning("a worker is killed: %s", why)
            self._kill()

    def _too_late(self) -> None:
        self.late = True
        self._source.cancel("the time limit of this filter")
        self.ask()

    def _terminate(self) -> None:
        self._slot.signal(signal.SIGTERM)
        self._then(self._limits.term, self._kill)

    def _kill(self) -> None:
        self._slot.signal(signal.SIGKILL)
        self.asked = True
        self._then(3600.0, self._wait)

    def _wait(self) -> None:
        self._then(3600.0, self._wait)  # the kernel has it; the sentinel will tell

    def _then(self, seconds: float, step: Callable[[], None]) -> None:
        self._due = time.monotonic() + seconds
        self._next = step
