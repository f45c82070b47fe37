"""What would keep presses from coming: for `postscan doctor`, within its ten seconds; nothing is registered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from postscan.plugins import SourceContext
from postscan.plugins.sources.escl.device import finding
from postscan.plugins.sources.escl.device.session import EsclSession
from postscan.plugins.sources.escl.errors import ScannerError
from postscan.plugins.sources.escl.http.client import EsclClient, HttpTimes
from postscan.plugins.sources.hp.client import WalkupClient
from postscan.plugins.sources.hp.settings import HpSettings

_SECONDS = HttpTimes(connect=1.5, answer=1.5, silence=1.5)


def obstacles(inlet: SourceContext) -> Iterator[str]:
    """Yield a sentence for each obstacle."""
    settings: HpSettings = inlet.settings
    if not inlet.destinations:
        yield "the panel can show nothing: the inlet has no destination"
    try:
        if settings.device:
            scanner = settings.scanner(inlet, settings.address)
        else:
            found = finding.find(settings.name, settings.interfaces)
            scanner = settings.scanner(inlet, found.address, found.uuid)
        origin = settings.origin(scanner.address)
        scanner = replace(scanner, times=_SECONDS)
        with EsclSession(scanner) as session:
            session.capabilities()
        with WalkupClient(EsclClient(origin, scanner.tls, _SECONDS, authorization=scanner.authorization)) as client:
            limits = client.limits(client.kind())
    except ScannerError as error:
        yield str(error)
        return
    if len(inlet.destinations) > limits.destinations:
        yield f"the device takes {limits.destinations} destinations, and the inlet has {len(inlet.destinations)}"
