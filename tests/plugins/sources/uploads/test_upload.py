"""A file on its way in: what is written, and what stays of one that does not come to its end."""

from __future__ import annotations

import errno
import hashlib
import stat
import threading

import pytest
from works import until

from postscan.core.filters.source.growing_hash import STEP
from postscan.plugins.sources.uploads.space import UploadSpace, is_full
from postscan.plugins.sources.uploads.upload import IncomingFile, UploadTooLarge


def test_a_file_is_counted_and_hashed_as_it_comes(tmp_path):
    """The hash is a part of its key."""
    incoming = IncomingFile(UploadSpace(tmp_path, 1000), "ann", 100)
    incoming.write(b"one")
    incoming.write(b"two")
    received = incoming.finish()

    assert received.path.read_bytes() == b"onetwo"
    assert (received.size, received.sha256()) == (6, hashlib.sha256(b"onetwo").hexdigest())
    assert stat.S_IMODE(received.path.stat().st_mode) == 0o600


def test_the_hash_of_a_file_that_does_not_come_to_its_end_is_given_up(tmp_path):
    """Its thread ends."""
    incoming = IncomingFile(UploadSpace(tmp_path, 4 * STEP), "ann", 2 * STEP)
    incoming.write(bytes(STEP))
    incoming.close()

    until(lambda: "postscan-hash" not in {thread.name for thread in threading.enumerate()})


def test_a_file_may_have_the_most_bytes_and_not_one_more(tmp_path):
    """The byte too many is not written."""
    incoming = IncomingFile(UploadSpace(tmp_path, 1000), "ann", 6)
    incoming.write(b"sixsix")

    with pytest.raises(UploadTooLarge):
        incoming.write(b"x")
    incoming.close()
    assert list(tmp_path.iterdir()) == []


def test_the_space_of_a_file_is_given_back_when_it_is_gone(tmp_path):
    """Once, whether it came to its end or not."""
    space = UploadSpace(tmp_path, 100)
    broken, received = IncomingFile(space, "ann", 50), IncomingFile(space, "ann", 50)
    broken.write(b"x" * 20)
    received.write(b"x" * 30)
    assert space.taken == 50

    broken.close()
    broken.close()
    assert space.taken == 30
    uploaded = received.finish()
    uploaded.discard()
    uploaded.discard()
    assert space.taken == 0


def test_a_file_is_not_begun_on_a_full_disk(tmp_path, monkeypatch):
    """The client is told before it sends."""
    space = UploadSpace(tmp_path, 1000)
    monkeypatch.setattr(space, "check", disk_is_full)

    with pytest.raises(OSError) as refusal:
        IncomingFile(space, "ann", 100)
    assert is_full(refusal.value)
    assert list(tmp_path.iterdir()) == []


def disk_is_full() -> None:
    """Say so."""
    raise OSError(errno.ENOSPC, "no room")


def test_nothing_stays_of_a_file_that_does_not_come_to_its_end(tmp_path):
    """Closing it twice does no harm."""
    incoming = IncomingFile(UploadSpace(tmp_path, 1000), "ann", 100)
    incoming.write(b"half a pa")
    incoming.close()
    incoming.close()

    assert list(tmp_path.iterdir()) == []
