"""An engine with two inlets on a database of its own, and short words for what tests do with their jobs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conftest import AnyProcess
from works import instructions

from postscan.core.clock import Clock
from postscan.core.engine import Engine
from postscan.core.errors import StoredProcessInvalid
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.accounts.account import AccountUser
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof, of_source
from postscan.core.model.process import ScanProcess
from postscan.core.model.records import OriginProof
from postscan.core.service.job_users import Claim
from postscan.core.service.origins import Offer, OpeningState, Origins
from postscan.core.settings import Settings

ANNA = "S-1-5-21-1-2-3-1001"
GUID = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"
ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
ADDRESS = "10.0.0.9"
OWNER = of_source("mail", ADDRESS)


def picture(shade: int = 255, *, width: int = 8) -> bytes:
    """Return a PNG of one shade of grey."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, width, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([shade]) * width) * width)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class Processes(AnyProcess):
    """One stored scan process with one filter; tests say what is wrong with it."""

    def __init__(self) -> None:
        self.process: ScanProcess | None = ScanProcess(GUID, "Invoices", "", instructions("copy"))
        self.broken = ""
        self.scan_ticket = ScanTicket()

    def find(self, identifier: str) -> ScanProcess | None:
        """Return the process."""
        if self.broken:
            raise StoredProcessInvalid(self.broken)
        return self.process

    def ticket(self, identifier: str) -> ScanTicket:
        """Return the scan ticket."""
        if self.broken:
            raise StoredProcessInvalid(self.broken)
        return self.scan_ticket


class Passwords:
    """Accounts with passwords, in lower case; each stands for Anna."""

    def __init__(self, passwords: Mapping[str, str] | None = None) -> None:
        self.passwords = dict(passwords or {})
        self.error: Exception | None = None
        self.addresses: list[str] = []

    def verify(self, account: str, password: str, inlet: str, address: str = "") -> AccountUser | None:
        """Return the account if that is its password."""
        self.addresses.append(address)
        if self.error is not None:
            raise self.error
        return self.user_of(account, inlet) if self.passwords.get(account.lower()) == password else None

    def user_of(self, account: str, inlet: str) -> AccountUser | None:
        """Return the account."""
        return AccountUser(account.lower(), ANNA) if account.lower() in self.passwords else None


def with_sources(settings: Settings, url: str = "", **sources: Mapping[str, Any]) -> Settings:
    """Return settings with a destination for Anna, and inlets: `mail` and `ftp` unless others are given."""
    tables = {
        "destinations": {"invoices": {"label": "Invoices (Anna)", "process": GUID, "user": ANNA}},
        "sources": sources or {"mail": {"plugin": "smtp", "job_seconds": 30}, "ftp": {"plugin": "ftp"}},
    }
    storage = settings.storage.model_copy(update={"database": url})
    return settings.model_validate({**dict(settings), "storage": storage, **tables})


class Sources:
    """An engine that is not running, and the verbs of its inlets."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.processes = Processes()
        self.accounts = Passwords({"anna": "secret"})
        self.core = Engine(settings, self.processes, clock)
        core = self.core
        self.origins = Origins(
            settings, core.store, self.processes, core.filters, self.accounts, core.refusals, core.clock, core.users
        )
        self.origins.begin()
        (self.destination,) = self.origins.destinations("mail")
        self.offer = Offer("mail", "mail-1", self.destination, Claim(OriginProof.DEVICE, ADDRESS, ""), "Scan")

    def open(self, **changed: Any) -> str:
        """Open a job of an origin; return its token."""
        opening = self.origins.open(replace(self.offer, **changed))
        assert opening.state is OpeningState.OPENED
        return opening.token

    def send(self, token: str, number: int = 1) -> None:
        """Store a page of it."""
        with self.core.service.open_image(token, OWNER, number, "png") as image:
            image.write(b"page")

    def job(self, token: str) -> Job:
        """Return a job."""
        return self.core.service.job(token, ADMIN)

    def spooled(self) -> list[str]:
        """Return the keys of all files in the spool."""
        return [file.key for file in self.core.spool.files()]
