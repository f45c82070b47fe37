"""Folders, listings and data connections: what devices and clients ask for around an upload."""

from __future__ import annotations

import re
import socket

import pytest
from ftp_client import FtpClient, end, reset
from ftp_inlets import JPEG, own_port

from postscan.plugins.sources.ftp.channels.data import PassiveListener


def test_the_folders_are_the_destinations(inlet):
    """In every kind of listing, with the options of `ls` that some clients send."""
    with FtpClient(inlet.port) as client:
        assert client.list("NLST") == ["Invoices", "Letters"]
        assert client.list("NLST -a /") == ["Invoices", "Letters"]
        assert [line.split()[-1] for line in client.list("LIST -la")] == ["Invoices", "Letters"]
        assert all(line.startswith("drwxr-xr-x") for line in client.list("LIST"))
        facts = [dict(fact.split("=") for fact in line.split("; ")[0].split(";")) for line in client.list("MLSD")]
        assert [fact["type"] for fact in facts] == ["dir", "dir"]
        assert "type=dir" in client.do("MLST /Invoices")
        assert client.list("LIST /Invoices") == []


def test_a_file_that_is_a_job_has_left_its_folder_and_is_still_known(inlet):
    """Devices ask for the size and the time of what they have sent."""
    with FtpClient(inlet.port) as client:
        assert client.do("SIZE /Invoices/scan.jpg").startswith("550")
        client.store("/Invoices/scan.jpg", JPEG)

        assert client.list("NLST /Invoices") == []
        assert client.do("SIZE /Invoices/scan.jpg") == f"213 {len(JPEG)}"
        assert re.fullmatch(r"213 20\d{12}", client.do("MDTM /Invoices/scan.jpg"))
        assert f"size={len(JPEG)};" in client.do("MLST /Invoices/scan.jpg")
    with FtpClient(inlet.port, own="127.0.0.2") as other:
        assert other.do("SIZE /Invoices/scan.jpg").startswith("550")


def test_folders_below_a_destination_can_be_made(inlet):
    """Some devices make one for each user or day; it belongs to the destination all the same."""
    with FtpClient(inlet.port) as client:
        assert client.do("CWD /Invoices/ann").startswith("550")
        assert client.do("MKD /Invoices/ann").startswith("257")
        assert client.do("MKD /Invoices/ann").startswith("550")
        assert client.do("CWD /Invoices/ann").startswith("250")
        assert client.do("PWD") == '257 "/Invoices/ann" is the current directory.'
        assert client.store("scan.jpg", JPEG).startswith("226")
        assert client.do("CDUP").startswith("250")
        assert client.list("NLST") == ["ann"]
        assert client.do("RMD ann").startswith("250")
        assert client.list("NLST") == []
    assert [(job.destination, job.name) for job in inlet.jobs] == [("Invoices", "scan.jpg")]


@pytest.mark.parametrize(
    "command", ["MKD /Ours", "RMD /Invoices", "RMD /", "CWD /Nobody", "DELE /Invoices", "RNFR /Invoices"]
)
def test_the_destinations_cannot_be_changed(inlet, command):
    """An administrator does that."""
    with FtpClient(inlet.port) as client:
        assert client.do(command).startswith("550")


def test_with_one_destination_a_device_needs_no_folder(make_inlet):
    """For menus that have no place for one."""
    inlet = make_inlet(destinations=("Invoices",))
    with FtpClient(inlet.port) as client:
        assert client.store("scan.jpg", JPEG).startswith("226")
    assert [job.destination for job in inlet.jobs] == ["Invoices"]


def test_what_is_offered_is_what_there_is(inlet):
    """No REST, no MFMT; a client chooses UTF-8 before its login."""
    with FtpClient(inlet.port, login=False) as client:
        offered = client.do("FEAT")
        assert {"AUTH TLS", "EPSV", "UTF8", "SIZE"} <= {line.strip() for line in offered.splitlines()}
        assert "REST" not in offered
        assert client.do("OPTS UTF8 ON").startswith("200")
        client.login()
        for command in ("MFMT 20260101000000 x", "SITE CHMOD 777 x", "SITE HELP", "CCC", "XYZ"):
            assert client.do(command).startswith("500")


def test_a_line_may_end_without_a_carriage_return(inlet):
    """Some devices send none."""
    with FtpClient(inlet.port) as client:
        client.socket.sendall(b"PWD\nNOOP\n")
        assert client.reply().startswith("257")
        assert client.reply().startswith("200")


# --- data connections ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["PORT", "EPRT"])
def test_the_server_connects_to_the_client(inlet, command):
    """Active mode."""
    with FtpClient(inlet.port) as client, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        names = {"PORT": f"127,0,0,1,{port // 256},{port % 256}", "EPRT": f"|1|127.0.0.1|{port}|"}
        assert client.do(f"{command} {names[command]}").startswith("200")
        connection, _ = listener.accept()
        assert client.do("STOR /Invoices/scan.jpg").startswith("150")
        connection.sendall(JPEG)
        end(connection)
        assert client.reply().startswith("226")


@pytest.mark.parametrize(
    "command",
    [
        "PORT 10,0,0,1,200,1",
        "PORT 127,0,0,2,200,1",
        "PORT 127,0,0,1,0,25",
        "PORT 127,0,0,1,3,255",
        "EPRT |1|127.0.0.2|50000|",
    ],
)
def test_the_server_connects_to_nobody_else(inlet, command):
    """And to no port of a service: it would send a stranger's bytes there (RFC 2577)."""
    with FtpClient(inlet.port) as client:
        assert client.do(command).startswith("504 Data connections go to 127.0.0.1 alone")
        assert client.do("STOR /Invoices/scan.jpg").startswith("425")
    inlet.wait_for_line("data connection refused")


def test_a_client_that_cannot_be_reached_may_go_on(inlet):
    """In another way; commands that came ahead wait for the end of the attempt."""
    with FtpClient(inlet.port) as client:
        port = own_port()
        client.send(f"PORT 127,0,0,1,{port // 256},{port % 256}", "STOR /Invoices/scan.jpg", "NOOP")
        assert [client.reply()[:3] for _ in range(3)] == ["425", "425", "200"]
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226")


def test_a_stranger_cannot_send_the_file(inlet):
    """Another host that connects first is dropped without a reply, and the client's own connection is taken."""
    with FtpClient(inlet.port) as client:
        port = int(re.search(r"\|(\d+)\|", client.do("EPSV"))[1])
        with socket.create_connection(("127.0.0.1", port), 60, ("127.0.0.3", 0)) as stranger:
            assert stranger.recv(1) == b""
        inlet.wait_for_line("data connection refused", reason="it came from 127.0.0.3")
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            assert client.do("STOR /Invoices/scan.jpg").startswith("150")
            connection.sendall(JPEG)
        assert client.reply().startswith("226")


def test_a_data_connection_that_breaks_at_once_ends_its_command(inlet, monkeypatch):
    """Before the server has looked at it; the session goes on."""
    with FtpClient(inlet.port) as client:
        connection = socket.socket()
        accepted = PassiveListener.handle_accepted

        def accept_late(listener: PassiveListener, theirs: socket.socket, address: tuple[str, int]) -> None:
            reset(connection)
            accepted(listener, theirs, address)

        monkeypatch.setattr(PassiveListener, "handle_accepted", accept_late)
        port = int(re.search(r"\|(\d+)\|", client.do("EPSV"))[1])
        assert client.do("STOR /Invoices/scan.jpg").startswith("150")
        connection.connect(("127.0.0.1", port))
        assert client.reply() == "425 The data connection broke."
        monkeypatch.undo()
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226")
    assert inlet.files == []


def test_passive_ports_are_those_of_the_settings_and_no_others(make_inlet):
    """The firewall opens no others; a client for whom there is none may come again."""
    first = own_port()
    inlet = make_inlet(passive_ports=f"{first}-{first}", masquerade="192.0.2.7")
    with FtpClient(inlet.port) as client, FtpClient(inlet.port) as other:
        assert client.do("PASV") == f"227 Listening (192,0,2,7,{first // 256},{first % 256})"
        assert other.do("PASV") == "425 No port is free for the data connection."
        assert client.do("QUIT").startswith("221")
        assert client.reply() == ""
        assert other.do("EPSV") == f"229 Listening (|||{first}|)"


def test_epsv_all_is_kept(inlet):
    """A client that announces it has a firewall that rewrites the others."""
    with FtpClient(inlet.port) as client:
        assert client.do("EPSV ALL").startswith("2")
        assert client.do("PASV").startswith("503")
        assert client.do("PORT 127,0,0,1,200,1").startswith("501")
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226")
