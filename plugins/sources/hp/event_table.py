"""The presses in the event table of a device, each once. Source: escl.md section 8; ESCL-053, ESCL-057."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from postscan.plugins.sources.hp.client import WalkupClient
from postscan.plugins.sources.hp.documents import ScanEvent

REMEMBERED: Final = 1000
"""How many presses are remembered beside those of the table."""


class EventTable:
    """What has come into the table since `begin`; at most one request waits at a time."""

    def __init__(self, client: WalkupClient) -> None:
        self._client = client
        self._etag = ""
        self._known: OrderedDict[str, None] = OrderedDict()

    def begin(self) -> None:
        """Read the table: all that is in it is old."""
        self._etag = ""
        self._read(0.0)

    def wait(self, seconds: float) -> list[ScanEvent]:
        """Wait until the table has changed, at most so long, and return the new presses, the oldest first."""
        return self._read(seconds)

    def look(self) -> list[ScanEvent]:
        """Return the new presses without waiting."""
        return self._read(0.0)

    def _read(self, seconds: float) -> list[ScanEvent]:
        answer = self._client.events(self._etag, seconds)
        self._etag = answer.etag
        if answer.events is None:
            return []
        new = {one.key: one for one in answer.events if one.key not in self._known}
        for event in answer.events:
            self._known[event.key] = None
            self._known.move_to_end(event.key)
        while len(self._known) > len(answer.events) + REMEMBERED:
            self._known.popitem(last=False)
        return list(new.values())
