"""The path of a request: a destination's folder, folders below it, and the name of a file, in any encoding; no I/O.

The first name is the destination: its folder is called by its label, or by its id. What follows is only a name. It is
never the path of a file of this machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from postscan.plugins import Destination

MOST_PARTS: Final = 16
LONGEST: Final = 255
"""Most names in a path, and most characters of one of them."""

RESERVED: Final = frozenset({"jobs", "destinations"})
"""First names that are no destinations."""

_UNUSABLE: Final = re.compile(r"[\x00-\x1f\x7f/\\]")


class BadPath(ValueError):
    """The path is none that a file can have; the text is the reason."""


class WebPath(NamedTuple):
    """The decoded names of a path; `is_folder` if it ends with a slash."""

    parts: tuple[str, ...]
    is_folder: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """The same names in one spelling: macOS composes characters in another way than others do."""
        return tuple(unicodedata.normalize("NFC", part) for part in self.parts)

    @property
    def name(self) -> str:
        """The last name; empty for the root."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> WebPath:
        """The folder that this path lies in."""
        return WebPath(self.parts[:-1], is_folder=True)

    @property
    def href(self) -> str:
        """The path as it stands in a URL."""
        joined = "/".join(quote(part, safe="") for part in self.parts)
        return f"/{joined}/" if self.is_folder and joined else f"/{joined}"


def parse(raw: bytes) -> WebPath:
    """Return the path in the target of a request, a query excluded; raise `BadPath`."""
    text = raw.partition(b"?")[0].decode("latin-1")
    if not text.startswith("/"):
        text = urlsplit(text).path or "/"  # the absolute form of RFC 9112 section 3.2.2
    pieces = [piece for piece in text.split("/") if piece]
    if len(pieces) > MOST_PARTS:
        raise BadPath(f"the path has {len(pieces)} names; expected at most {MOST_PARTS}")
    return WebPath(tuple(_decoded(piece) for piece in pieces), is_folder=text.endswith("/"))


def parse_url(url: str) -> tuple[str, WebPath]:
    """Return host with port ("" for a path alone) and path of the URL in a Destination field; raise `BadPath`."""
    try:
        split = urlsplit(url)
    except ValueError as error:
        raise BadPath(f"not a URL: {error}") from None
    if split.scheme not in ("http", "https", "") or not split.path.startswith("/"):
        raise BadPath("not the URL of a file; expected http://host/path or /path")
    return split.netloc.rpartition("@")[2], parse(split.path.encode("latin-1", "replace"))


class DestinationFolders:
    """The destinations by the names of their folders.

    A folder is called like the label of its destination. If another one is called the same, or the name has a meaning
    here, the id follows in brackets. The id alone leads to the folder as well.
    """

    def __init__(self, destinations: Iterable[Destination]) -> None:
        self.by_name: dict[str, Destination] = {}
        """In their order, by the names that a listing shows."""
        self._found: dict[str, Destination] = {}
        for one in destinations:
            name = _UNUSABLE.sub("_", one.label).strip(" .") or one.id
            if _folded(name) in RESERVED or _folded(name) in self._found:
                name = f"{name} ({_UNUSABLE.sub('_', one.id)})"
            self.by_name[name] = self._found[_folded(name)] = one
        for one in self.by_name.values():
            self._found.setdefault(_folded(one.id), one)

    def find(self, name: str) -> Destination | None:
        """Return the destination of a folder, whatever the case of its name."""
        return self._found.get(_folded(name))

    def name_of(self, destination: Destination) -> str:
        """Return the name of the folder of a destination."""
        return next(name for name, one in self.by_name.items() if one == destination)


def file_name(text: str) -> str:
    """Return the last name of a path that a client calls a file by, with slashes of either kind; "" if none is left."""
    last = re.split(r"[/\\]", text)[-1].strip()
    return "" if last in (".", "..") else _UNUSABLE.sub("_", last)[:LONGEST]


def decode(raw: bytes) -> str:
    """Return text of a client that does not say its encoding: UTF-8, or else Latin-1, which takes every byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _decoded(piece: str) -> str:
    part = decode(unquote_to_bytes(piece.encode("latin-1")))
    if part in (".", "..") or _UNUSABLE.search(part):
        raise BadPath(f"{part[:40]!r} is not the name of a file")
    if len(part) > LONGEST:
        raise BadPath(f"a name has {len(part)} characters; expected at most {LONGEST}")
    return part


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
