"""STOR and STOU: when a file is a job, and when it is nothing."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest
from ftp_client import FtpClient, cut_off, end, reset
from ftp_inlets import JPEG, PDF, PNG, TIFF

from postscan.plugins.sources.ftp.channels.data import DataChannel


@pytest.mark.parametrize("content", [JPEG, PNG, TIFF, PDF], ids=["jpeg", "png", "tiff", "pdf"])
def test_a_whole_file_is_a_job_of_its_folders_destination(inlet, content):
    """And the client reads 226 when it is stored, with the job that it is."""
    with FtpClient(inlet.port) as client:
        reply = client.store("/Invoices/scan.bin", content)
        [job] = inlet.jobs

        assert reply == f"226 Stored as job {job.id}."
        assert (job.destination, job.name, job.pages) == ("Invoices", "scan.bin", [content])
        assert (job.proof, job.subject, job.account) == ("device", "127.0.0.1", "")
        assert inlet.files == []


def test_a_file_that_is_cut_is_not_acknowledged_and_nothing_of_it_stays(inlet):
    """At any byte: the connection of FTP ends in the same way for a half file and for a whole one."""
    random.seed(78)
    with FtpClient(inlet.port) as client:
        for content in (JPEG, PNG, TIFF, PDF):
            for length in {0, 1, len(content) - 9, *random.sample(range(len(content) - 9), 4)}:
                reply = client.store("/Invoices/scan.jpg", content[:length])
                assert reply[:3] in {"451", "550"}, (length, reply)

    assert inlet.jobs == []
    assert inlet.files == []


def test_a_reset_is_no_end_of_a_file(inlet):
    """Also after its last byte: the client has not ended it."""
    with FtpClient(inlet.port) as client:
        connection = inlet.upload_without_end(client)
        reset(connection)

        assert client.reply() == "426 The data connection broke."
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226")
    assert len(inlet.jobs) == 1


def test_a_client_that_leaves_its_session_has_sent_nothing(inlet):
    """RFC 959: a session that is closed aborts the transfer. The file is whole, and waits for its end."""
    client = FtpClient(inlet.port)
    connection = inlet.upload_without_end(client)
    client.close()
    inlet.wait_for_line("upload refused", reason="the session ended before the file")
    connection.close()

    assert inlet.jobs == []
    assert inlet.files == []


def test_a_client_that_leaves_at_the_end_of_its_file_has_sent_nothing(inlet, monkeypatch):
    """Both connections have ended when the server looks: it reads no reply, so it may send the file again."""
    ended, left = threading.Event(), threading.Event()
    received = DataChannel._received

    def look_later(channel: DataChannel, *, clean: bool) -> None:
        ended.set()
        assert left.wait(60)
        received(channel, clean=clean)

    monkeypatch.setattr(DataChannel, "_received", look_later)
    client = FtpClient(inlet.port)
    client.upload("STOR /Invoices/scan.jpg", JPEG)
    assert ended.wait(60)
    client.close()
    left.set()
    inlet.wait_for_line("upload refused", reason="the client closed the session before the end")

    assert inlet.jobs == []
    assert inlet.files == []


def test_a_client_that_is_killed_has_sent_nothing(inlet):
    """Its kernel ends both connections as if it had wanted that."""
    script = (
        "import ftplib, os, sys\n"
        "client = ftplib.FTP()\n"
        f"client.connect('127.0.0.1', {inlet.port}); client.login(); client.voidcmd('TYPE I')\n"
        "connection = client.transfercmd('STOR /Invoices/scan.jpg')\n"
        "connection.sendall(sys.stdin.buffer.read()); os.kill(os.getpid(), 9)\n"
    )
    for length in (1, 1000, len(JPEG) - 2):
        killed = subprocess.run([sys.executable, "-c", script], input=JPEG[:length], check=False, timeout=60)
        assert killed.returncode == -9
        inlet.wait_for_line("upload refused")

    assert inlet.jobs == []
    assert inlet.files == []


def test_a_transfer_that_is_aborted_has_sent_nothing(inlet):
    """ABOR waits for no other command; its client reads one reply for each of the two."""
    with FtpClient(inlet.port) as client:
        connection = inlet.upload_without_end(client)
        client.send(b"\xff\xf4\xff\xf2ABOR")

        assert client.reply() == "426 The transfer is aborted."
        assert client.reply().startswith("226")
        assert client.do("NOOP").startswith("200")
        connection.close()
    assert inlet.jobs == []
    assert inlet.files == []


def test_the_same_file_again_is_the_same_job(inlet):
    """A client that has not read the reply sends it again; another name or content is another file."""
    with FtpClient(inlet.port) as client:
        client.upload("STOR /Invoices/scan.jpg", JPEG)
        inlet.wait_for_jobs(1)

    with FtpClient(inlet.port) as client:
        [first] = inlet.jobs
        assert client.store("/Invoices/scan.jpg", JPEG) == f"226 The file is job {first.id} already."
        assert client.store("/Invoices/scan2.jpg", JPEG).startswith("226 Stored")
        assert client.store("/Invoices/scan.jpg", PNG).startswith("226 Stored")
        assert client.store("/Letters/scan.jpg", JPEG).startswith("226 Stored")
    assert len(inlet.jobs) == 4


def test_a_key_is_remembered_for_ten_minutes(inlet):
    """It is the time in which a client repeats, and not that in which a person scans the same page."""
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/scan.jpg", JPEG)

    assert [job.remember_seconds for job in inlet.jobs] == [600.0]


def test_names_that_the_server_chooses_are_new_each_time(inlet):
    """STOU; the same content is one job all the same, since a client that repeats gets another name."""
    with FtpClient(inlet.port) as client:
        client.do("CWD /Invoices")
        assert client.store("", JPEG, "STOU").startswith("226 Stored")
        assert client.store("", JPEG, "STOU").startswith("226 The file is job")
        assert client.store("", PNG, "STOU").startswith("226 Stored")

    names = [job.name for job in inlet.jobs]
    assert len(set(names)) == 2
    assert all(name.startswith("scan-") for name in names)


@pytest.mark.parametrize(
    "name", [b"B\xfcro.jpg", "Büro.jpg".encode(), "Bu\u0308ro.jpg".encode()], ids=["latin-1", "utf-8", "decomposed"]
)
def test_a_name_in_any_encoding_is_read(inlet, name):
    """And known by the bytes that the client sends."""
    with FtpClient(inlet.port) as client:
        client.upload(b"STOR /Invoices/" + name, JPEG)

        assert client.reply().startswith("226")
        assert client.do(b"SIZE /Invoices/" + name) == f"213 {len(JPEG)}"
    assert [job.name for job in inlet.jobs] == ["Büro.jpg"]


def test_a_file_whose_end_cannot_be_seen_needs_a_rename(inlet):
    """The reply says so; nothing of it stays."""
    with FtpClient(inlet.port) as client:
        reply = client.store("/Invoices/scan.xyz", b"no kind that is known")

    assert reply.startswith("550 Whether the file is whole cannot be seen")
    assert "send it under a temporary name, then rename it" in reply
    assert inlet.jobs == []
    assert inlet.files == []


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("APPE /Invoices/scan.jpg", "502"),
        ("REST 100", "504"),
        ("REST -1", "504"),
        ("REST 0", "350"),
        ("RETR /Invoices/scan.jpg", "550"),
        ("STOR /scan.jpg", "553"),
        ("STOR /Invoices", "553"),
        ("STOR /Nobody/scan.jpg", "553"),
        ("STOR /Invoices/../../etc/scan.jpg", "553"),
        ("STOR /Invoices/a\rb.jpg", "501"),
        ("STOR /Invoices/a\0b.jpg", "501"),
        ("STOR /Invoices/scan.jpg", "425"),
        ("LIST", "425"),
        ("ALLO 3000000000", "552"),
        ("ALLO 1000", "202"),
    ],
)
def test_what_could_make_halves_or_lead_elsewhere_is_refused(inlet, command, reply):
    """With the code by which a client knows whether to come again."""
    with FtpClient(inlet.port) as client:
        assert client.do(command)[:3] == reply


def test_a_scan_is_not_taken_as_text(inlet):
    """In ASCII its bytes may have been changed, and in a JPEG nothing shows it."""
    with FtpClient(inlet.port) as client:
        client.do("TYPE A")
        with client.data():
            assert client.do("STOR /Invoices/scan.jpg") == "504 A scan is binary: send TYPE I first."


def test_a_file_that_is_too_large_is_refused_as_soon_as_it_is(make_inlet):
    """Nothing of it stays, and the session goes on."""
    inlet = make_inlet(most_bytes=len(PNG), spool_bytes=2 * len(PNG))
    with FtpClient(inlet.port) as client:
        assert client.store("/Invoices/scan.png", PNG + b"x").startswith("552 A file may have")
        assert client.store("/Invoices/scan.png", PNG).startswith("226")
    assert len(inlet.jobs) == 1
    assert inlet.files == []


def test_while_there_is_no_room_the_client_is_asked_to_come_again(inlet):
    """452, whether the jobs or the disk are the reason; nothing stays here meanwhile."""
    with FtpClient(inlet.port) as client:
        inlet.be_busy(seconds=20)
        assert (
            client.store("/Invoices/scan.jpg", JPEG) == "452 The server has no room now; send the file again in 20 s."
        )
        inlet.be_busy(full=True)
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("452 The disk of the server is full")
        assert inlet.files == []

        inlet.be_ready()
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226 Stored")


def test_what_the_server_refuses_is_refused_for_good(inlet):
    """With its own words, in one line."""
    inlet.refuse("no such process:\r\n226 Stored")
    with FtpClient(inlet.port) as client:
        assert client.store("/Invoices/scan.jpg", JPEG) == "550 no such process: 226 Stored"
    assert inlet.files == []


def test_nothing_is_acknowledged_while_the_job_is_being_stored(inlet):
    """However long that takes; other sessions go on, and commands of this one wait."""
    with FtpClient(inlet.port) as client, FtpClient(inlet.port) as other:
        inlet.hold()
        client.upload("STOR /Invoices/scan.jpg", JPEG)
        inlet.wait_for_held()
        client.send("NOOP")

        assert other.do("NOOP").startswith("200")
        assert other.list("NLST /") == ["Invoices", "Letters"]
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.reply()

        client.socket.settimeout(60)
        inlet.release()
        assert client.reply().startswith("226 Stored")
        assert client.reply().startswith("200")


def test_a_job_that_is_stored_while_its_client_leaves_is_taken_the_next_time(inlet):
    """The key makes one job of the two."""
    client = FtpClient(inlet.port)
    inlet.hold()
    client.upload("STOR /Invoices/scan.jpg", JPEG)
    inlet.wait_for_held()
    client.close()
    inlet.release()
    inlet.wait_for_jobs(1)

    with FtpClient(inlet.port) as again:
        assert again.store("/Invoices/scan.jpg", JPEG).startswith("226 The file is job")
    assert len(inlet.jobs) == 1


def test_commands_that_come_ahead_wait_for_their_turn(inlet):
    """pyftpdlib would let the second file take the rest of the first one's bytes."""
    with FtpClient(inlet.port) as client:
        connection = client.data()
        client.send("STOR /Invoices/one.jpg", "STOR /Invoices/two.jpg", "NOOP")
        assert client.reply().startswith("150")
        connection.sendall(JPEG)
        end(connection)

        assert client.reply().startswith("226 Stored")
        assert client.reply().startswith("425")
        assert client.reply().startswith("200")
    assert [(job.name, job.pages) for job in inlet.jobs] == [("one.jpg", [JPEG])]


def test_files_of_ignored_names_are_thrown_away(make_inlet):
    """Devices write locks, logs and tests beside their scans, and must be content."""
    inlet = make_inlet(ignored_names=["*.lck", "*.xst"])
    with FtpClient(inlet.port) as client:
        assert client.store("/Invoices/scan.LCK", b"").startswith("226 Taken, and thrown away")
        assert client.do("DELE /Invoices/scan.LCK") == "250 Removed."
        assert client.store("/Invoices/scan.xst", b"[job]").startswith("226 Taken")
    assert inlet.jobs == []
    assert inlet.files == []


def test_a_connection_that_is_cut_off_without_tls_ends_like_a_whole_file(inlet):
    """So the content decides; this is what the test of cuts relies on."""
    with FtpClient(inlet.port) as client:
        connection = client.begin("STOR /Invoices/scan.jpg")
        connection.sendall(JPEG)
        cut_off(connection)

        assert client.reply().startswith("226 Stored")


def test_a_job_that_is_cancelled_while_it_is_stored_is_refused(inlet):
    """The client is not to send it again, and the server gets to know that it was told."""
    with FtpClient(inlet.port) as client:
        inlet.hold()
        client.upload("STOR /Invoices/scan.jpg", JPEG)
        inlet.wait_for_held()
        [job] = inlet.server.jobs
        inlet.server.cancel(job, "the wrong page")
        inlet.release()

        assert client.reply() == "550 The job was cancelled: the wrong page"
    assert inlet.jobs == []
    assert inlet.files == []
    assert job.told == ["stopped"]


def test_while_the_server_is_away_nothing_is_acknowledged(inlet):
    """The source ends then; until it has, its clients are asked to come again."""
    with FtpClient(inlet.port) as client:
        inlet.hold()
        client.upload("STOR /Invoices/scan.jpg", JPEG)
        inlet.wait_for_held()
        inlet.server.die()

        assert client.reply()[:3] in {"452", "421", ""}
    assert inlet.jobs == []
