"""Which jobs are taking an image right now: their End waits for it, and they are not silent."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from postscan.core.model.job import JobToken


class Uploads:
    """Counts images on their way in, by job. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count: Counter[JobToken] = Counter()

    @contextlib.contextmanager
    def one(self, token: JobToken) -> Iterator[None]:
        """Count one image while the body runs."""
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
        """Wait until no image of the job is on its way; return False if that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: token not in self._count, seconds)
