"""Short words for what tests do with a running engine: make a job of the acme filters, wait, read the traces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from postscan.core.engine import Engine
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.process import FilterInstructions, Instructions

SID = "S-1-5-21-1-2-3-1001"
PATIENCE = 60.0


def instructions(*filters: str, go_on: bool = False) -> Instructions:
    """Make instructions of `"copy"`, `"sleep 5"` ...: a filter of the plugin acme and its argument."""
    parts = [one.partition(" ") for one in filters]
    asked = tuple(
        FilterInstructions(f"urn:acme:{name}", f"<do>{argument}</do>".encode()) for name, _, argument in parts
    )
    return Instructions("Invoice", asked, go_on)


def until(true: Callable[[], object], what: str = "", patience: float = PATIENCE) -> None:
    """Wait until *true* returns something true; ask less often what takes longer, for others need the processor."""
    end = time.monotonic() + patience
    pause = 0.01
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s in vain {what}")
        time.sleep(pause)
        pause = min(pause * 1.1, 0.2)


def alive(process: int) -> bool:
    """Return whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Works:
    """A running engine, called as one device."""

    def __init__(self, core: Engine, by: Principal) -> None:
        self.core = core
        self.service = core.service
        self.by = by
        self.out = Path(core.settings.filters["acme"]["folder"])

    def create(self, *filters: str, go_on: bool = False) -> JobToken:
        """Make a job."""
        return self.service.create(self.by, SID, "P", instructions(*filters, go_on=go_on))

    def send(self, token: str, document: int = 1, data: bytes | None = None, format: str = "png") -> bytes:
        """Send one image; return its bytes."""
        image = os.urandom(2000) if data is None else data
        with self.service.open_image(token, self.by, document, format) as writer:
            writer.write(image)
        return image

    def start(self, *filters: str, images: int = 1, go_on: bool = False) -> JobToken:
        """Make a job, send its images and end it."""
        token = self.create(*filters, go_on=go_on)
        for number in range(1, images + 1):
            self.send(token, number)
        self.service.end(token, self.by)
        return token

    def job(self, token: str) -> Job:
        """Return the job as it stands."""
        return self.service.job(token, self.by)

    def ended(self, token: str) -> Job:
        """Wait until the job has ended, and return it."""
        until(lambda: self.job(token).state.ended, f"for job {token} to end: {self.job(token)}")
        return self.job(token)

    def trace(self, token: str) -> list[list[str]]:
        """Return the lines that the job's filters left, as words."""
        path = self.out / f"{token}.trace"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def await_trace(self, token: str, word: str) -> list[str]:
        """Wait until a filter has left a line that begins with *word*, and return the line."""
        until(lambda: any(line[0] == word for line in self.trace(token)), f"for {word!r} of job {token}")
        return next(line for line in self.trace(token) if line[0] == word)

    def wake(self, token: str) -> None:
        """Wake a filter that sleeps until then."""
        (self.out / f"{token}.woken").touch()

    def delivered(self) -> list[str]:
        """Return the names of all files that became visible."""
        return sorted(path.name for path in self.out.iterdir() if path.suffix not in (".trace", ".woken"))
