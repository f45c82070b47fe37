"""The contract of sources: it is killed, refused, stopped and cut at each step, and no mail is lost or stored twice."""

from __future__ import annotations

import contextlib
import random
import socket

import mail_inlet
import source_server
from mail_inlet import RawClient, stuffed

from postscan.plugins.sources.smtp import Smtp
from postscan.plugins.testing import Origin, assert_source_contract

CUTS = 24
TO = "scans@scan.example"


class Scanner(Origin):
    """A device that sends each page as a mail, and the same mail again if it hears no 250."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._mail = b""
        self._replies: list[str] = []
        self._ends = random.Random(7)

    def bring(self, page: bytes) -> None:
        """Send a mail and read the reply."""
        self._mail = mail_inlet.mail(page)
        self._replies = []
        self.again()

    def again(self) -> None:
        """Send the last mail, unless the inlet is away."""
        with contextlib.suppress(OSError, AssertionError):
            replies = self._replies
            with self._connected() as client:
                client.reply()
                replies.append(client.send(self._mail, TO))

    def cut(self, page: bytes, size: int) -> None:
        """Send so much of a mail as has these bytes of the page, and hang up."""
        self._mail = mail_inlet.mail(page)
        self._replies = []
        sent = stuffed(mail_inlet.mail(page[:size]))
        with contextlib.suppress(OSError, AssertionError), self._connected() as client:
            client.reply()
            assert client.envelope(TO).startswith("354")
            client.channel.sendall(sent[: sent.rindex(b"\r\n\r\n--") - self._ends.randrange(3)])
            if self._ends.random() < 0.5:
                client.reset()

    def acknowledged(self) -> bool:
        """Whether the last mail was answered with 250."""
        return any(reply.startswith("250") for reply in self._replies)

    def _connected(self) -> RawClient:
        """Connect, and leave the greeting unread."""
        return RawClient(source_server.connected(self._port))


def test_the_source_keeps_the_contract() -> None:
    """In processes of its own, as the server starts it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert_source_contract(
        Smtp(),
        Scanner(port),
        settings={"port": port},
        devices=("127.0.0.1",),
        cuts=CUTS,
    )
