"""The logs of jobs: what the filters of a job have logged, in one file for each job, which is removed with the job.

A line of the file is a `JobLogLine` as JSON. It is appended at once and not synced: after a crash the last line may be
there in part, and then counts as absent. A file has at most `MOST` bytes. What does not fit, or cannot be written, is
dropped, and a line of the same file has its number and bytes. A log is no image: no run fails for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Final

from postscan.core.clock import Clock
from postscan.core.model.job import JobToken
from postscan.core.model.records import JobLogLine, JobLogPage

log = logging.getLogger(__name__)

MOST: Final = 1 << 20
"""Most bytes of the log of one job."""

NOTES: Final = 8 << 10
"""Bytes of them that only lines about dropped lines may use."""

TOKEN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class JobLogs:
    """The logs of all jobs, and their bytes by owner. Safe to use from several threads.

    Only the server that runs a job writes its log; other processes read and remove logs. The bytes are those that this
    process has written or counted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._counted: dict[str, tuple[str, int]] = {}  # owner and bytes, by token
        self._by_owner: Counter[str] = Counter()

    def path(self, token: str) -> Path:
        """Return the path of a job's log."""
        return self._folder / token

    def read(self, token: str, after: int = 0) -> JobLogPage:
        """Return the lines behind *after*, the `end` of an earlier page; none if the job has no log.

        A line that is not whole is left out.
        """
        try:
            with self.path(token).open("rb") as file:
                file.seek(max(after, 0))
                data = file.read(MOST)
        except FileNotFoundError:
            return JobLogPage((), after)
        return lines_of(data, max(after, 0))

    def earlier_bytes(self, token: str) -> int:
        """Return the bytes of a job's log that are not in the file at `path`."""
        return 0

    def keep(self, token: str) -> None:
        """Put what a run has written where other machines read it; the folder is that place already."""

    def remove(self, token: str) -> None:
        """Remove the log of a job, if it has one. Raises `OSError`."""
        self.path(token).unlink(missing_ok=True)
        with self._lock:
            self._forget(token)

    def try_to_remove(self, token: str) -> None:
        """Remove the log of a job; if that fails, log it, and the next start of the server tries again."""
        try:
            self.remove(token)
        except OSError as error:
            log.warning("log of a job not removed", extra={"job": token, "reason": str(error)})

    def tokens(self) -> list[str]:
        """Return the tokens of the jobs that have a log."""
        try:
            with os.scandir(self._folder) as entries:
                return [entry.name for entry in entries if TOKEN.fullmatch(entry.name)]
        except FileNotFoundError:
            return []

    # --- bytes ---------------------------------------------------------------------------------------------------

    def bytes_of(self, owner: str) -> int:
        """Return the bytes of the logs of this owner's jobs."""
        return self._by_owner[owner]

    def count(self, token: str, owner: str) -> None:
        """Count the log of a job of this owner as large as it is now."""
        size = self._bytes_now(token)
        with self._lock:
            self._forget(token)
            if size:
                self._counted[token] = owner, size
                self._by_owner[owner] += size

    def _bytes_now(self, token: str) -> int:
        try:
            return os.lstat(self.path(token)).st_size
        except FileNotFoundError:
            return 0

    def forget_removed(self) -> None:
        """Count the logs no longer that another process has removed."""
        with self._lock:
            counted = list(self._counted)
        there = set(self.tokens())
        with self._lock:
            for token in counted:
                if token not in there:
                    self._forget(token)

    def _forget(self, token: str) -> None:
        owner, size = self._counted.pop(token, ("", 0))
        if size:
            self._by_owner[owner] -= size
            if not self._by_owner[owner]:
                del self._by_owner[owner]


class JobLogWriter:
    """Appends the lines of one filter run to the log of its job, from the first line to `close`; used by one thread.

    *reserve* bytes of the disk stay free. No method raises an error for a line that cannot be written.
    """

    def __init__(
        self, logs: JobLogs, token: JobToken, owner: str, position: int, attempt: int, clock: Clock, reserve: int
    ) -> None:
        self._logs = logs
        self._token = token
        self._owner = owner
        self._position = position
        self._attempt = attempt
        self._clock = clock
        self._reserve = reserve
        self._descriptor = -1
        self._size = 0
        self._is_whole = True  # the file ends with the end of a line
        self._has_failed = False
        self._has_dropped = False
        self._dropped_lines = 0
        self._dropped_bytes = 0

    def append(self, level: str, text: str, dropped_bytes: int = 0) -> None:
        """Append a line, of which *dropped_bytes* are missing; drop it if it does not fit or cannot be written."""
        if not self._write(self._line(level, text, 0, dropped_bytes), MOST - NOTES):
            self.drop(len(text.encode(errors="replace")) + dropped_bytes)

    def drop(self, size: int) -> None:
        """Count a line of *size* bytes that is not written. The first one is noted at once, the others by `close`."""
        self._dropped_lines += 1
        self._dropped_bytes += size
        if not self._has_dropped:
            self._has_dropped = True
            self._note_dropped()

    def close(self) -> None:
        """Append a line about what was dropped and is not noted yet, and close the file. Harmless when repeated."""
        self._note_dropped()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._logs.keep(self._token)

    def _note_dropped(self) -> None:
        if self._dropped_lines:
            note = self._line("warning", "", self._dropped_lines, self._dropped_bytes)
            if self._write(note, MOST):
                self._dropped_lines = self._dropped_bytes = 0

    def _line(self, level: str, text: str, lines: int, size: int) -> JobLogLine:
        return JobLogLine(self._clock.now(), self._position, self._attempt, level, text, lines, size)

    def _write(self, line: JobLogLine, most: int) -> bool:
        """Append a line if the file has at most so many bytes then; return whether it is written."""
        try:
            if self._descriptor < 0:
                self._open()
            data = _encoded(line) if self._is_whole else b"\n" + _encoded(line)
            if self._size + len(data) > most or self._free_bytes() - len(data) < self._reserve:
                return False
            written = os.write(self._descriptor, data)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                log.warning("log of a job not written", extra={"job": self._token, "reason": str(error)})
            return False
        self._size += written
        self._is_whole = written == len(data)
        self._logs.count(self._token, self._owner)
        return self._is_whole

    def _open(self) -> None:
        path = self._logs.path(self._token)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        size = os.fstat(self._descriptor).st_size
        self._size = self._logs.earlier_bytes(self._token) + size
        self._is_whole = not size or os.pread(self._descriptor, 1, size - 1) == b"\n"

    def _free_bytes(self) -> int:
        disk = os.fstatvfs(self._descriptor)
        return disk.f_bavail * disk.f_frsize


def lines_of(data: bytes, begin: int) -> JobLogPage:
    """Return the whole lines of some bytes that begin at *begin* of a log."""
    end = data.rfind(b"\n") + 1
    lines = (_decoded(line) for line in data[:end].split(b"\n"))
    return JobLogPage(tuple(line for line in lines if line is not None), begin + end)


def _encoded(line: JobLogLine) -> bytes:
    """Return a line of the file, its end included."""
    fields = {**line._asdict(), "at": line.at.isoformat()}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"


def _decoded(data: bytes) -> JobLogLine | None:
    """Return the line; None if it is not whole."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        fields = json.loads(data)
        return JobLogLine(**{**fields, "at": datetime.fromisoformat(fields["at"])})
    return None
