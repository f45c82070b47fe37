"""The contract of sources, driven by a client that uploads, breaks off and comes again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
from free_ports import free_port
from sftp_inlet import host_key

from postscan.plugins.sources.sftp import SftpSource
from postscan.plugins.testing import Origin, assert_source_contract


class Device(Origin):
    """A device that uploads one page in a session; every second one that breaks off closes its file before."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = itertools.count(1)
        self._closes = itertools.cycle([True, False])
        self._last = (0, b"")
        self._acknowledged = False

    def bring(self, page: bytes) -> None:
        """Upload a page under a new name."""
        self._last, self._acknowledged = (next(self._numbers), page), False
        self.again()

    def again(self) -> None:
        """Upload the last page again."""

        async def upload(sftp: asyncssh.SFTPClient) -> None:
            async with sftp.open(self._name, "wb") as file:
                await file.write(self._last[1])
            self._acknowledged = True

        self._in_session(upload)

    def cut(self, page: bytes, size: int) -> None:
        """Send a part of it; then leave, or close the file as an interrupted client of OpenSSH does."""
        self._last, self._acknowledged = (next(self._numbers), page), False

        async def break_off(sftp: asyncssh.SFTPClient) -> None:
            file = await sftp.open(self._name, "wb")
            await file.write(page[:size])
            if next(self._closes):
                await file.close()
                self._acknowledged = True

        self._in_session(break_off)

    def acknowledged(self) -> bool:
        """Whether the close of the last file was answered by a success."""
        return self._acknowledged

    @property
    def _name(self) -> str:
        return f"/Scans/{self._last[0]}.png"

    def _in_session(self, use: Callable[[asyncssh.SFTPClient], Awaitable[None]]) -> None:
        """Log in; the source may just be starting, or die meanwhile."""

        async def session() -> None:
            about = {"username": "anonymous", "known_hosts": None, "config": None, "client_keys": None}
            async with (
                asyncssh.connect("127.0.0.1", self._port, **about) as connection,
                connection.start_sftp_client() as sftp,
            ):
                await use(sftp)

        with contextlib.suppress(OSError, asyncssh.Error, TimeoutError):
            asyncio.run(asyncio.wait_for(session(), 30))


def test_the_contract_of_sources_is_kept(tmp_path: Path) -> None:
    """Killed, refused, stopped and cancelled at each step, and cut at some bytes."""
    port = free_port()
    settings = {"port": port, "host_key": str(host_key(tmp_path))}
    assert_source_contract(SftpSource(), Device(port), settings=settings, cuts=12, devices=("127.0.0.0/8",))
