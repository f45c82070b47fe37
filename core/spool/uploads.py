"""Uploads in progress: the End of their jobs waits for them, and the jobs do not expire."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from postscan.core.model.job import JobToken


class Uploads:
    """Counts uploads in progress by job. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count: Counter[JobToken] = Counter()

    @contextlib.contextmanager
    def one(self, token: JobToken) -> Iterator[None]:
        """Count one upload while the body runs."""
        with self._changed:
            self._count[token] += 1
        try:
            yield
        finally:
            with self._changed:
                self._count[token] -= 1
                if not self._count[token]:
                    del self._count[token]
                self._changed.notify_all()

    def __contains__(self, token: JobToken) -> bool:
        with self._changed:
            return token in self._count

    def wait_for(self, token: JobToken, seconds: float) -> bool:
        """Wait until the job has no upload in progress; return False if that takes longer than *seconds*."""
        with self._changed:
            return self._changed.wait_for(lambda: token not in self._count, seconds)
