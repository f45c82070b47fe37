"""What the kernel lets one filter run use: memory, processor time, size of a file, open files.

Set in the worker before any code of a plugin runs; what a filter starts inherits them. They are counted per process,
so a filter and its tool may each use that much. The number of processes is left alone, since the kernel counts it
per user and not per run.
"""

from __future__ import annotations

import math
import resource
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from postscan.core.settings.engine import GIB, MIB, FilterSettings

_SPARE: Final = 64 * MIB  # of memory, so that a worker which ran out of it can still say so
_LAST_SECONDS: Final = 2  # between SIGXCPU and the kernel's SIGKILL


@dataclass(frozen=True, slots=True)
class Resources:
    """The most that one process of a run may use: `memory` and `file` in bytes, `processor` in seconds."""

    memory: int = 2 * GIB
    processor: float = 300.0
    file: int = 4 * GIB
    open_files: int = 512

    @classmethod
    def of(cls, running: FilterSettings) -> Self:
        """Return what the settings allow."""
        processor = running.processor_seconds or running.seconds
        return cls(running.memory_bytes, processor, running.file_bytes, running.open_files)

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> Self:
        """Return what `as_table` wrote."""
        return cls(**table)

    def as_table(self) -> dict[str, Any]:
        """Return the same as names and numbers."""
        return asdict(self)

    def enforce(self) -> None:
        """Bind this process and all that it will start.

        Too much memory raises `MemoryError`; too large a file `OSError` (EFBIG); too much time ends it by SIGXCPU.
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        _bind(resource.RLIMIT_AS, self.memory, _SPARE)
        _bind(resource.RLIMIT_CPU, max(1, math.ceil(self.processor)), _LAST_SECONDS)
        _bind(resource.RLIMIT_FSIZE, self.file)
        _bind(resource.RLIMIT_NOFILE, self.open_files)
        _bind(resource.RLIMIT_CORE, 0)


def use_the_spare() -> None:
    """Let this process have a little more memory than it was given: it has to tell that it ran out."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _bind(what: int, most: int, spare: int = 0) -> None:
    """Set a limit, *spare* below the last one; a limit that is lower already stays."""
    _, hard = resource.getrlimit(what)
    last = most + spare if hard == resource.RLIM_INFINITY else min(most + spare, hard)
    resource.setrlimit(what, (min(most, last), last))
