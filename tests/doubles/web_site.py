"""A running web source: a real socket at each side, its clients, and the server's double behind it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import source_server
from certificates import SERVER, Authority
from cryptography import x509
from source_server import SourceServer
from works import PATIENCE

from postscan.plugins.sources.web import Web

ANN = ("ann", "pass word:ä")
BOB = ("bob", "secret")


@dataclass
class WebSite:
    """A running inlet: its address, the server's double, and a client for each sender."""

    url: str
    server: SourceServer
    context: ssl.SSLContext | bool
    stack: contextlib.ExitStack

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return httpx2.URL(self.url).port or 0

    def client(self, account: tuple[str, str] | None = None, **options: Any) -> httpx2.Client:
        """Return a client that proves itself as this account, or not at all."""
        client = httpx2.Client(base_url=self.url, auth=account, verify=self.context, timeout=PATIENCE, **options)
        return self.stack.enter_context(client)

    def wait_for_logged(self, reason: str) -> None:
        """Wait until a line of the log has this text in one of its fields."""
        self.server.wait_for(lambda: any(reason in text for line in self.server.log for text in line.fields.values()))


StartSite = Callable[..., WebSite]


@dataclass(frozen=True)
class LoopbackTls:
    """A certificate for loopback in a file, and the context of a client that trusts it."""

    file: Path
    context: ssl.SSLContext


def loopback_tls(folder: Path) -> LoopbackTls:
    """Make a certificate for loopback."""
    authority = Authority()
    names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
    file = authority.issue("scans", usage=(SERVER,), names=names).write(folder, "web")
    context = ssl.create_default_context(cafile=str(authority.write(folder, "ca")))
    return LoopbackTls(file, context)


@contextlib.contextmanager
def starting(tmp_path: Path, tls: LoopbackTls) -> Iterator[StartSite]:
    """Yield a function that starts an inlet: with `settings` of the source, and other fields of `InletStarted`."""
    with contextlib.ExitStack() as stack:

        def start(
            *, secure: bool = False, destinations: tuple[str, ...] = ("Scans", "Invoices (Ann)"), **about: Any
        ) -> WebSite:
            settings = {"port": 0, **about.pop("settings", {})}
            if secure:
                settings["certificate"] = str(tls.file)
            about.setdefault("devices", () if secure else ("127.0.0.1",))
            accounts = dict([ANN, BOB])
            running = source_server.running(
                Web(), tmp_path, settings, destinations=destinations, accounts=accounts, **about
            )
            server = stack.enter_context(running)
            server.wait_for(lambda: server.health)
            url = server.health[0][1].rpartition(" ")[2]
            return WebSite(url, server, tls.context if secure else True, stack)

        yield start
