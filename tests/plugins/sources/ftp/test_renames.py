"""STOR under a temporary name, and the rename that says that the file is whole."""

from __future__ import annotations

import pytest
from ftp_client import FtpClient, end
from ftp_inlets import JPEG

UNKNOWN = b"a kind whose end cannot be seen"


def rename(client: FtpClient, old: str, new: str) -> str:
    """Rename a file and return the last reply."""
    first = client.do(f"RNFR {old}")
    return client.do(f"RNTO {new}") if first.startswith("350") else first


@pytest.mark.parametrize("content", [JPEG, UNKNOWN], ids=["jpeg", "unknown"])
def test_a_file_is_a_job_once_it_is_renamed(inlet, content):
    """Under its new name; until then it is seen by its client, and by nobody else."""
    with FtpClient(inlet.port) as client:
        client.do("CWD /Invoices")
        assert client.store("scan.tmp", content) == "226 Received; it becomes a job when it is renamed."
        assert inlet.jobs == []
        assert client.list("NLST") == ["scan.tmp"]
        assert client.do("SIZE scan.tmp") == f"213 {len(content)}"

        reply = rename(client, "scan.tmp", "scan.jpg")
        [job] = inlet.jobs
        assert reply == f"250 Stored as job {job.id}."
        assert (job.name, job.pages, job.whole) == ("scan.jpg", [content], [True])
        assert client.list("NLST") == []
    assert inlet.files == []


def test_a_file_that_is_visibly_cut_does_not_wait(inlet):
    """The rename would be refused, and the device may know no way to send the file again then."""
    with FtpClient(inlet.port) as client:
        assert client.store("/Invoices/scan.tmp", JPEG[:-5]).startswith("451 The file is cut")
        assert client.do("RNFR /Invoices/scan.tmp").startswith("550")
    assert inlet.files == []


def test_a_file_waits_for_its_rename_across_sessions(inlet):
    """Some devices log in again to rename; another device cannot."""
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/scan.tmp", UNKNOWN)
    with FtpClient(inlet.port, own="127.0.0.2") as other:
        assert other.do("RNFR /Invoices/scan.tmp").startswith("550")
        assert other.list("NLST /Invoices") == []
    with FtpClient(inlet.port) as again:
        assert rename(again, "/Invoices/scan.tmp", "/Invoices/scan.xyz").startswith("250 Stored")
    assert len(inlet.jobs) == 1


def test_a_file_may_be_renamed_into_another_folder(inlet):
    """It is a job of the folder that it is renamed into."""
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/scan.tmp", JPEG)
        assert rename(client, "/Invoices/scan.tmp", "/Letters/scan.jpg").startswith("250 Stored")
        client.store("/Invoices/scan.tmp", JPEG)
        assert rename(client, "/Invoices/scan.tmp", "/scan.jpg").startswith("553")
    assert [job.destination for job in inlet.jobs] == ["Letters"]


def test_a_rename_from_one_temporary_name_to_another_is_no_end(inlet):
    """The file waits on, under its new name."""
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/scan.tmp", UNKNOWN)
        assert rename(client, "/Invoices/scan.tmp", "/Invoices/scan.part").startswith("250 Renamed")
        assert inlet.jobs == []
        assert client.list("NLST /Invoices") == ["scan.part"]
        assert rename(client, "/Invoices/scan.part", "/Invoices/scan.xyz").startswith("250 Stored")


def test_a_rename_for_which_there_is_no_room_may_come_again(inlet):
    """The file waits on under its old name, and nothing is lost."""
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/scan.tmp", UNKNOWN)
        inlet.be_busy(seconds=5)
        assert rename(client, "/Invoices/scan.tmp", "/Invoices/scan.xyz").startswith("452")
        inlet.be_ready()
        assert rename(client, "/Invoices/scan.tmp", "/Invoices/scan.xyz").startswith("250 Stored")
    assert inlet.files == []


def test_a_rename_that_is_refused_removes_the_file(inlet):
    """It would be refused again."""
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/scan.tmp", UNKNOWN)
        inlet.refuse("no such process")
        assert rename(client, "/Invoices/scan.tmp", "/Invoices/scan.xyz") == "550 no such process"
        assert client.do("RNFR /Invoices/scan.tmp").startswith("550")
    assert inlet.files == []


def test_a_repeated_upload_and_rename_is_one_job(inlet):
    """The device has not read the reply to its rename."""
    with FtpClient(inlet.port) as client:
        for reply in ("250 Stored", "250 The file is job"):
            client.store("/Invoices/scan.tmp", UNKNOWN)
            assert rename(client, "/Invoices/scan.tmp", "/Invoices/scan.xyz").startswith(reply)
    assert len(inlet.jobs) == 1


def test_a_file_that_is_a_job_may_be_renamed_and_is_none_twice(inlet):
    """Some devices rename whatever they have sent."""
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/0001", JPEG)
        assert rename(client, "/Invoices/0001", "/Invoices/scan.jpg").startswith("250 The file has been taken")
    assert [job.name for job in inlet.jobs] == ["0001"]


def test_a_device_removes_what_it_does_not_rename(inlet):
    """A file that is a job stays one."""
    with FtpClient(inlet.port) as client:
        client.store("/Invoices/scan.tmp", UNKNOWN)
        assert client.do("DELE /Invoices/scan.tmp") == "250 Removed."
        assert inlet.files == []
        assert client.do("DELE /Invoices/scan.tmp").startswith("550")

        client.store("/Invoices/scan.jpg", JPEG)
        assert client.do("DELE /Invoices/scan.jpg") == "550 The file is a job already: cancel the job."
    assert len(inlet.jobs) == 1


def test_rnto_without_rnfr_is_refused(inlet):
    """And one RNFR is for one RNTO."""
    with FtpClient(inlet.port) as client:
        assert client.do("RNTO /Invoices/scan.jpg").startswith("503")
        client.store("/Invoices/scan.tmp", JPEG)
        assert rename(client, "/Invoices/scan.tmp", "/Invoices/scan.jpg").startswith("250")
        assert client.do("RNTO /Invoices/scan2.jpg").startswith("503")


def test_the_files_that_one_device_lets_wait_are_limited(inlet):
    """The next one is asked to come again; other devices are not concerned."""
    with FtpClient(inlet.port) as client, FtpClient(inlet.port, own="127.0.0.2") as other:
        for number in range(16):
            assert client.store(f"/Invoices/{number}.tmp", UNKNOWN).startswith("226")
        with client.data():
            assert client.do("STOR /Invoices/16.tmp") == "452 Too many files wait for their rename."
        assert other.store("/Invoices/0.tmp", UNKNOWN).startswith("226")


def test_files_that_come_at_once_are_counted_at_their_end(inlet):
    """When they began there was room for each."""
    with FtpClient(inlet.port) as client, FtpClient(inlet.port) as second:
        for number in range(15):
            client.store(f"/Invoices/{number}.tmp", UNKNOWN)
        connections = [one.begin(f"STOR /Invoices/{name}.tmp") for one, name in ((client, "a"), (second, "b"))]
        replies = []
        for one, connection in zip((client, second), connections, strict=True):
            connection.sendall(UNKNOWN)
            end(connection)
            replies.append(one.reply())
    assert [reply[:3] for reply in replies] == ["226", "452"]
    assert len(inlet.files) == 16
