"""One server with an inlet of each shipped source, and three users with accounts, destinations and certificates."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certificates
import commands
import psutil
from acceptance.scanning import instructions
from acceptance.server import Server, Tables, running
from acceptance.ways_in import ANNA, CARL, DEVICE, DOMAIN, LABELS, OWN, PANEL, PASSWORDS, USERS, InletClients
from certificates import Authority, sid_extension
from device import Device
from ftp_inlets import own_port
from hashers import RecordingHasher
from messages import INSTRUCTIONS, PROCESS
from plugin_names import unused
from sourced import ADMIN, GUID
from works import PATIENCE, until

from postscan.core.model.job import Job

IMAGE_BYTES = 16 << 20


class InletServer(InletClients):
    """The server, and the clients in front of its inlets, once each of these takes scans."""

    def __init__(self, server: Server, watched: Path, authority: Authority) -> None:
        trusted = certificates.client(server.home, authority)
        trusted.check_hostname = False  # clients of SMTP name no host
        super().__init__(watched, _ports(server), trusted)
        self.server = server
        self.authority = authority

    def tokens_of(self, content: bytes) -> list[str]:
        """Return the tokens of the jobs that have a page with this content."""
        sha256 = hashlib.sha256(content).hexdigest()
        return [token for (token,) in self.rows("select token from document where sha256 = ?", sha256)]

    def job_of(self, content: bytes) -> Job | None:
        """Return the job that has a page with this content; None if there is none."""
        tokens = self.tokens_of(content)
        assert len(tokens) < 2, tokens
        return self.job(tokens[0]) if tokens else None

    def user_of(self, content: bytes) -> str | None:
        """Return the SID of the user for whom a page is; None if there is no job of it."""
        job = self.job_of(content)
        return job.user.sid if job is not None else None

    def job(self, token: str) -> Job:
        """Return a job."""
        return self.server.works.service.job(token, ADMIN)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows of the database."""
        path = self.server.settings.storage.data_dir / "postscan.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as database:
            return database.execute(query, values).fetchall()

    def process(self, inlet: str) -> psutil.Process:
        """Return the process of the source of an inlet."""
        return psutil.Process(self.server.source(inlet))

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

    def check_users(self) -> None:
        """Fail for a job whose user is neither that of its destination nor, where that has none, its account's."""
        allowed = {**{name: {sid} for name, sid in USERS.items()}, "own": set(USERS.values())}
        query = "select destination, account, user_sid from job join origin on origin.token = job.token"
        for destination, account, sid in self.rows(query):
            assert sid in allowed[destination], (destination, account, sid)
            assert account in ("", PANEL) or USERS[account] == sid, (destination, account, sid)


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
        site = InletServer(server, watched, authority)
        yield site
        site.check_users()
    assert server.tracebacks() == []


def _ports(server: Server) -> dict[str, int]:
    """Wait until each inlet takes scans; return the ports of those that have one, as their states name them."""
    inlets = server.works.core.inlets
    until(lambda: all(row.state == "ready" and row.detail for row in inlets.list(ADMIN).values()), "for the inlets")
    found = {name: re.findall(r"\d+", row.detail) for name, row in inlets.list(ADMIN).items() if name != "scans"}
    return {name: int(numbers[-1]) for name, numbers in found.items()}


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
