"""How a file is read: by its blocks, each counted, whatever the file is."""

from __future__ import annotations

import io
import re
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_files import VirtualFile

from postscan.core.filters.source.completeness import FileState, examine, window
from postscan.core.filters.source.completeness.window import BLOCK, Cut, Unclear, Window


def opened(file: VirtualFile) -> Window:
    """Return a window of a file that counts how it is read."""
    return Window(cast(BinaryIO, file))


def test_near_bytes_are_read_once() -> None:
    """A walk in small steps reads block after block."""
    file = VirtualFile(10 * BLOCK, b"0123456789abcdef")
    found = opened(file)

    assert b"".join(found.at(offset, 8) for offset in range(0, 10 * BLOCK, 8)) == b"0123456789abcdef" * (
        10 * BLOCK // 16
    )
    assert file.reads == 10


def test_bytes_behind_the_end_are_missing() -> None:
    """Nothing is read for that."""
    file = VirtualFile(100)

    for offset, count in ((93, 8), (100, 1), (2**64, 1)):
        with pytest.raises(Cut, match=f"it refers to byte {offset + count - 1}, and ends after 100 bytes"):
            opened(file).at(offset, count)
    assert opened(file).at(92, 8) == bytes(8)
    assert opened(file).at(100, 0) == b""
    assert file.reads == 1


def test_jumps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of a block beside the first pass, forth or back."""
    monkeypatch.setattr(window, "MOST_JUMPS", 5)
    file = VirtualFile(3 * BLOCK)
    found = opened(file)

    with pytest.raises(Unclear, match="more than 5 jumps are needed"):
        for _ in range(100):
            found.at(2 * BLOCK, 1)
            found.at(0, 1)

    assert file.reads == 3 + 5


def test_a_long_request_counts_as_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a hundred of them would be cheaper than a pass."""
    monkeypatch.setattr(window, "MOST_JUMPS", 0)
    found = opened(VirtualFile(4 * BLOCK))
    found.at(0, 3 * BLOCK)

    with pytest.raises(Unclear, match="jumps"):
        found.at(1, 3 * BLOCK)


def test_requests_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those for which nothing is read."""
    monkeypatch.setattr(window, "MOST_STEPS", 5)
    found = opened(VirtualFile(100))

    with pytest.raises(Unclear, match="more than 5 steps are needed"):
        for _ in range(6):
            found.at(0, 1)


def test_no_request_is_long() -> None:
    """What has to be in memory at once has a limit."""
    file = VirtualFile(1 << 31)

    with pytest.raises(Unclear, match="a part of 131073 bytes has to be read at once"):
        opened(file).at(0, 128 * 1024 + 1)
    assert file.reads == 0


class Raw(io.BytesIO):
    """A file that gives a few bytes at a time, as a pipe or a share may."""

    def read(self, count: int | None = -1) -> bytes:
        return super().read(min(7, -1 if count is None else count))


def test_a_file_that_gives_few_bytes_at_a_time_is_read_on() -> None:
    """A read may return less than was asked for."""
    assert Window(Raw(bytes(range(100)))).at(10, 50) == bytes(range(10, 60))


class Shrinking(io.BytesIO):
    """A file that is cut off as soon as its size is known."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        found = super().seek(offset, whence)
        if whence == io.SEEK_END:
            self.truncate(20)
        return found


def test_a_file_that_becomes_shorter_is_cut() -> None:
    """It ends before the size that it had."""
    found = examine(Shrinking(b"\xff\xd8\xff\xc0\0\x02\xff\xda\0\x02" + bytes(500) + b"\xff\xd9"))

    assert (found.state, found.reason) == (FileState.CUT, "it became shorter than 512 bytes while it was examined")


class Broken(io.BytesIO):
    """A file on a disk that fails."""

    def read(self, count: int | None = -1) -> bytes:
        raise OSError("input/output error")


def test_an_error_of_the_disk_is_no_answer() -> None:
    """The caller gets it, and may ask again."""
    with pytest.raises(OSError, match="input/output error"):
        examine(Broken(b"\xff\xd8\xff"))


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 9))
def test_a_pattern_is_found_across_blocks(content: bytes, first: int, last: int, block: int) -> None:
    """As if the file were in memory at once; the blocks are tiny here."""
    first, last = min(first, len(content)), min(last, len(content))
    pattern = re.compile(rb"[\x00-\x3f][\x40-\xff]")
    match = pattern.search(content[:last], first)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(window, "BLOCK", block)

        assert Window(io.BytesIO(content)).find(pattern, first, last) == (match.start() if match else None)
        assert b"".join(Window(io.BytesIO(content)).blocks(first, last)) == content[first:last]
