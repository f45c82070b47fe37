"""The contract of sources, driven by a client that uploads, breaks off and comes again."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable

import pytest
from ftp_client import FtpClient, end, reset
from ftp_inlets import own_port

from postscan.plugins.sources.ftp import FtpSource
from postscan.plugins.testing import Origin, assert_source_contract


class Device(Origin):
    """A device that uploads one page in a session; with *renames* it does so under a temporary name first."""

    def __init__(self, port: int, *, renames: bool) -> None:
        self._port = port
        self._renames = renames
        self._numbers = itertools.count(1)
        self._ends = itertools.cycle([end, reset])
        self._last = (0, b"")
        self._acknowledged = False

    def bring(self, page: bytes) -> None:
        """Upload a page under a new name."""
        self._last, self._acknowledged = (next(self._numbers), page), False
        self.again()

    def cut(self, page: bytes, size: int) -> None:
        """Switch the device off: some kernels end their connections, others reset them."""
        self._last, self._acknowledged = (next(self._numbers), page), False

        def break_off(client: FtpClient) -> None:
            with client.begin(f"STOR {self._name}") as connection:
                connection.sendall(page[:size])
                next(self._ends)(connection)
            self._acknowledged = client.reply().startswith("226") and not self._renames

        self._in_session(break_off)

    def again(self) -> None:
        """Upload the last page again, and rename it."""

        def upload(client: FtpClient) -> None:
            reply = client.store(self._name, self._last[1])
            if self._renames and reply.startswith("226"):
                client.do(f"RNFR {self._name}")
                reply = client.do(f"RNTO {self._name.removesuffix('.tmp')}")
                self._acknowledged |= reply.startswith("250")
            elif not self._renames:
                self._acknowledged |= reply.startswith("226")

        self._in_session(upload)

    def acknowledged(self) -> bool:
        """Whether the last reply says so."""
        return self._acknowledged

    def cancel(self, page: bytes) -> None:
        """Upload a page, and abort it."""

        def abort(client: FtpClient) -> None:
            with client.begin("STOR /Scans/aborted.png") as connection:
                connection.sendall(page)
                client.do("ABOR")

        self._in_session(abort)

    @property
    def _name(self) -> str:
        return f"/Scans/{self._last[0]}.png" + (".tmp" if self._renames else "")

    def _in_session(self, use: Callable[[FtpClient], object]) -> None:
        """Log in; the source may just be starting, or die meanwhile, so any reply may be missing."""
        with contextlib.suppress(OSError, AssertionError, TypeError), self._connected() as client:
            use(client)

    def _connected(self) -> FtpClient:
        until = time.monotonic() + 10
        while True:
            try:
                return FtpClient(self._port)
            except ConnectionRefusedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)


@pytest.mark.parametrize("renames", [False, True], ids=["stored", "renamed"])
def test_the_contract_of_sources_is_kept(renames):
    """Killed, refused, stopped and cancelled at each step, and cut at some bytes."""
    port = own_port()
    assert_source_contract(
        FtpSource(),
        Device(port, renames=renames),
        settings={"port": port},
        cuts=24,
        devices=("127.0.0.0/8",),
    )
