"""The files of one folder between two looks at it: since when each has not changed, and what it waits for.

The content of a folder decides, and not what the kernel told about it: no event that is lost, comes twice or comes
early loses a file. At most `MOST` files of a folder are tracked; what is behind them comes when there is room, so a
folder with a million files costs the memory of some.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from postscan.plugins import Destination
from postscan.plugins.sources.folder import names
from postscan.plugins.sources.folder.files import FileGone, FileVersion, kind_of, look_at, put_back
from postscan.plugins.sources.folder.settings import Settings

MOST: Final = 2000
"""Most files of one folder that are tracked."""


@dataclass(slots=True)
class TrackedFile:
    """A file that was seen; `since` is when it was first seen as it is, in seconds of a clock that does not go back.

    `kind` says what it is if it is no regular file. `not_before` is when to look at it again. `job` is the token of its
    job: only its removal is missing then. `busy` counts how often there was no room.
    """

    version: FileVersion
    owner: int
    kind: str
    since: float
    not_before: float = 0.0
    job: str = ""
    busy: int = 0
    is_logged: bool = False


@dataclass
class TrackedFolder:
    """A folder, `name` below the watched one and "" for that itself; files there are for `destination`.

    `is_shared` says that other machines may write there, `problem` why nothing is taken.
    """

    name: str
    destination: Destination | None
    is_shared: bool = False
    problem: str = ""
    files: dict[str, TrackedFile] = field(default_factory=dict)

    def look(self, folder: int, settings: Settings, now: float) -> None:
        """Bring what is known in line with the folder of this descriptor. Raises `OSError` if it cannot be read."""
        for name in list(self.files):
            self._look_again(folder, name, now)
        if len(self.files) >= MOST:
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                self._look_first(folder, entry, settings, now)
                if len(self.files) >= MOST:
                    break

    def ready(self, now: float, quiet_seconds: float) -> Iterator[tuple[str, TrackedFile]]:
        """Yield the files that may be taken now, the oldest first."""
        found = [(name, file) for name, file in self.files.items() if self._due(file, quiet_seconds) <= now]
        yield from sorted(found, key=lambda one: one[1].version.mtime_ns)

    def next_due(self, quiet_seconds: float) -> float:
        """Return when the next file may be taken, infinity if there is none."""
        return min((self._due(file, quiet_seconds) for file in self.files.values()), default=math.inf)

    def forget(self, name: str) -> None:
        """Forget a file; it is new if it is seen again."""
        self.files.pop(name, None)

    @staticmethod
    def _due(file: TrackedFile, quiet_seconds: float) -> float:
        return max(file.since + quiet_seconds, file.not_before)

    def _look_again(self, folder: int, name: str, now: float) -> None:
        try:
            found = look_at(folder, name)
        except (FileGone, OSError):
            self.forget(name)
            return
        if FileVersion.of(found) != self.files[name].version:
            self.forget(name)
            self._track(name, found, now)

    def _look_first(self, folder: int, entry: os.DirEntry[str], settings: Settings, now: float) -> None:
        name = entry.name
        if name in self.files or names.matches(name, settings.ignored) or names.matches(name, settings.temporary):
            return
        with contextlib.suppress(FileGone, OSError):
            if names.is_hidden(name):
                if names.put_back_name(name):  # the process ended while it removed this file
                    put_back(folder, name, folder, names.put_back_name(name))
                return
            if not entry.is_dir(follow_symlinks=False):
                self._track(name, look_at(folder, name), now)

    def _track(self, name: str, found: os.stat_result, now: float) -> None:
        self.files[name] = TrackedFile(FileVersion.of(found), found.st_uid, kind_of(found.st_mode), now)
