"""What one client, or many, can take of the server."""

from __future__ import annotations

import socket

import pytest
from ftp_client import FtpClient, end
from ftp_inlets import JPEG


def test_the_sessions_of_one_address_are_limited(make_inlet):
    """The next one is asked to come again; other addresses are not concerned."""
    inlet = make_inlet(connections_per_address=2)
    with FtpClient(inlet.port), FtpClient(inlet.port) as second:
        turned_away = FtpClient(inlet.port, login=False)
        assert turned_away.reply() == ""
        turned_away.close()
        assert turned_away.greeting == "421 Too many connections; come again later."
        inlet.wait_for_line("connection refused", source="127.0.0.1", reason="too many connections")
        with FtpClient(inlet.port, own="127.0.0.2") as other:
            assert other.do("NOOP").startswith("200")
        second.do("QUIT")
        assert second.reply() == ""
        with FtpClient(inlet.port) as again:
            assert again.do("NOOP").startswith("200")


def test_the_sessions_in_all_are_limited(make_inlet):
    """Of both ports together."""
    inlet = make_inlet(connections=2)
    with FtpClient(inlet.port), FtpClient(inlet.implicit_port, login=False, implicit=inlet.trusted):
        with FtpClient(inlet.port, login=False, own="127.0.0.2") as other:
            assert other.greeting.startswith("421")
        with socket.create_connection(("127.0.0.1", inlet.implicit_port), 60) as implicit:
            assert implicit.recv(1) == b""


def test_clients_that_have_not_logged_in_make_room(make_inlet):
    """The oldest session of the address with the most of them; one address cannot keep the others out."""
    inlet = make_inlet(connections=2, devices=("127.0.0.2",))
    with (
        FtpClient(inlet.port, login=False) as oldest,
        FtpClient(inlet.port, login=False) as other,
        FtpClient(inlet.port, own="127.0.0.2") as device,
    ):
        assert oldest.reply() == "421 Too many connections; come again later."
        assert oldest.reply() == ""
        assert device.store("/Invoices/scan.jpg", JPEG).startswith("226")
        assert other.do("USER anonymous").startswith("331")


@pytest.mark.parametrize("proof", ["address", "login"])
def test_clients_that_have_proven_who_they_are_make_no_room(make_inlet, proof):
    """Devices of the settings, whether they have logged in or not, and accounts."""
    inlet = make_inlet(connections=2, devices=("127.0.0.1",) if proof == "address" else (), allow_clear=True)
    with FtpClient(inlet.port, login=False) as first, FtpClient(inlet.port, login=False) as second:
        if proof == "login":
            assert first.login("anna", "right-horse").startswith("230")
            assert second.login("anna", "right-horse").startswith("230")
        with FtpClient(inlet.port, login=False, own="127.0.0.2") as late:
            assert late.greeting == "421 Too many connections; come again later."
        assert first.do("NOOP").startswith("200")
        assert second.do("NOOP").startswith("200")


def test_a_session_keeps_its_place_while_its_file_is_being_stored(make_inlet):
    """Else a client that leaves again and again would have as many threads as it likes."""
    inlet = make_inlet(connections_per_address=1)
    inlet.hold()
    client = FtpClient(inlet.port)
    client.upload("STOR /Invoices/scan.jpg", JPEG)
    inlet.wait_for_held()
    client.close()
    with FtpClient(inlet.port, login=False) as again:
        assert again.greeting.startswith("421")

    inlet.release()
    inlet.wait_for_jobs(1)
    inlet.wait_until_welcome()


def test_a_session_without_a_command_ends(make_inlet):
    """And one whose transfer goes on does not."""
    inlet = make_inlet(idle_seconds=0.3)
    with FtpClient(inlet.port) as client:
        connection = client.begin("STOR /Invoices/scan.jpg")
        with pytest.raises(TimeoutError):
            client.socket.settimeout(1.0)
            client.reply()
        client.socket.settimeout(60)
        connection.sendall(JPEG)
        end(connection)
        assert client.reply().startswith("226")
        assert client.reply() == "421 No command came in time."
        assert client.reply() == ""


def test_an_upload_that_is_too_slow_ends(make_inlet):
    """Bytes that come one by one do not keep it; nothing of it stays, and the session goes on."""
    inlet = make_inlet(data_seconds=0.5, least_rate=100_000)
    with FtpClient(inlet.port) as client:
        connection = client.begin("STOR /Invoices/scan.jpg")
        connection.sendall(JPEG[:100])
        assert client.reply() == "426 The upload is too slow."
        assert inlet.files == []
        connection.close()
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226")


def test_an_upload_that_takes_too_long_ends(make_inlet):
    """However fast it is."""
    inlet = make_inlet(data_seconds=0.2, least_rate=1, transfer_seconds=0.5)
    with FtpClient(inlet.port) as client:
        connection = client.begin("STOR /Invoices/scan.jpg")
        client.socket.settimeout(0.05)
        for _ in range(1000):
            try:
                connection.sendall(b"x" * 100)
            except OSError:
                break
            try:
                reply = client.reply()
            except TimeoutError:
                continue
            break
        assert reply == "426 The upload takes too long."
        connection.close()
    assert inlet.files == []


def test_one_sender_takes_half_of_the_space(make_inlet):
    """With several sessions too; another sender is heard meanwhile, and so is the first one afterwards."""
    inlet = make_inlet(most_bytes=len(JPEG), spool_bytes=2 * len(JPEG))
    with (
        FtpClient(inlet.port) as first,
        FtpClient(inlet.port) as second,
        FtpClient(inlet.port, own="127.0.0.2") as other,
    ):
        connection = first.begin("STOR /Invoices/one.jpg")
        connection.sendall(JPEG)
        inlet.wait_for_bytes(len(JPEG))
        assert (
            second.store("/Invoices/two.jpg", JPEG)
            == "452 The server has no room for the file now; send it again later."
        )
        assert other.store("/Invoices/other.jpg", JPEG).startswith("226")
        end(connection)
        assert first.reply().startswith("226")
        assert second.store("/Invoices/two.jpg", JPEG).startswith("226")
    assert inlet.files == []


def test_a_data_connection_that_does_not_come_ends_its_command(inlet, monkeypatch):
    """The session goes on."""
    monkeypatch.setattr("postscan.plugins.sources.ftp.channels.data.CONNECT_SECONDS", 0.3)
    with FtpClient(inlet.port) as client:
        client.do("EPSV")
        assert client.do("STOR /Invoices/scan.jpg").startswith("150")
        assert client.reply() == "425 No data connection came."
        assert client.do("NOOP").startswith("200")
        assert inlet.files == []


def test_a_client_that_does_not_read_the_replies_is_cut_off(inlet):
    """They would fill the memory: HELP answers with a hundred times its own length."""
    with FtpClient(inlet.port) as client, pytest.raises(OSError):
        for _ in range(10_000):
            client.socket.sendall(b"HELP\r\n" * 1000)
    inlet.wait_for_line("session ended", reason="the client does not read the replies")


def test_commands_that_come_ahead_are_limited(inlet):
    """A client that sends without end while its file is being stored is cut off."""
    with FtpClient(inlet.port) as client:
        inlet.hold()
        client.upload("STOR /Invoices/scan.jpg", JPEG)
        inlet.wait_for_held()
        client.send(*["NOOP"] * 33)
        assert client.reply() == "421 Too many commands wait."
        inlet.release()
    inlet.wait_for_jobs(1)


def test_a_command_that_is_too_long_ends_the_session(inlet):
    """Its rest would be another command."""
    with FtpClient(inlet.port) as client:
        client.socket.sendall(b"STOR " + b"x" * 3000)
        assert client.reply() == "500 The command is too long."
        assert client.reply() == ""


def test_a_handshake_that_does_not_end_is_cut_off(inlet, monkeypatch):
    """On the session, where nobody has logged in yet, and on a data connection."""
    monkeypatch.setattr("postscan.plugins.sources.ftp.channels.tls.HANDSHAKE_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", inlet.implicit_port), 60) as silent:
        assert silent.recv(1) == b""
    with FtpClient(inlet.port, login=False).secure(inlet.trusted) as client:
        client.login("anna", "right-horse")
        with client.data():
            assert client.do("STOR /Invoices/scan.jpg").startswith("150")
            assert client.reply().startswith("522")
        assert client.do("NOOP").startswith("200")
    assert inlet.files == []
