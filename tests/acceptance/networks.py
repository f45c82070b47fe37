"""Two machines on one cable: network namespaces of their own, joined by a pair of virtual interfaces. Linux, as root.

A thread stands for a machine: its sockets, and the processes that it starts, are in its namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pytest

SERVER, CLIENT, STRANGER = "10.98.76.1", "10.98.76.2", "203.0.113.9"
SERVER6, CLIENT6 = "fd98:76::1", "fd98:76::2"
LATE_SERVER, LATE_CLIENT = "10.98.77.1", "10.98.77.2"

_CLONE_NEWNET = 0x40000000
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Cable:
    """What runs in `at_server` has the address SERVER, in `at_client` CLIENT, and STRANGER behind a gateway."""

    server: ThreadPoolExecutor
    client: ThreadPoolExecutor

    def at_server(self, do: Callable[..., _Result], *args: object) -> _Result:
        """Return what *do* returns on the server's machine."""
        return self.server.submit(do, *args).result(300)

    def at_client(self, do: Callable[..., _Result], *args: object) -> _Result:
        """Return what *do* returns on the client's machine."""
        return self.client.submit(do, *args).result(300)


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    """Lay the cable for the body; skip the test where that is not possible."""
    if shutil.which("ip") is None:
        pytest.skip("needs the program ip; on Debian: apt-get install iproute2")
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces of its own")
    with ThreadPoolExecutor(1) as server, ThreadPoolExecutor(1) as client:
        laid = Cable(server, client)
        laid.at_server(_unshare)
        there = laid.at_client(_unshare)
        laid.at_server(_set_up, there)
        laid.at_client(_plug_in)
        yield laid


@contextlib.contextmanager
def another(laid: Cable) -> Iterator[Callable[[], None]]:
    """Lay a second cable between the two for the body: there they are LATE_SERVER and LATE_CLIENT.

    Lend what plugs it in at the server, which says Hello at once: a client has to listen before.
    """
    there = laid.at_client(threading.get_native_id)
    laid.at_server(_ip, "link add late0 type veth peer name late1")
    try:
        laid.at_server(_ip, f"link set late1 netns {there}")
        laid.at_client(_ip, f"address add {LATE_CLIENT}/24 dev late1")
        laid.at_client(_ip, "link set late1 up")
        yield lambda: laid.at_server(_plug_in_late)
    finally:
        laid.at_server(_ip, "link delete late0")


def _unshare() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        pytest.skip(f"no network namespace to be had here: {os.strerror(ctypes.get_errno())}")
    return threading.get_native_id()


def _set_up(there: int) -> None:
    _ip("link add cable0 type veth peer name cable1")
    _ip(f"link set cable1 netns {there}")
    _ip(f"address add {SERVER}/24 dev cable0")
    _ip(f"address add {SERVER6}/64 dev cable0 nodad")
    _ip("link set lo up")
    _ip("link set cable0 up")
    _ip(f"route add 203.0.113.0/24 via {CLIENT}")


def _plug_in() -> None:
    _ip(f"address add {CLIENT}/24 dev cable1")
    _ip(f"address add {CLIENT6}/64 dev cable1 nodad")
    _ip(f"address add {STRANGER}/32 dev cable1")
    _ip("link set lo up")
    _ip("link set cable1 up")


def _plug_in_late() -> None:
    _ip(f"address add {LATE_SERVER}/24 dev late0")
    _ip("link set late0 up")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)
