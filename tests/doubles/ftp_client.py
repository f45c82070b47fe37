"""A client of FTP that sends what a test wants, byte for byte, and ends as it wants."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import struct
from typing import Self

SECONDS = 60.0  # that an answer may take; it ends a test that has failed

Line = str | bytes


class FtpClient:
    """One session. `do` sends a command and returns the reply; `data` opens a data connection."""

    def __init__(
        self,
        port: int,
        *,
        login: bool = True,
        own: str = "",
        implicit: ssl.SSLContext | None = None,
    ) -> None:
        """Connect, from the address *own*; read the greeting, with *implicit* over TLS; log in as a device."""
        self._own = (own, 0) if own else None
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), SECONDS, self._own)
        self._received = b""
        self._data_context = implicit
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close)
            if implicit is not None:
                self.socket = implicit.wrap_socket(self.socket, server_hostname="127.0.0.1")
            self.greeting = self.reply()
            if login:
                self.login()
            on_failure.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def login(self, user: str = "anonymous", password: str = "scan@device.example") -> str:
        """Log in, choose binary transfers, and return the reply to the login."""
        first = self.do(f"USER {user}")
        if not first.startswith("331"):
            return first
        reply = self.do(f"PASS {password}")
        if reply.startswith("230"):
            assert self.do("TYPE I").startswith("200")
        return reply

    def secure(self, context: ssl.SSLContext, *, protect: bool = True) -> Self:
        """Begin TLS, for data as well if *protect*."""
        assert self.do("AUTH TLS").startswith("234")
        self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        if protect:
            assert self.do("PBSZ 0").startswith("200")
            assert self.do("PROT P").startswith("200")
            self._data_context = context
        return self

    def send(self, *lines: Line) -> None:
        """Send commands, all at once."""
        self.socket.sendall(b"".join((one.encode() if isinstance(one, str) else one) + b"\r\n" for one in lines))

    def do(self, line: Line) -> str:
        """Send a command and return its reply."""
        self.send(line)
        return self.reply()

    def reply(self) -> str:
        """Return the next reply, all its lines; "" once the server has closed the session."""
        lines = [self._line()]
        while re.match(r"\d{3}-", lines[0]) and not re.match(lines[0][:3] + " ", lines[-1]):
            lines.append(self._line())
        return "\n".join(lines)

    def data(self) -> socket.socket:
        """Return a passive data connection; if it has TLS, the handshake comes after the command."""
        port = int(re.search(r"\|\|\|(\d+)\|", self.do("EPSV"))[1])  # type: ignore[index]
        return socket.create_connection(("127.0.0.1", port), SECONDS, self._own)

    def begin(self, command: Line) -> socket.socket:
        """Begin a transfer and return its data connection, after the first reply."""
        with contextlib.ExitStack() as on_failure:
            connection = on_failure.enter_context(self.data())
            reply = self.do(command)
            assert reply.startswith(("125", "150")), reply
            connection = self._protected(connection)
            on_failure.pop_all()
        return connection

    def upload(self, command: Line, content: bytes) -> None:
        """Send a file to its end, and leave the reply to that for the caller to read."""
        with self.begin(command) as connection:
            connection.sendall(content)
            end(connection)

    def store(self, path: str, content: bytes, command: str = "STOR") -> str:
        """Send a file and return the reply to its end."""
        self.upload(f"{command} {path}".strip(), content)
        return self.reply()

    def offer(self, path: str, content: bytes) -> str:
        """Send a file and return the reply to its end, or the one that refuses it before its first byte."""
        with self.data() as connection:
            reply = self.do(f"STOR {path}")
            if not reply.startswith(("125", "150")):
                return reply
            with self._protected(connection) as protected:
                protected.sendall(content)
                end(protected)
        return self.reply()

    def list(self, command: str) -> list[str]:
        """Return the lines of a listing."""
        connection = self.begin(command)
        with contextlib.closing(connection):
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert self.reply().startswith("226")
        return received.decode("utf-8", "surrogateescape").splitlines()

    def close(self) -> None:
        """Close the session without a word."""
        self.socket.close()

    def _protected(self, connection: socket.socket) -> socket.socket:
        """Return a data connection with TLS, if data are to have it."""
        if self._data_context is None:
            return connection
        return self._data_context.wrap_socket(connection, server_hostname="127.0.0.1", suppress_ragged_eofs=False)

    def _line(self) -> str:
        while b"\r\n" not in self._received:
            try:
                received = self.socket.recv(65536)
            except ConnectionResetError:
                received = b""
            if not received:
                return ""
            self._received += received
        line, _, self._received = self._received.partition(b"\r\n")
        return line.decode("utf-8", "surrogateescape")


def end(connection: socket.socket) -> None:
    """End a data connection as the protocols want it: over TLS with close_notify."""
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            connection.unwrap()
    connection.close()


def reset(connection: socket.socket) -> None:
    """End a connection by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def cut_off(connection: socket.socket) -> None:
    """End a connection without a word of TLS, as a stranger on the way can."""
    os.close(connection.detach())
