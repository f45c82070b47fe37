"""A connection to a mail server: that of `smtplib`, with an abort from another thread and a time for every reply.

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

END_OF_DATA_FACTOR: Final = 4  # times `seconds` for the reply to the message: the server may scan it first

_REPLY: Final = 64 * 1024  # bytes of one reply of the server
_BATCH: Final = 64 * 1024  # bytes of a message that are sent between two checks of the token


class ServerLimits(NamedTuple):
    """What messages a server accepts: most bytes (None: not stated), and whether with addresses beyond ASCII."""

    most_bytes: int | None
    utf8: bool


class SmtpConnection(smtplib.SMTP):
    """The connection of `smtplib`, with an abort from another thread and a time for every reply."""

    def __init__(self, connection: socket.socket, ehlo_name: str, seconds: float) -> None:
        super().__init__(local_hostname=ehlo_name, timeout=seconds)
        self._seconds = seconds
        self._abort_socket = connection.dup()  # wrap_socket detaches the socket itself before the handshake
        self._use(connection)

    def _use(self, connection: socket.socket) -> None:
        self.sock = connection
        self.file = self._replies = _ReplyReader(connection)
        self._replies.start(self._seconds)

    @property
    def limits(self) -> ServerLimits:
        """What the reply to EHLO states."""
        size = self.esmtp_features.get("size", "")
        most = int(size) if size.isascii() and size.isdecimal() and len(size) < 16 else 0
        return ServerLimits(most or None, self.has_extn("smtputf8"))

    def abort(self) -> None:
        """Shut the connection down, from any thread: pending calls fail, and nothing more is sent."""
        with contextlib.suppress(OSError):
            self._abort_socket.shutdown(socket.SHUT_RDWR)

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Start TLS, and discard what the server sent before it (RFC 3207 section 4.2)."""
        connection = self.sock
        assert isinstance(connection, socket.socket)
        connection.settimeout(self._seconds)
        self._use(context.wrap_socket(connection, server_hostname=host))

    def mail_from(self, message: MailMessage, written: Path) -> tuple[int, bytes]:
        """Send MAIL FROM with the options that the server offers."""
        options = [f"SIZE={written.stat().st_size}"] if self.has_extn("size") else []
        if message.utf8:
            options += ["SMTPUTF8", *(["BODY=8BITMIME"] if self.has_extn("8bitmime") else [])]
        return self.mail(message.sender, options)

    def send_body(self, written: Path, token: CancellationToken) -> None:
        """Send the message without its end; a dot at the start of a line is doubled (RFC 5321 section 4.5.2)."""
        with written.open("rb") as file:
            while lines := file.readlines(_BATCH):
                token.check()
                self.send(b"".join(b"." + line if line.startswith(b".") else line for line in lines))

    def end_of_data(self) -> tuple[int, bytes]:
        """Send the end of the message and return the reply."""
        self.send(b".\r\n")
        return self.getreply(END_OF_DATA_FACTOR * self._seconds)

    def send_quit(self) -> None:
        """Send QUIT without waiting for the reply."""
        with contextlib.suppress(OSError):
            self.putcmd("QUIT")

    def send(self, s: str | bytes) -> None:  # type: ignore[override]  # the hints for smtplib know more buffers
        """Send, within the seconds of the settings."""
        if self.sock is not None:
            self.sock.settimeout(self._seconds)
        super().send(s)

    def getreply(self, seconds: float = 0) -> tuple[int, bytes]:
        """Return the next reply, which must arrive within *seconds*; without them, within those of the settings."""
        self._replies.start(seconds or self._seconds)
        return super().getreply()

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._abort_socket.close()


class _ReplyReader:
    """The file from which `smtplib` reads replies, with a limit of time and bytes for each reply.

    `smtplib` alone starts its timeout anew for each byte, and reads as many lines as the server sends.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def start(self, seconds: float) -> None:
        """Start the limits of a new reply."""
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        self._room = _REPLY

    def readline(self, most: int) -> bytes:
        """Return the next line, or its first *most* bytes; empty once the server has closed the connection."""
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
                    raise ConnectionAbortedError(f"its answer is longer than {_REPLY:,} bytes")
                return received
        raise TimeoutError(f"no answer within {self._seconds:g} s")

    def close(self) -> None:
        """Do nothing: `SmtpConnection.close` closes the socket."""


def printable(text: bytes) -> str:
    """Return text of the server as one line of at most 200 printable characters."""
    line = "".join(c if c.isprintable() else " " for c in text.decode("utf-8", "replace"))
    return " ".join(line.split())[:200]


def error_text(error: object) -> str:
    """Return why a connection broke, without error numbers."""
    text = getattr(error, "strerror", None) or str(error)
    return printable(str(text).encode("utf-8", "replace")).removeprefix("Connection unexpectedly closed: ")
