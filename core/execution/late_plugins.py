"""Probe the plugins again that were late when the server started, until none is late any more.

A start beside other work may give a plugin no time to load. It is no reason to do without its filters for the life of
the server. Jobs wait for the first few tries, and fail afterwards as with any plugin that cannot be used.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from tenacity import Retrying, retry_if_result, wait_exponential

from postscan.core.errors import StoreBusy
from postscan.core.execution.interrupt import Interrupt
from postscan.core.execution.patience import until_stored
from postscan.core.filters.cancellation import CancelSource
from postscan.core.registry.catalogue import Catalogue

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 300.0
"""Seconds before the first try and at most before one of the others; each pause is twice the one before."""

AWAITED_TRIES: Final = 4
"""For so many tries, which take up to two minutes, jobs wait that have a dialect without a filter."""

Again = Callable[[Catalogue, Callable[[CancelSource | None], None]], Catalogue]
"""Probes the late plugins of a catalogue once; its second argument gets the source that ends the probe."""


class UseCatalogue(Protocol):
    """Takes a catalogue from now on; with *awaits*, jobs wait for what it may still lack.

    It raises `StoreBusy`, and is called again then.
    """

    def __call__(self, catalogue: Catalogue, *, awaits: bool) -> None:
        """Take it."""


class LatePlugins:
    """Tries again in a thread of its own, from `start` to `stop`."""

    def __init__(self, again: Again, use: UseCatalogue) -> None:
        self._again = again
        self._use = use
        self._interrupt = Interrupt()
        self._thread: threading.Thread | None = None

    def start(self, catalogue: Catalogue) -> None:
        """Try again from now on, if a plugin of the catalogue is late."""
        if catalogue.late:
            self._thread = threading.Thread(
                target=self._load, args=(catalogue,), name="postscan-late-plugins", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the try under way, and try no more."""
        self._interrupt.shutdown()
        if self._thread is not None:
            self._thread.join()

    def _load(self, catalogue: Catalogue) -> None:
        """Probe until nothing is late; an interrupted probe leaves its plugin late."""
        tries = 0

        def again() -> Catalogue:
            nonlocal catalogue, tries
            tries += 1
            before, catalogue = catalogue, self._again(catalogue, self._interrupt.attach)
            if not self._interrupt.shutting_down:
                self._offer(catalogue, awaits=bool(catalogue.late) and tries < AWAITED_TRIES)
                _log_ready(before, catalogue, tries)
            return catalogue

        tried = Retrying(
            retry=retry_if_result(lambda found: bool(found.late)),
            wait=wait_exponential(multiplier=2 * FIRST_PAUSE, max=LONGEST_PAUSE),
            stop=lambda _state: self._interrupt.shutting_down,
            sleep=self._pause,
            retry_error_callback=lambda _state: catalogue,
        )
        if not self._interrupt.wait_shutdown(FIRST_PAUSE):
            tried(again)

    def _offer(self, catalogue: Catalogue, *, awaits: bool) -> None:
        with contextlib.suppress(StoreBusy):  # the server is stopping
            until_stored(lambda: self._use(catalogue, awaits=awaits), self._interrupt.wait_shutdown)

    def _pause(self, seconds: float) -> None:
        self._interrupt.wait_shutdown(seconds)


def _log_ready(before: Catalogue, now: Catalogue, tries: int) -> None:
    """Log the plugins that can be used now; the catalogue has logged those that cannot."""
    ready = {plugin.name for plugin in now.plugins if plugin.filters}
    for name in before.late:
        if name in ready:
            log.warning("plugin ready", extra={"plugin": name, "tries": tries})
