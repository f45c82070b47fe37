"""DPW-001, DPW-002, DPW-020 to DPW-023, DPW-025 to DPW-027: a server and a scanner on a cable of their own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from acceptance.networks import CLIENT, CLIENT6, SERVER, SERVER6, Cable, cable
from acceptance.seeking import (
    DIRECTED,
    GROUP,
    GROUP6,
    NS,
    PATIENCE,
    PORT,
    WSD,
    WSDP,
    ask,
    asking,
    discovered,
    free_ports,
    joined,
    probe,
    sequenced,
    text,
    towards_group,
)
from acceptance.server import Server, Tables
from conformance.wire import changed
from device import Answer, Device
from lxml import etree

from postscan.core.settings.network import DiscoverySettings
from postscan.soap.discovery import udp
from postscan.soap.discovery.app_sequence import AppSequence
from postscan.soap.discovery.messages import Discoverable
from postscan.soap.discovery.responder import Advertisement
from postscan.soap.discovery.udp import DiscoveryServer

SILENCE = 4.0
"""Seconds for which a device waits for an answer that should not come."""


@dataclass(frozen=True)
class Overheard:
    """What a scanner on the cable hears of a server from its start to its stop.

    `to_the_group` are questions to everybody, `to_the_server` is one that follows them, `elsewhere` one whose answer
    should go to somebody else; `answered` are those questions that get one, in the order of the answers.
    """

    hello: tuple[bytes, bytes]
    by_udp: bytes
    by_tcp: Answer
    bye: tuple[bytes, bytes]
    to_the_group: list[str]
    to_the_server: str
    elsewhere: str
    answered: list[str]


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    """A cable with nobody else on it."""
    with cable() as laid:
        yield laid


def settings(host: str) -> Tables:
    """Return the settings of a server on the ports of the profile."""
    here = {"host": host, "port": DIRECTED, "allow_plain_http": True, "drain_seconds": 1}
    return {"server": here, **discovered(PORT, DIRECTED)}


@pytest.fixture(scope="module")
def overheard(wire: Cable, tmp_path_factory: pytest.TempPathFactory) -> Overheard:
    """A server that comes, is asked at both ports 5362, and goes; after Hello there is nothing before Bye."""
    server = wire.at_server(Server, tmp_path_factory.mktemp("overheard"), settings(SERVER))
    with wire.at_client(joined) as listening:
        try:
            wire.at_server(server.start)
            hello = (listening.recv(65536), listening.recv(65536))
            by_udp = wire.at_client(ask, probe(), (SERVER, DIRECTED), CLIENT)
            elsewhere, last, everybody = misdirected(), probe(), [probe() for _ in range(5)]
            answered = wire.at_client(ask_all, [elsewhere, *everybody], last)
            by_tcp = wire.at_client(Device(f"http://{SERVER}:{DIRECTED}/ScanServer").post, probe())
            wire.at_server(server.stop)
            bye = (listening.recv(65536), listening.recv(65536))
        finally:
            wire.at_server(server.stop)
            server.close()
    return Overheard(hello, by_udp, by_tcp, bye, [*map(id_of, everybody)], id_of(last), id_of(elsewhere), answered)


def misdirected() -> bytes:
    """Return a Probe whose answer should go to somebody else."""
    reply_to = "<wsa:ReplyTo><wsa:Address>soap.udp://198.51.100.7:3702</wsa:Address></wsa:ReplyTo>"
    return changed(probe(), "</soap:Header>", f"{reply_to}</soap:Header>")


def id_of(question: bytes) -> str:
    """Return its MessageID."""
    return text(question, "wsa:MessageID")


def ask_all(to_the_group: list[bytes], to_the_server: bytes) -> list[str]:
    """Ask everybody and then the server; return which questions were answered, the one that should not be, too."""
    answered: list[str] = []
    expected = {*map(id_of, (*to_the_group[1:], to_the_server))}
    with asking(CLIENT) as socket_:
        towards_group(socket_, CLIENT)
        for question in to_the_group:
            socket_.sendto(question, (GROUP, PORT))
        socket_.sendto(to_the_server, (SERVER, PORT))
        with contextlib.suppress(TimeoutError):
            while True:
                socket_.settimeout(PATIENCE if expected.difference(answered) else SILENCE)
                answered.append(text(socket_.recv(65536), "wsa:RelatesTo"))
    return answered


@pytest.mark.conformance("DPW-001")
def test_it_listens_on_udp_5362_and_tcp_5362(overheard: Overheard) -> None:
    """As any server does that listens beyond loopback, unless an administrator has turned it off."""
    assert text(overheard.by_udp, "wsd:XAddrs") == f"http://{SERVER}:5362/ScanServer"
    assert text(overheard.by_tcp.body, "wsd:XAddrs") == f"http://{SERVER}:5362/ScanServer"


@pytest.mark.conformance("DPW-002")
@pytest.mark.parametrize(("host", "address"), [("0.0.0.0", SERVER), ("::", f"[{SERVER6}]")])
def test_it_hears_the_groups_on_udp_3702(
    wire: Cable, tmp_path_factory: pytest.TempPathFactory, host: str, address: str
) -> None:
    """Of IPv4 or of IPv6: of the family that it listens on."""

    def ask_group() -> bytes:
        if host == "0.0.0.0":
            return ask(probe(), (GROUP, PORT), CLIENT)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as socket_:
            socket_.settimeout(PATIENCE)
            socket_.bind((CLIENT6, 0))
            socket_.sendto(probe(), (GROUP6, PORT, 0, socket.if_nametoindex("cable1")))
            return socket_.recv(65536)

    server = wire.at_server(Server, tmp_path_factory.mktemp("group"), settings(host))
    try:
        wire.at_server(server.start)
        assert text(wire.at_client(ask_group), "wsd:XAddrs") == f"http://{address}:5362/ScanServer"
    finally:
        wire.at_server(server.stop)
        server.close()


@pytest.mark.conformance("DPW-022")
def test_all_copies_of_a_datagram_have_one_message_id(overheard: Overheard) -> None:
    """They are the same, byte for byte; and Hello is another message than Bye."""
    ids = [text(one, "wsa:MessageID") for one in (*overheard.hello, *overheard.bye)]

    assert overheard.hello[0] == overheard.hello[1]
    assert overheard.bye[0] == overheard.bye[1]
    assert len(set(ids)) == 2


@pytest.mark.conformance("DPW-023")
def test_a_multicast_is_sent_twice_with_a_short_random_pause(overheard: Overheard) -> None:
    """MULTICAST_UDP_REPEAT is 2: behind the second Hello comes Bye. The pause is 50 to 250 ms, and not always one."""
    pauses = [inspect.signature(DiscoveryServer).parameters["pause"].default() for _ in range(100)]
    said = [text(one, "wsa:Action").rpartition("/")[2] for one in (*overheard.hello, *overheard.bye)]

    assert said == ["Hello", "Hello", "Bye", "Bye"]
    assert all(0.05 <= one <= 0.25 for one in pauses)
    assert len(set(pauses)) > 50


@pytest.mark.conformance("DPW-023")
def test_an_answer_is_sent_once(overheard: Overheard) -> None:
    """Ruling 22, and a deviation: whoever asks twice is heard twice, and a forged question brings one datagram."""
    assert len(overheard.answered) == len(set(overheard.answered))


@pytest.mark.conformance("DPW-026")
def test_it_says_hello_at_the_start_and_bye_at_the_stop(overheard: Overheard) -> None:
    """As one endpoint, in one sequence."""
    hello, bye = overheard.hello[0], overheard.bye[0]

    assert [text(one, "wsa:Action") for one in (hello, bye)] == [f"{WSD}/Hello", f"{WSD}/Bye"]
    assert text(hello, "wsa:Address") == text(bye, "wsa:Address") == text(overheard.by_udp, "wsa:Address")
    assert sequenced(hello) < sequenced(overheard.by_udp) < sequenced(bye)


@pytest.mark.conformance("DPW-027")
def test_hello_leaves_out_the_addresses(overheard: Overheard) -> None:
    """Whoever wants one asks; the endpoint, its types and the version are there."""
    (hello,) = etree.fromstring(overheard.hello[0]).iterfind("soap:Body/wsd:Hello", NS)

    assert [etree.QName(one).localname for one in hello] == ["EndpointReference", "Types", "MetadataVersion"]


@pytest.mark.conformance("DPW-020")
def test_multicast_questions_are_answered_after_a_random_delay_of_at_most_2_5_seconds(
    overheard: Overheard,
) -> None:
    """So that many servers do not answer at once: what is asked of one last is answered before others.

    One that answers at once answers it last. A busy one may be late enough to answer some of the others before it.
    """
    delays = [inspect.signature(DiscoveryServer).parameters["delay"].default() for _ in range(100)]

    assert set(overheard.to_the_group) < set(overheard.answered)
    assert overheard.answered.index(overheard.to_the_server) < len(overheard.to_the_group) - 1
    assert all(0 <= one <= 2.5 for one in delays)
    assert len(set(delays)) > 50


@pytest.mark.conformance("DPW-021")
def test_unicast_questions_are_answered_without_that_delay() -> None:
    """Even if it were an hour."""
    port, _ = free_ports(2)
    found = DiscoverySettings(enabled=True, port=port, directed_port=0)
    host = Advertisement(
        Discoverable("urn:uuid:1", (f"{{{WSDP}}}Device",), (), 1), AppSequence(1), lambda local: f"http://{local}/"
    )

    async def asked() -> bytes:
        with udp.listening(found, "127.0.0.1") as lines:
            announcer = DiscoveryServer(host, found, "127.0.0.1", lines, delay=lambda: 3600.0)
            await announcer.start()
            try:
                return await asyncio.to_thread(ask, probe(), ("127.0.0.1", port))
            finally:
                await announcer.stop()

    assert text(asyncio.run(asked()), "wsd:XAddrs") == "http://127.0.0.1/"


@pytest.mark.conformance("DPW-025")
def test_a_multicast_question_with_another_reply_to_is_ignored(overheard: Overheard) -> None:
    """Nobody is answered in somebody else's name: neither the other, nor the one who asked."""
    assert overheard.elsewhere not in overheard.answered
    assert len(overheard.answered) == len(overheard.to_the_group) + 1
