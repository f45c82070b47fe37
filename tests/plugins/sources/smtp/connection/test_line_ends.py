"""Ends of lines: one kind ends a command and a mail; what another server may read differently is refused."""

from __future__ import annotations

import pytest
from mail_inlet import OTHER, MailInlet, mail, page, stuffed


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\n\r\n", b"\n", b"MAIL FROM:<a@b>\nRCPT TO:<x>\r\n"])
def test_a_command_ends_with_cr_lf(inlet: MailInlet, line: bytes) -> None:
    """Anything else ends the connection: a server before this one may have read it in another way."""
    with inlet.client() as client:
        client.channel.sendall(line)

        assert client.reply() == "521 5.5.2 a command ends with CR LF, and has no other CR or LF"
        assert client.reply() == ""


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r\r\n"])
def test_a_smuggled_mail_is_no_mail(inlet: MailInlet, end: bytes) -> None:
    """What one server takes for the text of a mail, another one may take for the next mail."""
    smuggled = f"MAIL FROM:<boss@office.example>\r\nRCPT TO:<{OTHER}>\r\nDATA\r\n".encode() + mail(page(b"evil"))
    with inlet.client() as client:
        assert client.envelope().startswith("354")
        client.channel.sendall(stuffed(mail(page(b"good")))[:-2] + end + smuggled + b".\r\n")

        assert client.reply() == "521 5.5.2 the mail has a dot between line ends other than CR LF"
        assert client.reply() == ""
    assert inlet.server.jobs == []


def test_single_lfs_within_a_mail_are_content(inlet: MailInlet) -> None:
    """Scanners exist that write them."""
    content = mail(page()).replace(b"\r\n.", b"\r\n:").replace(b"\r\n", b"\n")

    with inlet.client() as client:
        assert client.envelope().startswith("354")
        client.channel.sendall(content + b"\r\n.\r\n")
        assert client.reply().startswith("250")
    assert inlet.jobs()[0].pages == [page()]
