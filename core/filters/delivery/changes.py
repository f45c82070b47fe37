"""The list of documents that a filter leaves to the filters after it: some replaced, some removed, some added.

The list is recorded while the filter works, and takes effect only if the filter succeeds. A file that is handed over
moves into a folder of its own at once, so that later changes of the filter to its own files have no effect.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from postscan.core.model import formats

FOLDER: Final = "made"
"""The folder of the workdir where the server finds what was handed over, as `0`, `1`, `2` ..."""


LAST_ID: Final = (1 << 31) - 1
"""The largest id of a document, as on the wire and in the database."""


class Entry(NamedTuple):
    """One document of the new list: `id` is None for a new one; `made` numbers its file, None for an untouched one."""

    id: int | None
    format: str
    made: int | None


class Changes:
    """The list so far; without a call, nothing is changed."""

    def __init__(self, documents: Iterable[tuple[int, str]], workdir: Path) -> None:
        self._entries = [Entry(id, format, None) for id, format in documents]
        self._workdir = workdir
        self._folder = workdir / FOLDER
        self._taken = 0
        self._changed = False

    @property
    def entries(self) -> list[Entry] | None:
        """The new list in its order; None if nothing was changed."""
        return list(self._entries) if self._changed else None

    def replace(self, id: int, path: Path, format: str) -> None:
        """Let the filters after this one see *path* in place of the document."""
        place = self._place(id)
        self._entries[place] = Entry(id, _known(format), self._take(path))

    def remove(self, id: int) -> None:
        """Let the filters after this one not see the document."""
        del self._entries[self._place(id)]
        self._changed = True

    def add(self, path: Path, format: str, after: int | None = None) -> None:
        """Let the filters after this one see one more document, behind another one or as the last."""
        place = len(self._entries) if after is None else self._place(after) + 1
        while after is not None and place < len(self._entries) and self._entries[place].id is None:
            place += 1  # what was added behind the same one before comes first
        self._entries.insert(place, Entry(None, _known(format), self._take(path)))

    def _place(self, id: int) -> int:
        for place, one in enumerate(self._entries):
            if one.id == id:
                return place
        raise ValueError(f"document {id} is missing: this filter has removed it")

    def _take(self, path: Path) -> int:
        if not path.is_file():
            raise ValueError(f"{path} is not a file")
        self._folder.mkdir(exist_ok=True)
        target = self._folder / str(self._taken)
        if path.resolve().is_relative_to(self._workdir.resolve()):
            path.rename(target)
        else:
            shutil.copyfile(path, target)  # it is outside the workdir, so it is copied
        self._taken += 1
        self._changed = True
        return self._taken - 1


def encode(entries: Iterable[Entry] | None) -> list[list[Any]] | None:
    """Return a list as it is sent to the server."""
    return None if entries is None else [list(entry) for entry in entries]


def decode(data: Any, known: Iterable[int]) -> list[Entry] | None:
    """Return the list that a worker sent; raise `ValueError` if it is invalid."""
    if data is None:
        return None
    if not isinstance(data, list):
        raise ValueError("its documents are not a list")  # noqa: TRY004  (data of a worker; one kind of error)
    ids = set(known)
    entries = [_entry(one) for one in data]
    for one in entries:
        if one.id is None and one.made is None:
            raise ValueError("a new document without a file")
        if one.id is not None and one.id not in ids:
            raise ValueError(f"document {one.id}, which it did not get, or which it lists twice")
        ids.discard(one.id or 0)
    return entries


def _entry(data: Any) -> Entry:
    if not isinstance(data, list) or len(data) != 3:
        raise ValueError("a document that is not a triple")
    id, format, made = data
    for number in (id, made):
        if number is not None and not _is_number(number):
            raise ValueError(f"{number!r:.64} as a number; expected 0 to {LAST_ID}")
    return Entry(id, _known(format), made)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_ID


def _known(format: Any) -> str:
    if not isinstance(format, str) or not formats.is_known(format):
        known = ", ".join(sorted(formats.MEDIA))
        raise ValueError(f"{format!r:.64} is not a format; expected one of {known}, tiff-...")
    return format
