"""What the machine tells of a server from outside: memory, processor, descriptors; and percentiles of seconds."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

SAMPLES: Final = 20
SAMPLE_SECONDS: Final = 0.1


def resident(process: int) -> int:
    """Return the bytes of memory that a process has now."""
    return int(psutil.Process(process).memory_info().rss)


def processor(process: int) -> float:
    """Return the processor seconds that a process has used."""
    spent = psutil.Process(process).cpu_times()
    return float(spent.user + spent.system)


def descriptors_at_rest(process: int) -> Counter[str]:
    """Count, kind by kind, the fewest open descriptors in two seconds: those that no request or run has for itself."""
    fewest = descriptors(process)
    for _ in range(SAMPLES):
        time.sleep(SAMPLE_SECONDS)
        fewest &= descriptors(process)
    return fewest


def descriptors(process: int) -> Counter[str]:
    """Count the open descriptors of a process: sockets, pipes, and files by the ends of their names."""
    found: Counter[str] = Counter()
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        found[_kind(target)] += 1
    return found


def _kind(target: str) -> str:
    special = re.match(r"(\w+):\[", target)
    if special:
        return special[1]
    return (
        target
        if target.startswith(("anon_inode:", "/dev/", "/memfd:"))
        else f"file {Path(target).suffix or Path(target).name}"
    )


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return the value that this share of all values does not exceed; infinite without values."""
    ordered = sorted(seconds)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else math.inf
