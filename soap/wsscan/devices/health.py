"""The health of an inlet, made of the health of its scanners."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Literal

ScannerState = Literal["ready", "degraded", "away"]

_MOST_SHOWN: Final = 8


class InletHealth:
    """Reports what the scanners of an inlet are, whenever that changes; *report* is `SourceContext.health`."""

    def __init__(self, report: Callable[[ScannerState, str], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._scanners: dict[str, tuple[ScannerState, str]] = {}
        self._notes: dict[str, str] = {}
        self._none = "no scanner was found yet"
        self._last: tuple[ScannerState, str] | None = None

    def begin(self, text: str) -> None:
        """Report *text* as long as there is no scanner."""
        self._none = text
        self._update()

    def set(self, scanner: str, state: ScannerState, text: str) -> None:
        """Set the state of a scanner, a key, and a sentence about it."""
        with self._lock:
            self._scanners[scanner] = (state, text)
        self._update()

    def note(self, scanner: str, text: str) -> None:
        """Set what went wrong with the last press at a scanner; "" if it went well."""
        with self._lock:
            if text == self._notes.get(scanner, ""):
                return
            self._notes[scanner] = text
        self._update()

    def remove(self, scanner: str) -> None:
        """Forget a scanner."""
        with self._lock:
            self._scanners.pop(scanner, None)
            self._notes.pop(scanner, None)
        self._update()

    def _update(self) -> None:
        with self._lock:
            found = self._overall()
            if found == self._last:
                return
            self._last = found
            self._report(*found)  # inside, so that reports keep their order

    def _overall(self) -> tuple[ScannerState, str]:
        notes = [text for text in self._notes.values() if text]
        states = {state for state, _text in self._scanners.values()}
        if not states:
            return "away", self._none
        shown = sorted(self._scanners.values(), key=lambda one: one[0] == "ready")
        text = "; ".join([*notes, *(text for _state, text in shown)][:_MOST_SHOWN])
        if states == {"away"}:
            return "away", text
        return ("degraded" if notes or states != {"ready"} else "ready"), text
