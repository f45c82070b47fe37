"""What would keep scans from coming: for `postscan doctor`, within its ten seconds; nothing is scanned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from postscan.plugins import SourceContext
from postscan.plugins.sources.escl.device import finding
from postscan.plugins.sources.escl.device.scanner import EsclScanner
from postscan.plugins.sources.escl.device.session import EsclSession
from postscan.plugins.sources.escl.errors import ScannerError
from postscan.plugins.sources.escl.http.client import HttpTimes
from postscan.plugins.sources.escl.settings import Settings

_SECONDS = HttpTimes(connect=2.0, answer=2.5, silence=2.5)


def obstacles(inlet: SourceContext) -> Iterator[str]:
    """Yield a sentence for each obstacle."""
    settings: Settings = inlet.settings
    if not inlet.destinations:
        yield "no scan can come: the inlet has no destination"
    try:
        scanner = _scanner(inlet, settings)
        with EsclSession(scanner) as session, inlet.token.calling(session.stop):
            offered = session.capabilities()
            status = session.status()
    except ScannerError as error:
        yield str(error)
        return
    if settings.source != "auto" and offered.input(settings.source) is None:
        names = ", ".join(one.name for one in offered.inputs)
        yield f"source is {settings.source}, and the device has only {names}"
    yield from filter(None, [status.obstacle or status.feeder_fault])


def _scanner(inlet: SourceContext, settings: Settings) -> EsclScanner:
    if settings.device:
        scanner = settings.scanner(inlet, settings.address)
    else:
        found = finding.find(settings.name, settings.interfaces)
        scanner = settings.scanner(inlet, found.address, found.uuid)
    return replace(scanner, times=_SECONDS)
