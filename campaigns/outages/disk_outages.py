"""Outages of the disks: full because of another program or of a filter, and read-only."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acceptance.server import Server, Tables

from campaigns import more_plugins
from campaigns.outages import disks
from campaigns.outages.disks import MIB
from campaigns.outages.outage import CANCELS, Lasting

DISK_BYTES: Final = 96 * MIB
RESERVE_BYTES: Final = 16 * MIB
_FILLING: Final = tuple(itertools.chain.from_iterable(("filling", one) for one in CANCELS))


@dataclass
class FullDisk(Lasting):
    """Another program takes every byte: of one disk with all data, or of one of two, or of both."""

    file_system: str
    filled: tuple[str, ...]  # of ".", the data folder, and "run"
    apart: bool
    disk_bytes: int = DISK_BYTES
    stores_cancels = True
    mounts = True

    @property
    def name(self) -> str:
        """What is full."""
        full = "+".join("data" if one == "." else one for one in self.filled) if self.apart else "all"
        return f"full-{full}-{self.file_system}"

    @contextlib.contextmanager
    def place(self, home: Path) -> Iterator[Tables]:
        """Mount the disks."""
        with _small_disks(self.file_system, home, self.disk_bytes, apart=self.apart):
            yield {"storage": {"reserve_bytes": RESERVE_BYTES}}

    @contextlib.contextmanager
    def injected(self, server: Server) -> Iterator[None]:
        """Fill them."""
        with ExitStack() as full:
            for one in self.filled:
                full.enter_context(disks.filled(server.settings.storage.data_dir / one))
            yield


@dataclass
class FillingFilter(Lasting):
    """Filters take every byte and what becomes free as well; when one is stopped, the next job has it again."""

    file_system: str
    apart: bool
    prepared: tuple[str, ...] = field(default=_FILLING, kw_only=True)
    stores_cancels = True
    mounts = True

    @property
    def name(self) -> str:
        """The disk that the filter fills."""
        return f"filter-{'run' if self.apart else 'all'}-{self.file_system}"

    @contextlib.contextmanager
    def place(self, home: Path) -> Iterator[Tables]:
        """Mount the disks."""
        with _small_disks(self.file_system, home, DISK_BYTES, apart=self.apart), more_plugins("evil"):
            yield {"storage": {"reserve_bytes": RESERVE_BYTES}, "filters.evil": {"folder": str(home)}}

    def injected(self, server: Server) -> AbstractContextManager[None]:
        """Do nothing: the jobs of the filter are sent by a device."""
        return contextlib.nullcontext()


@dataclass
class ReadOnly(Lasting):
    """The data folder becomes read-only."""

    file_system: str
    mounts = True

    @property
    def name(self) -> str:
        """The file system."""
        return f"read-only-{self.file_system}"

    @contextlib.contextmanager
    def place(self, home: Path) -> Iterator[Tables]:
        """Mount the disk."""
        with _small_disks(self.file_system, home, DISK_BYTES, apart=False):
            yield {"storage": {"reserve_bytes": RESERVE_BYTES}}

    def injected(self, server: Server) -> AbstractContextManager[None]:
        """Mount it again."""
        return disks.read_only(server.settings.storage.data_dir)


@contextlib.contextmanager
def _small_disks(kind: str, home: Path, size: int, *, apart: bool) -> Iterator[None]:
    """Mount a disk for the data folder, and another one for its folder `run` if they are *apart*."""
    with disks.mounted(kind, home / "data", size, home / "data.img"), ExitStack() as more:
        if apart:
            more.enter_context(disks.mounted(kind, home / "data" / "run", size, home / "run.img"))
        yield
