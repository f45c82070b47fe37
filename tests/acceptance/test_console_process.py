"""The console beside a real server: what becomes of it, and that the server does not depend on it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import commands
import httpx2
import psutil
import pytest
from acceptance.server import Server
from works import PATIENCE, alive, until

from postscan.console.http.process import read_address


def console_of(server: Server) -> psutil.Process:
    """Return the process of the console."""
    children = psutil.Process(server.pid).children()
    return next(one for one in children if any("--listener=" in word for word in one.cmdline()))


def address(server: Server) -> str:
    """Wait until the console is up, and return its URL."""
    run_dir = server.settings.storage.run_dir
    until(lambda: read_address(run_dir), "for the console")
    return read_address(run_dir)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server with a console; the test starts it."""
    return Server(tmp_path, {"console": {"enabled": True, "port": 0}})


def test_a_killed_console_is_back_and_no_device_notices(server: Server) -> None:
    """It runs at nice 10. Its socket is kept, so that a browser waits and is not refused. It ends with the server."""
    server.start()
    url = address(server)
    killed = console_of(server)
    nice = killed.nice()
    killed.kill()
    device = httpx2.get(f"{server.url}?wsdl", timeout=PATIENCE)
    page = httpx2.get(f"{url}/login", timeout=PATIENCE)
    after = console_of(server).pid
    server.kill()

    assert nice == 10
    assert (device.status_code, page.status_code) == (200, 200)
    until(lambda: not alive(after), "for the console to end with the server that was killed")


def test_a_server_runs_without_the_console_whose_port_is_taken(tmp_path: Path) -> None:
    """One line of the log says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(tmp_path, {"console": {"enabled": True, "port": port}})
        server.start()
        until(lambda: "console not started" in server.log(), "for the line of the log")
        answer = httpx2.get(f"{server.url}?wsdl", timeout=PATIENCE)
        server.close()

    assert answer.status_code == 200
    assert server.log().count(f"cannot listen on 127.0.0.1:{port}") == 1


def test_a_stop_and_a_reload_reach_the_console(server: Server) -> None:
    """After a reload another process serves at the same address; after a stop none does."""
    server.start()
    url = address(server)
    first = console_of(server).pid
    server.reload()
    until(lambda: not alive(first), "for the first console to end")
    page = httpx2.get(f"{url}/login", timeout=PATIENCE)
    second = console_of(server).pid
    server.stop()

    assert page.status_code == 200
    assert not alive(second)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/login", timeout=PATIENCE)


def test_the_console_runs_alone(tmp_path: Path) -> None:
    """`postscan console`: its URL is the line on stdout; SIGTERM ends it with exit code 0."""
    config = tmp_path / "postscan.toml"
    config.write_text('[console]\nport = 0\n[storage]\ndata_dir = "data"\n')
    with commands.start(
        ["--config", str(config), "console"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        page = httpx2.get(f"{url}/login", timeout=PATIENCE)
        os.kill(process.pid, signal.SIGTERM)
        code = process.wait(PATIENCE)

    assert (page.status_code, code) == (200, 0)
