"""Probes, metrics and systemd, at a server as it is run: ready when devices can reach it, and not while it stops."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from acceptance.scanning import Scanner
from acceptance.server import Server, running
from free_ports import free_port
from served_metrics import series, value
from works import until


class Watched(NamedTuple):
    """A server, its port for probes, and the socket at which it tells systemd."""

    server: Server
    port: int
    systemd: socket.socket

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a response."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        client.request("GET", path)
        response = client.getresponse()
        try:
            return response.status, response.read().decode()
        finally:
            client.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A running server."""
    home, port = tmp_path_factory.mktemp("watched"), free_port()
    address = str(tmp_path_factory.mktemp("n") / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, pytest.MonkeyPatch.context() as patched:
        systemd.bind(address)
        systemd.settimeout(60)
        patched.setenv("NOTIFY_SOCKET", address)
        patched.setenv("WATCHDOG_USEC", "600000000")  # at its start, and in 200 s
        with running(home, {"monitoring": {"port": port}}) as server:
            yield Watched(server, port, systemd)


def told(systemd: socket.socket) -> list[str]:
    """Return what systemd was told by now, without waiting."""
    found = []
    systemd.setblocking(False)
    try:
        while True:
            found.append(systemd.recv(1000).decode())
    except BlockingIOError:
        return found


def test_systemd_is_told_before_the_server_prints_its_address(watched: Watched) -> None:
    """With nothing left to wait for: units that come after it can connect."""
    assert told(watched.systemd) == ["WATCHDOG=1", "READY=1"]


def test_a_server_that_serves_works_and_is_ready(watched: Watched) -> None:
    assert watched.get("/livez") == (200, "ok\n")
    assert watched.get("/readyz") == (200, "ok\n")


def test_a_server_without_its_spool_is_not_ready_and_works(watched: Watched) -> None:
    """A restart would not bring the disk back."""
    spool = watched.server.settings.storage.spool_dir
    away = spool.rename(spool.with_name("away"))
    reason = "spool: no file can be written: No such file or directory\n"
    until(lambda: watched.get("/readyz") == (503, reason), "for the reason")
    live = watched.get("/livez")
    away.rename(spool)

    assert live == (200, "ok\n")
    until(lambda: watched.get("/readyz")[0] == 200, "for the spool")


def test_its_metrics_have_the_requests_of_devices(watched: Watched) -> None:
    """Each by its operation, and a refused one by its fault."""
    scanner = Scanner(watched.server)
    token = scanner.start("copy")
    scanner.ended(token)
    scanner.device.cancel("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935")

    def number(operation: str, fault: str) -> float | None:
        labels = {"service": "processing", "operation": operation, "fault": fault}
        return value(series(watched.get("/metrics")[1]), "postscan_requests_total", **labels)

    until(lambda: number("CancelPostScanJob", "dsp:ClientErrorJobTokenNotFound") == 1, "for the next metrics")
    assert number("CreatePostScanJob", "none") == 1
    assert number("CancelPostScanJob", "none") == 0
    page = watched.get("/metrics")[1]
    assert token not in page
    assert "127.0.0.1" not in page


def test_a_server_that_stops_says_so_first(watched: Watched) -> None:
    """The last test of this server."""
    watched.server.stop()

    assert told(watched.systemd)[-1] == "STOPPING=1"
