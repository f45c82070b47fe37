"""Ports of loopback on which nothing listens, and which no other program is given meanwhile.

They lie below those that the system gives to programs that ask for any port (ip(7), `ip_local_port_range`): between a
look at one of these and its use, some connection may get it.
"""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

FIRST: Final = 20_000
LAST: Final = 32_000
_RANDOM: Final = random.SystemRandom()  # each process of the tests begins elsewhere


def free_port() -> int:
    """Return a port that is free for TCP and for UDP."""
    while True:
        address = ("127.0.0.1", _RANDOM.randint(FIRST, LAST))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
            udp.bind(address)
            with socket.create_server(address):
                return address[1]
