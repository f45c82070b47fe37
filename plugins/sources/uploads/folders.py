"""The folders of the destinations, and where a path leads.

They exist in no file system. A path names its destination by its first part; the parts between that and the name of the
file mean nothing to the server, and are part of the name by which a file is known.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from postscan.plugins import Destination
from postscan.plugins.sources.uploads.names import readable

ROOT: Final = "/"

_UNSAFE: Final = re.compile(r"[/\\\0-\x1f\x7f]")


@dataclass(frozen=True)
class FolderPath:
    """Where a path leads: into the folder of `destination`; `path` is what follows, "" for the folder itself."""

    destination: Destination
    path: str

    @property
    def name(self) -> str:
        """The last part, as people read it."""
        return readable(posixpath.basename(self.path))


class Folders:
    """The folders of these destinations, each named by its label."""

    def __init__(self, destinations: Iterable[Destination]) -> None:
        self._by_name = _named(destinations)
        self._by_id = {one.id: one for one in self._by_name.values()}

    @property
    def names(self) -> list[str]:
        """The names of the folders, sorted."""
        return sorted(self._by_name)

    def find(self, path: str) -> FolderPath | None:
        """Return where an absolute path leads; None for the root, and for what is below no destination.

        With one destination alone, a file in the root is for it: some devices have no place for a folder.
        """
        first, _, rest = path.strip("/").partition("/")
        destination = self._destination(first)
        if destination is not None:
            return FolderPath(destination, rest)
        if first and not rest and len(self._by_name) == 1:
            return FolderPath(next(iter(self._by_name.values())), first)
        return None

    def _destination(self, name: str) -> Destination | None:
        wanted = readable(name)
        return self._by_name.get(wanted) or self._by_id.get(wanted) or _only(self._by_name, wanted.casefold())


def _named(destinations: Iterable[Destination]) -> dict[str, Destination]:
    """Return the destinations by their labels as names of folders; of equal ones, the later have their id behind."""
    named: dict[str, Destination] = {}
    for one in destinations:
        name = _UNSAFE.sub("_", unicodedata.normalize("NFC", one.label)).strip()
        if name in ("", ".", ".."):
            name = one.id
        named[name if name not in named else f"{name} {one.id}"] = one
    return named


def _only(named: Mapping[str, Destination], folded: str) -> Destination | None:
    """Return the one destination whose name differs in case alone."""
    found = [one for name, one in named.items() if name.casefold() == folded]
    return found[0] if len(found) == 1 else None
