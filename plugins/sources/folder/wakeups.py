"""Learn from the kernel that something has changed in a folder: only when to look, never what is there.

watchfiles drops names that are not UTF-8 and queues that overflow; a look at the folder finds those files all the same.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from typing import Final, NamedTuple

DEBOUNCE_MS: Final = 200
STEP_MS: Final = 50

AGAIN: Final = 60.0
"""Seconds until it is tried again to follow folders of which the kernel would not tell."""

NOT_INSTALLED: Final = "watchfiles is not installed; pip install 'postscan[sources]'"


def is_installed() -> bool:
    """Return whether the library of the extra is there."""
    return importlib.util.find_spec("watchfiles") is not None


class FollowedFolder(NamedTuple):
    """A folder by its path, and what is there now: another one of the same path has to be followed anew."""

    path: str
    device: int
    inode: int


class Wakeups:
    """Sets *wake* when something changes in the folders that are followed, in a thread of its own."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._folders: frozenset[FollowedFolder] = frozenset()
        self._begun = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.problem = ""
        """Why the kernel does not tell of changes; "" if it does."""

    def follow(self, folders: frozenset[FollowedFolder]) -> None:
        """Follow these folders, and no other ones."""
        now = time.monotonic()
        if folders == self._folders and not (self.problem and now > self._begun + AGAIN):
            return
        self.close()
        self._folders, self._begun, self.problem, self._stop = folders, now, "", threading.Event()
        if folders:
            arguments = (sorted(one.path for one in folders), self._stop)
            self._thread = threading.Thread(target=self._watch, args=arguments, name="postscan-folder", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Follow nothing any more."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def _watch(self, paths: list[str], stop: threading.Event) -> None:
        import watchfiles

        try:
            changes = watchfiles.watch(
                *paths,
                watch_filter=None,
                debounce=DEBOUNCE_MS,
                step=STEP_MS,
                stop_event=stop,
                raise_interrupt=False,
                force_polling=False,
                recursive=False,
            )
            self._wake.set()  # what has changed until now
            for _ in changes:
                self._wake.set()
        except (OSError, RuntimeError) as error:  # a folder has gone, or the user has no inotify watches left
            self.problem = str(error)
