"""The lines that one filter run logs: so many, of so many bytes, without secrets; what is dropped is counted.

They go into the server's log, and into the log of their job. Source: T-P6.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, Final, Protocol

from postscan.core.model.job import JobToken
from postscan.core.registry import redaction
from postscan.core.settings.engine import FilterSettings
from postscan.core.workers.protocol import LogLine

log = logging.getLogger(__name__)

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class KeptLines(Protocol):
    """Keeps the lines of one run with its job; no method raises."""

    def append(self, level: str, text: str, dropped_bytes: int = 0) -> None:
        """Keep a line, of which *dropped_bytes* are missing."""

    def drop(self, size: int) -> None:
        """Count a line of *size* bytes that is not kept."""

    def close(self) -> None:
        """Keep no more lines."""


class RunLog:
    """The log of one run, from its first line to `close`; used by one thread. Each of *secrets* becomes asterisks."""

    def __init__(
        self,
        token: JobToken,
        title: str,
        settings: FilterSettings,
        kept: KeptLines | None = None,
        secrets: Collection[str] = (),
    ) -> None:
        self._about = {"job": token, "filter": title}
        self._most_lines = settings.log_lines
        self._most_bytes = settings.log_line_bytes
        self._kept = kept
        self._secrets = secrets
        self._lines = 0
        self._dropped_bytes = 0

    def write(self, line: LogLine) -> None:
        """Log a line; cut it if it is too long, and drop it if there were too many."""
        self._lines += 1
        sent = len(line.text.encode())
        size = max(line.size, sent)
        if self._lines > self._most_lines:
            self._dropped_bytes += size
            if self._kept is not None:
                self._kept.drop(size)
            return
        whole = redaction.without(self._secrets, line.text, is_cut=size > sent).encode()
        text = whole[: self._most_bytes].decode(errors="ignore")
        self._log(line.level if line.level in _LEVELS else "info", text, size - sent + len(whole) - len(text.encode()))

    def close(self) -> None:
        """Log how many lines were dropped, if any."""
        if self._lines > self._most_lines:
            dropped = {"lines": self._lines - self._most_lines, "bytes": self._dropped_bytes}
            log.warning("lines of a filter dropped", extra={**self._about, **dropped})
        if self._kept is not None:
            self._kept.close()

    def _log(self, level: str, text: str, dropped: int) -> None:
        about: dict[str, Any] = self._about | {"text": text}
        if dropped:
            about["dropped_bytes"] = dropped
        log.log(_LEVELS[level], "filter logged", extra=about)
        if self._kept is not None:
            self._kept.append(level, text, dropped)
