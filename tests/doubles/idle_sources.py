"""Sources that only wait for their stop: a test uses their inlet, and brings jobs, in its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from works import PATIENCE

from postscan.plugins import CancellationToken, Source, SourceContext, SourceJob


class Idle(Source):
    """A source whose inlet the test uses once `ready` is set."""

    title = "Idle"
    proofs = ("device", "password")

    def __init__(self) -> None:
        self.inlet: SourceContext
        self.ready = threading.Event()

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Wait for the stop."""
        self.inlet = inlet
        self.ready.set()
        while not token.wait(PATIENCE):
            pass


class Pulling(Idle):
    """The same, for which an administrator may ask for a scan; `pulled` are the destinations."""

    def __init__(self) -> None:
        super().__init__()
        self.pulled: list[str] = []

    def pull(self, inlet: SourceContext, destination: str) -> None:
        """Remember it, and fail at one."""
        self.pulled.append(destination)
        if destination == "broken":
            raise RuntimeError("no paper")


class IdleWithJob(Idle):
    """An idle source that ends after the job that is open at its stop."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Lock()

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Wait for the stop, and for that job."""
        super().run(inlet, token)
        with self.open:
            pass


Job = Callable[..., SourceJob]
"""Opens a job of an idle source: with a key and a destination, or those of the test."""


def bring(job: SourceJob, *pages: bytes) -> None:
    """Write whole pages."""
    for one in pages:
        with job.page() as page:
            page.write(one)
