"""A server with three owners and an administrator in front of it, in strong mode and in weak mode."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import certificates
from acceptance import test_owner_matrix as matrix
from acceptance.scanning import good, instructions
from acceptance.server import Server, running
from acceptance.test_owner_matrix import House
from certificates import Authority, sid_extension
from device import Device
from threats import administration

ROOT = "S-1-5-21-1-2-3-1500"
Mode = Callable[[Path, Authority], list[dict[str, object]]]


@dataclass
class Office:
    """A server with three owners and an administrator in front of it; `proven` is how the trail names that one."""

    server: Server
    owners: list[Device]
    administrator: Device
    proven: str

    @cached_property
    def house(self) -> House:
        """The house of the owner matrix: jobs of each owner, and nothing moves."""
        made = House(self.server, self.owners)
        made.take_the_slot()
        return made


@contextlib.contextmanager
def open_office(folder: Path, mode: Mode) -> Iterator[Office]:
    """Open one: the administrator is a user with a SID in strong mode, a certificate without one in weak mode."""
    ca, strong = Authority(), mode is matrix.strong
    shown = ca.issue("root", also=[sid_extension(ROOT)] if strong else [])
    tables = {
        "tls": certificates.server_table(folder, ca, mode="client" if strong else "server"),
        "running": {"slots": 1, "term_seconds": 0.3},
        "identity": {"administrators": [ROOT if strong else administration.named(shown)]},
        **{f'users."{sid}"': {"name": f"user{sid[-4:]}@fabrikam.example"} for sid in (*matrix.SIDS, ROOT)},
    }
    with running(folder, tables) as server:
        owners = [Device(server.url, **more) for more in mode(folder, ca)]
        administrator = Device(server.url, user=ROOT, tls=certificates.client(folder, ca, shown))
        yield Office(server, owners, administrator, f"user:{ROOT}" if strong else administration.by_key(shown))
    assert server.tracebacks() == []


def scanned(server: Server, owner: Device, *filters: str) -> str:
    """Scan a page at the owner's device, and return the token of its job."""
    asked = instructions(*filters or ("copy",))
    token = good(owner.create(server.store(asked), asked)).find("JobToken") or ""
    good(owner.send_image(token, 1, b"a page"))
    good(owner.end(token))
    return token


def cancelled(server: Server, owner: Device) -> str:
    """Make a job that ends at once, and return its token."""
    asked = instructions("copy")
    token = good(owner.create(server.store(asked), asked)).find("JobToken") or ""
    good(owner.cancel(token))
    return token
