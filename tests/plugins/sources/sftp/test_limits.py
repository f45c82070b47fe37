"""What a client can take: connections, files, bytes, time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import asyncssh
import pytest
import sftp_inlet
from sftp_inlet import JPEG, PNG, SftpInlet
from works import PATIENCE, until

GONE = (asyncssh.Error, ConnectionError)  # and no TimeoutError, which is an OSError: that would be a test that waited


def greeted(inlet: SftpInlet) -> bool:
    """Return whether a new connection gets a greeting."""
    with socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as one, contextlib.suppress(OSError):
        return one.recv(255).startswith(b"SSH-2.0-postscan")
    return False


def test_connections_of_one_address_are_limited(tmp_path: Path) -> None:
    """T-S75: the next one has a place when another one has gone."""
    with sftp_inlet.running(tmp_path, connections_per_address=2) as inlet:
        first, second = (socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) for _ in range(2))
        assert first.recv(8) + second.recv(8) == b"SSH-2.0-" * 2
        assert not greeted(inlet)
        first.close()
        until(lambda: greeted(inlet))
        second.close()


def test_a_client_that_does_not_log_in_is_ended(tmp_path: Path) -> None:
    """T-S75."""
    with (
        sftp_inlet.running(tmp_path, login_seconds=0.3) as inlet,
        socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as silent,
    ):
        silent.settimeout(PATIENCE)
        while silent.recv(4096):
            pass


def test_a_client_that_sends_no_request_is_ended(tmp_path: Path) -> None:
    """T-S75."""
    with sftp_inlet.running(tmp_path, idle_seconds=0.3) as inlet:

        async def wait() -> None:
            async with inlet.connected() as connection:
                await connection.wait_closed()

        with contextlib.suppress(*GONE):
            asyncio.run(asyncio.wait_for(wait(), PATIENCE))
        inlet.put(JPEG, "/Invoices/scan.jpg")
        assert inlet.pages == [JPEG]


@pytest.mark.parametrize(
    "limits", [{"least_rate": 1 << 20, "data_seconds": 0.3}, {"transfer_seconds": 0.3}], ids=["rate", "time"]
)
def test_an_upload_that_takes_too_long_is_ended(tmp_path: Path, limits: dict[str, float]) -> None:
    """T-S75: nothing is left of it."""
    with sftp_inlet.running(tmp_path, **limits) as inlet:

        async def drip(sftp: asyncssh.SFTPClient) -> None:
            file = await sftp.open("/Invoices/slow.jpg", "wb")
            while True:  # for `PATIENCE` at most
                await file.write(b"\xff")
                await asyncio.sleep(0.02)

        with pytest.raises(GONE):
            inlet.with_sftp(drip)
        until(lambda: inlet.files == [])
        assert inlet.server.jobs == []


def test_files_are_limited_in_number_and_size(tmp_path: Path) -> None:
    """T-S75: of one connection, and of one sender; what was refused leaves nothing."""
    with sftp_inlet.running(tmp_path, files_per_connection=2, most_bytes=5_000, spool_bytes=10_000) as inlet:

        async def many(sftp: asyncssh.SFTPClient) -> None:
            opened = [await sftp.open(f"/Invoices/{number}.jpg", "wb") for number in range(2)]
            with pytest.raises(asyncssh.SFTPFailure, match="at most 2 files"):
                await sftp.open("/Invoices/3.jpg", "wb")
            with pytest.raises(asyncssh.SFTPFailure, match="may have 5,000 bytes"):
                await opened[0].write(bytes(5_001))
            await opened[1].write(bytes(4_000))
            third = await sftp.open("/Invoices/4.jpg", "wb")
            with pytest.raises(asyncssh.SFTPFailure, match="no room"):
                await third.write(bytes(4_000))

        inlet.with_sftp(many)
        until(lambda: inlet.files == [])
        inlet.put(PNG, "/Invoices/scan.png")
        assert inlet.pages == [PNG]


def test_folders_of_a_session_are_limited(inlet: SftpInlet) -> None:
    """T-S75: 64 of them."""

    async def make(sftp: asyncssh.SFTPClient) -> int:
        for number in range(100):
            try:
                await sftp.mkdir(f"/Invoices/{number}")
            except asyncssh.SFTPFailure:
                return number
        return 100

    assert inlet.with_sftp(make) == 64


def test_garbage_before_and_behind_the_login_ends_that_connection_alone(inlet: SftpInlet) -> None:
    """T-S75: others go on."""
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n" + bytes(100_000), b"\xff" * 100_000):
        with socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as one, contextlib.suppress(OSError):
            one.settimeout(PATIENCE)
            one.sendall(garbage)
            one.shutdown(socket.SHUT_WR)
            while one.recv(4096):
                pass
    inlet.put(JPEG, "/Invoices/scan.jpg")

    assert inlet.pages == [JPEG]
