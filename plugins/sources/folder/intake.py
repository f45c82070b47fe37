"""One file of a folder into one job: copied, examined, stored, and only then removed.

The file is copied before a job is opened. So what is examined is what is sent, a file that is written meanwhile makes
no job that has to be aborted, and its hash can be part of its key.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postscan.plugins import (
    Busy,
    CancellationToken,
    Destination,
    Ended,
    FileState,
    Refused,
    SourceContext,
    Taken,
    examine,
)
from postscan.plugins.sources.folder import files, names
from postscan.plugins.sources.folder.files import FileUnfit, FileVersion, FileWaits
from postscan.plugins.sources.folder.settings import Settings
from postscan.plugins.sources.folder.tracking import TrackedFile, TrackedFolder

SPARE: Final = 256 << 20
"""Bytes of the disk that copies leave free: for the database and the spool."""

EXPECTED: Final = "a PDF, JPEG, PNG, TIFF, BMP, JPEG 2000 or XPS file"
WRITTEN_AGAIN: Final = 1.0
"""Seconds until a file is looked at again that a program has open for writing."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_CANCELED: Final = "Canceled"


class FileIntake:
    """Makes jobs of the files of one inlet."""

    def __init__(self, inlet: SourceContext, token: CancellationToken) -> None:
        self._inlet = inlet
        self._settings: Settings = inlet.settings
        self._owners = self._settings.owner_ids
        self._token = token
        self._numbers = itertools.count(1)

    def take(self, folder: int, place: TrackedFolder, name: str, file: TrackedFile) -> None:
        """Make a job of a file, and remove it when the job is stored; or only remove it if it is a job already.

        Raises `FileGone`, `FileWaits` or `FileUnfit`, `Busy`, and `OSError` if it cannot be read or removed.
        """
        self._check(folder, file)
        if place.destination is None:
            raise FileUnfit(f"it is in no folder of a destination; expected one of {self._folders()}")
        with files.opened(folder, name, file.version) as descriptor:
            _check_writers(descriptor, place)
            if not file.job:
                file.job = self._deliver(descriptor, place, name, file.version, place.destination)
                _check_writers(descriptor, place)  # what it writes from now on would be lost
            files.remove(folder, name, file.version)

    def _check(self, folder: int, file: TrackedFile) -> None:
        """Judge a file by what is known without opening it."""
        if file.kind:
            raise FileUnfit(f"it is {file.kind}")
        if self._owners and file.owner not in self._owners:
            raise FileUnfit("it belongs to a user whose files are not taken")
        if file.version.size > self._settings.most_bytes:
            raise FileUnfit(f"it has {file.version.size} bytes; expected at most {self._settings.most_bytes}")
        if file.version.size == 0:
            raise FileWaits("it is empty")
        rights = os.fstat(folder)
        if rights.st_mode & stat.S_ISVTX and os.geteuid() not in (0, rights.st_uid, file.owner):
            raise FileWaits("it belongs to another user, and only that user can remove it (sticky folder)")

    def _deliver(
        self, descriptor: int, place: TrackedFolder, name: str, version: FileVersion, destination: Destination
    ) -> str:
        """Return the token of the job that has the content of the file."""
        if shutil.disk_usage(self._inlet.workdir).free < version.size + SPARE:
            raise Busy(full=True)
        with self._copied(descriptor, version) as (path, sha256):
            self._examine(path)
            key = self._key(place, name, version, sha256)
            try:
                with self._inlet.job(key, destination, "local", self._subject(place), names.shown(name)) as job:
                    whole = self._settings.end_mark == "rename"
                    job.page_from(path, whole=whole, give=True, sha256=sha256)
                return job.id
            except Taken as taken:
                self._check_taken(taken)
                return taken.token
            except Ended as ended:
                with contextlib.suppress(Busy, Refused):
                    job.told("stopped")
                raise FileUnfit(f"its job was cancelled: {ended.reason}") from None
            except Refused as refused:
                raise FileUnfit(str(refused)) from None

    @contextlib.contextmanager
    def _copied(self, descriptor: int, version: FileVersion) -> Iterator[tuple[Path, str]]:
        """Lend a copy in the work folder, and the hash of its content."""
        path = self._inlet.workdir / f"file-{next(self._numbers)}"
        try:
            try:
                sha256 = files.copy(descriptor, version, path, self._token.check)
            except OSError as error:
                if error.errno in _FULL:
                    raise Busy(full=True) from None
                if error.errno == errno.EFBIG:
                    raise FileUnfit("it is larger than a file of this process may be") from None
                raise
            yield path, sha256
        finally:
            path.unlink(missing_ok=True)

    def _examine(self, path: Path) -> None:
        """Raise `FileWaits` for a file that is not whole: what is missing may come."""
        with path.open("rb") as content:
            found = examine(content)
        if not found.kind:
            raise FileWaits(f"it is not a scan; expected {EXPECTED}")
        if found.state is FileState.CUT:
            raise FileWaits(f"it is not whole: {found.reason}")
        if found.state is FileState.UNKNOWN and self._settings.end_mark == "content":
            raise FileWaits(f"whether it is whole cannot be seen: {found.reason}")

    def _check_taken(self, taken: Taken) -> None:
        """Keep a file whose job was cancelled: perhaps before its content was stored."""
        with contextlib.suppress(Refused):  # the job is no longer remembered: it was stored, and has ended
            if self._inlet.state(taken.token).state == _CANCELED:
                raise FileUnfit(f"its job {taken.token} was cancelled")

    def _key(self, place: TrackedFolder, name: str, version: FileVersion, sha256: str) -> str:
        """Return what names this file for ever; numbers of files are made by each mount of a share for itself.

        The hash is a part of it: a file system uses numbers again, and a scanner names and times, and no file may be
        removed for the job of another one.
        """
        if place.is_shared:
            return f"{place.name}/{name}:{version.mtime_ns}:{version.size}:{sha256}"
        return f"{version.device}:{version.inode}:{version.mtime_ns}:{version.size}:{sha256}"

    def _subject(self, place: TrackedFolder) -> str:
        return names.shown(str(Path(self._settings.folder, place.name)))

    def _folders(self) -> str:
        return ", ".join(one.label for one in self._inlet.destinations)


def _check_writers(descriptor: int, place: TrackedFolder) -> None:
    if not place.is_shared and files.is_open_for_writing(descriptor):
        raise FileWaits("a program has it open for writing", WRITTEN_AGAIN)
