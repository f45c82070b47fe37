"""The bytes that files may take: of all senders, of one, and of the disk."""

from __future__ import annotations

import pytest

from postscan.plugins.sources.uploads import space
from postscan.plugins.sources.uploads.space import UploadSpace, is_full


def test_one_sender_has_half_and_all_have_no_more_than_there_is(tmp_path):
    """So another one is heard while the first sends as much as it can."""
    room = UploadSpace(tmp_path, 100)
    room.take("ann", 50)
    with pytest.raises(OSError) as refusal:
        room.take("ann", 1)
    assert is_full(refusal.value)

    room.take("bob", 30)
    room.take("eve", 20)
    with pytest.raises(OSError, match="too many files at once"):
        room.take("eve", 1)
    room.give_back("ann", 50)
    room.take("eve", 1)
    assert room.taken == 51


def test_the_disk_keeps_room_for_others(tmp_path, monkeypatch):
    """It is looked at before each file, and while one comes."""
    room = UploadSpace(tmp_path, 1 << 40)
    room.check()
    monkeypatch.setattr(space.os, "statvfs", lambda _path: FullDisk())

    with pytest.raises(OSError) as refusal:
        room.check()
    assert is_full(refusal.value)
    room.take("ann", space.CHECKED)
    with pytest.raises(OSError) as refusal:
        room.take("ann", 1)
    assert is_full(refusal.value)
    assert room.taken == space.CHECKED


class FullDisk:
    """What the system says of a disk of 10 GB with 100 MB left."""

    f_frsize = 4096
    f_blocks = 10_000_000_000 // f_frsize
    f_bavail = 100_000_000 // f_frsize
