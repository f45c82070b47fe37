"""Sources that only wait for their stop: a test uses their inlet, in its own thread."""

from __future__ import annotations

import threading

from works import PATIENCE

from postscan.plugins import CancellationToken, Source, SourceContext


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
