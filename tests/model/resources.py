"""What a process holds on to: I30 and I32 say that it does not grow."""

from __future__ import annotations

import contextlib
from pathlib import Path


def used() -> tuple[int, int, int]:
    """Return how many threads, open descriptors, and sockets among them this process has."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(str(entry.readlink()))
    return len(list(Path("/proc/self/task").iterdir())), len(links), sum(link.startswith("socket:") for link in links)
