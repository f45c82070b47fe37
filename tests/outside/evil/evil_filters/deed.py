"""A filter that is made of a function, its trace, and what it can find in its process."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from postscan.plugins import CancellationToken, Filter, FilterContext

FOR_EVER = 600
FILTERS: list[Filter] = []
Deed = Callable[[FilterContext, CancellationToken], None]


@dataclass
class Settings:
    """`folder` is where the filters leave their traces."""

    folder: str = ""


def evil(deed: Deed, grace: float = 0.3) -> Deed:
    """Make a filter of a function: `urn:evil:<name>`, with so many seconds of grace."""

    def run(self: Filter, job: FilterContext, token: CancellationToken) -> None:
        trace(job, f"begun {os.getpid()}")
        deed(job, token)

    name = deed.__name__.replace("_", "-")
    about = {"dialect": f"urn:evil:{name}", "title": name, "grace": grace, "Settings": Settings, "run": run}
    FILTERS.append(type(deed.__name__, (Filter,), about)())
    return deed


def trace(job: FilterContext, text: str) -> None:
    """Leave a line that a test can read."""
    with (Path(job.settings.folder) / f"{job.job.token}.trace").open("a") as file:
        file.write(f"{text}\n")


def descriptors() -> dict[int, str]:
    """Return what is open, and what it leads to."""
    found = {}
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(one.name)] = str(one.readlink())
    return found
