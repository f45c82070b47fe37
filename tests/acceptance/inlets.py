"""One server with an inlet of each shipped source, three users with accounts, and clients that send scans to it.

A `WayIn` is an inlet and one of the proofs that its source declares. Each client sends what a test wants, byte for
byte, and returns the reply of the protocol.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import re
import socket
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import certificates
import commands
import psutil
from acceptance.scanning import instructions
from acceptance.server import Server, Tables, running
from certificates import Authority, sid_extension
from device import Device
from ftp_client import FtpClient
from ftp_inlets import own_port
from hashers import RecordingHasher
from mail_inlet import RawClient, mail, page, stuffed
from messages import INSTRUCTIONS, PROCESS
from plugin_names import unused
from sourced import ADMIN, GUID
from works import PATIENCE, until

from postscan.core.model.job import Job
from postscan.core.service.inlets import InletRow

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

IMAGE_BYTES = 16 << 20


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


class InletServer:
    """The server and its clients.

    Its inlets are `scans` (the folder `watched`), `mail`, `ftp`, `web` and, without TLS, `plain`.
    """

    def __init__(self, server: Server, watched: Path, authority: Authority) -> None:
        self.server = server
        self.watched = watched
        self.authority = authority
        self._trusted = certificates.client(server.home, authority)
        self._trusted.check_hostname = False  # clients of SMTP name no host
        self._ports: dict[str, int] = {}

    # --- the server's side ---------------------------------------------------------------------------------------

    def await_ready(self) -> None:
        """Wait until each inlet takes scans."""

        def rows() -> Mapping[str, InletRow]:
            return self.server.works.core.inlets.list(ADMIN)

        until(lambda: all(row.state == "ready" and row.detail for row in rows().values()), "for the inlets to be ready")
        numbers = {name: re.findall(r"\d+", row.detail) for name, row in rows().items() if name != "scans"}
        self._ports = {name: int(found[-1]) for name, found in numbers.items()}

    def tokens_of(self, content: bytes) -> list[str]:
        """Return the tokens of the jobs that have a page with this content."""
        sha256 = hashlib.sha256(content).hexdigest()
        return [token for (token,) in self.rows("select token from document where sha256 = ?", sha256)]

    def job_of(self, content: bytes) -> Job | None:
        """Return the job that has a page with this content; None if there is none."""
        tokens = self.tokens_of(content)
        assert len(tokens) < 2, tokens
        return self.job(tokens[0]) if tokens else None

    def job(self, token: str) -> Job:
        """Return a job."""
        return self.server.works.service.job(token, ADMIN)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows of the database."""
        path = self.server.settings.storage.data_dir / "postscan.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as database:
            return database.execute(query, values).fetchall()

    def process(self, inlet: str) -> psutil.Process:
        """Return the process of the source of an inlet: the one that works in the folder of the inlet."""
        for child in psutil.Process(self.server.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if Path(child.cwd()).name.startswith(f"source-{inlet}-"):
                    return child
        raise AssertionError(f"{inlet} has no process")

    # --- administrators and devices ------------------------------------------------------------------------------

    def command(self, *arguments: str) -> str:
        """Run `postscan` as an administrator; return what it prints."""
        return commands.run(["--config", str(self.server.home / "postscan.toml"), *arguments], check=True).stdout

    def shown(self, token: str) -> dict[str, Any]:
        """Return what `postscan jobs show` says of a job."""
        record: dict[str, Any] = json.loads(self.command("jobs", "show", token, "--json"))
        return record

    def certified(self, sid: str) -> Device:
        """Return a device of WS-DSP that shows a certificate of this user; "" for one of the device itself."""
        shown = self.authority.issue("somebody", also=[sid_extension(sid)] if sid else [])
        return Device(self.server.url, sid or ANNA, tls=certificates.client(self.server.home, self.authority, shown))

    def anonymous(self, claimed: str) -> Device:
        """Return a device of WS-DSP without a certificate, at the address of a sender, that claims this user."""
        trusting = certificates.client(self.server.home, self.authority)
        return Device(self.server.url, claimed, DEVICE, tls=trusting)

    # --- senders -------------------------------------------------------------------------------------------------

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
    send: Callable[[InletServer, Scan], InletReply]
    refusal: int

    @property
    def has_accounts(self) -> bool:
        """Whether its senders prove an account."""
        return self.proof in ("clear", "password")


WAYS_IN = {
    "folder, local": WayIn("scans", "local", InletServer.put_file, 550),
    "mail, device": WayIn("mail", "device", InletServer.mail, 554),
    "mail, clear": WayIn("mail", "clear", InletServer.mail, 554),
    "mail, password": WayIn("mail", "password", partial(InletServer.mail, secure=True), 554),
    "ftp, device": WayIn("ftp", "device", InletServer.ftp, 550),
    "ftp, clear": WayIn("ftp", "clear", InletServer.ftp, 550),
    "ftp, password": WayIn("ftp", "password", partial(InletServer.ftp, secure=True), 550),
    "web, device": WayIn("web", "device", partial(InletServer.put, secure=True), 403),
    "web, clear": WayIn("plain", "clear", InletServer.put, 403),
    "web, password": WayIn("web", "password", partial(InletServer.put, secure=True), 403),
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


@contextlib.contextmanager
def serving(home: Path, *filters: str) -> Iterator[InletServer]:
    """Run a server whose destinations have these filters, and one slot for them; all its inlets take scans."""
    authority = Authority()
    watched = home / "watched"
    for label in (*LABELS.values(), OWN):
        (watched / label).mkdir(parents=True)
    with running(home, _tables(home, watched, authority)) as server:
        xml = PROCESS.replace(INSTRUCTIONS, instructions(*filters))
        server.processes.add(xml.encode(), display_name="Scans", users=(), identifier=GUID)
        made = InletServer(server, watched, authority)
        made.await_ready()
        yield made
    assert server.tracebacks() == []


def _tables(home: Path, watched: Path, authority: Authority) -> Tables:
    hashed = RecordingHasher().hash
    accounts = {**USERS, PANEL: CARL}
    destinations = {**{name: (LABELS[sid], sid) for name, sid in USERS.items()}, "own": (OWN, "")}
    return {
        "plugins": {"disabled": unused("fileshare", "folder", "ftp", "smtp", "web")},
        "storage": {"busy_seconds": PATIENCE},
        "running": {"slots": 1, "term_seconds": 0.3},
        "limits": {"image_bytes": IMAGE_BYTES, "wrong_passwords": 1000, "all_wrong_passwords": 1000},
        "tls": certificates.server_table(home, authority, mode="server"),
        **{f'users."{sid}"': {"name": f"{name}@fabrikam.example"} for name, sid in USERS.items()},
        **{f"accounts.{name}": {"hash": hashed(PASSWORDS[name]), "user": sid} for name, sid in accounts.items()},
        **{
            f"destinations.{name}": {"label": label, "process": GUID, "user": sid}
            for name, (label, sid) in destinations.items()
        },
        **_inlets(watched, str(authority.server().write(home, "inlets"))),
    }


def _inlets(watched: Path, certificate: str) -> dict[str, dict[str, Any]]:
    devices = {"devices": [DEVICE]}
    both = {"certificate": certificate, "allow_clear": True, **devices}
    tables = {
        "scans": {"plugin": "folder", "folder": str(watched), "quiet_seconds": 0.1},
        "mail": {"plugin": "smtp", "port": 0, "tls": "starttls", "domains": [DOMAIN], **both},
        "ftp": {"plugin": "ftp", "port": own_port(), **both},
        "web": {"plugin": "web", "port": 0, "certificate": certificate, **devices},
        "plain": {"plugin": "web", "port": 0, "allow_clear": True, **devices},
    }
    panels = {f"sources.{name}.accounts": {PANEL: "*"} for name in tables if name != "scans"}
    return {**{f"sources.{name}": table for name, table in tables.items()}, **panels}
