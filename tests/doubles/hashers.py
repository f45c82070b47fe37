"""argon2 at the lowest cost, which records what it compares and can be held in the middle of it."""

from __future__ import annotations

import threading
from typing import Literal

from argon2 import PasswordHasher, extract_parameters
from argon2.profiles import CHEAPEST


class RecordingHasher(PasswordHasher):
    """The real argon2, with 8 KiB and one pass.

    `compared` has the parameters and the password of each comparison; `most_at_once` how many there were at once. While
    `free` is not set, comparisons wait; `waiting` is set when one does.
    """

    __slots__ = ("_lock", "_now", "compared", "free", "most_at_once", "waiting")

    def __init__(self, time_cost: int = CHEAPEST.time_cost) -> None:
        super().__init__(time_cost, CHEAPEST.memory_cost, CHEAPEST.parallelism, hash_len=16, salt_len=16)
        self.compared: list[tuple[object, str | bytes]] = []
        self.most_at_once = 0
        self.free = threading.Event()
        self.free.set()
        self.waiting = threading.Event()
        self._lock = threading.Lock()
        self._now = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        """Compare, as argon2 does, when that is free."""
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.compared.append((extract_parameters(str(hash)), password))
        try:
            if not self.free.is_set():
                self.waiting.set()
                assert self.free.wait(60), "nobody has freed the comparison"
            return super().verify(hash, password)
        finally:
            with self._lock:
                self._now -= 1
