"""Gates: how many transactions are open at once, and who enters first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from postscan.core.errors import StoreBusy


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
