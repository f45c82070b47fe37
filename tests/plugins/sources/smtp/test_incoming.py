"""A mail in the work folder: limited, removed whatever happens, and never closed under a thread that writes."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from works import PATIENCE, until

from postscan.plugins.sources.smtp import incoming
from postscan.plugins.sources.smtp.incoming import KEPT_FREE, IncomingMail, SpoolSpace
from postscan.plugins.sources.smtp.replies import Rejected

CLIENT = "10.0.0.7"


def test_a_mail_is_written_and_read(tmp_path: Path) -> None:
    """Its file has no name, so that nothing of it is left by a process that dies."""
    mail = IncomingMail(tmp_path, space := SpoolSpace(tmp_path, 200), CLIENT)
    mail.write(b"one ")
    mail.write(b"two")

    assert mail.content[:] == b"one two"
    assert (mail.content[2:5], mail.content[5:99], mail.content[9:99]) == (b"e t", b"wo", b"")
    assert mail.sha256 == hashlib.sha256(b"one two").hexdigest()
    assert (mail.size, space.taken) == (7, 7)
    assert list(tmp_path.iterdir()) == []
    mail.close()
    assert space.taken == 0


def test_an_empty_mail_has_no_content(tmp_path: Path) -> None:
    """A client may send its end alone."""
    mail = IncomingMail(tmp_path, SpoolSpace(tmp_path, 200), CLIENT)

    assert (len(mail.content), mail.content[:]) == (0, b"")
    mail.close()


def test_all_mails_together_have_so_many_bytes(tmp_path: Path) -> None:
    """With their attachments; one client has half, and what one gives back another may take."""
    space = SpoolSpace(tmp_path, 20)
    first, second, third = (IncomingMail(tmp_path, space, client) for client in (CLIENT, CLIENT, "10.0.0.8"))
    first.write(b"12345")
    assert first.write_file(iter([b"67", b"89"])).read_bytes() == b"6789"

    with pytest.raises(Rejected) as caught:
        second.write(b"ab")
    assert caught.value.code == "452 4.3.1"
    with pytest.raises(Rejected):
        space.check(CLIENT, 2)
    third.write(b"0123456789")
    with pytest.raises(Rejected):
        space.check("10.0.0.9", 2)
    first.close()
    second.write(b"0123456789")
    second.close()
    third.close()
    assert (space.taken, list(tmp_path.iterdir())) == (0, [])


def test_mails_leave_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the database; on a small disk a tenth of it."""
    status = os.statvfs_result((4096, 4096, 1 << 20, 0, 40_000, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _folder: status)
    mail = IncomingMail(tmp_path, space := SpoolSpace(tmp_path, 1 << 40), CLIENT)

    space.check(CLIENT, 40_000 * 4096 - KEPT_FREE)
    with pytest.raises(Rejected) as caught:
        space.check(CLIENT, 40_000 * 4096 - KEPT_FREE + 1)
    assert caught.value.reply == "452 4.3.1 the disk is full; try again later"
    mail.close()


def test_a_mail_is_not_closed_under_a_thread_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor could be that of a new connection in the next moment; the event loop does not wait, either."""
    writes, goes_on = threading.Event(), threading.Event()
    write_all = incoming._write_all

    def slowly(*about: object) -> None:
        writes.set()
        assert goes_on.wait(PATIENCE)
        write_all(*about)  # type: ignore[arg-type]

    monkeypatch.setattr(incoming, "_write_all", slowly)
    mail = IncomingMail(tmp_path, space := SpoolSpace(tmp_path, 200), CLIENT)
    thread = threading.Thread(target=mail.write, args=(b"bytes",))
    thread.start()
    assert writes.wait(PATIENCE)

    mail.close()

    assert not mail._file.closed
    goes_on.set()
    thread.join(PATIENCE)
    until(lambda: mail._file.closed)
    assert space.taken == 0
    with pytest.raises(Rejected, match="the connection has ended"):
        mail.write(b"more")


def test_a_mail_may_be_closed_twice(tmp_path: Path) -> None:
    """By the connection, and by the thread that made its jobs."""
    mail = IncomingMail(tmp_path, space := SpoolSpace(tmp_path, 200), CLIENT)
    mail.write(b"1")
    mail.close()
    mail.close()

    assert space.taken == 0
