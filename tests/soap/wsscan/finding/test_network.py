"""WS-Discovery as a client: what is sent, what is heard, and what a flood of datagrams does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import discovery_messages
import panel_inlets
import pytest
from lxml import etree
from panel_inlets import RENEW, SUBSCRIBE, counted
from works import until

from postscan.cli.device.wsscan.scanner import WsdScanner
from postscan.soap.wsscan.devices import scanners
from postscan.soap.wsscan.finding.messages import Announcement
from postscan.soap.wsscan.finding.network import GROUP, IN_ALL, LARGEST, PER_SENDER, DiscoveryClient

LOOPBACK = ("127.0.0.1",)
UUID = "urn:uuid:6f5902ac-237f-4ce5-9f4f-2c6f0c0e5d10"
SCAN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"


@pytest.fixture
def port() -> int:
    """A UDP port that was free."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def group(port: int) -> Iterator[socket.socket]:
    """A socket that hears what is sent to the group on loopback, and sends there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((GROUP, port))
        loopback = socket.inet_aton("127.0.0.1")
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + loopback)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
        made.settimeout(10)
        yield made


class Heard(list[tuple[Announcement, str]]):
    """What a client has passed on."""

    def __call__(self, announcement: Announcement, sender: str) -> None:
        """Keep it."""
        self.append((announcement, sender))


@contextlib.contextmanager
def listening(heard: Heard, port: int, *, asks: bool = True) -> Iterator[DiscoveryClient]:
    """Run a client on loopback."""
    client = DiscoveryClient(heard, port=port, asks=asks, addresses=LOOPBACK, log=lambda *_a, **_k: None)
    client.start()
    try:
        yield client
    finally:
        client.stop()


def hello(kind: str = "Hello", endpoint: str = UUID, instance: int = 1, xaddr: str = "", scheme: str = "http") -> bytes:
    """Return a Hello or Bye of a scanner."""
    eventing = f"{scheme}://schemas.xmlsoap.org/ws/2005/04/discovery"
    addresses = f"<d:XAddrs>{xaddr}</d:XAddrs>" if xaddr else ""
    return (
        f'<s:Envelope xmlns:s="{scheme}://www.w3.org/2003/05/soap-envelope" '
        f'xmlns:a="{scheme}://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="{eventing}" '
        f'xmlns:q="{SCAN.replace("http:", scheme + ":")}"><s:Header><a:Action>{eventing}/{kind}</a:Action>'
        f'<d:AppSequence InstanceId="{instance}" MessageNumber="1"/></s:Header><s:Body><d:{kind}>'
        f"<a:EndpointReference><a:Address>{endpoint}</a:Address></a:EndpointReference>"
        f"<d:Types>q:ScanDeviceType</d:Types>{addresses}</d:{kind}></s:Body></s:Envelope>"
    ).encode()


def probe_in(data: bytes) -> etree._Element:
    """Return the element in the body of a datagram."""
    return next(iter(etree.fromstring(data)[1]))


@pytest.mark.conformance("WSS-001")
def test_it_probes_for_all_devices_and_keeps_the_scanners(port: int) -> None:
    """Some devices answer the general type alone; the simulated scanner answers with other prefixes."""
    heard = Heard()
    scanner = WsdScanner(announce=True, discovery_port=port, quirks=["odd-names"])
    with scanner, listening(heard, port):
        until(lambda: any(one.kind == "match" for one, _ in heard))

        (match, sender) = next((one, sender) for one, sender in heard if one.kind == "match")
        assert match.is_scanner
        assert match.endpoint == scanner.uuid
        assert sender == "127.0.0.1"


@pytest.mark.conformance("WSS-001", "WSS-008")
def test_a_probe_has_the_general_type_and_http_namespaces(port: int, group: socket.socket) -> None:
    """One at the start, and again after some seconds, since datagrams are lost."""
    with listening(Heard(), port):
        first, second = group.recv(LARGEST), group.recv(LARGEST)

    found = probe_in(first)
    types = found.find("{*}Types")
    assert types is not None
    prefix, _, local = (types.text or "").partition(":")
    assert local == "Device"
    assert types.nsmap[prefix] == "http://schemas.xmlsoap.org/ws/2006/02/devprof"
    assert b"https:" not in first
    assert first != second, "each has its own MessageID"


def test_a_client_that_does_not_ask_only_hears(port: int, group: socket.socket) -> None:
    """For a scanner that is configured by its address."""
    heard = Heard()
    with listening(heard, port, asks=False):
        until(lambda: group.sendto(hello(), (GROUP, port)) and heard)
        group.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while b"Probe" not in group.recv(LARGEST):
                pass


@pytest.mark.conformance("WSS-008")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_both_spellings_of_namespaces_are_heard(port: int, group: socket.socket, scheme: str) -> None:
    """Documentation tools have changed them, and devices follow the documentation."""
    heard = Heard()
    with listening(heard, port):
        until(lambda: group.sendto(hello(scheme=scheme, instance=7), (GROUP, port)) and heard)

    assert heard[0][0] == Announcement("hello", UUID, (f"{{{SCAN}}}ScanDeviceType",), (), 7)


def test_nothing_is_answered(port: int, group: socket.socket) -> None:
    """Not a Probe, and nothing else that may have a forged sender (T-D1)."""
    probe = discovery_messages.usual()
    with listening(Heard(), port, asks=False), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.0.0.1", 0))
        asking.settimeout(0.5)
        for data in (probe, hello(), hello("Bye"), b"", b"x"):
            asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            asking.sendto(data, (GROUP, port))
        with pytest.raises(TimeoutError):
            asking.recv(10)


def test_a_match_that_answers_no_probe_is_ignored(port: int, group: socket.socket) -> None:
    """Also one that is sent to the group."""
    heard = Heard()
    with listening(heard, port) as client:
        asked = group.recvfrom(LARGEST)[1]
        body = hello("ProbeMatches").replace(b"<a:EndpointReference>", b"<d:ProbeMatch><a:EndpointReference>")
        body = body.replace(b"</d:ProbeMatches>", b"</d:ProbeMatch></d:ProbeMatches>")
        stray = body.replace(b"<a:Action>", b"<a:RelatesTo>urn:uuid:0</a:RelatesTo><a:Action>")
        group.sendto(stray, asked)
        group.sendto(stray, (GROUP, port))
        group.sendto(body, (GROUP, port))
        until(lambda: group.sendto(hello(), (GROUP, port)) and heard)

        assert {one.kind for one, _ in heard} == {"hello"}
        assert client is not None


def test_a_flood_is_dropped_before_it_is_parsed(
    port: int, group: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Per sender, and in all; large datagrams are no datagrams (T-D2)."""
    heard = Heard()
    with listening(heard, port):
        until(lambda: group.sendto(hello(), (GROUP, port)) and heard)
        began = time.monotonic()
        for number in range(2000):
            group.sendto(hello(instance=number), (GROUP, port))
        group.sendto(hello() + b" " * LARGEST, (GROUP, port))
        until(lambda: time.monotonic() > began + 1.0)

        seconds = time.monotonic() - began
        assert len(heard) <= PER_SENDER * (seconds + 2)
        assert PER_SENDER < IN_ALL


# --- the source ----------------------------------------------------------------------------------------------------


@pytest.mark.conformance("WSS-001", "WSS-007")
def test_a_scanner_on_the_network_is_found_and_served(tmp_path: Path, port: int) -> None:
    """Each one that `devices` has, without its address in the settings."""
    with (
        WsdScanner(announce=True, discovery_port=port) as scanner,
        panel_inlets.running(tmp_path, "", devices=("127.0.0.0/8",), addresses=LOOPBACK, discovery_port=port) as inlet,
    ):
        inlet.wait_ready()
        scanner.press("Invoices")

        assert len(inlet.server.wait_for_jobs(1)) == 1
        assert inlet.records[0].endpoint == scanner.uuid


def test_a_scanner_that_devices_does_not_have_is_left_alone(tmp_path: Path, port: int) -> None:
    """No request is sent to it."""
    with (
        WsdScanner(announce=True, discovery_port=port) as scanner,
        WsdScanner(announce=True, discovery_port=port) as other,
        panel_inlets.running(tmp_path, "", devices=(other.uuid,), addresses=LOOPBACK, discovery_port=port) as inlet,
    ):
        inlet.wait_ready()

        assert counted(other, SUBSCRIBE) == 1
        assert not [one for one in scanner.requests if not one.what.endswith("Probe")]


def test_an_inlet_for_any_scanner_needs_devices(tmp_path: Path) -> None:
    """Whoever is on the network could be a scanner."""
    with panel_inlets.running(tmp_path, "", stops=False, addresses=LOOPBACK) as inlet:
        inlet.server.wait_for(lambda: inlet.server.end)

        assert "'devices'" in getattr(inlet.server.end, "error", "")


@pytest.mark.conformance("WSS-007", "WSS-017")
def test_hello_of_a_new_run_leads_to_a_new_subscription(tmp_path: Path, port: int) -> None:
    """Within five seconds."""
    with (
        WsdScanner(announce=True, discovery_port=port) as scanner,
        panel_inlets.running(tmp_path, scanner, addresses=LOOPBACK, discovery_port=port) as inlet,
    ):
        inlet.wait_ready()
        scanner.reboot()
        began = time.monotonic()
        until(lambda: counted(scanner, SUBSCRIBE) == 2 and scanner.subscriptions, patience=6)

        assert time.monotonic() - began < 5.0
        assert len(scanner.subscriptions) == 1


@pytest.mark.conformance("WSS-007")
def test_bye_marks_a_scanner_as_away(tmp_path: Path, port: int) -> None:
    """Within five seconds; its Hello brings it back."""
    with (
        WsdScanner(announce=True, discovery_port=port) as scanner,
        panel_inlets.running(tmp_path, scanner, addresses=LOOPBACK, discovery_port=port) as inlet,
    ):
        inlet.wait_ready()
        assert scanner._discovery is not None
        scanner._discovery.announce("Bye", lambda _address: scanner._service.bye())
        scanner.power_off()
        began = time.monotonic()
        inlet.wait_state("away")
        assert time.monotonic() - began < 5.0

        scanner.power_on()
        until(lambda: scanner.subscriptions)
        inlet.wait_state("ready")


def test_forged_hellos_lead_to_no_subscription_and_to_few_requests(
    tmp_path: Path, port: int, group: socket.socket
) -> None:
    """The scanner is asked whether it still has the subscription, now and then, and has."""
    with (
        WsdScanner() as scanner,
        panel_inlets.running(tmp_path, scanner, addresses=LOOPBACK, discovery_port=port) as inlet,
    ):
        inlet.wait_ready()
        until(lambda: counted(scanner, SUBSCRIBE) == 1)
        before = len(scanner.requests)
        began = time.monotonic()
        number = 0
        while time.monotonic() < began + 10.0:
            number += 1
            group.sendto(hello(("Hello", "Bye")[number % 2], scanner.uuid, 1000 + number), (GROUP, port))
            until(lambda number=number: time.monotonic() > began + number * 0.02)

        assert counted(scanner, SUBSCRIBE) == 1
        assert 1 <= counted(scanner, RENEW) <= 3
        assert len(scanner.requests) - before <= 4
        assert inlet.server.health[-1][0] == "ready"


@pytest.mark.conformance("WSS-005", "WSS-006", "WSS-071")
def test_a_hello_leads_to_no_other_host_than_its_sender(tmp_path: Path, port: int, group: socket.socket) -> None:
    """Its XAddrs may name any."""
    with (
        socket.create_server(("127.0.0.2", 0)) as elsewhere,
        panel_inlets.running(tmp_path, "", devices=("127.0.0.0/8",), addresses=LOOPBACK, discovery_port=port) as inlet,
    ):
        url = f"http://127.0.0.2:{elsewhere.getsockname()[1]}/wsd"
        until(lambda: group.sendto(hello(xaddr=url), (GROUP, port)) and inlet.logged("scanner not found"))
        assert "127.0.0.1" in inlet.logged("scanner not found")[0]["reason"]

        elsewhere.settimeout(0.5)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def test_forged_scanners_keep_no_place_from_a_real_one(
    tmp_path: Path, port: int, group: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of them have few threads, and are forgotten when they do not answer."""
    monkeypatch.setattr(scanners, "SEARCH_SECONDS", 1.0)
    before = threading.active_count()
    with (
        WsdScanner() as scanner,
        panel_inlets.running(tmp_path, "", devices=("127.0.0.0/8",), addresses=LOOPBACK, discovery_port=port) as inlet,
    ):
        address = scanner.url

        def announced() -> bool:
            for _ in range(5):
                group.sendto(hello(endpoint=uuid.uuid4().urn, xaddr="http://127.0.0.1:9/wsd"), (GROUP, port))
            group.sendto(hello(endpoint=scanner.uuid, xaddr=address), (GROUP, port))
            assert threading.active_count() < before + 60
            return bool(scanner.subscriptions)

        until(announced)
        inlet.wait_ready()
        assert [one.endpoint for one in inlet.records] == [scanner.uuid]
