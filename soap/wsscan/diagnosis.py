"""What keeps a scanner from bringing jobs, found by asking it; nothing is subscribed to and nothing is scanned.

Source: ws-scan.md sections 3 and 12.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final

from postscan.plugins import SourceContext
from postscan.soap.wsscan.client import Answer, ScannerClient
from postscan.soap.wsscan.devices.admission import NO_DEVICES, is_admitted, is_limited, networks
from postscan.soap.wsscan.devices.device_loop import MOST_DESTINATIONS
from postscan.soap.wsscan.devices.parts import local_address
from postscan.soap.wsscan.faults import CallError
from postscan.soap.wsscan.finding import locate
from postscan.soap.wsscan.finding.locate import FoundDevice
from postscan.soap.wsscan.finding.messages import Announcement
from postscan.soap.wsscan.finding.network import DiscoveryClient
from postscan.soap.wsscan.messages import elements
from postscan.soap.wsscan.messages.configuration import IDLE
from postscan.soap.wsscan.messages.names import GET_SCANNER_ELEMENTS
from postscan.soap.wsscan.settings import WsScanSettings

PROBE_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 2.0


def problems(inlet: SourceContext, addresses: Sequence[str] | None = None) -> Iterator[str]:
    """Yield one sentence for each obstacle; *addresses* as in `DiscoveryClient`."""
    settings: WsScanSettings = inlet.settings
    if not is_limited(inlet):
        yield NO_DEVICES
        return
    if not inlet.destinations:
        yield "there is no destination to offer"
    elif len(inlet.destinations) > MOST_DESTINATIONS:
        yield f"{len(inlet.destinations)} destinations: a panel may show only the first {MOST_DESTINATIONS}"
    if settings.kind in ("any", "endpoint"):
        yield from _of_network(inlet, addresses)
    else:
        yield from _of_address(inlet)


def _of_network(inlet: SourceContext, addresses: Sequence[str] | None) -> Iterator[str]:
    """Probe the network, and check each scanner that answers and may be taken."""
    settings: WsScanSettings = inlet.settings
    found: dict[str, tuple[Announcement, str]] = {}
    strangers: set[str] = set()
    wanted = threading.Event()

    def on_found(announcement: Announcement, sender: str) -> None:
        if announcement.kind != "match" or not announcement.is_scanner:
            return
        is_meant = settings.kind == "any" or announcement.endpoint == settings.device.lower()
        if is_meant and is_admitted(inlet, announcement.endpoint, sender):
            found[announcement.endpoint] = (announcement, sender)
            if settings.kind == "endpoint":
                wanted.set()
        else:
            strangers.add(sender)

    client = DiscoveryClient(
        on_found, port=settings.discovery_port, networks=networks(inlet), addresses=addresses, log=inlet.log
    )
    client.start()
    wanted.wait(PROBE_SECONDS)
    client.stop()
    if not found:
        others = f"; others answer, at {', '.join(sorted(strangers)[:5])}" if strangers else ""
        remedy = "some scanners answer no multicast and are found by their address in 'device'"
        yield f"{settings.device or 'no scanner'} did not answer a Probe in {PROBE_SECONDS:g} s ({remedy}){others}"
    for announcement, sender in found.values():
        yield from _of_device(inlet, sender, announcement)


def _of_address(inlet: SourceContext) -> Iterator[str]:
    settings: WsScanSettings = inlet.settings
    try:
        host = locate.resolve(settings.address)
    except CallError as error:
        yield str(error)
        return
    yield from _of_device(inlet, host, None)


def _of_device(inlet: SourceContext, host: str, announcement: Announcement | None) -> Iterator[str]:
    """Read metadata and status of one device."""
    settings: WsScanSettings = inlet.settings
    client = ScannerClient(host, stop=inlet.token)

    def call(url: str, action: str, body: str, to: str) -> Answer:
        return client.call(url, action, body, to=to, seconds=ANSWER_SECONDS)

    try:
        local_address(host)
        if announcement is not None:
            device = locate.at_addresses(call, announcement, host)
        elif settings.kind == "url":
            device = locate.at_url(call, locate.at_host(settings.device, host), host)
        else:
            device = locate.by_directed_probe(call, host)
        yield from _of_status(client, device)
    except CallError as error:
        yield str(error)


def _of_status(client: ScannerClient, device: FoundDevice) -> Iterator[str]:
    body = elements.write_get_elements((elements.STATUS,))
    answer = client.call(device.service, GET_SCANNER_ELEMENTS, body, seconds=ANSWER_SECONDS)
    status = elements.read_elements(answer).status
    if status is not None and status.state not in ("", IDLE, "Processing"):
        reasons = ", ".join(one for one in status.reasons if one != "None")
        yield f"{device.name} at {device.host} is {status.state}" + (f": {reasons}" if reasons else "")
