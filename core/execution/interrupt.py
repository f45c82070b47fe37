"""Why a running pipeline should stop: a cancel, a stop of the server, another process, a plugin not loaded yet."""

from __future__ import annotations

import threading

from postscan.core.filters.cancellation import CancelSource


class ShuttingDown(Exception):
    """The server is stopping: the job is suspended as it stands, and the next server resumes it."""


class FiltersAwaited(Exception):
    """A plugin that may have a filter of the job is probed again soon: the job is run later."""


class Interrupt:
    """Whether a running job should stop, and the token of the filter that runs right now.

    `cancel` ends the job; `shutdown` suspends it; after `drop`, the job is another process's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: CancelSource | None = None
        self._reason = ""
        self._stopping = threading.Event()

    @property
    def shutting_down(self) -> bool:
        """True once `shutdown` was called."""
        return self._stopping.is_set()

    @property
    def set(self) -> bool:
        """True once `cancel`, `shutdown` or `drop` was called."""
        with self._lock:
            return bool(self._reason)

    def wait_shutdown(self, seconds: float) -> bool:
        """Sleep for *seconds* or until `shutdown`, whichever is first; return whether it was called."""
        return self._stopping.wait(seconds)

    def cancel(self) -> bool:
        """Cancel the running filter because the job was cancelled; return False if it should stop already."""
        return self._set("the job was cancelled")

    def shutdown(self) -> None:
        """Cancel the running filter because the server is stopping."""
        self._stopping.set()
        self._set("the server is stopping")

    def drop(self) -> None:
        """Stop the running filter because another process has resumed the job: the store refuses what it reports."""
        self._set("another server runs the job")

    def attach(self, source: CancelSource | None) -> None:
        """Set the token of the filter that runs now; None when it has ended."""
        with self._lock:
            self._source = source
            if source is not None and self._reason:
                source.cancel(self._reason)

    def _set(self, reason: str) -> bool:
        with self._lock:
            is_first = not self._reason
            self._reason = self._reason or reason
            if self._source is not None:
                self._source.cancel(self._reason)
            return is_first
