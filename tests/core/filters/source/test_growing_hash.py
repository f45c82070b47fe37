"""The hash of a file that grows: of all its bytes, whenever they came, and never without an end."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest
from works import until

from postscan.core.filters.source import growing_hash
from postscan.core.filters.source.growing_hash import STEP, GrowingHash


@pytest.mark.parametrize("size", [0, STEP - 1, STEP, 3 * STEP + 5])
def test_the_hash_is_that_of_all_bytes(tmp_path, size):
    """Wherever the last step was, and without a step."""
    content = os.urandom(size)
    growing = GrowingHash(path := tmp_path / "file")
    with path.open("wb", buffering=0) as file:
        for begin in range(0, size, 300_000):
            file.write(content[begin : begin + 300_000])
            growing.grown(file.tell())
    growing.finish(size)
    growing.finish(size)

    assert growing.result() == growing.result() == hashlib.sha256(content).hexdigest()


def test_a_large_file_is_hashed_while_it_grows(tmp_path, monkeypatch):
    """Else it would be read once more when its sender waits already."""
    path = tmp_path / "file"
    path.write_bytes(bytes(STEP))
    started = threading.Event()
    monkeypatch.setattr(GrowingHash, "_hash", lambda _self: started.set() or "")
    GrowingHash(path).grown(STEP)

    assert started.wait(60)


def test_the_thread_of_a_file_that_is_given_up_ends(tmp_path):
    """Nothing waits for it."""
    path = tmp_path / "file"
    path.write_bytes(bytes(STEP))
    growing = GrowingHash(path)
    growing.grown(STEP)
    growing.give_up()

    until(lambda: "postscan-hash" not in {thread.name for thread in threading.enumerate()})


def test_a_file_that_becomes_shorter_has_no_hash(tmp_path):
    """What is read again must be what was written."""
    (path := tmp_path / "file").write_bytes(b"short")
    growing = GrowingHash(path)
    growing.finish(6)

    with pytest.raises(OSError, match="has become shorter"):
        growing.result()


def test_any_error_of_the_thread_reaches_who_waits_for_the_hash(tmp_path, monkeypatch):
    """Without it, that would be for ever: no other thread knows."""
    (path := tmp_path / "file").write_bytes(bytes(STEP))
    monkeypatch.setattr(growing_hash, "_READ", 1 << 62)
    growing = GrowingHash(path)
    growing.grown(STEP)
    growing.finish(STEP)

    with pytest.raises((MemoryError, OverflowError)):
        growing.result()
