"""Filters that change their process, or look at it."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

from evil_filters.deed import FOR_EVER, descriptors, evil, trace
from postscan.plugins import CancellationToken, FilterContext


@evil
def change_everything(job: FilterContext, token: CancellationToken) -> None:
    """Change what a process has of its own."""
    os.chdir("/")
    os.umask(0)
    os.environ["PATH"] = "/nowhere"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(5)


@evil
def look_around(job: FilterContext, token: CancellationToken) -> None:
    """Do no harm: write down what this process looks like."""
    umask = os.umask(0)
    looks = {
        "home": Path.cwd() == job.workdir,
        "umask": umask,
        "path": os.environ["PATH"],
        "sigterm": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "nice": os.nice(0),
        "descriptors": list(descriptors().values()),
        "environment": sorted(os.environ),
        "start": [one.partition("=")[0] for one in Path("/proc/self/environ").read_text().split("\0") if one],
    }
    trace(job, f"looks {json.dumps(looks)}")


@evil
def truncate_the_token(job: FilterContext, token: CancellationToken) -> None:
    """Take the page away under the server that has it mapped."""
    pages = [f"/proc/self/fd/{number}" for number, target in descriptors().items() if "token" in target]
    for page in [*job.workdir.parent.glob("*.token"), *pages]:
        with contextlib.suppress(OSError):
            os.truncate(page, 0)


@evil
def cancel_itself(job: FilterContext, token: CancellationToken) -> None:
    """Write into the page that it is cancelled already, and go on."""
    page = token._page
    page[0] = 1
    trace(job, "forged")
    time.sleep(FOR_EVER)
