"""Jobs whose COMMIT failed without an outcome: they may be stored, and their callers got no token of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from postscan.core.model.job import JobToken

MOST: Final = 1000
"""Most jobs that are remembered; the oldest is forgotten, and times out if it is stored."""


class UnconfirmedJobs:
    """The tokens of these jobs, while the process lives; usable from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: OrderedDict[JobToken, None] = OrderedDict()

    def __contains__(self, token: JobToken) -> bool:
        """Return whether a job is one of them."""
        with self._lock:
            return token in self._tokens

    def add(self, token: JobToken) -> None:
        """Remember a job."""
        with self._lock:
            self._tokens[token] = None
            if len(self._tokens) > MOST:
                self._tokens.popitem(last=False)

    def remove(self, token: JobToken) -> None:
        """Forget a job."""
        with self._lock:
            self._tokens.pop(token, None)
