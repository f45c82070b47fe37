"""Filters that deliver what they may not."""

import time
from functools import partial
from pathlib import Path

from evil_filters.deed import FOR_EVER, evil, trace
from postscan.plugins import CancellationToken, FilterContext


@evil
def write_around(job: FilterContext, token: CancellationToken) -> None:
    """Write to the destination without asking, and never stop."""
    for number in range(10**6):
        (Path(job.settings.folder) / f"{job.job.token}.{number}").touch()
        time.sleep(0.02)


@partial(evil, grace=60.0)  # it asks before it is killed, however late it gets the processor
def ask_after_the_cancel(job: FilterContext, token: CancellationToken) -> None:
    """Catch the cancel, and ask for leave behind the back of `publish`."""
    token.wait(FOR_EVER)
    granted = job.parent.grant(1, "somewhere", "name")
    trace(job, f"granted {granted}")
