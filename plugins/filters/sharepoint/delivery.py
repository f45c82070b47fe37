"""The delivery of one document to one library: folder, names, and the result of an earlier run."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, Final, NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit

from postscan.plugins import Document, FilterContext, FilterFailed
from postscan.plugins.filters.sharepoint.quickxor import quick_xor

PIECE: Final = 1 << 18  # bytes between two checks of the token
MOST_NAMES: Final = 100  # that are attempted
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\\]")


class NameTaken(Exception):
    """Another file has the name."""


class Address(NamedTuple):
    """An http or https URL without user, query, fragment and relative names; `parts` is its decoded path."""

    scheme: str
    host: str
    port: int
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the address of *url*; raise `ValueError` if it is not one."""
        problem = "not the address of a library; expected https://host/path"
        try:
            split = urlsplit(url)
            port = split.port or _PORTS[split.scheme]
            parts = tuple(unquote(part, errors="strict") for part in split.path.split("/") if part)
        except (ValueError, KeyError):
            raise ValueError(problem) from None
        host = split.hostname or ""
        if _UNPRINTABLE.search(url) or not _HOST.fullmatch(host) or "@" in split.netloc:
            raise ValueError(problem)
        if split.query or split.fragment:
            raise ValueError(f"{problem}, without anything behind ? or #")
        if any(part in (".", "..") or "/" in part or _UNPRINTABLE.search(part) for part in parts):
            raise ValueError(f"{problem}, with plain names in its path")
        return cls(split.scheme, host, port, parts)

    def __truediv__(self, name: str) -> Self:
        return self._replace(parts=(*self.parts, name))

    def covers(self, other: Address) -> bool:
        """Return whether *other* is this address or one below it."""
        return self[:3] == other[:3] and other.parts[: len(self.parts)] == self.parts

    @property
    def origin(self) -> str:
        """The URL without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if _PORTS[self.scheme] == self.port else f":{self.port}")

    @property
    def url(self) -> str:
        """The URL, percent-encoded."""
        return f"{self.origin}/{path(self.parts)}"


def path(parts: tuple[str, ...]) -> str:
    """Return names as the path of a URL."""
    return "/".join(quote(part, safe="") for part in parts)


@dataclass(frozen=True)
class LibraryDelivery:
    """One document, and the library that gets it; `destination` is the name that the server records."""

    job: FilterContext
    document: Document
    destination: str
    library: Address

    @property
    def folder(self) -> Address:
        """The user's own folder in the library."""
        return self.library / self.job.user_folder

    @cached_property
    def hidden(self) -> str:
        """The name that the file has until it is complete.

        It is the same in each run, so that a run finds what a killed one left, and cannot be guessed without the job's
        token. SharePoint refuses names that begin with a dot.
        """
        delivery = f"{self.job.job.token}\0{self.document.id}\0{self.destination}"
        return f"_{hashlib.sha256(delivery.encode()).hexdigest()[:16]}.part"

    @property
    def earlier(self) -> str:
        """The name that an earlier, crashed run published or was about to publish; empty if there is none."""
        return self.job.earlier.get((self.document.id, self.destination), "")

    def names(self) -> Iterator[str]:
        """Yield the names that the file may get: `a.png`, `a-2.png`, `a-3.png` ...; raise `FilterFailed` at the end."""
        yield self.document.name
        stem, dot, suffix = self.document.name.rpartition(".")
        for number in range(2, MOST_NAMES + 1):
            yield f"{stem}-{number}{dot}{suffix}" if stem else f"{self.document.name}-{number}"
        raise FilterFailed(detail=f"{MOST_NAMES} files are named like {self.document.name}; expected a free name")

    def publish(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Ask for a grant; the body makes the file visible under *name*."""
        return self.job.publish(self.document, self.destination, name)

    @cached_property
    def quick_xor(self) -> str:
        """The QuickXorHash of the document."""
        return quick_xor(self.pieces())

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from *start* to before *end*, checking the token for each piece."""
        with self.document.path.open("rb") as file:
            file.seek(start)
            yield from self._pieces(file, (self.document.size if end is None else end) - start)

    def _pieces(self, file: BinaryIO, left: int) -> Iterator[bytes]:
        while left > 0:
            self.job.token.check()
            piece = file.read(min(PIECE, left))
            if not piece:
                raise FilterFailed(detail=f"{self.document.name} is shorter than it was")
            yield piece
            left -= len(piece)
