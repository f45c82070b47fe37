"""What systemd is told: datagrams on a real socket, as sd_notify(3) describes them."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from postscan.cli.monitoring.service_manager import READY, STOPPING, WATCHDOG, ServiceManager


@contextlib.contextmanager
def systemd(address: str) -> Iterator[socket.socket]:
    """Yield a socket as systemd has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + address[1:] if address.startswith("@") else address)
        receiver.settimeout(30)
        yield receiver


@pytest.mark.parametrize("is_abstract", [False, True])
def test_messages_are_datagrams_of_lines(tmp_path: Path, is_abstract: bool) -> None:
    """To a path, or to a name without a file."""
    address = f"@postscan-test-{secrets.token_hex(8)}" if is_abstract else str(tmp_path / "notify")
    with systemd(address) as receiver:
        manager = ServiceManager.of_environment({"NOTIFY_SOCKET": address})
        manager.tell(READY, "STATUS=serving")
        manager.tell(STOPPING)

        assert [receiver.recv(100) for _ in range(2)] == [b"READY=1\nSTATUS=serving", b"STOPPING=1"]


def test_it_is_told_that_the_process_works_only_while_it_does(tmp_path: Path) -> None:
    """Without a word for the time of the unit, systemd ends the process, and starts it again."""
    address = str(tmp_path / "notify")
    works = [True, False, False, True]
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())}
    with systemd(address) as receiver:
        with ServiceManager.of_environment(environment).watched(lambda: bool(works) and works.pop()):
            told = [receiver.recv(100) for _ in range(2)]
        receiver.setblocking(False)

        assert told == [WATCHDOG.encode()] * 2
        with pytest.raises(BlockingIOError):
            receiver.recv(100)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "30000"},
        {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "30000"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"},
    ],
)
def test_without_a_watchdog_nothing_is_asked_for(environment: dict[str, str]) -> None:
    """Outside of systemd, in a unit without one, and in a process that is not meant."""

    def works() -> bool:
        raise AssertionError

    with ServiceManager.of_environment(environment).watched(works):
        pass


def test_programs_that_the_process_starts_do_not_get_the_socket() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    ServiceManager.of_environment(environment)

    assert environment == {"PATH": "/bin"}


def test_a_systemd_that_does_not_listen_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = ServiceManager(str(tmp_path / "notify"), None)
    manager.tell(READY)
    manager.tell(STOPPING)

    assert caplog.text.count("systemd not told") == 1
