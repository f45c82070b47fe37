"""A connection to a mail server: `smtplib`'s, that another thread can cut, and whose server has to come to an end.

Source: RFC 5321; RFC 3207 (STARTTLS), 1870 (SIZE), 6531 (SMTPUTF8).
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import time
from pathlib import Path
from typing import Final, NamedTuple

from postscan.plugins import CancellationToken
from postscan.plugins.filters.email.message import MailMessage

DOT: Final = 4  # times as long as other answers may the one to the dot take: the server may look into the mail first

_REPLY: Final = 64 * 1024  # bytes of one reply of the server
_BATCH: Final = 64 * 1024  # bytes of a message that are sent between two looks at the token


class Offer(NamedTuple):
    """What the server takes: bytes of a message (None: it does not say), and whether addresses beyond ASCII."""

    most_bytes: int | None
    utf8: bool


class SmtpConnection(smtplib.SMTP):
    """A connection to a mail server: `smtplib`'s, that another thread can cut, and whose server comes to an end."""

    def __init__(self, connection: socket.socket, ehlo_name: str, seconds: float) -> None:
        super().__init__(local_hostname=ehlo_name, timeout=seconds)
        self._seconds = seconds
        self._cord = connection.dup()  # TLS takes the socket itself into its hands, even before it is encrypted
        self._use(connection)

    def _use(self, connection: socket.socket) -> None:
        self.sock = connection
        self.file = self._replies = _Replies(connection)
        self._replies.renew(self._seconds)

    @property
    def offer(self) -> Offer:
        """What the server said in its answer to EHLO."""
        size = self.esmtp_features.get("size", "")
        most = int(size) if size.isascii() and size.isdecimal() and len(size) < 16 else 0
        return Offer(most or None, self.has_extn("smtputf8"))

    def cut(self) -> None:
        """End whatever waits for the server; nothing more is sent, and nothing ever in the clear behind TLS."""
        with contextlib.suppress(OSError):
            self._cord.shutdown(socket.SHUT_RDWR)

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS; what came before it, also of the server's answers, is forgotten (RFC 3207, section 4.2)."""
        connection = self.sock
        assert isinstance(connection, socket.socket)
        connection.settimeout(self._seconds)
        self._use(context.wrap_socket(connection, server_hostname=host))

    def mail_from(self, message: MailMessage, written: Path) -> tuple[int, bytes]:
        """Begin a message."""
        options = [f"SIZE={written.stat().st_size}"] if self.has_extn("size") else []
        if message.utf8:
            options += ["SMTPUTF8", *(["BODY=8BITMIME"] if self.has_extn("8bitmime") else [])]
        return self.mail(message.sender, options)

    def send_body(self, written: Path, token: CancellationToken) -> None:
        """Send all of the message but the dot behind it; a dot at the start of a line is doubled."""
        with written.open("rb") as file:
            while lines := file.readlines(_BATCH):
                token.check()
                self.send(b"".join(b"." + line if line.startswith(b".") else line for line in lines))

    def dot(self) -> tuple[int, bytes]:
        """Send the dot, and return the answer to it."""
        self.send(b".\r\n")
        return self.getreply(DOT * self._seconds)

    def say_goodbye(self) -> None:
        """Say QUIT, and do not wait for the answer."""
        with contextlib.suppress(OSError):
            self.putcmd("QUIT")

    def send(self, s: str | bytes) -> None:  # type: ignore[override]  # the hints for smtplib know more buffers
        """Send, within the seconds of the settings."""
        if self.sock is not None:
            self.sock.settimeout(self._seconds)
        super().send(s)

    def getreply(self, seconds: float = 0) -> tuple[int, bytes]:
        """Return the next reply, which has to come within so many seconds, or those of the settings."""
        self._replies.renew(seconds or self._seconds)
        return super().getreply()

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._cord.close()


class _Replies:
    """The lines of the server's replies, as `smtplib` reads them; a reply has its time and its size.

    `smtplib` alone waits anew for each byte, and takes as many lines as the server sends.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def renew(self, seconds: float) -> None:
        """Begin with a new reply."""
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        self._room = _REPLY

    def readline(self, most: int) -> bytes:
        """Return the next line, or the first *most* bytes of it; nothing once the server has gone."""
        while b"\n" not in self._received and len(self._received) < most:
            received = self._receive()
            if not received:
                return b""
            self._received += received
        line, end, _ = self._received.partition(b"\n")
        line = (line + end)[:most]
        self._received = self._received[len(line) :]
        return line

    def _receive(self) -> bytes:
        left = self._end - time.monotonic()
        if left > 0:
            self._connection.settimeout(left)
            with contextlib.suppress(TimeoutError):
                received = self._connection.recv(4096)
                self._room -= len(received)
                if self._room < 0:
                    raise ConnectionAbortedError("its answer has no end")
                return received
        raise TimeoutError(f"no answer within {self._seconds:g} s")

    def close(self) -> None:
        """Do nothing: the connection belongs to the line."""


def said(text: bytes) -> str:
    """Return the server's words as one short line."""
    line = "".join(c if c.isprintable() else " " for c in text.decode("utf-8", "replace"))
    return " ".join(line.split())[:200]


def why(error: object) -> str:
    """Return why a connection broke, without the numbers."""
    words = getattr(error, "strerror", None) or str(error)
    return said(str(words).encode("utf-8", "replace")).removeprefix("Connection unexpectedly closed: ")
