"""The source HP: a person picks a destination at the panel of an HP device, and the scan becomes a job.

HP devices do not call a computer. The source registers the destinations at the device, waits in the event table of the
device for a press (HP's walk-up, LEDM over HTTP), and then pulls the pages by eSCL, as the source `escl` does.
"""

from __future__ import annotations

from collections.abc import Iterable

from postscan.plugins import CancellationToken, Source, SourceContext, hookimpl
from postscan.plugins.sources.hp.diagnosis import obstacles
from postscan.plugins.sources.hp.inlet import HpInlet
from postscan.plugins.sources.hp.settings import HpSettings


class HpWalkup(Source):
    """Show destinations at the panel of an HP device, and fetch what people scan to them."""

    title = "HP walk-up"
    proofs = ("device",)
    grace = 12.0
    Settings = HpSettings

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Connect to the device, and read whether it has walk-up scanning and eSCL."""
        return obstacles(inlet)

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Register the destinations, and bring a job for each press, until the token is set."""
        HpInlet(inlet).run(token)


@hookimpl
def postscan_sources() -> Iterable[Source]:
    """Return the source HP."""
    return [HpWalkup()]
