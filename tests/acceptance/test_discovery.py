"""A device finds the server: by its name alone over UDP and HTTP, or knowing nothing, over a cable of its own."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import struct
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from acceptance.networks import CLIENT, SERVER, SERVER6, STRANGER, Cable, cable
from acceptance.server import Server, Tables, running
from device import SOAP_TYPE, Device

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
NS = {"soap": SOAP, "wsa": WSA, "wsd": WSD}
GROUP, GROUP6, PORT, DIRECTED = "239.255.255.250", "ff02::c", 3702, 5362
PATIENCE = 20.0

pytestmark = pytest.mark.xdist_group("discovery")


# --- a device of our own -----------------------------------------------------------------------------------------


def message(action: str, body: str, message_id: str = "") -> bytes:
    """Return a question as Windows writes it."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"'
        f' xmlns:wsd="{WSD}" xmlns:wsdp="{WSDP}"><soap:Header>'
        "<wsa:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</wsa:To>"
        f"<wsa:Action>{WSD}/{action}</wsa:Action><wsa:MessageID>{message_id or new_id()}</wsa:MessageID>"
        f"</soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def probe(types: str = "wsdp:Device", message_id: str = "") -> bytes:
    """Return a Probe."""
    return message("Probe", f"<wsd:Probe><wsd:Types>{types}</wsd:Types></wsd:Probe>", message_id)


def resolve(endpoint: str) -> bytes:
    """Return a Resolve."""
    address = f"<wsa:Address>{endpoint}</wsa:Address>"
    return message("Resolve", f"<wsd:Resolve><wsa:EndpointReference>{address}</wsa:EndpointReference></wsd:Resolve>")


def new_id() -> str:
    """Return a MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"


def text(data: bytes, name: str) -> str:
    """Return the text of the first element with this name."""
    return ET.fromstring(data).findtext(f".//{name}", "", NS)


def sequenced(data: bytes) -> tuple[int, int]:
    """Return instance and number of a message."""
    (found,) = ET.fromstring(data).findall("soap:Header/wsd:AppSequence", NS)
    return int(found.attrib["InstanceId"]), int(found.attrib["MessageNumber"])


def asking(address: str = "") -> socket.socket:
    """Return a socket to ask from."""
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked.settimeout(PATIENCE)
    asked.bind((address, 0))
    return asked


def ask(data: bytes, to: tuple[str, int], address: str = "") -> bytes:
    """Send one question; return the answer, which must come from where the question went unless that is a group."""
    with asking(address) as socket_:
        if to[0] == GROUP:
            socket_.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            socket_.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        socket_.sendto(data, to)
        answer, source = socket_.recvfrom(65536)
    assert to[0] == GROUP or source == to
    return answer


def heard(socket_: socket.socket) -> bool:
    """Return whether an answer has come already."""
    return bool(select.select([socket_], [], [], 0)[0])


def is_closed(port: int) -> bool:
    """Return whether nobody listens on a UDP port of loopback: the kernel says so."""
    with asking() as socket_:
        socket_.connect(("127.0.0.1", port))
        socket_.send(b"anybody?")
        try:
            socket_.recv(1)
        except ConnectionRefusedError:
            return True
    return False


# --- by its name -------------------------------------------------------------------------------------------------


def free_ports(number: int) -> list[int]:
    """Return UDP ports that nobody has."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(asking("127.0.0.1")) for _ in range(number)]
        return [one.getsockname()[1] for one in found]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on loopback that can be found. Nothing that it hears makes it stumble."""
    with running(tmp_path_factory.mktemp("found"), discovered(*free_ports(2))) as server:
        yield server
    assert "Traceback" not in server.log()


def discovered(port: int, directed_port: int) -> Tables:
    """Return settings with discovery."""
    return {"discovery": {"enabled": True, "port": port, "directed_port": directed_port}}


def directed(server: Server) -> tuple[str, int]:
    """Return where a device asks that knows the server's name."""
    return "127.0.0.1", server.settings.discovery.directed_port


def device_url(server: Server) -> str:
    """Return the address of the device that hosts the service."""
    return server.url.replace("/processing", "")


def test_a_device_that_knows_the_name_finds_the_address(server: Server) -> None:
    """DPW-001, DPW-003, DPW-009, DPW-012, DPW-021: over UDP on both ports, back to the port that asked."""
    for port in (server.settings.discovery.directed_port, server.settings.discovery.port):
        question = probe()
        answer = ask(question, ("127.0.0.1", port))

        assert text(answer, "wsa:Action") == f"{WSD}/ProbeMatches"
        assert text(answer, "wsa:RelatesTo") == text(question, "wsa:MessageID")
        assert text(answer, "wsd:XAddrs") == device_url(server)
        assert "wsdp:Device" in text(answer, "wsd:Types").split()


def test_what_it_finds_leads_to_the_service(server: Server) -> None:
    """From the Probe to the address of WS-DSP, as a device goes: the metadata at the address that was told."""
    found = text(ask(probe(), directed(server)), "wsd:XAddrs")
    get = message("Probe", "").replace(f"{WSD}/Probe".encode(), b"http://schemas.xmlsoap.org/ws/2004/09/transfer/Get")

    answer = Device(found).post(get)
    assert answer.status == 200
    assert server.url in answer.find_all("Address")


def test_an_endpoint_is_resolved_and_no_other(server: Server) -> None:
    """DPW-019."""
    endpoint = text(ask(probe(), directed(server)), "wsa:Address")
    assert endpoint.startswith("urn:uuid:")

    with asking() as socket_:
        socket_.sendto(resolve("urn:uuid:00000000-0000-4000-8000-000000000000"), directed(server))
        question = resolve(endpoint)
        socket_.sendto(question, directed(server))
        answer = socket_.recv(65536)
    assert text(answer, "wsa:Action") == f"{WSD}/ResolveMatches"
    assert text(answer, "wsa:RelatesTo") == text(question, "wsa:MessageID")
    assert text(answer, "wsd:XAddrs") == device_url(server)


def test_all_else_gets_silence_and_does_no_harm(server: Server) -> None:
    """DPW-006, DPW-084, DPW-086, T-D1, T-D3: the next good question is the first one that is answered, once."""
    repeated = new_id()
    noise = [
        b"",
        b"\xff\xfe\x00",
        probe("wsdp:Printer wsdp:Device").replace(WSDP.encode(), b"urn:x"),
        probe().replace(WSD.encode(), b"http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"),
        b"<!DOCTYPE e>" + probe(),
        probe() + b" " * 4096,
        probe().replace(b"/Probe<", b"/Hello<"),
        ask(probe(), directed(server)),
    ]
    with asking() as socket_:
        for data in noise:
            socket_.sendto(data, directed(server))
        for _ in range(3):
            socket_.sendto(probe(message_id=repeated), directed(server))
        last = probe()
        socket_.sendto(last, directed(server))

        assert text(socket_.recv(65536), "wsa:RelatesTo") == repeated
        assert text(socket_.recv(65536), "wsa:RelatesTo") == text(last, "wsa:MessageID")
        assert not heard(socket_)


def test_a_flood_gets_few_answers(server: Server) -> None:
    """T-D1, DPW-085: ten in a second for each source; the messages are numbered upwards (DPW-013)."""
    with asking() as flood, asking("127.0.0.2") as bystander:
        for _ in range(60):
            flood.sendto(probe(), directed(server))
        bystander.sendto(probe(), directed(server))
        bystander.recv(65536)  # it is answered, and whatever the flood gets has been sent before
        answers = []
        while heard(flood):
            answers.append(flood.recv(65536))

    numbers = [sequenced(answer)[1] for answer in answers]
    assert 0 < len(answers) <= 20  # the flood itself may last a little more than a second
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("path", ["/ScanServer", "/StableWSDiscoveryEndpoint/schemas-xmlsoap-org_ws_2005_04_discovery"])
def test_a_probe_over_http_is_answered_there(server: Server, path: str) -> None:
    """DPW-004, DPW-005, W-1: with its ProbeMatches; or with 202 and nothing, if it looks for something else."""
    device = Device(server.url.replace("/ScanServer/processing", path))
    question = probe()
    found, other = device.post(question), device.post(probe("wsdp:Other").replace(WSDP.encode(), b"urn:x"))

    assert found.status == 200
    assert text(found.body, "wsa:RelatesTo") == text(question, "wsa:MessageID")
    assert found.find("XAddrs") == device_url(server)
    assert (other.status, other.body) == (202, b"")


def test_a_probe_that_cannot_be_read_gets_a_fault_over_http(server: Server) -> None:
    """It relates to the message, so that the device knows which one was wrong."""
    question = probe("nobody:Device")
    answer = Device(device_url(server)).post(question)

    assert answer.status == 400
    assert answer.find("RelatesTo") == text(question, "wsa:MessageID")
    assert answer.fault()


def test_no_address_comes_from_the_host_header(server: Server) -> None:
    """T-D4, T-H9."""
    parts = urlsplit(device_url(server))
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    connection.request("POST", parts.path, probe(), {"Host": "evil.example", "Content-Type": SOAP_TYPE})
    answer = connection.getresponse().read()
    connection.close()

    assert b"evil" not in answer
    assert text(answer, "wsd:XAddrs") == device_url(server)


def test_a_restart_keeps_the_endpoint_and_raises_the_instance(tmp_path: Path) -> None:
    """DPW-014, DPW-015: also after a crash."""
    with running(tmp_path, discovered(*free_ports(2))) as server:
        before = ask(probe(), directed(server))
        server.kill()
        server.start()
        after = ask(probe(), directed(server))

    assert text(before, "wsa:Address") == text(after, "wsa:Address")
    assert sequenced(before)[0] < sequenced(after)[0]


def test_nobody_listens_unless_the_settings_say_so(tmp_path: Path) -> None:
    """A server that was not told to is not on the network's map."""
    port, directed_port = free_ports(2)
    off = {"discovery": {"port": port, "directed_port": directed_port}}
    with running(tmp_path, off):
        assert is_closed(port)
        assert is_closed(directed_port)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """The server does not start half."""
    port, _ = free_ports(2)
    with asking("127.0.0.1") as holder:
        server = Server(tmp_path, discovered(port, holder.getsockname()[1]))
        with pytest.raises(AssertionError, match=r"cannot listen on UDP port \d+: Address already in use"):
            server.start()
        server.stop()
    server.works.core.close()


# --- knowing nothing ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    """A cable with nobody else on it."""
    with cable() as laid:
        yield laid


def on_the_cable(host: str) -> Tables:
    """Return the settings of a server at an address of the cable, on the ports of the standard."""
    server = {"host": host, "port": 0, "allow_plain_http": True, "drain_seconds": 1}
    return {"server": server, "discovery": {"enabled": True, "port": PORT, "directed_port": DIRECTED}}


def joined() -> socket.socket:
    """Return a socket that hears the group on the cable."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.settimeout(PATIENCE)
    listening.bind((GROUP, PORT))
    membership = struct.pack("=4s4s", socket.inet_aton(GROUP), socket.inet_aton(CLIENT))
    listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return listening


@pytest.mark.parametrize("host", [SERVER, "0.0.0.0"])
def test_a_device_that_knows_nothing_finds_the_server(wire: Cable, tmp_path: Path, host: str) -> None:
    """DPW-002, DPW-018, DPW-020, DPW-022 to DPW-026: Hello, a Probe to the group, Bye; each said twice, as one."""
    listening = wire.at_client(joined)
    server = wire.at_server(Server, tmp_path, on_the_cable(host))
    try:
        wire.at_server(server.start)
        hello = [listening.recv(65536), listening.recv(65536)]
        answer = wire.at_client(ask, probe(), (GROUP, PORT), CLIENT)
        wire.at_server(server.stop)
        bye = [listening.recv(65536), listening.recv(65536)]
    finally:
        wire.at_server(server.stop)
        server.works.core.close()
        listening.close()

    assert hello[0] == hello[1]
    assert bye[0] == bye[1]
    assert [text(one, "wsa:Action") for one in (hello[0], bye[0])] == [f"{WSD}/Hello", f"{WSD}/Bye"]
    assert len({text(one, "wsa:Address") for one in (hello[0], answer, bye[0])}) == 1
    assert text(answer, "wsd:XAddrs") == f"http://{SERVER}:{urlsplit(server.url).port}/ScanServer"
    run, numbers = zip(*map(sequenced, (hello[0], answer, bye[0])), strict=True)
    assert len(set(run)) == 1
    assert list(numbers) == sorted(set(numbers))
    assert "Traceback" not in server.log()


def test_a_device_finds_the_server_over_ipv6(wire: Cable, tmp_path: Path) -> None:
    """DPW-002, W-9: a Probe to the group; the address is one that the device can reach, in brackets."""

    def ask_group() -> bytes:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as socket_:
            socket_.settimeout(PATIENCE)
            socket_.bind(("fd98:76::2", 0))
            socket_.sendto(probe(), (GROUP6, PORT, 0, socket.if_nametoindex("cable1")))
            return socket_.recv(65536)

    server = wire.at_server(Server, tmp_path, on_the_cable("::"))
    try:
        wire.at_server(server.start)
        answer = wire.at_client(ask_group)
    finally:
        wire.at_server(server.stop)
        server.works.core.close()

    assert text(answer, "wsd:XAddrs") == f"http://[{SERVER6}]:{urlsplit(server.url).port}/ScanServer"


@pytest.mark.parametrize(("networks", "answered"), [([], False), (["203.0.113.0/24"], True)])
def test_a_stranger_from_another_network_gets_silence(
    wire: Cable, tmp_path: Path, networks: list[str], answered: bool
) -> None:
    """T-D2: behind a gateway nobody is answered by UDP, unless the settings allow the network."""

    def ask_both() -> bool:
        with asking(STRANGER) as stranger, asking(CLIENT) as neighbour:
            stranger.sendto(probe(), (SERVER, DIRECTED))
            neighbour.sendto(probe(), (SERVER, DIRECTED))
            neighbour.recv(65536)  # the stranger was heard before
            return heard(stranger)

    settings = {**on_the_cable(SERVER)}
    settings["discovery"] = {**settings["discovery"], "networks": networks}
    server = wire.at_server(Server, tmp_path, settings)
    try:
        wire.at_server(server.start)
        assert wire.at_client(ask_both) is answered
    finally:
        wire.at_server(server.stop)
        server.works.core.close()
