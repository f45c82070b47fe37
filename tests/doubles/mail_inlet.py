"""The smtp source at work, with the server's double behind it, and clients in front: a mail, and raw lines.

with mail_inlet.serving(tmp_path) as inlet, inlet.client() as client:
    assert client.send(mail(page())).startswith("250")
    assert inlet.jobs()[0].pages == [page()]
"""

from __future__ import annotations

import contextlib
import email.policy
import io
import socket
import ssl
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

import source_server
from source_server import BroughtJob, SourceServer
from works import PATIENCE

from postscan.plugins.sources.smtp import Smtp

LABELS = ("Invoices (Ann)", "Letters")
RECIPIENT = "invoices-ann@scan.example"
OTHER = "letters@scan.example"


@dataclass(frozen=True)
class Certified:
    """A certificate for 127.0.0.1 in a file, and a context of clients that trust it."""

    file: Path
    context: ssl.SSLContext


@dataclass
class MailInlet:
    """A running source, and the port at which it listens."""

    server: SourceServer
    port: int

    @contextlib.contextmanager
    def client(self, tls: ssl.SSLContext | None = None, *, address: str = "127.0.0.1") -> Iterator[RawClient]:
        """Connect, over implicit TLS with a context, and read the greeting; *address* is that of the client."""
        with (
            socket.create_connection(("127.0.0.1", self.port), PATIENCE, source_address=(address, 0)) as connection,
            RawClient(tls.wrap_socket(connection) if tls else connection) as client,
        ):
            assert client.reply().startswith("220 ")
            yield client

    def send(self, content: bytes, *recipients: str, sender: str = "scanner@office.example") -> str:
        """Send a mail over a connection of its own, and return the reply to its end."""
        with self.client() as client:
            return client.send(content, *recipients, sender=sender)

    def jobs(self, state: str = "Pending") -> list[BroughtJob]:
        """Return the jobs in a state."""
        return self.server.in_state(state)

    @property
    def log(self) -> list[tuple[str, dict[str, str]]]:
        """The events so far, each with its fields."""
        return [(line.message, line.fields) for line in self.server.log]

    def leftovers(self) -> list[Path]:
        """Return what is in the work folder."""
        return sorted(self.server.started.workdir.rglob("*"))


@contextlib.contextmanager
def serving(
    tmp_path: Path, settings: Mapping[str, Any] | None = None, *, devices: Sequence[str] = ("127.0.0.1",), **about: Any
) -> Iterator[MailInlet]:
    """Run the source; clients of this machine are devices, unless *devices* says otherwise."""
    table = {"port": 0, "domains": ["scan.example"]} | dict(settings or {})
    about.setdefault("destinations", LABELS)
    with source_server.running(Smtp(), tmp_path, table, devices=tuple(devices), **about) as server:
        server.wait_for(lambda: server.health or server.end)
        assert server.health, server.end
        yield MailInlet(server, int(server.health[0][1].rpartition(":")[2]))


class RawClient:
    """A client that sends what it likes."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self._lines = channel.makefile("rb")

    def reply(self) -> str:
        """Return the next reply, its lines joined by LF; empty at the end of the connection."""
        lines = []
        while line := self._lines.readline():
            lines.append(line.decode().rstrip("\r\n"))
            if line[3:4] != b"-":
                break
        return "\n".join(lines)

    def say(self, line: str) -> str:
        """Send a command and return the reply."""
        self.channel.sendall(line.encode() + b"\r\n")
        return self.reply()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Begin TLS."""
        assert self.say("STARTTLS").startswith("220 ")
        self.wrap(context)

    def wrap(self, context: ssl.SSLContext) -> None:
        """Shake hands."""
        self._lines.close()
        self.channel = context.wrap_socket(self.channel)
        self._lines = self.channel.makefile("rb")

    def envelope(self, *recipients: str, sender: str = "scanner@office.example", helo: str = "EHLO scanner") -> str:
        """Send everything up to DATA, and return its reply."""
        assert self.say(helo).startswith("250")
        assert self.say(f"MAIL FROM:<{sender}>").startswith("250")
        for recipient in recipients or (RECIPIENT,):
            assert self.say(f"RCPT TO:<{recipient}>").startswith("250")
        return self.say("DATA")

    def send(self, content: bytes, *recipients: str, sender: str = "scanner@office.example") -> str:
        """Send a mail and return the reply to its end."""
        assert self.envelope(*recipients, sender=sender).startswith("354")
        self.channel.sendall(stuffed(content) + b".\r\n")
        return self.reply()

    def reset(self) -> None:
        """End the connection as a client that is switched off does when it is on again."""
        self.channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stuffed(content: bytes) -> bytes:
    """Return a content as it goes over the wire, without its end."""
    return b"".join(b"." + line if line.startswith(b".") else line for line in io.BytesIO(content))


def page(text: bytes = b"a page", size: int = 0) -> bytes:
    """Return a small PNG with these bytes in it; *size* more that do not compress make it larger."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    filling = chunk(b"tEXt", b"Comment\0" + text + bytes(size))
    return b"\x89PNG\r\n\x1a\n" + head + filling + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def mail(*pages: bytes, subject: str = "a scan", called: str = "", **fields: str) -> bytes:
    """Return a mail with a text and these pages, as scanners send them; *called* is the name of each attachment."""
    built = EmailMessage(policy=email.policy.SMTP)
    built["From"] = "scanner@office.example"
    built["Subject"] = subject
    for name, value in fields.items():
        built[name.replace("_", "-")] = value
    built.set_content("The scan is attached.\n.\n..\n")
    for number, content in enumerate(pages, start=1):
        built.add_attachment(content, maintype="image", subtype="png", filename=called or f"scan{number}.png")
    return built.as_bytes()
