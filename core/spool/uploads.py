"""Uploads in progress: the End of their jobs waits for them, and the jobs do not expire."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from weakref import WeakValueDictionary

from postscan.core.model.job import JobToken


class Uploads:
    """Counts uploads in progress by job. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count: Counter[JobToken] = Counter()
        self._ends: WeakValueDictionary[JobToken, Future[None]] = WeakValueDictionary()

    @contextlib.contextmanager
    def one(self, token: JobToken) -> Iterator[None]:
        """Count one upload while the body runs."""
        with self._lock:
            self._count[token] += 1
        try:
            yield
        finally:
            with self._lock:
                self._count[token] -= 1
                end = None if self._count[token] else self._ends.pop(token, None)
                if not self._count[token]:
                    del self._count[token]
            if end is not None:
                end.set_result(None)

    def __contains__(self, token: JobToken) -> bool:
        with self._lock:
            return token in self._count

    def end(self, token: JobToken) -> Future[None]:
        """Return what is done when the job has no upload in progress. Do not cancel it: others may wait for it."""
        with self._lock:
            end = self._ends.get(token) or Future()
            if token in self._count:
                self._ends[token] = end
            else:
                end.set_result(None)
            return end
