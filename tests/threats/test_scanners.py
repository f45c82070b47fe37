"""What the threats to events and discovery are for the source `wsscan`, whose sockets scanners talk to.

The addresses, blocks and manners are those with which the server's own sockets are tested: there a subscriber sends
them, here a scanner does, or who poses as one.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from acceptance.networks import CLIENT, SERVER, STRANGER, Cable, cable
from acceptance.scanner_inlets import LABEL, ScannerServer, serving
from acceptance.seeking import probe, resolve
from sample_files import noise, saved
from threats.names import spoken
from threats.test_sinks import BOMBS, MANNERS, misbehaving
from threats.test_third_parties import ELSEWHERE
from works import until

from postscan.cli.device.wsscan import WsdScanner
from postscan.cli.device.wsscan.eventing.subscriptions import SCAN_AVAILABLE
from postscan.soap.wsscan.client import ScannerClient
from postscan.soap.wsscan.faults import CallError
from postscan.soap.wsscan.finding import locate
from postscan.soap.wsscan.finding.network import DiscoveryClient
from postscan.soap.xml import namespaces

PAGE = saved(noise(size=(60, 40)), "JPEG")
GOOD = "good"
DISCOVERY = 3702
NOT_READY = ("away", "degraded")

# --- addresses of third parties (T-A2) ---------------------------------------------------------------------------


class _Connects:
    """The addresses that this process connects to, and the names that it looks up, while `on`."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[Any] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event == "socket.connect":
            self.seen.append(arguments[1])
        elif self.on and event in ("socket.getaddrinfo", "socket.gethostbyname"):
            self.seen.append(arguments[0])


@pytest.fixture(scope="module")
def connects() -> _Connects:
    """An audit hook, which Python cannot remove again."""
    return _Connects()


@pytest.mark.conformance("WSS-071")
@pytest.mark.parametrize("place", ELSEWHERE)
def test_an_address_that_a_scanner_names_leads_to_its_own_host(connects: _Connects, place: str) -> None:
    """T-A2: that of its scan service, of its subscription manager, of an announcement; or it is not called at all."""
    there = place.replace("PORT", "9").replace("OURS", "9")
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.9", 0))  # no one listens there
        connects.seen.clear()
        connects.on = True
        try:
            with pytest.raises(CallError):
                ScannerClient("127.0.0.9", stop=None).call(there, "urn:x", "", to=there, seconds=2.0)
            used = locate.at_host(there, "127.0.0.9")
        finally:
            connects.on = False

    assert {one[0] if isinstance(one, tuple) else one for one in connects.seen} <= {"127.0.0.9"}
    assert not used or urlsplit(used).hostname == "127.0.0.9"


# --- scanners and clients that are slow, or do not end (T-A6) ----------------------------------------------------


@pytest.fixture(scope="module")
def scanner() -> Iterator[WsdScanner]:
    """A scanner that behaves well."""
    with WsdScanner([PAGE]) as scanner:
        yield scanner


@pytest.fixture(scope="module")
def server(scanner: WsdScanner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScannerServer]:
    """A server with an inlet for a scanner of each manner, and one for the good one."""
    with contextlib.ExitStack() as stack:
        urls = {f"bad{n}": stack.enter_context(misbehaving(manner)) for n, manner in enumerate(MANNERS)}
        inlets = {name: {"device": url} for name, url in ({GOOD: scanner.url} | urls).items()}
        server = stack.enter_context(serving(tmp_path_factory.mktemp("scanners"), "wsscan", inlets))
        until(lambda: LABEL in scanner.destinations, "for the panel")
        yield server
    assert server.server.tracebacks() == []


def scan(server: ScannerServer, scanner: WsdScanner) -> str:
    """Press, and return how the job ends."""
    until(lambda: LABEL in scanner.destinations and scanner.state == "Idle", "for the panel")
    before = len(server.jobs())
    scanner.press(LABEL)
    return str(server.await_end(before + 1).state)


def test_scanners_of_all_manners_hold_up_no_other_one(server: ScannerServer, scanner: WsdScanner) -> None:
    """T-A6: one that closes, fails, sends garbage, or does not end; no process grows, and none is ready."""
    names = [f"bad{number}" for number in range(len(MANNERS))]
    until(lambda: all(server.inlet(name).state in NOT_READY for name in names), "for them to be seen")
    before = [_memory(server, name) for name in names]
    ends = [scan(server, scanner) for _ in range(3)]
    time.sleep(3)  # they are called again, and what they send would add up
    grown = [_memory(server, name) - old for name, old in zip(names, before, strict=True)]

    assert ends == ["Completed"] * 3
    assert max(grown) < 32 << 20
    assert all(server.inlet(name).state in NOT_READY for name in names)


def _memory(server: ScannerServer, name: str) -> int:
    return int(psutil.Process(server.server.source(name)).memory_info().rss)


def test_events_with_bombs_make_no_job(server: ScannerServer, scanner: WsdScanner) -> None:
    """T-A5, T-A6: the blocks that no subscriber may have sent, in an event to a live path; the next press is a job."""
    sink, (context, identifier) = _sink(scanner), _secrets(scanner)
    before = len(server.jobs())
    for blocks in BOMBS.values():
        _post(sink, _event(context, identifier, scanner.uuid, blocks))

    time.sleep(1)  # a press would have become a job by now
    assert [job.state for job in server.jobs()[before:] if job.documents] == []
    assert scan(server, scanner) == "Completed"


def test_clients_that_say_nothing_leave_the_events_of_a_scanner_through(
    server: ScannerServer, scanner: WsdScanner
) -> None:
    """T-A6: sixty connections of twenty other hosts, with half a head each, or half a body."""
    sink = urlsplit(_sink(scanner))
    halves = [b"", b"POST /wsd/x HTTP/1.1\r\nHost: a\r\n", b"POST /wsd/x HTTP/1.1\r\nContent-Length: 99\r\n\r\nx"]
    with contextlib.ExitStack() as stack:
        for number in range(60):
            sender = (f"127.0.2.{1 + number % 20}", 0)
            opened = socket.create_connection((sink.hostname, sink.port), timeout=10, source_address=sender)
            stack.enter_context(opened).sendall(halves[number % len(halves)])

        assert scan(server, scanner) == "Completed"


def _sink(scanner: WsdScanner) -> str:
    (live,) = [one for one in scanner.subscriptions if one.wants(SCAN_AVAILABLE)]
    return live.notify_to.address


def _secrets(scanner: WsdScanner) -> tuple[str, str]:
    """Return what only the scanner and the source know: a ClientContext and the identifier of events."""
    (live,) = [one for one in scanner.subscriptions if one.wants(SCAN_AVAILABLE)]
    return live.destinations[0].context, str(live.notify_to.parameters[0].text)


def _event(context: str, identifier: str, press: str, blocks: str) -> bytes:
    scan_ = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
    return (
        f'<s:Envelope xmlns:s="{namespaces.SOAP}" xmlns:a="{namespaces.WSA}" xmlns:e="{namespaces.WSE}" '
        f'xmlns:soap="{namespaces.SOAP}" xmlns:wsa="{namespaces.WSA}" xmlns:w="{scan_}"><s:Header>'
        f"<a:Action>{scan_}/ScanAvailableEvent</a:Action><e:Identifier>{identifier}</e:Identifier>{blocks}</s:Header>"
        f"<s:Body><w:ScanAvailableEvent><w:ClientContext>{context}</w:ClientContext>"
        f"<w:ScanIdentifier>{press}</w:ScanIdentifier></w:ScanAvailableEvent></s:Body></s:Envelope>"
    ).encode()


def _post(url: str, body: bytes) -> int:
    parts = urlsplit(url)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", parts.path, body, {"Content-Type": "application/soap+xml"})
        return connection.getresponse().status


# --- datagrams (T-D1, T-D2) --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    """A cable between the server and scanners; others are reached through them."""
    with cable() as laid:
        yield laid


@pytest.fixture(scope="module")
def found(wire: Cable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScannerServer]:
    """A server on the cable with an inlet for each scanner of the neighbours; only the source is in the group."""
    settings = {
        "server": {"host": SERVER, "port": 0, "allow_plain_http": True, "drain_seconds": 1},
        "discovery": {"enabled": False},
    }
    table = {GOOD: {"devices": [f"{CLIENT}/32"]}}
    made = serving(tmp_path_factory.mktemp("found"), "wsscan", table, settings)
    try:
        server = wire.at_server(made.__enter__)
        until(lambda: server.inlet(GOOD).state not in ("", "starting"), "for the source")
        yield server
    finally:
        wire.at_server(made.__exit__, None, None, None)


def hello(number: int, address: str) -> bytes:
    """Return the Hello of a scanner with an address of its own choice."""
    return (
        f'<s:Envelope xmlns:s="{namespaces.SOAP}" xmlns:a="{namespaces.WSA}" xmlns:d="{namespaces.WSD}" '
        'xmlns:q="http://schemas.microsoft.com/windows/2006/08/wdp/scan"><s:Header>'
        f"<a:Action>{namespaces.WSD}/Hello</a:Action>"
        f'<d:AppSequence InstanceId="{number}" MessageNumber="1"/></s:Header>'
        f"<s:Body><d:Hello><a:EndpointReference><a:Address>urn:uuid:6f5902ac-237f-4ce5-9f4f-{number:012}</a:Address>"
        f"</a:EndpointReference><d:Types>q:ScanDeviceType</d:Types><d:XAddrs>{address}</d:XAddrs></d:Hello></s:Body>"
        "</s:Envelope>"
    ).encode()


def sent(sender: str, to: tuple[str, int], *datagrams: bytes) -> None:
    """Send datagrams from an address of the client's machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((sender, 0))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sender))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
        for one in datagrams:
            opened.sendto(one, to)


GROUP = ("239.255.255.250", DISCOVERY)


def test_a_hello_of_the_neighbour_is_followed(wire: Cable, found: ScannerServer) -> None:
    """Or else the tests below would prove nothing: the source connects to the sender, and to no other address."""
    with (
        wire.at_client(socket.create_server, (CLIENT, 0)) as own,
        wire.at_client(socket.create_server, (STRANGER, own.getsockname()[1])) as other,
    ):
        own.settimeout(30)
        other.setblocking(False)
        wire.at_client(sent, CLIENT, GROUP, hello(1, f"http://{STRANGER}:{own.getsockname()[1]}/wsd"))
        connection, address = own.accept()
        connection.close()
        with pytest.raises(BlockingIOError):
            other.accept()

    assert address[0] == SERVER


def test_a_hello_from_another_network_is_not_followed(wire: Cable, found: ScannerServer) -> None:
    """T-D2: neither to its sender nor to a neighbour that it names."""
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(wire.at_client(socket.create_server, (host, 0))) for host in (STRANGER, CLIENT)]
        places = [f"http://{CLIENT}:{one.getsockname()[1]}/wsd" for one in waiting]
        wire.at_client(sent, STRANGER, GROUP, *(hello(100 + number, place) for number, place in enumerate(places)))
        time.sleep(3)  # a Hello is followed within a second, as the test above shows
        for one in waiting:
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.accept()


def test_a_datagram_from_another_network_is_not_read(wire: Cable) -> None:
    """T-D2: before it is parsed, whoever is admitted; the neighbour's Hello behind it is."""
    heard: list[str] = []

    def start() -> DiscoveryClient:
        client = DiscoveryClient(
            lambda _found, sender: heard.append(sender),
            port=DISCOVERY + 1,
            asks=False,
            addresses=(SERVER,),
            log=lambda *_a, **_k: None,
        )
        client.start()
        return client

    client = wire.at_server(start)
    group = GROUP[0], DISCOVERY + 1

    def is_heard() -> bool:
        wire.at_client(sent, STRANGER, group, hello(1, f"http://{STRANGER}:9/wsd"))
        wire.at_client(sent, CLIENT, group, hello(2, f"http://{CLIENT}:9/wsd"))
        return bool(heard)

    try:
        until(is_heard, "for the neighbour to be heard")
    finally:
        wire.at_server(client.stop)
    assert set(heard) == {CLIENT}


def test_questions_get_silence_and_a_flood_of_hellos_few_connections(wire: Cable, found: ScannerServer) -> None:
    """T-D1: a hundred thousand datagrams; the source answers none, and looks for its scanners now and then."""
    _settle(wire)
    connections, datagrams = spoken(wire)
    questions = [probe(), resolve("urn:uuid:6f5902ac-237f-4ce5-9f4f-000000000001"), b"\xff\xfe\x00", b""]
    floods = [hello(1000 + number, f"http://{CLIENT}:9/wsd") for number in range(500)]
    begun = time.monotonic()
    wire.at_client(sent, CLIENT, GROUP, *(questions * 12_500), *(floods * 100))
    time.sleep(3)
    after, seconds = spoken(wire), time.monotonic() - begun

    assert after[1] - datagrams <= 5 * seconds  # Probes of its own: to the group, and to hosts, at most five a second
    assert after[0] - connections <= 40


def _settle(wire: Cable) -> None:
    """Wait until no connection was opened for two seconds."""
    seen = [spoken(wire)[0]]

    def is_quiet() -> bool:
        time.sleep(2)
        seen.append(spoken(wire)[0])
        return seen[-1] == seen[-2]

    until(is_quiet, "for the source to be quiet")
