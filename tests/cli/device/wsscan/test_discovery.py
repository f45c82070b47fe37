"""The simulated scanner is found: by a foreign client at the multicast group, and by a Probe over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from works import until
from wsd_computer import NAMES, WsdComputer
from wsdiscovery.discovery import ThreadedWSDiscovery

from postscan.cli.device.wsscan import WsdScanner
from postscan.cli.device.wsscan.service import PROBE_PATH

Begin = Callable[..., tuple[WsdScanner, WsdComputer]]
PROBE = f"{NAMES['d']}/Probe"
PORT = 37021
GET = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"


def probe(scanner: WsdScanner, client: WsdComputer, types: str) -> tuple[int, str]:
    """Send a directed Probe; return the status and the endpoint that matches."""
    url = scanner.url.rpartition("/")[0] + PROBE_PATH
    reply = client.call(PROBE, f"<d:Probe><d:Types>{types}</d:Types></d:Probe>", url=url)
    path = "s:Body/d:ProbeMatches/d:ProbeMatch/a:EndpointReference/a:Address"
    return reply.status, reply.text(path) if reply.data else ""


@pytest.mark.parametrize("types", ["", "p:Device", "p:Device w:ScanDeviceType"])
def test_a_probe_over_http_is_answered(begin: Begin, types: str) -> None:
    """For each of its types, and for none."""
    scanner, client = begin()

    assert probe(scanner, client, types) == (200, scanner.uuid)


@pytest.mark.parametrize("types", ["w:PrintDeviceType", "p:Device w:Other", "unknown:Device"])
def test_a_probe_for_something_else_is_202(begin: Begin, types: str) -> None:
    """With an empty body (DPW-005)."""
    scanner, client = begin()

    assert probe(scanner, client, types) == (202, "")


def test_the_metadata_names_the_scan_service(begin: Begin) -> None:
    """Another address than the device's; the endpoint is the UUID."""
    scanner, client = begin(name="Front desk")
    reply = client.call(GET, "", url=scanner.url, to=scanner.uuid)
    sections = reply.root.findall("s:Body/x:Metadata/x:MetadataSection", NAMES)
    hosted = sections[2].find("p:Relationship/p:Hosted", NAMES)

    assert [one.get("Dialect", "").rpartition("/")[2] for one in sections] == [
        "ThisModel",
        "ThisDevice",
        "Relationship",
    ]
    assert sections[1].findtext("p:ThisDevice/p:FriendlyName", "", NAMES) == "Front desk"
    assert sections[2].findtext("p:Relationship/p:Host/a:EndpointReference/a:Address", "", NAMES) == scanner.uuid
    assert hosted is not None
    assert hosted.findtext("p:Types", "", NAMES) == "wscn:ScannerServiceType"
    assert hosted.findtext("a:EndpointReference/a:Address", "", NAMES) == scanner.service_url != scanner.url


@pytest.mark.parametrize("to", ["urn:uuid:another", "", "http://127.0.0.1/"])
def test_metadata_of_another_role_are_unreachable(begin: Begin, to: str) -> None:
    """ws-scan.md section 3; so are those of the service."""
    scanner, client = begin()

    assert client.call(GET, "", url=scanner.url, to=to or scanner.service_url).fault == "DestinationUnreachable"
    assert client.call(GET, "", url=scanner.service_url, to=scanner.uuid).fault == "DestinationUnreachable"


class Ear:
    """What the foreign client has heard: endpoints that came and went."""

    def __init__(self) -> None:
        self.here: list[str] = []
        self.gone: list[str] = []


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> tuple[ThreadedWSDiscovery, Ear]:
    """The foreign client, with its ears open; at another port than other tests, which hear the standard one."""
    monkeypatch.setattr("wsdiscovery.threaded.MULTICAST_PORT", PORT)
    client, ear = ThreadedWSDiscovery(), Ear()
    client.setRemoteServiceHelloCallback(lambda service: ear.here.append(service.getEPR()))
    client.setRemoteServiceByeCallback(lambda epr: ear.gone.append(epr))
    return client, ear


def test_a_foreign_client_hears_hello_and_bye_and_finds_it(
    begin: Begin, network: tuple[ThreadedWSDiscovery, Ear]
) -> None:
    """At the multicast group; the package is wsdiscovery of PyPI."""
    client, ear = network
    client.start()
    try:
        scanner, _ = begin(announce=True, discovery_port=PORT)
        until(lambda: scanner.uuid in ear.here)
        found = {one.getEPR(): one for one in client.searchServices(timeout=1)}
        scanner.stop()
        until(lambda: scanner.uuid in ear.gone)
    finally:
        client.stop()

    assert found[scanner.uuid].getXAddrs() == [scanner.url]
    assert {one.getLocalname() for one in found[scanner.uuid].getTypes()} == {"Device", "ScanDeviceType"}


def test_a_silent_one_is_not_found(begin: Begin, network: tuple[ThreadedWSDiscovery, Ear]) -> None:
    """Samsung M288x; another scanner is found by the same Probe."""
    client, _ = network
    silent, _ = begin(announce=True, discovery_port=PORT, quirks=["samsung-m288x"], start_seconds=0.0)
    other, _ = begin(announce=True, discovery_port=PORT)
    client.start()
    try:
        until(lambda: other.uuid in {one.getEPR() for one in client.searchServices(timeout=1)})
        found = {one.getEPR() for one in client.searchServices(timeout=1)}
    finally:
        client.stop()

    assert other.uuid in found
    assert silent.uuid not in found
