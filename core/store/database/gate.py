"""Gates: how many transactions are open at once, and who enters first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from postscan.core.errors import StoreBusy

MOST_URGENT: Final = 8
"""Urgent turns in succession while an ordinary one waits."""


class Entrance(Protocol):
    """What a transaction enters before it begins, and leaves when it has ended."""

    def entered(self, *, urgent: bool, until: float) -> AbstractContextManager[None]:
        """Hold a place while the body runs; raise `StoreBusy` if there is none before `time.monotonic()` is *until*."""


class Gate:
    """Lets *most* transactions be open at once, of which *ordinary* ones may be at most so many.

    Ordinary transactions wait for one another first, and only their share of them competes with an urgent one. So an
    urgent transaction waits for few, however many ordinary ones wait.
    """

    def __init__(self, most: int, ordinary: int) -> None:
        self._most = threading.Semaphore(most)
        self._ordinary = threading.Semaphore(ordinary)

    @contextlib.contextmanager
    def entered(self, *, urgent: bool, until: float) -> Iterator[None]:
        """Hold a place while the body runs; raise `StoreBusy` if there is none before `time.monotonic()` is *until*."""
        with contextlib.ExitStack() as held:
            for places in (self._most,) if urgent else (self._ordinary, self._most):
                if not places.acquire(timeout=max(0.0, until - time.monotonic())):
                    raise StoreBusy("the database does not answer: too many transactions wait for it")
                held.callback(places.release)
            yield


@contextlib.contextmanager
def all_entered(gates: Sequence[Entrance], *, urgent: bool, until: float) -> Iterator[None]:
    """Hold a place of each gate while the body runs; raise `StoreBusy`."""
    with contextlib.ExitStack() as held:
        for gate in gates:
            held.enter_context(gate.entered(urgent=urgent, until=until))
        yield


class Turn:
    """A place in the line. `wait` for the turn, or `withdraw`."""

    def __init__(self, turns: Turns, *, urgent: bool) -> None:
        self._turns = turns
        self._given = threading.Event()
        self.urgent = urgent

    def wait(self, until: float) -> None:
        """Wait for the turn; raise `StoreBusy` if it has not come when `time.monotonic()` is *until*."""
        if not self._given.wait(max(0.0, until - time.monotonic())):
            raise StoreBusy("the database does not answer: too many transactions wait for it")

    def withdraw(self) -> bool:
        """Leave the line; return False if the turn has come already: then it must be passed on."""
        return self._turns.remove(self)

    def give(self) -> None:
        """Let the thread go on."""
        self._given.set()


class Turns:
    """The line. A thread that has the turn ends it by `pass_on` or by `end`.

    Urgent turns come first. After `MOST_URGENT` of them an ordinary one comes that waits, so that those who make urgent
    changes again and again do not keep all others out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._urgent: deque[Turn] = deque()
        self._ordinary: deque[Turn] = deque()
        self._overtaken = 0  # urgent turns since the last ordinary one, while one waited

    def __len__(self) -> int:
        """Return how many threads wait."""
        return len(self._urgent) + len(self._ordinary)

    def enter(self, *, urgent: bool) -> Turn:
        """Return a place in the line, which has the turn if there is no other."""
        turn = Turn(self, urgent=urgent)
        with self._lock:
            if self._taken:
                self._line(turn).append(turn)
            else:
                self._taken = True
                turn.give()
        return turn

    def pass_on(self, *, urgent: bool) -> bool:
        """Give the turn to the next thread, with *urgent* only if it is urgent; return False if there is none."""
        with self._lock:
            line = self._next_line()
            return (line is self._urgent or not urgent) and self._give(line)

    def end(self) -> None:
        """Give the turn to the next thread, or to the next one that enters."""
        with self._lock:
            self._taken = self._give(self._next_line())

    def remove(self, turn: Turn) -> bool:
        """Take a place out of the line; return False if it has the turn."""
        with self._lock:
            line = self._line(turn)
            if turn not in line:
                return False
            line.remove(turn)
            return True

    def _line(self, turn: Turn) -> deque[Turn]:
        return self._urgent if turn.urgent else self._ordinary

    def _next_line(self) -> deque[Turn]:
        is_due = self._ordinary and self._overtaken >= MOST_URGENT
        return self._ordinary if is_due or not self._urgent else self._urgent

    def _give(self, line: deque[Turn]) -> bool:
        if not line:
            return False
        line.popleft().give()
        self._overtaken = self._overtaken + 1 if line is self._urgent and self._ordinary else 0
        return True
