"""Requests to one device, at its present host, with a pause between two of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from postscan.plugins import CancellationToken
from postscan.soap.wsscan.client import ANSWER_SECONDS, Answer, ScannerClient
from postscan.soap.wsscan.devices.pace import RequestPace
from postscan.soap.wsscan.faults import CallAborted
from postscan.soap.wsscan.messages.envelope import Xml


class PacedClient:
    """Sends requests to the host *host*, which may be set; `stop` ends the running one and all later ones.

    After `stop`, `until` allows requests again up to a deadline, for those that take leave.
    """

    def __init__(self, stop: CancellationToken, host: str = "") -> None:
        self.host = host
        self._stop = stop
        self._pace = RequestPace()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._client: ScannerClient | None = None
        self._until: float | None = None

    def stop(self) -> None:
        """End the request that runs, and refuse all others."""
        self._over.set()
        with self._lock:
            if self._client is not None:
                self._client.abort()

    def until(self, deadline: float) -> None:
        """Allow requests after the stop, up to *deadline* on `time.monotonic()`."""
        self._until = deadline

    def call(
        self,
        url: str,
        action: str,
        body: Xml,
        *,
        headers: Iterable[Xml] = (),
        to: str = "",
        seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        """Send a request as `ScannerClient.call` does, when it is its turn."""
        self._pace.wait(self._sleep, self._longest_pause())
        if self._until is not None:
            seconds = min(seconds, max(0.1, self._until - time.monotonic()))
        with self._lock:
            self._check()
            client = self._client = ScannerClient(self.host, stop=self._stop)
        return client.call(url, action, body, headers=headers, to=to, seconds=seconds)

    def _longest_pause(self) -> float:
        """Return the seconds that a request may wait for its turn: half of what is left to take leave."""
        return 60.0 if self._until is None else max(0.0, (self._until - time.monotonic()) / 2)

    def _sleep(self, seconds: float) -> None:
        if self._until is None:
            self._over.wait(seconds)
            self._check()
        else:
            time.sleep(seconds)

    def _check(self) -> None:
        if self._over.is_set() and self._until is None:
            raise CallAborted
