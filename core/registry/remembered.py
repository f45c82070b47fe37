"""A catalogue that is read once and then remembered, since each reading starts a process for each plugin.

A front end with many readers uses it: one reading is under way at a time, whoever asks, and it runs in a thread of its
own, so that no request lasts as long as the slowest plugins.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.errors import PostscanError, Unavailable
from postscan.core.registry.catalogue import Catalogue

log = logging.getLogger(__name__)

AFTER_FAILURE: Final = 5.0
"""Seconds after a reading that failed until a reader begins another one."""


class CatalogueReading(NamedTuple):
    """A catalogue, and when it was read."""

    catalogue: Catalogue
    at: datetime


class RememberedCatalogue:
    """The newest reading; several threads may use it at once."""

    def __init__(self, read: Callable[[], Catalogue], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._changed = threading.Condition()
        self._reading: CatalogueReading | None = None
        self._error = ""
        self._failed_at: float | None = None
        self._is_under_way = False

    @property
    def is_under_way(self) -> bool:
        """Whether the catalogue is being read now."""
        return self._is_under_way

    @property
    def newest(self) -> CatalogueReading | None:
        """The newest reading; None before the first one. It begins none."""
        return self._reading

    def current(self, seconds: float) -> CatalogueReading:
        """Return the newest reading; the first caller begins the first one, and each waits at most so many seconds.

        Raises `Unavailable` if there is none by then, or if the last one failed.
        """
        with self._changed:
            if self._reading is None and not self._has_just_failed():
                self._begin()
                self._changed.wait_for(lambda: not self._is_under_way, seconds)
            if self._reading is not None:
                return self._reading
            raise Unavailable(self._error or "the plugins are being loaded for the first time")

    def begin(self) -> None:
        """Begin a new reading, unless one is under way; until it is done, the old one stays."""
        with self._changed:
            self._begin()

    def _begin(self) -> None:
        if not self._is_under_way:
            self._is_under_way = True
            self._error = ""
            threading.Thread(target=self._run, name="postscan-catalogue", daemon=True).start()

    def _run(self) -> None:
        error, found = "the plugins cannot be loaded; the log has the reason", None
        try:
            found = CatalogueReading(self._read(), self._clock.now())
        except (PostscanError, OSError, EOFError, MemoryError, RuntimeError) as failure:
            error = f"the plugins cannot be loaded: {failure}"
            log.warning("catalogue not read", extra={"reason": str(failure)})
        finally:
            with self._changed:
                self._is_under_way = False
                self._reading = found or self._reading
                self._error = "" if found else error
                self._failed_at = None if found else self._clock.ticks()
                self._changed.notify_all()

    def _has_just_failed(self) -> bool:
        return self._failed_at is not None and self._clock.ticks() - self._failed_at < AFTER_FAILURE
