"""A name server of a test's own, where the C library of a machine on the cable asks; and what that machine sends.

Its answers may change from one question to the next (DNS rebinding), and it notes what it was asked.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from acceptance.networks import Cable

_A, _NO_SUCH_NAME = 1, 3


class Names:
    """Knows the addresses of some names: each question gets the next one, and then the last one for ever."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self.asked: list[str] = []
        self._addresses = {name: list(known) for name, known in addresses.items()}
        self._socket = _socket_of_the_name_server()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        question, sender = self._socket.recvfrom(512)
        while question:
            self._socket.sendto(self._answer(question), sender)
            question, sender = self._socket.recvfrom(512)

    def _answer(self, question: bytes) -> bytes:
        name, end = _name(question)
        kind = struct.unpack_from("!H", question, end)[0]
        known = self._addresses.get(name)
        answers = b""
        if kind == _A:
            self.asked.append(name)
            if known:
                address = known.pop(0) if len(known) > 1 else known[0]
                answers = struct.pack("!HHHIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(address)
        flags = 0x8180 | (0 if known else _NO_SUCH_NAME)
        return question[:2] + struct.pack("!HHHHH", flags, 1, bool(answers), 0, 0) + question[12 : end + 4] + answers


@contextlib.contextmanager
def silent(wire: Cable) -> Iterator[None]:
    """Let the name server of the server's machine take every question, and answer none, while the body runs."""
    with wire.at_server(_socket_of_the_name_server):
        yield


@contextlib.contextmanager
def named(wire: Cable, addresses: Mapping[str, Sequence[str]]) -> Iterator[Names]:
    """Serve these names to the server's machine while the body runs."""
    names = wire.at_server(Names, addresses)
    try:
        yield names
    finally:
        names.close()


def spoken(wire: Cable) -> tuple[int, int]:
    """Return how many connections the server's machine has opened, and how many datagrams it has sent."""
    table = wire.at_server(Path("/proc/thread-self/net/snmp").read_text)
    return _counted(table, "Tcp", "ActiveOpens"), _counted(table, "Udp", "OutDatagrams")


def _counted(table: str, protocol: str, column: str) -> int:
    columns, numbers = (line.split() for line in table.splitlines() if line.startswith(f"{protocol}: "))
    return int(numbers[columns.index(column)])


def _socket_of_the_name_server() -> socket.socket:
    """Return a socket at the address where this machine looks for its name server; it is ours from now on."""
    if re.search(r"^hosts:.*\bresolve\b", _read("/etc/nsswitch.conf"), re.MULTILINE):
        pytest.skip("names are looked up by systemd-resolved here, which is not on the cable")
    found = re.search(r"^nameserver\s+(\S+)", _read("/etc/resolv.conf"), re.MULTILINE)
    address = found[1] if found else "127.0.0.1"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    subprocess.run(["ip", "address", "replace", address, "dev", "lo"], check=True)
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.bind((address, 53))
    return opened


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text() if file.exists() else ""


def _name(question: bytes) -> tuple[str, int]:
    """Return the name that is asked for, and where its type stands."""
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    return ".".join(labels).lower(), at + 1
