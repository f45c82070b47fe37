"""The source FTP before the server's double, and files for it to receive."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certificates
import img2pdf
import source_server
from ftp_client import FtpClient
from PIL import Image
from works import until

from postscan.core.filters.source.messages import (
    InletBusy,
    OpenRequest,
    PageRequest,
    PasswordRequest,
    Reply,
    Request,
    RequestRefused,
    SourceFailed,
    SourceFinished,
    SourceLogLine,
)
from postscan.core.model.formats.test_page import png
from postscan.plugins.sources.ftp import FtpSource

DESTINATIONS = ("Invoices", "Letters")
ACCOUNTS = {"anna": "right-horse"}
DEVICES = ("127.0.0.0/8",)


def _picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", (160, 120), bytes(range(256)) * 225).save(file, kind)
    return file.getvalue()


PNG = png(3)
JPEG = _picture("JPEG")
TIFF = _picture("TIFF")
PDF: bytes = img2pdf.convert(JPEG)


@dataclass(frozen=True)
class FtpJob:
    """A job that is stored, with its destination's label."""

    id: str
    destination: str
    name: str
    proof: str
    subject: str
    account: str
    remember_seconds: float
    pages: list[bytes]
    whole: list[bool]


class FtpInlet:
    """A running source: its ports, and what the server behind it has and says."""

    def __init__(
        self, server: source_server.SourceServer, table: dict[str, Any], accounts: dict[str, str], trusted: Path
    ) -> None:
        self.server = server
        self.trusted_file = trusted
        self.trusted = ssl.create_default_context(cafile=str(trusted))
        self.accounts = accounts
        self.port: int = table["port"]
        self.implicit_port: int = table.get("implicit_port", 0)
        self._read = 0
        self._held, self._released = threading.Semaphore(0), threading.Event()
        self._released.set()
        self._answer: dict[str, Any] | None = None
        server.on_request = self._on_request

    # --- what the server has

    @property
    def jobs(self) -> list[FtpJob]:
        """The jobs that are stored."""
        labels = {one.id: one.label for one in self.server.started.destinations}
        return [
            FtpJob(
                job.id,
                labels[job.request.destination],
                job.request.name,
                job.request.proof,
                job.request.subject,
                job.request.account,
                job.request.remember_seconds,
                job.pages,
                job.whole,
            )
            for job in self.server.in_state("Pending")
        ]

    @property
    def checked(self) -> list[tuple[str, str]]:
        """The accounts and passwords that the server was asked about."""
        return self.server.passwords

    @property
    def files(self) -> list[str]:
        """The files that are left in the workdir."""
        return sorted(one.name for one in self.server.started.workdir.iterdir())

    def wait_for_jobs(self, number: int) -> None:
        """Wait until so many jobs are stored."""
        self.server.wait_for_jobs(number)

    def wait_until_welcome(self) -> None:
        """Wait until a client of this machine gets a place."""

        def is_welcome() -> bool:
            with FtpClient(self.port, login=False) as client:
                return client.greeting.startswith("220")

        until(is_welcome)

    def wait_for_bytes(self, size: int) -> None:
        """Wait until a file of this size has arrived in the workdir."""

        def arrived() -> bool:
            with contextlib.suppress(FileNotFoundError):
                return any(one.stat().st_size >= size for one in self.server.started.workdir.iterdir())
            return False

        until(arrived, f"for {size} bytes")

    def upload_without_end(self, client: FtpClient) -> socket.socket:
        """Let a client send a whole file, and return its data connection when all has arrived: its end has not."""
        connection = client.begin("STOR /Invoices/scan.jpg")
        connection.sendall(JPEG)
        self.wait_for_bytes(len(JPEG))
        return connection

    def wait_for_line(self, message: str, **fields: str) -> SourceLogLine:
        """Return the next line of the log with this message and these fields; the lines before it are passed over."""
        found: list[SourceLogLine] = []

        def there() -> bool:
            while not found and self._read < len(self.server.log):
                line = self.server.log[self._read]
                self._read += 1
                if line.message == message and fields.items() <= line.fields.items():
                    found.append(line)
            return bool(found)

        self.server.wait_for(there)
        return found[0]

    # --- what the server says

    def be_busy(self, *, seconds: float = 30.0, full: bool = False) -> None:
        """Have no room for a job from now on."""
        self._answer = {"type": InletBusy, "seconds": seconds, "full": full}

    def refuse(self, reason: str) -> None:
        """Refuse every job from now on."""
        self._answer = {"type": RequestRefused, "reason": reason}

    def be_ready(self) -> None:
        """Take jobs again."""
        self._answer = None

    def hold(self) -> None:
        """Let pages and passwords wait until `release`, as a slow disk does."""
        self._released.clear()

    def wait_for_held(self) -> None:
        """Wait until a request waits."""
        assert self._held.acquire(timeout=60)

    def release(self) -> None:
        """Answer what waits, and what comes."""
        self._released.set()

    def _on_request(self, request: Request) -> Reply | None:
        if isinstance(request, PageRequest | PasswordRequest) and not self._released.is_set():
            self._held.release()
            self._released.wait(60)
        if isinstance(request, OpenRequest) and self._answer is not None:
            answer = dict(self._answer)
            return answer.pop("type")(id=request.id, **answer)  # type: ignore[no-any-return]
        return None


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 6
_ports = itertools.cycle(range(20_000 + 2_000 * _WORKER, 22_000 + 2_000 * _WORKER))


def own_port() -> int:
    """Return a port on which nothing listens, and which no other process of these tests returns.

    It is below those that the kernel gives to connections meanwhile.
    """
    for port in _ports:
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the ports are a circle")


class FtpInlets:
    """Starts inlets, one after another or at once, each in a folder of its own, with one certificate for all."""

    def __init__(self, folder: Path, opened: contextlib.ExitStack) -> None:
        self._folder = folder
        self._opened = opened
        self._number = 0
        self._authority = certificates.Authority("scans")
        self.certificate = str(self._authority.server().write(folder, "server"))
        self._trusted = self._authority.write(folder, "trusted")

    def __call__(
        self,
        *,
        devices: tuple[str, ...] = DEVICES,
        allow_clear: bool = False,
        destinations: tuple[str, ...] = DESTINATIONS,
        **settings: Any,
    ) -> FtpInlet:
        """Start a source with these settings, and return it once it listens."""
        table, accounts = self._table(settings), dict(ACCOUNTS)
        server = self._opened.enter_context(
            source_server.running(
                FtpSource(),
                self._new_folder(),
                table,
                destinations=destinations,
                accounts=accounts,
                devices=devices,
                allow_clear=allow_clear,
            )
        )
        inlet = FtpInlet(server, table, accounts, self._trusted)
        self._opened.callback(inlet.release)
        server.wait_for(lambda: server.health or server.end)
        assert server.health, server.end
        return inlet

    def refused(self, **settings: Any) -> SourceFinished | SourceFailed | None:
        """Start a source that cannot begin, and return how it ended."""
        table = self._table(settings)
        with source_server.running(FtpSource(), self._new_folder(), table, stops=False) as server:
            server.wait_for(lambda: server.end)
            return server.end

    def close(self) -> None:
        """Stop the sources."""
        self._opened.close()

    def _new_folder(self) -> Path:
        self._number += 1
        folder = self._folder / f"inlet-{self._number}"
        folder.mkdir()
        return folder

    def _table(self, settings: dict[str, Any]) -> dict[str, Any]:
        table = {"port": own_port(), "certificate": self.certificate, **settings}
        if table["certificate"]:
            table.setdefault("implicit_port", own_port())
        return table
