"""A file on its way in: what is written, and what stays of one that does not come to its end."""

from __future__ import annotations

import hashlib
import stat

import pytest

from postscan.plugins.sources.ftp import upload
from postscan.plugins.sources.ftp.upload import IncomingFile, UploadTooLarge


def test_a_file_is_counted_and_hashed_as_it_comes(tmp_path):
    """The hash is a part of its key, so it must not need a second reading."""
    upload = IncomingFile(tmp_path, 100)
    upload.write(b"one")
    upload.write(b"two")
    received = upload.finish()

    assert received.path.read_bytes() == b"onetwo"
    assert (received.size, received.sha256) == (6, hashlib.sha256(b"onetwo").hexdigest())
    assert stat.S_IMODE(received.path.stat().st_mode) == 0o600


def test_a_file_may_have_the_most_bytes_and_not_one_more(tmp_path):
    """The byte too many is not written."""
    upload = IncomingFile(tmp_path, 6)
    upload.write(b"sixsix")

    with pytest.raises(UploadTooLarge):
        upload.write(b"x")
    upload.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said_before_the_file_and_while_it_comes(tmp_path, monkeypatch):
    """Uploads leave room to the server, on whose disk they may be."""
    started = IncomingFile(tmp_path, 1 << 30)
    started.write(b"x" * upload.CHECKED)
    monkeypatch.setattr(upload, "KEPT_FREE", 1 << 60)
    monkeypatch.setattr(upload, "SMALL", 1)

    with pytest.raises(OSError) as refusal:
        IncomingFile(tmp_path, 100)
    assert upload.is_full(refusal.value)
    with pytest.raises(OSError) as refusal:
        started.write(b"x")
    assert upload.is_full(refusal.value)
    started.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_of_a_file_that_does_not_come_to_its_end(tmp_path):
    """Closing it twice does no harm."""
    upload = IncomingFile(tmp_path, 100)
    upload.write(b"half a pa")
    upload.close()
    upload.close()

    assert list(tmp_path.iterdir()) == []
