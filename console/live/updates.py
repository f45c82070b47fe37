"""The streams of all pages, and the thread that watches the database for them while there are any."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from postscan.console.live.regions import SERVER, RegionKey
from postscan.console.live.renderer import RegionRenderer, Rendering
from postscan.console.live.stream import LiveStream
from postscan.core.errors import StoreBusy
from postscan.core.model.principal import Principal
from postscan.core.service.administration.changes import Change

log = logging.getLogger(__name__)

STREAMS: Final = 200
STREAMS_OF_A_SESSION: Final = 4
"""A browser opens six connections to a host, and pages need some of them."""

FOLLOW_SECONDS: Final = 1.0
SESSION_SECONDS: Final = 60.0
OUTAGE_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 1.0
"""How long a stop waits for a region that is being rendered."""
ROUND_SECONDS: Final = 0.25
"""Slow regions are left for the next round after this time."""


class Watch(Protocol):
    """What the thread looks at: see `ChangeWatch`."""

    seconds: float

    def look(self) -> Change | None:
        """Return what has changed since the last look; None if nothing has. Raises `StoreBusy`."""


class LiveUpdates:
    """Opens streams, and sends each what its regions show. *is_signed_in* tells whether a session has not ended."""

    def __init__(
        self, renderer: RegionRenderer, watch: Callable[[], Watch], is_signed_in: Callable[[str], bool]
    ) -> None:
        self._renderer = renderer
        self._watch = watch
        self._is_signed_in = is_signed_in
        self._lock = threading.Lock()
        self._streams: list[LiveStream] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._is_closed = False

    def offers(self, region: str, by: Principal) -> bool:
        """Return whether there is a region of this name, and this principal may see it."""
        return self._renderer.offers(region, by)

    def __len__(self) -> int:
        """Return how many streams are open."""
        return len(self._streams)

    def open(self, by: Principal, session: str, keys: Sequence[RegionKey]) -> LiveStream | None:
        """Return a new stream of a session; None if there are too many, or the console stops."""
        with self._lock:
            of_session = Counter(stream.session for stream in self._streams)[session]
            if self._is_closed or len(self._streams) >= STREAMS or of_session >= STREAMS_OF_A_SESSION:
                return None
            self._renderer.renew(keys)
            stream = LiveStream(by, session, tuple(keys), self._remove)
            self._streams.append(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="postscan-live", daemon=True)
                self._thread.start()
        self._wake.set()
        return stream

    def newest(self, by: Principal, keys: Iterable[RegionKey]) -> list[Rendering]:
        """Return the renderings for a page that polls. Raises `StoreBusy`."""
        found = [self._renderer.poll(key, by) for key in keys]
        return [rendering for rendering in found if rendering is not None]

    def close(self) -> None:
        """End all streams, and open no other ones."""
        with self._lock:
            self._is_closed = True
            streams, thread = list(self._streams), self._thread
        for stream in streams:
            stream.end()
        self._wake.set()
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def _remove(self, stream: LiveStream) -> None:
        with self._lock:
            if stream in self._streams:
                self._streams.remove(stream)
        self._wake.set()

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        rounds = _Rounds(self._renderer, self._watch(), self._is_signed_in)
        while streams := self._open_streams():
            try:
                rounds.step(streams)
                seconds = rounds.watch.seconds
            except StoreBusy:
                seconds = OUTAGE_SECONDS  # the region of the server says so
            except Exception:
                log.exception("live updates interrupted")
                seconds = OUTAGE_SECONDS
            self._wake.wait(seconds)
            self._wake.clear()

    def _open_streams(self) -> list[LiveStream]:
        """Return the open streams; if there are none, another thread is started for the next one."""
        for stream in [stream for stream in self._streams if stream.is_abandoned]:
            self._remove(stream)
        with self._lock:
            if not self._streams or self._is_closed:
                self._thread = None
                return []
            return list(self._streams)


class _Rounds:
    """What the thread does again and again, and when it did each part last."""

    def __init__(self, renderer: RegionRenderer, watch: Watch, is_signed_in: Callable[[str], bool]) -> None:
        self.watch = watch
        self._renderer = renderer
        self._is_signed_in = is_signed_in
        self._in_progress: frozenset[str] = frozenset()
        self._followed = self._asked = time.monotonic()

    def step(self, streams: Sequence[LiveStream]) -> None:
        """Look for changes, render what they concern, and offer it to the streams. Raises `StoreBusy`."""
        now = time.monotonic()
        if now >= self._asked + SESSION_SECONDS:
            self._asked = now
            self._end_signed_out(streams)
        try:
            if change := self.watch.look():
                self._in_progress = frozenset(change.in_progress)
                self._renderer.mark(change)
            if now >= self._followed + FOLLOW_SECONDS:
                self._followed = now
                self._renderer.follow(self._in_progress)
        finally:
            self._show(streams)

    def _show(self, streams: Sequence[LiveStream]) -> None:
        readers: dict[RegionKey, list[LiveStream]] = {}
        for stream in streams:
            for key in stream.keys:
                readers.setdefault(key, []).append(stream)
        self._renderer.forget(readers)
        busy: StoreBusy | None = None
        until = time.monotonic() + ROUND_SECONDS
        for key in self._renderer.ordered(readers):
            if busy is not None and key.name != SERVER:
                continue  # each would wait for the database
            try:
                rendering = self._renderer.update(key, readers[key][0].by)
            except StoreBusy as error:
                busy, rendering = error, None
            for stream in readers[key]:
                if rendering is not None:
                    stream.offer(key, rendering)
            if time.monotonic() > until:
                break
        if busy is not None:
            raise busy

    def _end_signed_out(self, streams: Sequence[LiveStream]) -> None:
        for session in {stream.session for stream in streams}:
            if not self._is_signed_in(session):
                for stream in streams:
                    if stream.session == session:
                        stream.end()
