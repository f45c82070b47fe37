"""Regions of the tests: what they show is a value that a test sets, and they count how often it is read."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from postscan.console.live.regions import SERVER, Region, RegionKey, group_of
from postscan.console.live.renderer import RegionRenderer
from postscan.console.request import Console
from postscan.core.model.principal import Principal, Proof, Role, at_console
from postscan.core.service.administration.changes import Change

ANN = at_console("ann", Proof.ACCOUNT, Role.ADMINISTRATOR)
OF_ALL = Change(None, frozenset())


class ShownTexts:
    """The regions `running`, `rows`, `job` and `server`, and what they show now; an error is raised instead."""

    def __init__(self, **how: Any) -> None:
        self.texts: dict[str, str | Exception] = {name: name for name in ("running", "rows", "job", "log", SERVER)}
        self.reads: Counter[tuple[str, str]] = Counter()
        settings = {"seconds": 0.0, **how}
        regions = {
            name: Region(name, self._reader(name), is_of_job=name in ("job", "log"), **settings) for name in self.texts
        }
        self.renderer = RegionRenderer(
            cast("Console", None), regions, lambda _name, _by, values: f"<p>{values['text']}</p>"
        )

    def _reader(self, name: str) -> Any:
        def read(_console: Console, by: Principal, argument: str) -> Mapping[str, Any]:
            self.reads[name, argument] += 1
            text = self.texts[name]
            if isinstance(text, Exception):
                raise text
            return {"text": f"{text} {argument}".strip()}

        return read


def key(name: str, argument: str = "", by: Principal = ANN) -> RegionKey:
    """Return the key of a region as a page asks for it."""
    return RegionKey(group_of(by), name, argument)


class Announced:
    """A watch that returns the changes which a test announces; it counts its looks."""

    seconds = 0.01

    def __init__(self) -> None:
        self._changes: list[Change | Exception] = []
        self._lock = threading.Lock()
        self.looks = 0

    def announce(self, change: Change | Exception = OF_ALL) -> None:
        """Let the next look find this change, or raise this error."""
        with self._lock:
            self._changes.append(change)

    def look(self) -> Change | None:
        """Return the change that was announced first."""
        with self._lock:
            self.looks += 1
            change = self._changes.pop(0) if self._changes else None
        if isinstance(change, Exception):
            raise change
        return change
