"""Every way into a server with inlets: an inlet, a proof, and a client that sends a scan there.

The clients send what a test wants, byte for byte, and return the reply of the protocol.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import ssl
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from ftp_client import FtpClient
from mail_inlet import RawClient, mail, page, stuffed
from works import PATIENCE, until

ANNA, BEN, CARL = (f"S-1-5-21-1-2-3-100{number}" for number in (1, 2, 3))
USERS = {"anna": ANNA, "ben": BEN, "carl": CARL}
PANEL = "panel"
"""The account of a device, which stands for Carl elsewhere."""

LABELS = {ANNA: "Scans (Anna)", BEN: "Scans (Ben)", CARL: "Scans (Carl)"}
OWN = "My scans"
"""The label of the destination that has no user."""

PASSWORDS = {name: f"the password of {name}" for name in (*USERS, PANEL)}
DOMAIN = "scan.example"
DEVICE = "127.0.0.1"
"""The address of a device that may send without an account."""

ELSEWHERE = "127.0.0.9"
"""The address of all that send with an account; it is no device's."""


@dataclass(frozen=True)
class Scan:
    """A page for a destination, by its label; of an account, or of a device if that is empty."""

    content: bytes
    to: str
    account: str = ""
    name: str = "scan.png"
    address: str = ""

    @property
    def sender(self) -> str:
        """The address from which it is sent."""
        return self.address or (ELSEWHERE if self.account else DEVICE)


class InletReply(NamedTuple):
    """The reply to a scan; the code is that of its protocol, 0 if the server has closed the connection."""

    code: int
    text: str

    @property
    def stored(self) -> bool:
        """Whether the sender was told that its scan is stored."""
        return 200 <= self.code < 300

    @classmethod
    def of(cls, line: str) -> InletReply:
        """Read the code of a line of FTP or SMTP."""
        return cls(int(line[:3] or 0), line)


class InletClients:
    """The clients of the inlets `scans` (the folder `watched`), `mail`, `ftp`, `web` and, without TLS, `plain`.

    `ports` are those of the last four; over TLS they have a certificate that `trusted` knows.
    """

    def __init__(self, watched: Path, ports: Mapping[str, int], trusted: ssl.SSLContext) -> None:
        self.watched = watched
        self._ports = ports
        self._trusted = trusted

    def put_file(self, scan: Scan) -> InletReply:
        """Let a whole file appear in the folder of a destination; return 250 when it is removed, 550 if refused."""
        folder = self.watched / scan.to
        path, refused, why = folder / scan.name, folder / "refused" / scan.name, folder / f"refused/{scan.name}.txt"
        for left in (refused, why):
            left.unlink(missing_ok=True)
        arriving = folder / f".{uuid.uuid4().hex}"
        arriving.write_bytes(scan.content)
        arriving.rename(path)
        until(lambda: not path.exists(), f"for {path} to be taken")
        if not refused.exists():
            return InletReply(250, "")
        until(lambda: why.exists() and why.read_text().endswith("folder.\n"), f"for {why}")
        return InletReply(550, why.read_text())

    def mail(self, scan: Scan, *, secure: bool = False) -> InletReply:
        """Send a scan by mail, over TLS if *secure*."""
        content = mail(scan.content, called=scan.name)
        return self.deliver(content, recipient(scan.to), account=scan.account, secure=secure, address=scan.sender)

    def deliver(
        self,
        content: bytes,
        *recipients: str,
        account: str = "",
        password: str = "",
        secure: bool = False,
        address: str = DEVICE,
        sender: str = "<scanner@office.example>",
        before: Sequence[str] = (),
    ) -> InletReply:
        """Send a mail; return the reply to its end, or the first one that refuses something.

        The commands *before* come ahead of MAIL; their replies do not count.
        """
        login = ["AUTH LOGIN", *map(base64_of, (account, password or PASSWORDS.get(account, "")))] if account else []
        named = [f"RCPT TO:<{one}>" for one in recipients]
        connection = socket.create_connection((DEVICE, self._ports["mail"]), PATIENCE, (address, 0))
        with RawClient(connection) as client:
            assert client.reply().startswith("220 ")
            client.say("EHLO scanner")
            if secure:
                client.start_tls(self._trusted)
                client.say("EHLO scanner")
            for line in before:
                client.say(line)
            for line in (*login, f"MAIL FROM:{sender}", *named, "DATA"):
                reply = client.say(line)
                if not reply.startswith(("2", "3")):
                    return InletReply.of(reply)
            client.channel.sendall(stuffed(content) + b".\r\n")
            return InletReply.of(client.reply())

    def ftp(self, scan: Scan, *, secure: bool = False) -> InletReply:
        """Upload a scan into the folder of its destination, over TLS if *secure*."""
        path = f"/{scan.to}/{scan.name}"
        return self.upload(path, scan.content, account=scan.account, secure=secure, address=scan.sender)

    def upload(
        self,
        path: str,
        content: bytes,
        *,
        account: str = "",
        password: str = "",
        secure: bool = False,
        address: str = ELSEWHERE,
    ) -> InletReply:
        """Upload a file; return the reply to its end, or the one that refuses something before."""
        with self.ftp_session(secure=secure, address=address) as client:
            password = password or PASSWORDS.get(account, "")
            login = client.login(account, password) if account else client.login()
            return InletReply.of(client.offer(path, content) if login.startswith("230") else login)

    def ftp_session(self, *, secure: bool, address: str = ELSEWHERE) -> FtpClient:
        """Return a session that is not logged in."""
        client = FtpClient(self._ports["ftp"], login=False, own=address)
        return client.secure(self._trusted) if secure else client

    def put(self, scan: Scan, *, secure: bool = False) -> InletReply:
        """Send a scan by PUT into the folder of its destination, over TLS if *secure*."""
        target = f"/{quote(scan.to)}/{quote(scan.name, safe='')}"
        return self.request("PUT", target, scan.content, account=scan.account, secure=secure, address=scan.sender)

    def request(
        self,
        method: str,
        target: str,
        content: bytes = b"",
        *,
        account: str = "",
        password: str = "",
        secure: bool = True,
        address: str = ELSEWHERE,
        fields: Mapping[str, str] | None = None,
    ) -> InletReply:
        """Send a request over HTTP, whose target is not normalised, and return status and body."""
        sent = dict(fields or {})
        if account:
            pair = f"{account}:{password or PASSWORDS.get(account, '')}"
            sent["Authorization"] = f"Basic {base64_of(pair)}"
        for_tls = partial(http.client.HTTPSConnection, context=self._trusted)
        connect = for_tls if secure else http.client.HTTPConnection
        port = self._ports["web" if secure else "plain"]
        with contextlib.closing(connect(DEVICE, port, timeout=PATIENCE, source_address=(address, 0))) as connection:
            connection.request(method, target, content, sent)
            response = connection.getresponse()
            return InletReply(response.status, response.read().decode())


@dataclass(frozen=True)
class WayIn:
    """An inlet and a proof, and how a scan is sent there; `refusal` is the reply to a scan that is not wanted."""

    inlet: str
    proof: str
    send: Callable[[InletClients, Scan], InletReply]
    refusal: int

    @property
    def has_accounts(self) -> bool:
        """Whether its senders prove an account."""
        return self.proof in ("clear", "password")


WAYS_IN = {
    "folder, local": WayIn("scans", "local", InletClients.put_file, 550),
    "mail, device": WayIn("mail", "device", InletClients.mail, 554),
    "mail, clear": WayIn("mail", "clear", InletClients.mail, 554),
    "mail, password": WayIn("mail", "password", partial(InletClients.mail, secure=True), 554),
    "ftp, device": WayIn("ftp", "device", InletClients.ftp, 550),
    "ftp, clear": WayIn("ftp", "clear", InletClients.ftp, 550),
    "ftp, password": WayIn("ftp", "password", partial(InletClients.ftp, secure=True), 550),
    "web, device": WayIn("web", "device", partial(InletClients.put, secure=True), 403),
    "web, clear": WayIn("plain", "clear", InletClients.put, 403),
    "web, password": WayIn("web", "password", partial(InletClients.put, secure=True), 403),
}
WITHOUT_ACCOUNT = [name for name, way in WAYS_IN.items() if not way.has_accounts]
"""One way into each source."""


def new_page(size: int = 0) -> bytes:
    """Return a page that no other one is equal to, with *size* bytes more than it needs."""
    return page(uuid.uuid4().hex.encode(), size)


def recipient(label: str) -> str:
    """Return the address of a destination: `scans-anna@scan.example`."""
    return f"{'-'.join(re.findall('[a-z]+', label.lower()))}@{DOMAIN}"


def base64_of(text: str) -> str:
    """Return a text as clients send it that prove an account."""
    return base64.b64encode(text.encode()).decode()
