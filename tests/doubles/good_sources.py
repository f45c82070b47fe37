"""Two sources that keep the contract, and their origins: a folder that is watched, and a protocol of lines over TCP.

The protocol: `ID name`, then `DATA n` with n bytes behind it, any number of times, then `END` or `CANCEL`; the answer
is `stored`, `again` or `refused`. What ends otherwise is a half.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import socketserver
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import source_server

from postscan.plugins import (
    Busy,
    CancellationToken,
    Ended,
    PageWriter,
    Refused,
    Source,
    SourceContext,
    SourceJob,
    Taken,
    setting,
)
from postscan.plugins.testing import Origin


@dataclass(frozen=True)
class BasketSettings:
    """Where to look."""

    folder: str
    every: float = 0.02
    phrase: str = setting(default="swordfish", secret=True)


class Basket(Source):
    """Take each file of a folder when it has its last name."""

    title = "Basket"
    proofs = ("local",)
    Settings = BasketSettings

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Look until the stop."""
        while not token.wait(inlet.settings.every):
            for path in sorted(Path(inlet.settings.folder).glob("*.png")):
                self.take(inlet, path)

    def take(self, inlet: SourceContext, path: Path) -> None:
        """Make a job of one file, and remove it when that is stored."""
        try:
            with self.job(inlet, path) as job, job.page() as page, path.open("rb") as file:
                while data := file.read(500):
                    page.write(data)
        except Busy:
            return
        except (Taken, Ended):
            pass
        except Refused as error:
            inlet.log("file refused", "warning", file=path.name, reason=error)
            self.refused(path)
            return
        path.unlink()

    def refused(self, path: Path) -> None:
        """Put a refused file aside: it is a document all the same."""
        path.rename(path.with_name(f"{path.name}.refused"))

    def job(self, inlet: SourceContext, path: Path) -> SourceJob:
        """Return the job of one file."""
        found = path.stat()
        key = f"{found.st_dev}:{found.st_ino}:{found.st_mtime_ns}:{found.st_size}"
        return inlet.job(key, inlet.destinations[0], "local", str(path.parent), path.name)


class Files(Origin):
    """Puts files into the folder of a basket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._last = folder / "none"

    def bring(self, page: bytes) -> None:
        """Write under another name first."""
        part = self._folder / "new.part"
        part.write_bytes(page)
        self._last = self._folder / f"{next(self._numbers)}.png"
        part.rename(self._last)

    def cut(self, page: bytes, size: int) -> None:
        """Stop writing before the file has its name."""
        self._last = self._folder / f"{next(self._numbers)}.part"
        self._last.write_bytes(page[:size])
        self._whole = page

    def again(self) -> None:
        """The basket looks again by itself, unless the file is none yet."""
        if self._last.suffix == ".part":
            self._last.write_bytes(self._whole)
            self._last = self._last.rename(self._last.with_suffix(".png"))

    def acknowledged(self) -> bool:
        """A file that was taken is gone: neither there nor refused."""
        return not list(self._folder.glob(f"{self._last.name}*"))


@dataclass(frozen=True)
class DeskSettings:
    """Where to listen."""

    port: int
    phrase: str = setting(default="swordfish", secret=True)


class Desk(Source):
    """Take pages by a protocol of lines."""

    title = "Desk"
    proofs = ("device",)
    grace = 1.0
    Settings = DeskSettings

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Listen until the stop."""
        desk = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.wfile.write(desk.answer(inlet, self.rfile).encode() + b"\n")

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        with socketserver.ThreadingTCPServer(("127.0.0.1", inlet.settings.port), Handler) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            while not token.wait(1.0):
                pass
            server.shutdown()

    def answer(self, inlet: SourceContext, lines: BinaryIO) -> str:
        """Take one origin; return what it hears."""
        try:
            self.take(inlet, lines)
        except (Busy, Ended):
            return "again"
        except Taken:
            return "stored"
        except Refused:
            return "refused"
        return "stored"

    def take(self, inlet: SourceContext, lines: BinaryIO) -> None:
        """Make a job of one origin."""
        name = lines.readline().decode().removeprefix("ID ").strip()
        with self.job(inlet, name) as job, job.page(whole=True) as page:
            self.read(lines, job, page)

    def job(self, inlet: SourceContext, name: str) -> SourceJob:
        """Return the job of one origin."""
        return inlet.job(name, inlet.destinations[0], "device", "127.0.0.1", name)

    def read(self, lines: BinaryIO, job: SourceJob, page: PageWriter) -> None:
        """Read a page to its end mark."""
        while (line := lines.readline()) != b"END\n":
            if line == b"CANCEL\n":
                job.cancel("cancelled at the origin")
                raise ConnectionError("cancelled")
            size = int(line.removeprefix(b"DATA ") or -1)
            data = lines.read(size) if size > 0 else b""
            if len(data) != size:
                raise ConnectionError("the origin broke off")
            page.write(data)


class Client(Origin):
    """A client of a desk."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = itertools.count(1)
        self._name = ""
        self._page = b""
        self._answer = ""

    def bring(self, page: bytes) -> None:
        """Bring a page under a new name."""
        self._name, self._page, self._answer = f"scan-{next(self._numbers)}", page, ""
        self._send(page, b"END\n")

    def cut(self, page: bytes, size: int) -> None:
        """Close the connection in the middle."""
        self._name, self._page, self._answer = f"scan-{next(self._numbers)}", page, ""
        self._send(page[:size], b"", size + 1)

    def again(self) -> None:
        """Bring the same once more."""
        self._send(self._page, b"END\n")

    def acknowledged(self) -> bool:
        """Whether it was told so."""
        return self._answer == "stored"

    def cancel(self, page: bytes) -> None:
        """Cancel before the end."""
        self._name, self._page, self._answer = f"scan-{next(self._numbers)}", page, ""
        self._send(page, b"CANCEL\n")

    def _send(self, data: bytes, end: bytes, announced: int = 0) -> None:
        with contextlib.suppress(OSError), source_server.connected(self._port) as connection:
            connection.sendall(f"ID {self._name}\nDATA {announced or len(data)}\n".encode() + data + end)
            connection.shutdown(socket.SHUT_WR)
            self._answer = connection.makefile().readline().strip() or self._answer
