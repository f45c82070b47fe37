"""The source eSCL: scans are pulled from a scanner that speaks eSCL (AirScan, AirPrint, Mopria) and become jobs.

A scan begins because an administrator asks for it, at the console or by `postscan sources scan`, or, with `interval`,
because paper was put into the feeder.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from postscan.plugins import CancellationToken, Source, SourceContext, hookimpl
from postscan.plugins.sources.escl.diagnosis import obstacles
from postscan.plugins.sources.escl.inlet import EsclInlet
from postscan.plugins.sources.escl.settings import Settings


class Escl(Source):
    """Fetch scans from a scanner that speaks eSCL (AirScan)."""

    title = "eSCL"
    proofs = ("device",)
    grace = 10.0
    Settings = Settings

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: EsclInlet | None = None

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Find the device, connect to it, and read what it offers and how it is."""
        return obstacles(inlet)

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Look at the device until the token is set."""
        self._inlet(inlet).run(token)

    def pull(self, inlet: SourceContext, destination: str) -> None:
        """Fetch a scan for this destination."""
        self._inlet(inlet).pull(destination)

    def _inlet(self, inlet: SourceContext) -> EsclInlet:
        """Return what `run` and `pull` of one process have in common."""
        with self._lock:
            if self._used is None or self._used.inlet is not inlet:
                self._used = EsclInlet(inlet)
            return self._used


@hookimpl
def postscan_sources() -> Iterable[Source]:
    """Return the source eSCL."""
    return [Escl()]
