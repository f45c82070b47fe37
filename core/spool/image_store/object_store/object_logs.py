"""The logs of jobs in an object store.

A run appends to a local file, and what it has written is put behind the earlier lines of the object when it ends. So
another machine reads the lines of a run that has ended, and this one those of a run in progress as well. A log whose
object cannot be written stays in the local folder; it is read from there, and the next start of a server tries again.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from postscan.core.model.records import JobLogPage
from postscan.core.spool.image_store.object_store.bucket import Bucket
from postscan.core.spool.image_store.spool_store import LOGS
from postscan.core.spool.job_log import MOST, TOKEN, JobLogs, lines_of

log = logging.getLogger(__name__)


class ObjectJobLogs(JobLogs):
    """The logs of all jobs in a bucket, and those of runs in progress in *folder*."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        super().__init__(folder)
        self._bucket = bucket
        self._stored: dict[str, int] = {}  # bytes of objects, as far as they are known

    def read(self, token: str, after: int = 0) -> JobLogPage:
        """Return the lines behind *after*; of a store that does not answer, none."""
        begin = max(after, 0)
        try:
            data = (self._bucket.read(_key(token)) or b"") + self._local(token)
        except OSError as error:
            log.warning("log of a job not read", extra={"job": token, "reason": str(error)})
            return JobLogPage((), after)
        return lines_of(data[begin : begin + MOST], begin)

    def earlier_bytes(self, token: str) -> int:
        """Return the bytes of the object; 0 if the store does not answer."""
        with contextlib.suppress(OSError):
            self._stored[token] = self._bucket.size(_key(token)) or 0
        return self._stored.get(token, 0)

    def keep(self, token: str) -> None:
        """Put the lines of the local file behind those of the object, and remove the file; log why that fails."""
        data = self._local(token)
        if not data:
            return
        try:
            earlier = self._bucket.read(_key(token)) or b""
            whole = earlier if earlier.endswith(data) else earlier + data  # it may have been stored before a crash
            self._bucket.store(_key(token), whole)
            self.path(token).unlink(missing_ok=True)
        except OSError as error:
            log.warning("log of a job not kept", extra={"job": token, "reason": str(error)})
        else:
            self._stored[token] = len(whole)

    def remove(self, token: str) -> None:
        """Remove the log of a job, if it has one. Raises `OSError`."""
        self._bucket.delete([_key(token)])
        self._stored.pop(token, None)
        super().remove(token)

    def tokens(self) -> list[str]:
        """Return the tokens of the jobs that have a log, here or in the store. Raises `SpoolAway`."""
        found = {one.key.rpartition("/")[2]: one.size for one in self._bucket.objects(LOGS)}
        self._stored = {token: size for token, size in found.items() if TOKEN.fullmatch(token)}
        return [*self._stored, *(token for token in super().tokens() if token not in self._stored)]

    def forget_removed(self) -> None:
        """Count the logs no longer that another process has removed; not while the store does not answer."""
        with contextlib.suppress(OSError):
            super().forget_removed()

    def _bytes_now(self, token: str) -> int:
        try:
            here = os.lstat(self.path(token)).st_size
        except FileNotFoundError:
            here = 0
        return self._stored.get(token, 0) + here

    def _local(self, token: str) -> bytes:
        try:
            with self.path(token).open("rb") as file:
                return file.read(MOST)
        except FileNotFoundError:
            return b""


def _key(token: str) -> str:
    return f"{LOGS}/{token}"
