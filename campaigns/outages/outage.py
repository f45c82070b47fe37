"""What an outage is: a fault of the disk or of the database that lasts for some time.

An outage has a `place`, where the server's data lie while all is well, and is `injected` while the devices go on.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from acceptance.server import Server, Tables

CANCELS: Final = ("stopped", "withdrawn") * 3


class Outage(Protocol):
    """One fault.

    `prepared` are the kinds of jobs whose last step is done during it; `stores_cancels` says that a cancel must be
    stored all the same; `mounts`, that it needs mounts.
    """

    name: str
    prepared: tuple[str, ...]
    stores_cancels: bool
    mounts: bool

    def place(self, home: Path) -> AbstractContextManager[Tables]:
        """Prepare the disk or the database; yield the settings that lead the server to it. Raises `NotPossible`."""

    def injected(self, server: Server) -> AbstractContextManager[None]:
        """Let the fault last while the body runs; `wait` is the body."""

    def wait(self) -> None:
        """Wait until the outage has lasted long enough."""


@dataclass(kw_only=True)
class Lasting:
    """An outage that lasts for some seconds."""

    seconds: float = 20.0
    prepared: tuple[str, ...] = CANCELS
    stores_cancels = False
    mounts = False

    def wait(self) -> None:
        """Wait for these seconds."""
        time.sleep(self.seconds)
