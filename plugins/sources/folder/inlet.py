"""One inlet of the source Folder: look at its folders, take what is ready, wait for the next change.

One file at a time, and of the folders one after another, so that a full one delays no other. All that is temporary
leaves the file where it is.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from postscan.plugins import Busy, CancellationToken, SourceContext
from postscan.plugins.sources.folder import folders, mounts, names, wakeups
from postscan.plugins.sources.folder.files import FileGone, FileUnfit, FileWaits
from postscan.plugins.sources.folder.intake import FileIntake
from postscan.plugins.sources.folder.refusals import RefusedFiles, count_refused, refuse
from postscan.plugins.sources.folder.settings import Settings
from postscan.plugins.sources.folder.tracking import TrackedFile, TrackedFolder
from postscan.plugins.sources.folder.wakeups import FollowedFolder

LEAST_PAUSE: Final = 0.1
"""Seconds between two looks, at least."""

SHARE_OF_LOOKS: Final = 3
"""A look is followed by a pause of so many times its own duration: a huge folder takes a part of a core."""

READ_AGAIN: Final = 30.0
"""Seconds until a file is tried again that could not be read, moved or removed."""

LONGEST_BUSY: Final = 600.0
"""Seconds until a file is tried again for which there was no room, at most."""

MOST_BUSY: Final = 3
"""So many files without room one after another, and the server is asked for none until the next look."""

TURN: Final = 16
"""Files of one folder that are taken before all folders are looked at again."""

COUNT_SECONDS: Final = 30.0
"""Seconds between two counts of the files that were refused."""

MANY_REFUSED: Final = 100
"""So many of them, and the inlet is degraded: no one looks after them."""


class FolderInlet:
    """The run of one inlet until *token* is set."""

    def __init__(self, inlet: SourceContext, token: CancellationToken) -> None:
        self._inlet = inlet
        self._settings: Settings = inlet.settings
        self._token = token
        self._places: dict[str, TrackedFolder] = {}
        self._foreign: set[str] = set()
        self._wake = threading.Event()
        self._health = ("", "")
        self._refused, self._count_at = RefusedFiles(), 0.0
        self._busy = ""
        self._intake = FileIntake(inlet, token)
        self._quiet = 0.0 if self._settings.end_mark == "rename" else self._settings.quiet_seconds

    def run(self) -> None:
        """Look at the folders again and again."""
        with self._token.calling(self._wake.set), contextlib.closing(wakeups.Wakeups(self._wake)) as told:
            while not self._token.cancelled:
                self._wake.clear()
                took = self._look(told)
                self._token.wait(max(LEAST_PAUSE, SHARE_OF_LOOKS * took))
                self._wake.wait(self._pause())

    def _pause(self) -> float:
        """Return how many seconds to wait if nothing tells of a change."""
        due = min((place.next_due(self._quiet) for place in self._places.values()), default=time.monotonic() + 1e6)
        return min(self._settings.poll_seconds, max(0.0, due - time.monotonic()))

    # --- one look ------------------------------------------------------------------------------------------------

    def _look(self, told: wakeups.Wakeups) -> float:
        """Look at all folders and take what is ready; return how many seconds the looking took."""
        begun = time.monotonic()
        with contextlib.ExitStack() as stack:
            try:
                opened = self._open(stack)
                self._follow(opened, told)
                for place, folder in opened:
                    self._look_at(place, folder)
            except OSError as error:
                self._say("away", f"{self._settings.folder}: {error.strerror or error}")
                return time.monotonic() - begun
            took = time.monotonic() - begun
            self._take(opened)
            self._report(opened, told)
        return took

    def _follow(self, opened: list[tuple[TrackedFolder, int]], told: wakeups.Wakeups) -> None:
        """Let the kernel tell of changes in the folders that no other machine writes to."""
        if self._settings.poll or not wakeups.is_installed():
            return
        followed = set()
        for place, folder in opened:
            if not place.is_shared:
                found = os.fstat(folder)
                followed.add(FollowedFolder(str(self._path(place)), found.st_dev, found.st_ino))
        told.follow(frozenset(followed))

    def _open(self, stack: contextlib.ExitStack) -> list[tuple[TrackedFolder, int]]:
        """Open the watched folder and those of destinations; forget the ones that are gone."""
        root = os.open(self._settings.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        alone = self._inlet.destinations[0] if len(self._inlet.destinations) == 1 else None
        found = {"": (alone, root)}
        for name, destination in folders.subfolders(self._inlet, root):
            if destination is None:
                self._note_foreign(name)
                continue
            with contextlib.suppress(OSError):  # gone, or no folder any more
                found[name] = (destination, os.open(name, folders.FOLDER, dir_fd=root))
                stack.callback(os.close, found[name][1])
        self._places = {
            name: self._places.get(name) or TrackedFolder(name, destination) for name, (destination, _) in found.items()
        }
        for place in self._places.values():
            place.is_shared = mounts.is_shared(mounts.file_system(self._path(place)))
        return [(self._places[name], folder) for name, (_, folder) in found.items()]

    def _look_at(self, place: TrackedFolder, folder: int) -> None:
        """Look at one folder; one that cannot be read, or from which nothing can be removed, has a problem."""
        problem = folders.unusable(folder)
        try:
            place.look(folder, self._settings, time.monotonic())
        except OSError as error:
            problem = error.strerror or str(error)
        if problem and problem != place.problem:
            self._inlet.log("folder not usable", "warning", file=self._shown(place), reason=problem)
        place.problem = problem

    # --- files ---------------------------------------------------------------------------------------------------

    def _take(self, opened: list[tuple[TrackedFolder, int]]) -> None:
        """Take what is ready, of each folder in turn."""
        self._busy, without_room = "", 0
        for turn in itertools.zip_longest(*(self._queue(*one) for one in opened)):
            for one in filter(None, turn):
                self._token.check()
                without_room = 0 if self._try(*one) else without_room + 1
                if without_room == MOST_BUSY:
                    return

    def _queue(self, place: TrackedFolder, folder: int) -> Iterator[tuple[TrackedFolder, int, str, TrackedFile]]:
        """Yield the files of one folder that are ready, as many as are taken before the next look."""
        if not place.problem:
            for name, file in itertools.islice(place.ready(time.monotonic(), self._quiet), TURN):
                yield place, folder, name, file

    def _try(self, place: TrackedFolder, folder: int, name: str, file: TrackedFile) -> bool:
        """Take one file, or note what it waits for; return whether there was room."""
        now = time.monotonic()
        try:
            self._intake.take(folder, place, name, file)
        except FileGone:
            place.forget(name)  # whatever has the name now is a new file
        except FileUnfit as error:
            self._refuse(folder, place, name, file, str(error))
        except FileWaits as obstacle:
            self._wait(folder, place, name, file, str(obstacle), obstacle.seconds)
        except Busy as busy:
            self._busy = str(busy)
            file.busy += 1
            file.not_before = now + min(LONGEST_BUSY, max(1.0, busy.seconds) * 2 ** min(file.busy - 1, 10))
            return False
        except OSError as error:
            self._wait(
                folder, place, name, file, f"it cannot be read or removed: {error.strerror or error}", READ_AGAIN
            )
        else:
            self._inlet.log("file stored", "info", file=names.shown(name), job=file.job)
            place.forget(name)
        return True

    def _wait(
        self, folder: int, place: TrackedFolder, name: str, file: TrackedFile, reason: str, seconds: float | None
    ) -> None:
        """Let a file wait for its change; refuse it when it has not changed for as long as a job may be silent."""
        now = time.monotonic()
        end = file.since + max(self._inlet.started.job_seconds, self._quiet)
        if file.job:
            file.not_before = now + (seconds or READ_AGAIN)
            if not file.is_logged:
                file.is_logged = True
                self._inlet.log("file not removed", "warning", file=names.shown(name), job=file.job, reason=reason)
        elif now < end:
            file.not_before = end if seconds is None else min(end, now + seconds)
        else:
            self._refuse(folder, place, name, file, f"{reason}; it has not changed for {now - file.since:.0f} s")

    def _refuse(self, folder: int, place: TrackedFolder, name: str, file: TrackedFile, reason: str) -> None:
        """Move a file to those that are refused; one that cannot be moved stays, and is tried again."""
        try:
            refuse(folder, self._settings.refused, name, file.version, reason, datetime.now(UTC))
        except FileGone:
            place.forget(name)
        except OSError as error:
            file.not_before = time.monotonic() + READ_AGAIN
            if not file.is_logged:
                file.is_logged = True
                self._log_refused(place, name, f"{reason}; and it cannot be moved: {error.strerror or error}")
        else:
            place.forget(name)
            self._log_refused(place, name, reason)

    # --- what is reported ----------------------------------------------------------------------------------------

    def _report(self, opened: list[tuple[TrackedFolder, int]], told: wakeups.Wakeups) -> None:
        polled = (
            self._settings.poll or told.problem or not wakeups.is_installed() or any(one.is_shared for one, _ in opened)
        )
        how = f"looks every {self._settings.poll_seconds:g} s" if polled else "is told of changes"
        problems = [f"{self._shown(place)}: {place.problem}" for place, _ in opened if place.problem]
        problems += folders.missing(self._inlet, {place.destination for place, _ in opened})
        if self._busy:
            problems.append(self._busy)
        refused = self._count_refused(opened)
        if refused.number >= MANY_REFUSED:
            problems.append(f"{refused}; they are in {self._settings.refused}")
        ready = ", ".join(filter(None, (self._settings.folder, how, str(refused))))
        self._say("degraded" if problems else "ready", "; ".join(problems) or ready)

    def _count_refused(self, opened: list[tuple[TrackedFolder, int]]) -> RefusedFiles:
        """Return how many refused files all folders have, which are counted again after some time."""
        now = time.monotonic()
        if now >= self._count_at:
            self._refused = RefusedFiles.total(count_refused(folder, self._settings.refused) for _, folder in opened)
            self._count_at = now + COUNT_SECONDS
        return self._refused

    def _say(self, state: Literal["ready", "degraded", "away"], text: str) -> None:
        """Report the health if it is another one than before."""
        if (state, text) != self._health:
            self._health = (state, text)
            self._inlet.health(state, names.shown(text))

    def _note_foreign(self, name: str) -> None:
        if len(self._foreign) < folders.MOST_IN_ROOT and name not in self._foreign:
            self._foreign.add(name)
            self._inlet.log("folder without a destination", "info", file=names.shown(name))

    def _log_refused(self, place: TrackedFolder, name: str, reason: str) -> None:
        self._inlet.log("file refused", "warning", file=names.shown(str(Path(place.name, name))), reason=reason)

    def _shown(self, place: TrackedFolder) -> str:
        return names.shown(str(self._path(place)))

    def _path(self, place: TrackedFolder) -> Path:
        return Path(self._settings.folder, place.name)
