"""What is remembered of files for ten minutes: those that wait for their rename, and those that are jobs.

A device may ask for the size of what it has sent, and rename it. One that is a job is no file any more, so it is in no
listing; its size is still known. What is not renamed in time is removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from postscan.plugins.sources.uploads.folders import FolderPath
from postscan.plugins.sources.uploads.identity import Identity
from postscan.plugins.sources.uploads.upload import UploadedFile

SECONDS: Final = 600.0
"""How long a file is remembered, from its end on."""

MOST_HELD: Final = 16
"""Files of one subject that wait for their rename."""

MOST_HELD_IN_ALL: Final = 64

MOST_KNOWN: Final = 1000
"""Files in all that are remembered, without those that wait."""

Name = tuple[str, str, str]
"""Subject, destination and path of a file."""


@dataclass(frozen=True)
class KnownFile:
    """A file of `who` at `place`; `held` is its content while it waits for its rename, `is_job` whether it is a job."""

    who: Identity
    place: FolderPath
    size: int
    at: float
    held: UploadedFile | None = None
    is_job: bool = False


class Files:
    """The files of all sessions; for one thread. `expired` is called for each file that was not renamed in time."""

    def __init__(self, expired: Callable[[KnownFile], object], ticks: Callable[[], float] = time.monotonic) -> None:
        self._expired = expired
        self._ticks = ticks
        self._known: dict[Name, tuple[float, KnownFile]] = {}

    def find(self, who: Identity, place: FolderPath) -> KnownFile | None:
        """Return what is known of the file at *place*."""
        self.expire()
        found = self._known.get(_name(who, place))
        return found[1] if found is not None else None

    def held_in(self, who: Identity, destination: str) -> Iterator[KnownFile]:
        """Yield the files of *who* that wait in the folder of this destination, an id."""
        self.expire()
        for _, one in self._known.values():
            if one.held is not None and one.who.subject == who.subject and one.place.destination.id == destination:
                yield one

    def has_room(self, who: Identity) -> bool:
        """Return whether a further file of *who* may wait for its rename."""
        self.expire()
        held = [one.who.subject for _, one in self._known.values() if one.held is not None]
        return len(held) < MOST_HELD_IN_ALL and held.count(who.subject) < MOST_HELD

    def hold(self, who: Identity, place: FolderPath, received: UploadedFile) -> None:
        """Keep a file until it is renamed; it replaces the one that waits at the same place."""
        self.forget(who, place)
        self._remember(KnownFile(who, place, received.size, received.at, received))

    def take(self, known: KnownFile) -> UploadedFile | None:
        """Return the content of a file that waits, which belongs to the caller now; None if it waits no more."""
        if self._known.get(_name(known.who, known.place), (0, None))[1] is not known:
            return None
        self._known.pop(_name(known.who, known.place))
        return known.held

    def passed_on(self, who: Identity, place: FolderPath, size: int, at: float, *, is_job: bool) -> None:
        """Remember the size of a file that is a job, or was thrown away."""
        self.forget(who, place)
        self._remember(KnownFile(who, place, size, at, is_job=is_job))

    def forget(self, who: Identity, place: FolderPath) -> None:
        """Remove what is known of the file at *place*, and its content."""
        _, known = self._known.pop(_name(who, place), (0, None))
        if known is not None and known.held is not None:
            known.held.discard()

    def expire(self) -> None:
        """Remove what is older than `SECONDS`."""
        while self._known:
            name, (end, known) = next(iter(self._known.items()))
            if end > self._ticks():
                return
            self._known.pop(name)
            if known.held is not None:
                known.held.discard()
                self._expired(known)

    def _remember(self, known: KnownFile) -> None:
        passed_on = [name for name, (_, one) in self._known.items() if one.held is None]
        for name in passed_on[: max(0, len(passed_on) - MOST_KNOWN + 1)]:
            self._known.pop(name)
        self._known[_name(known.who, known.place)] = (self._ticks() + SECONDS, known)


def _name(who: Identity, place: FolderPath) -> Name:
    return who.subject, place.destination.id, place.path
