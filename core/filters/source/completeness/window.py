"""A file as its examiners read it: bytes by their offset, counted, so that no content makes it cost more than a limit.

One block is in memory. A file may be read once from its begin to its end, and `MOST_JUMPS` blocks may be read beside
that; there are `MOST_STEPS` requests for bytes. What needs more is `Unclear`. So is an offset that no file can have.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

BLOCK: Final = 32 * 1024
"""Bytes of one read."""

MOST_JUMPS: Final = 16_384
"""Reads of a block beside the first pass: half a GiB."""

MOST_STEPS: Final = 1_000_000
"""Requests: a PNG file of 2 GiB in chunks of 8 KiB, as libpng writes them, takes about 850,000."""

_LONGEST: Final = 128 * 1024  # bytes of one request


class Cut(Exception):
    """The structure of the file shows that bytes are missing; the text says which."""


class Unclear(Exception):
    """The structure of the file shows neither that it is whole nor that it is cut; the text says why."""


class Window:
    """The bytes of an open file, which can seek; its position moves. `size` is that of the beginning.

    Raises `Cut` for bytes behind the end, `Unclear` at the limits, and `OSError` if the file cannot be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size = file.seek(0, io.SEEK_END)
        self._file = file
        self._begin = 0
        self._block = b""
        self._blocks = self.size // BLOCK + MOST_JUMPS
        self._steps = MOST_STEPS

    def at(self, offset: int, count: int) -> bytes:
        """Return *count* bytes from *offset*."""
        self._count_step()
        self.require(offset + count)
        if count > _LONGEST:
            raise Unclear(f"a part of {count} bytes has to be read at once")
        first = offset - self._begin
        if first < 0 or first + count > len(self._block):
            self._load(offset, max(count, min(BLOCK, self.size - offset)))
            first = 0
        return self._block[first : first + count]

    def require(self, end: int) -> None:
        """Raise `Cut` unless the file has at least *end* bytes; nothing is read."""
        if end > self.size:
            raise Cut(f"it refers to byte {end - 1}, and ends after {self.size} bytes")

    def blocks(self, offset: int, end: int) -> Iterator[bytes]:
        """Yield what is between *offset* and *end*, block by block; what is in memory is not read again."""
        while offset < end:
            held = self._begin + len(self._block)
            stop = min(end, held if self._begin <= offset < held else offset + BLOCK)
            yield self.at(offset, stop - offset)
            offset = stop

    def find(self, pattern: re.Pattern[bytes], offset: int, end: int, longest: int = 2) -> int | None:
        """Return the offset of the first match between *offset* and *end*; no match has more than *longest* bytes."""
        self.require(end)
        while offset < end:
            self.at(offset, min(longest, end - offset))
            stop = min(end - self._begin, len(self._block))
            found = pattern.search(self._block, offset - self._begin, stop)
            if found:
                return self._begin + found.start()
            if self._begin + stop == end:
                break
            offset = self._begin + stop - longest + 1
        return None

    def _load(self, offset: int, count: int) -> None:
        self._blocks -= -(-count // BLOCK)
        if self._blocks < 0:
            raise Unclear(f"its parts lie so scattered that more than {MOST_JUMPS} jumps are needed")
        self._file.seek(offset)
        self._begin, self._block = offset, b""
        while len(self._block) < count:
            read = self._file.read(count - len(self._block))
            if not read:
                raise Cut(f"it became shorter than {self.size} bytes while it was examined")
            self._block += read

    def _count_step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise Unclear(f"it has so many parts that more than {MOST_STEPS} steps are needed")
