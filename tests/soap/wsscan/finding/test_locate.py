"""From an address to the scan service: with and without discovery, and past addresses that lead nowhere."""

from __future__ import annotations

from pathlib import Path

import panel_inlets
import pytest
from lxml import etree
from panel_inlets import SUBSCRIBE, counted
from works import until

from postscan.cli.device.wsscan.scanner import WsdScanner
from postscan.soap.wsscan.faults import DeviceAway, DeviceFault, InvalidAnswer
from postscan.soap.wsscan.finding import locate, messages, metadata
from postscan.soap.wsscan.finding.messages import Announcement
from postscan.soap.wsscan.messages import envelope
from postscan.soap.wsscan.subscriptions.store import RecordStore

UUID = "urn:uuid:6f5902ac-237f-4ce5-9f4f-2c6f0c0e5d10"
SCAN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
_NAMES = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/mex",
    "p": "http://schemas.xmlsoap.org/ws/2006/02/devprof",
    "d": "http://schemas.xmlsoap.org/ws/2005/04/discovery",
    "scn": SCAN,
}


def answer(content: str, scheme: str = "http") -> etree._Element:
    """Return what an answer with this content holds."""
    declared = " ".join(f'xmlns:{prefix}="{uri.replace("http:", scheme + ":")}"' for prefix, uri in _NAMES.items())
    return envelope.read_answer(f"<s:Envelope {declared}><s:Body>{content}</s:Body></s:Envelope>".encode())


def hosted(address: str, types: str) -> str:
    """Return an entry of a relationship."""
    return (
        f"<p:Hosted><a:EndpointReference><a:Address>{address}</a:Address></a:EndpointReference>"
        f"<p:Types>{types}</p:Types></p:Hosted>"
    )


def described(services: str, endpoint: str = UUID) -> str:
    """Return metadata."""
    host = f"<p:Host><a:EndpointReference><a:Address>{endpoint}</a:Address></a:EndpointReference></p:Host>"
    return (
        "<x:Metadata><x:MetadataSection><p:ThisModel><p:ModelName>M288x</p:ModelName></p:ThisModel></x:MetadataSection>"
        "<x:MetadataSection><p:ThisDevice><p:FriendlyName>Front desk</p:FriendlyName></p:ThisDevice>"
        "</x:MetadataSection>"
        f"<x:MetadataSection><p:Relationship>{host}{services}</p:Relationship></x:MetadataSection></x:Metadata>"
    )


SERVICES = hosted("http://10.0.0.9/print", "scn:PrinterServiceType") + hosted(
    "http://10.0.0.9:8018/wsd/scan", "p:Other scn:ScannerServiceType"
)


@pytest.mark.conformance("WSS-004", "WSS-008")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_scan_service_is_the_hosted_one_of_its_type(scheme: str) -> None:
    """Not the first, and not the device."""
    found = metadata.read_metadata(answer(described(SERVICES), scheme))

    assert found == metadata.DeviceMetadata(UUID, "Front desk", "M288x", "http://10.0.0.9:8018/wsd/scan")


@pytest.mark.parametrize(
    "content", ["<x:Metadata/>", "<a:Other/>", "", described(""), described(hosted("", "scn:ScannerServiceType"))]
)
def test_metadata_without_a_scan_service_has_none(content: str) -> None:
    """WS-Scan is switched off in the factory state of many devices."""
    assert metadata.read_metadata(answer(content)).service == ""


@pytest.mark.conformance("WSS-005", "WSS-071")
@pytest.mark.parametrize(
    ("url", "host", "used"),
    [
        ("http://192.0.2.1:8018/wsd?x=1#y", "10.0.0.9", "http://10.0.0.9:8018/wsd?x=1"),
        ("http://user:secret@192.0.2.1/wsd", "10.0.0.9", "http://10.0.0.9:80/wsd"),
        ("http://[fe80::1]:5357/wsd", "fe80::2%eth0", "http://[fe80::2]:5357/wsd"),
        ("https://10.0.0.9/wsd", "10.0.0.9", ""),
        ("file:///etc/passwd", "10.0.0.9", ""),
        ("http://10.0.0.9:0/", "10.0.0.9", ""),
        ("http://10.0.0.9:70000/", "10.0.0.9", ""),
        ("http://[/", "10.0.0.9", ""),
        ("/wsd", "10.0.0.9", ""),
    ],
)
def test_an_address_of_a_device_is_used_at_its_own_host(url: str, host: str, used: str) -> None:
    """Port and path are the device's; nothing else is."""
    assert locate.at_host(url, host) == used


class Device:
    """What a device answers, by URL and the last word of the action; it notes what it was asked."""

    def __init__(self, answers: dict[tuple[str, str], etree._Element | Exception]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []

    def __call__(self, url: str, action: str, _body: str, to: str) -> etree._Element:
        """Answer a request."""
        self.asked.append((url, to))
        found = self.answers.get((url, action.rpartition("/")[2]), DeviceAway("nothing there"))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.mark.conformance("WSS-005")
def test_an_address_that_leads_nowhere_is_followed_by_the_next() -> None:
    """First those that name the answering host."""
    there = "http://10.0.0.9:5357/b"
    device = Device({(there, "Get"): answer(described(SERVICES))})
    announced = Announcement("match", UUID, (), ("http://192.0.2.7:80/a", there, "http://192.0.2.8/c"))

    found = locate.at_addresses(device, announced, "10.0.0.9")

    assert found.url == there
    assert found.service == "http://10.0.0.9:8018/wsd/scan"
    assert device.asked == [(there, UUID)]


def test_another_device_at_the_address_is_not_taken() -> None:
    """Addresses change; the endpoint is the key."""
    other = UUID.replace("6f", "7f")
    device = Device({("http://10.0.0.9:80/wsd", "Get"): answer(described(SERVICES, other))})

    with pytest.raises(InvalidAnswer, match="another device"):
        locate.at_url(device, "http://10.0.0.9:80/wsd", "10.0.0.9", UUID)
    assert locate.at_url(device, "http://10.0.0.9:80/wsd", "10.0.0.9", before=UUID).endpoint == other


def test_a_device_that_has_replaced_another_one_is_asked_for_its_endpoint() -> None:
    """It refuses a request to the endpoint of the other one."""

    class Strict(Device):
        def __call__(self, url: str, action: str, body: str, to: str) -> etree._Element:
            if to == UUID:
                raise DeviceFault("Sender", "DestinationUnreachable", "no such role")
            return super().__call__(url, action, body, to)

    other = UUID.replace("6f", "7f")
    device = Strict({("http://10.0.0.9:80/wsd", "Get"): answer(described(SERVICES, other))})

    assert locate.at_url(device, "http://10.0.0.9:80/wsd", "10.0.0.9", before=UUID).endpoint == other


def test_a_device_without_a_scan_service_is_told_apart() -> None:
    """The text says what to look at."""
    device = Device({("http://10.0.0.9:80/wsd", "Get"): answer(described(""))})

    with pytest.raises(InvalidAnswer, match="switched off"):
        locate.at_url(device, "http://10.0.0.9:80/wsd", "10.0.0.9")


def test_matches_without_an_endpoint_are_refused() -> None:
    """Nothing could be stored of them."""
    with pytest.raises(InvalidAnswer):
        messages.announcements(answer("<d:ProbeMatches><d:ProbeMatch/></d:ProbeMatches>"))
    assert messages.announcements(answer("<d:Other/>")) == ()


# --- with the simulated scanner ------------------------------------------------------------------------------------


@pytest.mark.conformance("WSS-002", "WSS-004")
def test_a_configured_url_needs_no_discovery(tmp_path: Path) -> None:
    """A Samsung answers no multicast, names a foreign address first, and needs a while after power-on."""
    scanner = WsdScanner(quirks=["samsung-m288x"], start_seconds=2)
    with scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        scanner.press("Invoices")

        inlet.server.wait_for_jobs(1)
        assert inlet.records[0].service == scanner.service_url


@pytest.mark.conformance("WSS-003", "WSS-005")
def test_a_configured_host_gets_a_directed_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the ports that devices use; here at the one of the simulated scanner."""
    with WsdScanner(quirks=["samsung-m288x"], start_seconds=0) as scanner:
        port = int(scanner.url.split(":")[2].split("/")[0])
        monkeypatch.setattr(locate.by_directed_probe, "__defaults__", ((port,),))
        with panel_inlets.running(tmp_path, "127.0.0.1") as inlet:
            inlet.wait_ready()

            assert counted(scanner, "Probe") == 1
            assert inlet.records[0].url == scanner.url


@pytest.mark.conformance("WSS-071")
def test_a_scan_service_on_another_host_is_used_at_the_scanners(tmp_path: Path) -> None:
    """The metadata names 198.51.100.1; no request goes there."""
    with WsdScanner() as scanner:
        elsewhere = scanner.service_url.replace("127.0.0.1", "198.51.100.1")
        scanner.misbehaviours.add(f"foreign-service={elsewhere}")
        with panel_inlets.running(tmp_path, scanner) as inlet:
            inlet.wait_ready()
            scanner.press("Invoices")

            inlet.server.wait_for_jobs(1)


@pytest.mark.conformance("WSS-006")
def test_a_changed_address_is_followed(tmp_path: Path) -> None:
    """The settings name the new one; what is stored is the same device's."""
    with WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, scanner)
        store = RecordStore(tmp_path / "inlet-folder")
        (record,) = store.load()
        store.save(record.model_copy(update={"host": "127.0.0.99", "url": "http://127.0.0.99:1/wsd"}))
        with panel_inlets.running(tmp_path, scanner) as inlet:
            until(lambda: counted(scanner, "Renew") == 1)
            inlet.wait_state("ready")

            assert inlet.records[0].host == "127.0.0.1"
            assert counted(scanner, SUBSCRIBE) == 1
