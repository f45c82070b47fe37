"""The files that are sent, each with another content, and the lengths at which they are whole."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import img2pdf
from sample_files import Sample, noise, saved
from tiff_files import filled

LARGE: Final = 8
"""One of so many files is large: more than a MiB, which the source `web` keeps in memory before it writes a file."""

NEAR: Final = 24
"""Bytes from the begin and from the end of a file, in which half of the cuts are: marks and sizes are there."""


@dataclass(frozen=True)
class Scan:
    """A file, made anew when its content is needed: a campaign has thousands."""

    kind: str
    seed: int

    @property
    def name(self) -> str:
        """The name under which it is sent."""
        return f"scan-{self.seed:012x}.{self.kind.lower()}"

    @property
    def content(self) -> bytes:
        """All its bytes."""
        return _sample(self.kind, self.seed).content

    def pages(self, most: int) -> frozenset[str]:
        """Return the SHA-256 of what is whole of this file and has at most so many bytes: only that may be a page."""
        content, spare = self.content, _sample(self.kind, self.seed).spare
        return frozenset(sha256(content[:length]) for length in {*spare, len(content)} if length <= most)

    def page(self, length: int) -> frozenset[str]:
        """Return the SHA-256 of the first *length* bytes if they are whole, else nothing."""
        return self.pages(length) - self.pages(length - 1)

    def begins(self, digest: str, length: int) -> bool:
        """Return whether this is the SHA-256 of the first *length* bytes."""
        return length <= len(self.content) and sha256(self.content[:length]) == digest


def _jpeg(seed: int, scale: int) -> Sample:
    return Sample("jfif", saved(noise("RGB", (200 * scale, 150 * scale), seed), "JPEG", quality=60))


def _png(seed: int, scale: int) -> Sample:
    return Sample("png", saved(noise("RGB", (120 * scale, 90 * scale), seed), "PNG"))


def _tiff(seed: int, scale: int) -> Sample:
    """Return two pages of Group 4; Pillow fills them up to a multiple of 16 bytes."""
    first, second = (noise("1", (240 * scale, 160 * scale), one) for one in (seed, seed + 1))
    return filled(saved(first, "TIFF", compression="group4", save_all=True, append_images=[second]))


def _pdf(seed: int, scale: int) -> Sample:
    """Return a page with a JPEG; the line break behind its end mark means nothing."""
    content: bytes = img2pdf.convert(_jpeg(seed, scale).content, nodate=True, engine=img2pdf.Engine.internal)
    return Sample("pdf-a", content, range(len(content.rstrip(b"\r\n")), len(content)))


KINDS: Final[Mapping[str, Callable[[int, int], Sample]]] = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "PDF": _pdf}


@functools.lru_cache(maxsize=4)
def _sample(kind: str, seed: int) -> Sample:
    """Return the file, and the shorter lengths at which it is whole too: what is behind them means nothing."""
    return KINDS[kind](seed, 1 if seed % LARGE else 9)


def new_scan(kind: str, dice: random.Random) -> Scan:
    """Return a file of a kind that no other one equals."""
    return Scan(kind, dice.randrange(1 << 48))


def cut_at(dice: random.Random, total: int) -> int:
    """Return how many of *total* bytes are sent, not all: half of the cuts are near the begin or the end."""
    near = dice.randrange(min(NEAR, total))
    return dice.choice((near, total - 1 - near, dice.randrange(total), dice.randrange(total)))


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hex."""
    return hashlib.sha256(data).hexdigest()
