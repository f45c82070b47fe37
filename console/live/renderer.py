"""Renders regions, each once for all streams that show it, and keeps what was rendered."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from postscan.console.live.regions import Region, RegionKey
from postscan.console.request import Console
from postscan.core.errors import PostscanError, StoreBusy
from postscan.core.model.principal import Principal
from postscan.core.service.administration.changes import Change

log = logging.getLogger(__name__)

REST: Final = 4.0
"""A region rests this many times as long as it took to render, so that a slow one takes a fifth of the thread."""

WAIT_SECONDS: Final = 5.0
"""How long a poll waits for other renderings."""

KEPT: Final = 500
"""Most renderings that are kept for polls; those of open streams come on top."""

SLOW: Final = 0.1
"""Seconds of a rendering that others do not wait for."""

RenderTemplate = Callable[[str, Principal, Mapping[str, Any]], str]
"""Returns the text of a template for a principal, with these values."""


class Rendering:
    """What was rendered: `event` is a part of a stream of server-sent events. Another object is another content."""

    __slots__ = ("event", "html")

    def __init__(self, html: str) -> None:
        self.html = html
        self.event = b"data: " + json.dumps(html).encode() + b"\n\n"


@dataclass(slots=True)
class _Entry:
    by: Principal
    rendering: Rendering | None = None
    is_stale: bool = True
    is_gone: bool = False
    begun: float = float("-inf")
    took: float = 0.0


class RegionRenderer:
    """Renderings by key. Safe to use from several threads: one renders at a time."""

    def __init__(self, console: Console, regions: Mapping[str, Region], render: RenderTemplate) -> None:
        self._console = console
        self._regions = regions
        self._render = render
        self._entries: dict[RegionKey, _Entry] = {}
        self._lock = threading.Lock()

    def offers(self, name: str, by: Principal) -> bool:
        """Return whether there is a region of this name, and this principal may see it."""
        region = self._regions.get(name)
        return region is not None and (region.right is None or by.may(region.right))

    def mark(self, change: Change) -> None:
        """Note which regions a change concerns."""
        with self._lock:
            for key, entry in self._entries.items():
                entry.is_stale |= not self._regions[key.name].is_of_job or change.is_of(key.job)

    def follow(self, in_progress: Collection[str]) -> None:
        """Note that time has passed for these jobs, whose filters run."""
        with self._lock:
            for key, entry in self._entries.items():
                region = self._regions[key.name]
                if in_progress and region.follows_jobs:
                    entry.is_stale |= not region.is_of_job or key.job in in_progress

    def forget(self, wanted: Collection[RegionKey]) -> None:
        """Drop renderings that no stream shows, the oldest first, where there are many of them."""
        with self._lock:
            unwanted = [key for key in self._entries if key not in wanted]
            for key in sorted(unwanted, key=lambda key: self._entries[key].begun)[:-KEPT]:
                del self._entries[key]

    def renew(self, keys: Iterable[RegionKey]) -> None:
        """Note that any change may have happened: no stream has shown these regions."""
        with self._lock:
            for key in keys:
                self._renew(key)

    def ordered(self, keys: Iterable[RegionKey]) -> list[RegionKey]:
        """Return the keys with those first that are rendered fast, and of these those first that wait longest."""
        with self._lock:
            return sorted(keys, key=lambda key: _urgency(self._entries.get(key)))

    def update(self, key: RegionKey, by: Principal) -> Rendering | None:
        """Return the newest rendering; render again what has changed, and may be rendered again now.

        None if there is nothing to show: a job is gone, or the first rendering failed. Raises `StoreBusy`.
        """
        with self._lock:
            return self._updated(key, by)

    def poll(self, key: RegionKey, by: Principal) -> Rendering | None:
        """Return the same for a page that has no stream: any change may have happened since its last poll.

        Raises `StoreBusy` as well if other renderings take `WAIT_SECONDS`.
        """
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise StoreBusy("the regions of other pages are being rendered")
        try:
            self._renew(key)
            return self._updated(key, by)
        finally:
            self._lock.release()

    def _renew(self, key: RegionKey) -> None:
        if (entry := self._entries.get(key)) is not None:
            entry.is_stale, entry.is_gone = True, False

    def _updated(self, key: RegionKey, by: Principal) -> Rendering | None:
        region = self._regions[key.name]
        entry = self._entries.setdefault(key, _Entry(by))
        now = time.monotonic()
        is_due = entry.is_stale or now >= entry.begun + region.repeat_seconds
        if is_due and not entry.is_gone and now >= entry.begun + max(region.seconds, REST * entry.took):
            entry.begun, entry.is_stale = now, False  # a change from here on counts
            try:
                self._refresh(entry, region, key)
            except StoreBusy:
                entry.is_stale = True
                raise
            finally:
                entry.took = time.monotonic() - now
        return entry.rendering

    def _refresh(self, entry: _Entry, region: Region, key: RegionKey) -> None:
        try:
            values = region.values(self._console, entry.by, key.argument)
            html = self._render(region.template, entry.by, values)
        except StoreBusy:
            raise
        except PostscanError as error:  # a job was deleted, or is another's
            log.info("region not rendered", extra={"region": key.name, "reason": str(error)})
            entry.rendering, entry.is_gone = None, True
        except Exception:
            log.exception("region not rendered", extra={"region": key.name})
            entry.rendering, entry.is_gone = None, True
        else:
            if entry.rendering is None or entry.rendering.html != html:
                entry.rendering = Rendering(html)


def _urgency(entry: _Entry | None) -> tuple[bool, float]:
    return (False, float("-inf")) if entry is None else (entry.took > SLOW, entry.begun)
