"""Who may log in: accounts over TLS, and devices of the networks of the settings."""

from __future__ import annotations

import pytest
from ftp_client import FtpClient
from ftp_inlets import JPEG


@pytest.mark.parametrize("user", ["anonymous", "ftp", "Anonymous"])
def test_a_device_of_an_allowed_network_needs_no_account(inlet, user):
    """Its subject is its address, and the proof is no more than that."""
    with FtpClient(inlet.port, login=False) as client:
        assert client.login(user).startswith("230")
        client.store("/Invoices/scan.jpg", JPEG)
    assert [(job.proof, job.subject, job.account) for job in inlet.jobs] == [("device", "127.0.0.1", "")]


def test_a_client_of_another_network_needs_an_account(make_inlet):
    """Also if the settings name no network at all."""
    for devices in ((), ("10.0.0.0/8",)):
        inlet = make_inlet(devices=devices)
        with FtpClient(inlet.port, login=False) as client:
            assert client.login() == "530 Login refused."
            assert client.do("LIST").startswith("530")
        inlet.wait_for_line("login refused", reason="not a device of the settings")


def test_an_account_logs_in_over_tls(inlet):
    """The server is asked, with the address of the client."""
    with FtpClient(inlet.port, login=False).secure(inlet.trusted) as client:
        assert client.login("anna", "right-horse").startswith("230")
        assert client.store("/Invoices/scan.jpg", JPEG).startswith("226")
    assert [(job.proof, job.subject, job.account) for job in inlet.jobs] == [("password", "anna", "anna")]


def test_a_password_is_not_even_asked_for_in_clear(inlet):
    """By default; a client that sends it all the same is not heard."""
    with FtpClient(inlet.port, login=False) as client:
        assert client.do("USER anna").startswith("530 A password must not be sent without TLS")
        assert client.do("PASS right-horse") == "503 USER comes first."
    assert inlet.checked == []


def test_a_login_does_not_outlive_auth_tls_or_another_user(inlet):
    """What was said before TLS could be someone else's."""
    with FtpClient(inlet.port) as client:
        client.secure(inlet.trusted)
        assert client.do("PWD").startswith("530")
        client.login("anna", "right-horse")
        client.do("USER anonymous")
        assert client.do("PWD").startswith("530")


def test_passwords_in_clear_need_a_setting_and_prove_less(make_inlet):
    """For devices that know no TLS."""
    inlet = make_inlet(allow_clear=True)
    with FtpClient(inlet.port, login=False) as client:
        assert client.login("anna", "right-horse").startswith("230")
        client.store("/Invoices/scan.jpg", JPEG)
    assert [(job.proof, job.account) for job in inlet.jobs] == [("clear", "anna")]


def test_wrong_passwords_end_the_session(inlet):
    """After three; the reply is the same for an account that does not exist."""
    with FtpClient(inlet.port, login=False).secure(inlet.trusted) as client:
        replies = [client.login("anna", "wrong"), client.login("nobody", "wrong"), client.login("anna", "wrong")]
        assert replies == ["530 Login refused."] * 3
        assert client.reply() == ""
    inlet.wait_for_line("login refused", user="anna", reason="wrong account or password")


def test_other_sessions_go_on_while_a_password_is_checked(inlet):
    """The server delays the answer to wrong ones."""
    with FtpClient(inlet.port, login=False).secure(inlet.trusted) as client, FtpClient(inlet.port) as other:
        inlet.hold()
        client.do("USER anna")
        client.send("PASS right-horse", "PWD")
        inlet.wait_for_held()
        assert other.do("NOOP").startswith("200")

        inlet.release()
        assert client.reply().startswith("230")
        assert client.reply().startswith("257")


def test_a_password_in_latin_1_is_the_same_password(inlet):
    """The account is Jörg's."""
    inlet.accounts["jörg"] = "Größe"
    for encoding in ("utf-8", "latin-1"):
        with FtpClient(inlet.port, login=False).secure(inlet.trusted) as client:
            client.do("USER jörg".encode(encoding))
            assert client.do("PASS Größe".encode(encoding)).startswith("230")


def test_a_client_that_does_not_log_in_is_turned_out(make_inlet):
    """Within the seconds of the settings, whatever it sends meanwhile."""
    inlet = make_inlet(login_seconds=0.3)
    with FtpClient(inlet.port, login=False) as client:
        assert client.reply() == "421 No login came in time."
        assert client.reply() == ""


@pytest.mark.parametrize("command", ["LIST", "STOR x.jpg", "PASV", "PORT 127,0,0,1,200,1", "CWD /", "RNFR x", "MKD x"])
def test_nothing_is_done_before_a_login(inlet, command):
    """Every command that does something needs one."""
    with FtpClient(inlet.port, login=False) as client:
        assert client.do(command).startswith("530")
