"""An outside plugin for the cancel campaign: five filters that work for a while and then deliver, each in its way.

The instructions `<do>0.3</do>` say for how many seconds. What a filter does it writes to `<job>.trace` in the folder
of `[filters.chain]`: a word, its name, a number and the time on `time.monotonic()`.
"""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from postscan.plugins import CancellationToken, Document, Filter, FilterContext, hookimpl

COUNTED_IN_A_SECOND = 20_000_000


@dataclass
class Settings:
    """`folder` is where the filters deliver and leave their traces."""

    folder: str = ""


class Link(Filter):
    """What the five have in common: begin, work, deliver."""

    grace = 0.4
    Settings = Settings

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        self.trace(job, "begun", os.getpid())
        self.work(job, token, float(re.sub(rb"<[^>]*>", b"", job.instructions)))
        for document in job.all_documents:
            self.deliver(job, document)

    def work(self, job: FilterContext, token: CancellationToken, seconds: float) -> None:
        """Take *seconds*."""
        raise NotImplementedError

    def deliver(self, job: FilterContext, document: Document) -> None:
        """Deliver through the framework."""
        job.deliver(document, Path(job.settings.folder), below=(job.job.token,), name=f"{self.title}.png")
        self.trace(job, "delivered", document.id)

    def trace(self, job: FilterContext, word: str, number: int = 0) -> None:
        """Leave a line that the campaign reads."""
        now = time.monotonic()
        with (Path(job.settings.folder) / f"{job.job.token}.trace").open("a") as file:
            file.write(f"{word} {self.title} {number} {now}\n")


class Cooperative(Link):
    """Look at the token all the time."""

    dialect, title = "urn:chain:cooperative", "cooperative"

    def work(self, job: FilterContext, token: CancellationToken, seconds: float) -> None:
        if token.wait(seconds):
            self.trace(job, "stopped")
        token.check()


class Careless(Link):
    """Never look at the token while it works."""

    dialect, title = "urn:chain:careless", "careless"

    def work(self, job: FilterContext, token: CancellationToken, seconds: float) -> None:
        time.sleep(seconds)


class Swallowing(Link):
    """Swallow the cancel, ignore SIGTERM, and ask to deliver all the same."""

    dialect, title = "urn:chain:swallowing", "swallowing"

    def work(self, job: FilterContext, token: CancellationToken, seconds: float) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                token.wait(0.01)
                token.check()
            except BaseException:
                time.sleep(0.01)
                if job.parent.grant(1, "against the rules", "granted"):
                    self.trace(job, "granted")


class Waiting(Link):
    """Be blocked in a tool, which has a child of its own in another session."""

    dialect, title = "urn:chain:waiting", "waiting"

    def work(self, job: FilterContext, token: CancellationToken, seconds: float) -> None:
        tool = subprocess.Popen(["sh", "-c", f"setsid sleep {seconds + 60} & exec sleep {seconds}"])
        self.trace(job, "tool", tool.pid)
        tool.wait()


class Deaf(Link):
    """Count in C, where no signal of Python is heard."""

    dialect, title = "urn:chain:deaf", "deaf"

    def work(self, job: FilterContext, token: CancellationToken, seconds: float) -> None:
        sum(range(int(seconds * COUNTED_IN_A_SECOND)))


@hookimpl
def postscan_filters() -> list[Filter]:
    """Bring them all."""
    return [Cooperative(), Careless(), Swallowing(), Waiting(), Deaf()]
