"""Why a running pipeline should stop: the job is cancelled, or the server shuts down."""

from __future__ import annotations

import threading

from postscan.core.filters.cancellation import CancelSource


class ShuttingDown(Exception):
    """The server is stopping: the job stays as it is, and goes on when a server is there again."""


class Interrupt:
    """Whether a running job should stop, and the token of the filter that runs right now.

    `cancel` is the user's wish; `leave` is the server's: the job is put down, not ended.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: CancelSource | None = None
        self._reason = ""
        self.leaving = False

    def cancel(self) -> None:
        """Ask the running filter to stop because the job was cancelled."""
        self._set("the job was cancelled")

    def leave(self) -> None:
        """Ask the running filter to stop because the server is stopping."""
        self.leaving = True
        self._set("the server is stopping")

    def watch(self, source: CancelSource | None) -> None:
        """Name the token of the filter that runs now; None when it has ended."""
        with self._lock:
            self._source = source
            if source is not None and self._reason:
                source.cancel(self._reason)

    def _set(self, reason: str) -> None:
        with self._lock:
            self._reason = self._reason or reason
            if self._source is not None:
                self._source.cancel(self._reason)
