"""Explicit and implicit TLS, on both connections, and how its end is told from a cut."""

from __future__ import annotations

import contextlib
import socket
import ssl

import pytest
from ftp_client import FtpClient, cut_off
from ftp_inlets import JPEG, PNG


def secured(inlet, **options: bool) -> FtpClient:
    """Return a session of an account, over TLS."""
    client = FtpClient(inlet.port, login=False).secure(inlet.trusted, **options)
    assert client.login("anna", "right-horse").startswith("230")
    return client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_tls_carry_a_file(inlet, version):
    """And a listing, and several files in one session."""
    inlet.trusted.maximum_version = version
    with secured(inlet) as client:
        assert client.list("NLST /") == ["Invoices", "Letters"]
        assert client.store("/Invoices/one.jpg", JPEG).startswith("226")
        assert client.store("/Invoices/two.png", PNG).startswith("226")
    assert [job.pages for job in inlet.jobs] == [[JPEG], [PNG]]


def test_older_tls_is_refused(inlet):
    """TLS 1.1 and before."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with FtpClient(inlet.port, login=False) as client:
        client.do("AUTH TLS")
        with pytest.raises(OSError):
            context.wrap_socket(client.socket)


def test_an_upload_that_is_cut_off_is_not_acknowledged(inlet):
    """Without close_notify a stranger may have ended it, and the content is not asked."""
    with secured(inlet) as client:
        connection = inlet.upload_without_end(client)
        cut_off(connection)

        assert client.reply() == "426 The connection ended without close_notify of TLS."
    assert inlet.jobs == []
    assert inlet.files == []


def test_a_setting_lets_the_content_decide(make_inlet):
    """For devices that send no close_notify; a rename is no end then either, for a kind whose end cannot be seen."""
    inlet = make_inlet(unclean_tls_end=True)
    with secured(inlet) as client:
        for name, content, reply in (
            ("scan.jpg", JPEG, "226 Stored"),
            ("scan.png", PNG[:-5], "451"),
            ("scan.tmp", b"unknown", "550"),
            ("scan.tmp", PNG, "226 Received"),
        ):
            connection = client.begin(f"STOR /Invoices/{name}")
            connection.sendall(content)
            cut_off(connection)
            assert client.reply().startswith(reply)
    assert [job.name for job in inlet.jobs] == ["scan.jpg"]


def test_files_of_an_account_are_encrypted(inlet):
    """PROT C is refused, and so is a transfer before PROT P."""
    with secured(inlet, protect=False) as client:
        with client.data():
            assert client.do("STOR /Invoices/scan.jpg").startswith("522")
        with client.data():
            assert client.do("LIST").startswith("522")
        assert client.do("PROT C").startswith("534")
        assert client.do("PROT S").startswith("504")


def test_files_in_clear_need_a_setting_and_prove_less(make_inlet):
    """The password was encrypted, and the file could be anyone's."""
    inlet = make_inlet(allow_clear=True)
    with secured(inlet, protect=False) as client:
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226")
    assert [job.proof for job in inlet.jobs] == ["clear"]


def test_commands_that_came_with_auth_do_not_run(inlet):
    """They were not encrypted, and whoever is on the way may have added them (CVE-2011-0411)."""
    with FtpClient(inlet.port, login=False) as client:
        client.send("AUTH TLS", "USER anonymous")
        assert client.reply() == "503 Commands must wait for the reply to AUTH."
        assert client.reply() == ""


def test_implicit_tls_begins_before_the_greeting(inlet):
    """Data are encrypted without being asked for."""
    with FtpClient(inlet.implicit_port, login=False, implicit=inlet.trusted) as client:
        assert client.login("anna", "right-horse").startswith("230")
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226")
    assert [job.proof for job in inlet.jobs] == ["password"]


def test_what_is_no_tls_ends_the_session(inlet):
    """With a line in the log, and without an answer in clear."""
    with socket.create_connection(("127.0.0.1", inlet.implicit_port), 60) as plain:
        plain.sendall(b"USER anonymous\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"220" not in plain.recv(1000)
    inlet.wait_for_line("session ended")


def test_without_a_certificate_there_is_no_tls(make_inlet):
    """And a client that wants it is told so."""
    inlet = make_inlet(certificate="")
    with FtpClient(inlet.port, login=False) as client:
        assert client.do("AUTH TLS") == "502 This server has no certificate."
        assert "AUTH" not in client.do("FEAT")
        assert client.do("PBSZ 0").startswith("503")
        assert client.do("PROT P").startswith("503")
