"""The servers for comparison with inlets: each stores what comes as a file, syncs it, and acknowledges it.

python -m bench.bare_inlets smtp PORT FOLDER   aiosmtpd, which keeps a mail in memory; a thread writes its file
python -m bench.bare_inlets ftp PORT FOLDER    pyftpdlib, which writes to the file as bytes come
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

USER = "bench"


def main() -> None:
    """Serve until this process is ended."""
    kind, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    logging.basicConfig(level=logging.ERROR)
    folder.mkdir()
    if kind == "smtp":
        asyncio.run(serve_smtp(port, folder))
    else:
        serve_ftp(port, folder)


async def serve_smtp(port: int, folder: Path) -> None:
    """Serve SMTP: a mail is acknowledged when its file is synced."""
    from aiosmtpd.smtp import SMTP

    async def store(_server: Any, _session: Any, envelope: Any) -> str:
        await asyncio.to_thread(write, folder / uuid.uuid4().hex, envelope.content)
        return "250 OK"

    hooks = SimpleNamespace(handle_DATA=store)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(hooks, hostname="bare", loop=loop), "127.0.0.1", port)
    await server.serve_forever()


def write(path: Path, content: bytes) -> None:
    """Write a file, and sync it."""
    with path.open("xb", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())


def serve_ftp(port: int, folder: Path) -> None:
    """Serve FTP: a file is acknowledged when it is synced, since pyftpdlib replies after it has closed the file."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    class SyncedFile(io.FileIO):
        """A file that is synced when it is closed."""

        def close(self) -> None:
            if not self.closed:
                os.fsync(self.fileno())
            super().close()

    class SyncedFiles(AbstractedFS):  # type: ignore[misc]  # pyftpdlib ships no types
        """The folder of the user."""

        def open(self, filename: str, mode: str) -> SyncedFile:
            return SyncedFile(filename, mode.replace("b", ""))

    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, USER, str(folder), perm="elmw")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer, "abstracted_fs": SyncedFiles})
    FTPServer(("127.0.0.1", port), handler).serve_forever()


if __name__ == "__main__":
    main()
