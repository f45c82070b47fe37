"""How long a process has waited for the processor: on a busy machine, time that a filter is not to blame for."""

from __future__ import annotations

from pathlib import Path


def waited(process: int | str = "self") -> float:
    """Return the seconds for which the first thread of a process was ready to run and did not; 0 if that is not known.

    Linux counts them in nanoseconds, in the second field of `schedstat`.
    """
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
