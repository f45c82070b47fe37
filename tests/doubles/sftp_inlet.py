"""The source SFTP before the server's double, and a client of the library for what other clients never send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import source_server
from free_ports import free_port
from ftp_inlets import JPEG, PDF, PNG, TIFF
from source_server import SourceServer
from works import PATIENCE

from postscan.plugins.sources.sftp import SftpSource
from postscan.plugins.testing.sources.server import BroughtJob

__all__ = ["ACCOUNT", "JPEG", "PASSWORD", "PDF", "PNG", "TIFF", "SftpInlet", "running"]

ACCOUNT = "anna"
PASSWORD = "right-horse"
KNOWN = {JPEG: "scan.jpg", PNG: "scan.png", TIFF: "scan.tif", PDF: "scan.pdf"}

Result = TypeVar("Result")


class SftpInlet:
    """A running source: its port, and what the server behind it has."""

    def __init__(self, server: SourceServer, port: int) -> None:
        self.server = server
        self.port = port

    @property
    def jobs(self) -> list[BroughtJob]:
        """The jobs that are stored."""
        return self.server.in_state("Pending")

    @property
    def pages(self) -> list[bytes]:
        """Their pages, one after another."""
        return [page for job in self.jobs for page in job.pages]

    @property
    def files(self) -> list[str]:
        """The files that are left in the workdir."""
        return sorted(path.name for path in self.server.started.workdir.iterdir())

    def reasons(self, message: str = "upload refused") -> list[str]:
        """Return the reasons of all log lines with this message."""
        return [line.fields.get("reason", "") for line in self.server.log if line.message == message]

    @contextlib.asynccontextmanager
    async def connected(self, **about: Any) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Connect and log in, by the password unless *about* has another way."""
        how = {"username": ACCOUNT, "password": PASSWORD, "client_keys": None, **about}
        async with asyncssh.connect("127.0.0.1", self.port, known_hosts=None, config=None, **how) as connection:
            yield connection

    def with_sftp(self, use: Callable[[asyncssh.SFTPClient], Awaitable[Result]], **about: Any) -> Result:
        """Log in, and return what *use* returns."""

        async def session() -> Result:
            async with self.connected(**about) as connection, connection.start_sftp_client() as sftp:
                return await use(sftp)

        return asyncio.run(asyncio.wait_for(session(), PATIENCE))

    def put(self, content: bytes, path: str, **about: Any) -> None:
        """Send a file; raise `SFTPError` if its close is answered by an error."""

        async def send(sftp: asyncssh.SFTPClient) -> None:
            async with sftp.open(path, "wb") as file:
                await file.write(content)

        self.with_sftp(send, **about)


def host_key(folder: Path) -> Path:
    """Return a file with a key: an inlet that has none makes one of RSA as well, which takes a second or two."""
    path = folder / "given_host_key"
    if not path.exists():
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(path)
    return path


@contextlib.contextmanager
def running(
    folder: Path, *, devices: tuple[str, ...] = (), home: Path | None = None, **settings: Any
) -> Iterator[SftpInlet]:
    """Run the source in a thread, with two destinations and an account."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    settings.setdefault("host_key", str(host_key(folder)))
    with source_server.running(
        SftpSource(),
        home or folder,
        {"port": port, **settings},
        destinations=("Invoices", "Letters"),
        accounts={ACCOUNT: PASSWORD},
        devices=devices,
        examined=True,
    ) as server:
        server.wait_for(lambda: server.health or server.end)
        assert server.health, server.end
        yield SftpInlet(server, port)
