"""Files of any size that are made while they are read, and count how they are read."""

from __future__ import annotations

import io
from collections.abc import Mapping


class VirtualFile(io.RawIOBase):
    """A file of *size* bytes: *fill* again and again from offset 0, and over it the *parts* at their offsets."""

    def __init__(self, size: int, fill: bytes = b"\0", parts: Mapping[int, bytes] | None = None) -> None:
        self.size = size
        self.reads = 0
        self.bytes_read = 0
        self.longest = 0
        self._period = len(fill)
        self._fill = fill * (1 + (1 << 18) // len(fill))
        self._parts = sorted((parts or {}).items())
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def read(self, count: int = -1) -> bytes:
        begin, left = self._position, max(self.size - self._position, 0)
        count = left if count < 0 else min(count, left)
        self.reads += 1
        self.bytes_read += count
        self.longest = max(self.longest, count)
        phase = begin % self._period
        assert phase + count <= len(self._fill), "more is read at once than this file makes"
        content = self._fill[phase : phase + count]
        for offset, part in self._parts:
            if offset < begin + count and offset + len(part) > begin:
                content = bytearray(content)
                first, last = max(offset, begin), min(offset + len(part), begin + count)
                content[first - begin : last - begin] = part[first - offset : last - offset]
        self._position = begin + count
        return bytes(content)
