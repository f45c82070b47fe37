"""The resource limits of one filter run: memory, processor time, size of a file, open files.

The worker sets them before any code of a plugin runs; what a filter starts inherits them. The kernel counts them per
process, so a filter and its tool may each use that much. The number of processes is not limited, since the kernel
counts it per user and not per run.
"""

from __future__ import annotations

import math
import resource
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:  # a worker needs the numbers, and does not load the settings
    from postscan.core.settings.engine import FilterSettings

_SPARE: Final = 64 << 20  # of memory, so that a worker which ran out of it can still report that
_LAST_SECONDS: Final = 2  # between SIGXCPU and the kernel's SIGKILL


@dataclass(frozen=True, slots=True)
class Resources:
    """The most that one process of a run may use: `memory` and `file` in bytes, `processor` in seconds or 0."""

    memory: int = 2 << 30
    processor: float = 300.0
    file: int = 4 << 30
    open_files: int = 512

    @classmethod
    def of(cls, running: FilterSettings) -> Self:
        """Return what the settings allow."""
        processor = running.processor_seconds or running.seconds
        return cls(running.memory_bytes, processor, running.file_bytes, running.open_files)

    def enforce(self) -> None:
        """Limit this process and every process that it will start.

        Too much memory raises `MemoryError`; too large a file `OSError` (EFBIG); too much time ends it by SIGXCPU.
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        _limit(resource.RLIMIT_AS, self.memory, _SPARE)
        if self.processor:
            _limit(resource.RLIMIT_CPU, max(1, math.ceil(self.processor)), _LAST_SECONDS)
        _limit(resource.RLIMIT_FSIZE, self.file)
        _limit(resource.RLIMIT_NOFILE, self.open_files)
        _limit(resource.RLIMIT_CORE, 0)


def use_the_spare() -> None:
    """Raise the memory limit of this process a little, so that it can report that it ran out of memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _limit(what: int, most: int, spare: int = 0) -> None:
    """Set a soft limit, *spare* below the hard one; a limit that is lower already stays."""
    _, hard = resource.getrlimit(what)
    last = most + spare if hard == resource.RLIM_INFINITY else min(most + spare, hard)
    resource.setrlimit(what, (min(most, last), last))
