"""One document on its way into one library: where to, under which names, and what an earlier run has done."""

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

PIECE: Final = 1 << 18  # bytes between two looks at the token
MANY: Final = 100  # names that are tried
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\\]")


class Taken(Exception):
    """Somebody else's file has the name."""


class Address(NamedTuple):
    """An http or https address that cannot lead elsewhere; `parts` are the names in its path, decoded."""

    scheme: str
    host: str
    port: int
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the address that *url* spells; raise `ValueError` with a sentence if it is none."""
        wanted = "not the address of a library; expected https://host/path"
        try:
            split = urlsplit(url)
            port = split.port or _PORTS[split.scheme]
            parts = tuple(unquote(part, errors="strict") for part in split.path.split("/") if part)
        except (ValueError, KeyError):
            raise ValueError(wanted) from None
        host = split.hostname or ""
        if _UNPRINTABLE.search(url) or not _HOST.fullmatch(host) or "@" in split.netloc:
            raise ValueError(wanted)
        if split.query or split.fragment:
            raise ValueError(f"{wanted}, without anything behind ? or #")
        if any(part in (".", "..") or "/" in part or _UNPRINTABLE.search(part) for part in parts):
            raise ValueError(f"{wanted}, with plain names in its path")
        return cls(split.scheme, host, port, parts)

    def __truediv__(self, name: str) -> Self:
        return self._replace(parts=(*self.parts, name))

    def covers(self, other: Address) -> bool:
        """Return whether *other* is this address or one below it."""
        return self[:3] == other[:3] and other.parts[: len(self.parts)] == self.parts

    @property
    def origin(self) -> str:
        """The same without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if _PORTS[self.scheme] == self.port else f":{self.port}")

    @property
    def url(self) -> str:
        """The same as it goes over the line."""
        return f"{self.origin}/{path(self.parts)}"


def path(parts: tuple[str, ...]) -> str:
    """Return names as the path of a URL."""
    return "/".join(quote(part, safe="") for part in parts)


@dataclass(frozen=True)
class LibraryDelivery:
    """One document, and the library that gets it; `destination` is what the server remembers the library by."""

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
        """The name that the file has until it is whole.

        It is the same in each run, so that the next one finds what a killed one left, and nobody can guess it, since
        the job's token is in it. SharePoint takes no name that begins with a dot.
        """
        delivery = f"{self.job.job.token}\0{self.document.id}\0{self.destination}"
        return f"_{hashlib.sha256(delivery.encode()).hexdigest()[:16]}.part"

    @property
    def earlier(self) -> str:
        """The name under which an earlier, crashed run has published it or was about to; else empty."""
        return self.job.earlier.get((self.document.id, self.destination), "")

    def names(self) -> Iterator[str]:
        """Yield the names that the file may get: `a.png`, `a-2.png`, `a-3.png` ...; raise if it runs out of them."""
        yield self.document.name
        stem, dot, suffix = self.document.name.rpartition(".")
        for number in range(2, MANY + 1):
            yield f"{stem}-{number}{dot}{suffix}" if stem else f"{self.document.name}-{number}"
        raise FilterFailed(detail=f"{MANY} files are named like {self.document.name}; expected a free name")

    def publish(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Let the body make the file visible under *name*."""
        return self.job.publish(self.document, self.destination, name)

    @cached_property
    def quick_xor(self) -> str:
        """The QuickXorHash of the document."""
        return quick_xor(self.pieces())

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from *start* to before *end*, looking at the token for each piece."""
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
