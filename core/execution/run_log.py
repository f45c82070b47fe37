"""The lines that one filter run writes into the server's log: so many, of so many bytes; what is dropped is counted.

Source: T-P6.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from postscan.core.model.job import JobToken
from postscan.core.settings.engine import FilterSettings
from postscan.core.workers.protocol import LogLine

log = logging.getLogger(__name__)

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RunLog:
    """The log of one run, from its first line to `close`; used by one thread."""

    def __init__(self, token: JobToken, title: str, settings: FilterSettings) -> None:
        self._about = {"job": token, "filter": title}
        self._most_lines = settings.log_lines
        self._most_bytes = settings.log_line_bytes
        self._lines = 0
        self._dropped_bytes = 0

    def write(self, line: LogLine) -> None:
        """Log a line; cut it if it is too long, and drop it if there were too many."""
        self._lines += 1
        size = max(line.size, len(line.text.encode()))
        if self._lines > self._most_lines:
            self._dropped_bytes += size
            return
        text = line.text.encode()[: self._most_bytes].decode(errors="ignore")
        dropped = size - len(text.encode())
        about: dict[str, Any] = self._about | {"text": text}
        if dropped:
            about["dropped_bytes"] = dropped
        log.log(_LEVELS.get(line.level, logging.INFO), "filter logged", extra=about)

    def close(self) -> None:
        """Log how many lines were dropped, if any."""
        if self._lines > self._most_lines:
            dropped = {"lines": self._lines - self._most_lines, "bytes": self._dropped_bytes}
            log.warning("lines of a filter dropped", extra={**self._about, **dropped})
