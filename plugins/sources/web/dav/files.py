"""What the clients of WebDAV see in the folders of the destinations: in memory, for ten minutes, each sender its own.

File managers create an empty file before they send its content, put files of their own beside it, send it under a name
for the time being and rename it, and look at it afterwards: a file that they have sent has to be there with its size,
or they report an error. So a table remembers what a sender did. Others do not see it, and no name in it is one of this
machine. Its bounds drop what is oldest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import fnmatch
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from postscan.plugins.sources.web.paths import WebPath
from postscan.plugins.sources.web.upload.incoming import ReceivedFile

KEPT_SECONDS: Final = 600.0
"""Seconds for which an entry is shown after its last change."""

MOST: Final = 4000
MOST_OF_SENDER: Final = 250
"""Most entries, in all and of one sender."""

MOST_HELD: Final = 64
MOST_HELD_OF_SENDER: Final = 16
"""Most files that wait for their rename: each holds disk space."""

CONTENT_BYTES: Final = 64 * 1024
KEPT_BYTES: Final = 4 << 20
"""Most bytes of a file manager's own file whose content is kept, and of all of them."""

MOST_PROPERTIES: Final = 8
PROPERTY_CHARACTERS: Final = 256
"""Most properties of an entry that a client sets, and most characters of one of them."""

_BESIDE: Final = ("._*", ".ds_store", ".hidden", ".localized", ".metadata_never_index*", ".spotlight-v100", ".trashes",
                  ".fseventsd", ".temporaryitems", ".apdisk", "desktop.ini", "thumbs.db", "ehthumbs.db")  # fmt: skip
"""Files that Finder and Explorer put beside others, and look for."""


class Kind(enum.Enum):
    """What an entry is."""

    FOLDER = enum.auto()
    EMPTY = enum.auto()  # created, and nothing sent yet
    BESIDE = enum.auto()  # a file of the file manager itself; never a job
    HELD = enum.auto()  # complete, under a name for the time being
    SENT = enum.auto()  # a job


@dataclass(slots=True)
class ListedFile:
    """One entry; times are in seconds since 1970. `received` is a held file, `job` the address of a sent one's job."""

    path: WebPath
    kind: Kind
    created: float
    size: int = 0
    tag: str = ""
    content: bytes | None = None
    received: ReceivedFile | None = None
    job: str = ""
    properties: dict[tuple[str, str], str] = field(default_factory=dict)
    modified: float = 0.0

    def __post_init__(self) -> None:
        self.modified = self.modified or self.created


class FileTable:
    """The entries of all senders. *now* returns the time in seconds since 1970, and *ticks* monotonic seconds."""

    def __init__(self, now: Callable[[], float], ticks: Callable[[], float]) -> None:
        self.now = now
        self._ticks = ticks
        self._entries: dict[tuple[str, tuple[str, ...]], tuple[ListedFile, float]] = {}  # the oldest change comes first

    def find(self, sender: str, path: WebPath) -> ListedFile | None:
        """Return the entry at a path, or None."""
        self._expire()
        found = self._entries.get((sender, path.key))
        return found[0] if found else None

    def below(self, sender: str, path: WebPath) -> Iterator[ListedFile]:
        """Yield the entries directly in a folder."""
        self._expire()
        key = path.key
        for (owner, at), (entry, _) in list(self._entries.items()):
            if owner == sender and len(at) == len(key) + 1 and at[:-1] == key:
                yield entry

    def used(self, sender: str) -> int:
        """Return the bytes of the entries that hold content here."""
        return sum(
            entry.size
            for (owner, _), (entry, _) in self._entries.items()
            if owner == sender and entry.kind in (Kind.HELD, Kind.BESIDE)
        )

    def may_hold(self, sender: str) -> bool:
        """Return whether a sender may have one more file that waits for its rename."""
        self._expire()
        held = [owner for (owner, _), (entry, _) in self._entries.items() if entry.kind is Kind.HELD]
        return len(held) < MOST_HELD and held.count(sender) < MOST_HELD_OF_SENDER

    def put(self, sender: str, entry: ListedFile) -> None:
        """Add an entry, in the place of one that is there."""
        key = (sender, entry.path.key)
        before = self._entries.pop(key, None)
        if before is not None and before[0].received is not entry.received:
            _drop(before[0])
        self._entries[key] = (entry, self._ticks() + KEPT_SECONDS)
        self._bound(sender)

    def touch(self, sender: str, path: WebPath) -> None:
        """Show an entry for ten minutes from now: its lock was renewed, or it was changed."""
        if (found := self._entries.pop((sender, path.key), None)) is not None:
            self._entries[sender, path.key] = (found[0], self._ticks() + KEPT_SECONDS)

    def remove(self, sender: str, path: WebPath) -> None:
        """Remove an entry, and what lies below it."""
        key = path.key
        for owner, at in list(self._entries):
            if owner == sender and at[: len(key)] == key:
                _drop(self._entries.pop((owner, at))[0])

    def move(self, sender: str, entry: ListedFile, path: WebPath) -> None:
        """Give an entry another path."""
        self._entries.pop((sender, entry.path.key), None)
        self.put(sender, dataclasses.replace(entry, path=path))

    def close(self) -> None:
        """Remove all entries and the files that they hold."""
        for entry, _ in self._entries.values():
            _drop(entry)
        self._entries.clear()

    def _expire(self) -> None:
        now = self._ticks()
        while self._entries:
            key, (entry, until) = next(iter(self._entries.items()))
            if until > now:
                return
            del self._entries[key]
            _drop(entry)

    def _bound(self, sender: str) -> None:
        own = [key for key in self._entries if key[0] == sender]
        for key in own[: max(0, len(own) - MOST_OF_SENDER)]:
            _drop(self._entries.pop(key)[0])
        while len(self._entries) > MOST:
            _drop(self._entries.pop(next(iter(self._entries)))[0])
        kept = [entry for entry, _ in self._entries.values() if entry.content]
        excess = sum(entry.size for entry in kept) - KEPT_BYTES
        for entry in kept:
            if excess <= 0:
                return
            excess -= entry.size
            entry.content = None


def is_beside(name: str) -> bool:
    """Return whether a file of this name belongs to a file manager, and is not a scan."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return any(fnmatch.fnmatchcase(folded, pattern) for pattern in _BESIDE)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name matches one of the patterns, whatever the case."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return any(fnmatch.fnmatchcase(folded, pattern.casefold()) for pattern in patterns)


def _drop(entry: ListedFile) -> None:
    if entry.received is not None:
        with contextlib.suppress(OSError):
            entry.received.remove()
