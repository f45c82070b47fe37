"""Threads that move only when they are told to: what would run at once is stepped, one at a time.

An actor runs until its next `gate`, and waits there for its turn. So any order of steps can be tried, and tried again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

AT_WORK: Final = frozenset({"filter", "asked to stop", "granted", "shown"})
"""Gates at which a filter's process would be alive."""

_SKIPPED: Final = frozenset({"read", "seen", "write", "image", "patience"})

_here = threading.local()


class Killed(BaseException):
    """The server of this actor was killed: nothing that it would still do happens."""


class Actor:
    """One thread of the server: a request, a job on its way through its filters, a look of the scheduler, a sweep."""

    def __init__(self, name: str, body: Callable[[], Any]) -> None:
        self.name = name
        self.at = "start"
        self.over = False
        self.answer: Any = None
        self.error: BaseException | None = None
        self.order = ""
        self.quick = False
        self._body = body
        self._killed = False
        self._inside = 0
        self._turn, self._back = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._back.acquire()
        self._thread: _Thread | None = None

    def step(self, order: str = "") -> None:
        """Let it run to its next gate; *order* is what the gate where it waits gives back to it.

        A `quick` actor waits after each transaction and at the gates of `AT_WORK` only.
        """
        if self.over:
            raise AssertionError(f"{self.name} has ended")
        self.order = order
        if self._thread is None:
            self._thread = _idle.pop() if _idle else _Thread()
            self._thread.carry(self._live)
        else:
            self._turn.release()
        self._back.acquire()
        if self.over:
            _idle.append(self._thread)

    def kill(self) -> None:
        """End it where it stands."""
        self._killed = True
        if self._thread is None:
            self.over = True
        while not self.over:
            self.step()

    def wait(self, at: str) -> str:
        """Wait for the next step; return its order."""
        if not self._killed:
            self.at = at
            self._back.release()
            self._turn.acquire()
        if self._killed:
            raise Killed
        return self.order

    @contextlib.contextmanager
    def through(self) -> Iterator[None]:
        """Pass all gates while the body runs: a transaction is one step."""
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def passes(self, at: str) -> bool:
        """Return whether it goes on at this gate without waiting."""
        return self._inside > 0 or (self.quick and at in _SKIPPED)

    def _live(self) -> None:
        _here.actor = self
        try:
            self.answer = self._body()
        except BaseException as error:
            self.error = error
        self.at = "end"
        self.over = True
        self._back.release()


class _Thread(threading.Thread):
    """A thread that carries one actor after another; starting one takes longer than most steps."""

    def __init__(self) -> None:
        super().__init__(name="actor", daemon=True)
        self._body: Callable[[], None] | None = None
        self._wake = threading.Lock()
        self._wake.acquire()
        self.start()

    def carry(self, body: Callable[[], None] | None) -> None:
        """Let it run *body*; None ends it."""
        self._body = body
        self._wake.release()

    def run(self) -> None:
        """Wait for bodies, and run them."""
        while True:
            self._wake.acquire()
            if self._body is None:
                return
            self._body()


_idle: list[_Thread] = []


def dismiss() -> None:
    """End the threads that carry nobody."""
    while _idle:
        thread = _idle.pop()
        thread.carry(None)
        thread.join()


def gate(at: str) -> str:
    """Wait for one's turn, if one is an actor; return the order that came with it."""
    actor = current()
    return "" if actor is None or actor.passes(at) else actor.wait(at)


def current() -> Actor | None:
    """Return the actor that runs this thread."""
    return getattr(_here, "actor", None)
