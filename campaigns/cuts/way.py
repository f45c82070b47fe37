"""What every way into the server has: a client that sends a whole file, and one that is cut."""

from __future__ import annotations

import random
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import ftp_client
from works import PATIENCE

from campaigns.cuts.receiver import Receiver
from campaigns.cuts.scans import Scan

PAUSES: Final = (0.0, 0.0, 0.01, 0.05)
"""Seconds between the last byte and the cut: the server has read nothing, something or all by then."""


class NotTaken(Exception):
    """A whole file was not acknowledged; the text is what the client was told."""


@dataclass(frozen=True)
class Sending:
    """A file that was sent, whole or in part, and what may become of it.

    `pages` are the SHA-256 of what a job may have as its page; without any there must be no job. `least` is how many
    jobs there are at least; there is never more than one. `reply` is what the client was told, "" if nothing.
    """

    what: str
    scan: Scan
    pages: frozenset[str] = frozenset()
    least: int = 0
    reply: str = ""


class Way(ABC):
    """A way into the server, through the inlet of this name."""

    name: ClassVar[str]
    inlet: ClassVar[str]
    needs: ClassVar[Sequence[str]] = ()
    """Programs that must be installed."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver

    @abstractmethod
    def send(self, scan: Scan) -> None:
        """Send a whole file as a client does, and return when it is acknowledged; raise `NotTaken`."""

    @abstractmethod
    def cut(self, scan: Scan, dice: random.Random) -> Sending:
        """Send a file that is cut, and return what may become of it."""

    def settle(self) -> list[str]:
        """Wait until nothing is pending of what was cut; return a sentence for each broken promise."""
        return []

    def whole(self, scan: Scan) -> Sending:
        """Return what must become of a whole file: one job with all its bytes."""
        return Sending(f"{self.name}: {scan.name}, whole", scan, scan.page(len(scan.content)), least=1)

    def part(self, scan: Scan, sent: str) -> str:
        """Return the words for a file that was cut; *sent* says where."""
        return f"{self.name}: {scan.name} with {len(scan.content)} bytes, cut after {sent}"


def break_off(connection: socket.socket, dice: random.Random) -> str:
    """Close or reset a connection after a moment; return which of both."""
    time.sleep(dice.choice(PAUSES))
    if dice.random() < 0.5:
        ftp_client.reset(connection)
        return "reset"
    connection.close()
    return "closed"


def connect(port: int) -> socket.socket:
    """Connect to an inlet."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE)
