"""A device finds the server: by its name alone over UDP and HTTP, or knowing nothing, over a cable of its own."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from acceptance.networks import (
    CLIENT,
    LATE_CLIENT,
    LATE_SERVER,
    SERVER,
    SERVER6,
    STRANGER,
    Cable,
    another,
    cable,
)
from acceptance.seeking import (
    DIRECTED,
    GROUP,
    GROUP6,
    PATIENCE,
    PORT,
    WSD,
    WSDP,
    ask,
    asking,
    device_of,
    device_url,
    directed,
    discovered,
    free_ports,
    heard,
    is_closed,
    joined,
    message,
    new_id,
    on_the_cable,
    probe,
    resolve,
    sequenced,
    text,
)
from acceptance.server import Server, running
from device import SOAP_TYPE, Device

# --- by its name -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on loopback that can be found. Nothing that it hears makes it stumble."""
    with running(tmp_path_factory.mktemp("found"), discovered(*free_ports(2))) as server:
        yield server
    assert server.tracebacks() == []


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
    """DPW-006, DPW-084, DPW-086, T-D1, T-D3: the next good question is the first one that is answered, once.

    From an address of its own, so that what others have asked within the last second does not count.
    """
    repeated = new_id()
    noise = [
        b"",
        b"\xff\xfe\x00",
        probe("wsdp:Printer wsdp:Device").replace(WSDP.encode(), b"urn:x"),
        probe().replace(WSD.encode(), b"http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"),
        b"<!DOCTYPE e>" + probe(),
        probe() + b" " * 4096,
        probe().replace(b"/Probe<", b"/Hello<"),
        ask(probe(), directed(server), "127.0.0.7"),
    ]
    with asking("127.0.0.7") as socket_:
        for data in noise:
            socket_.sendto(data, directed(server))
        for _ in range(3):
            socket_.sendto(probe(message_id=repeated), directed(server))
        last = probe()
        socket_.sendto(last, directed(server))

        assert text(socket_.recv(65536), "wsa:RelatesTo") == repeated
        assert text(socket_.recv(65536), "wsa:RelatesTo") == text(last, "wsa:MessageID")
        assert not heard(socket_)


def test_a_rule_that_nobody_knows_gets_a_fault_by_http(server: Server) -> None:
    """DPW-011: with the rules that are known; by UDP there is silence, and the next question is answered."""
    question, next_one = probe(scopes="http://fabrikam.example", rule=f"{WSD}/ldap"), probe()
    refused = device_of(server).post(question)
    with asking() as socket_:
        socket_.sendto(question, directed(server))
        socket_.sendto(next_one, directed(server))
        assert text(socket_.recv(65536), "wsa:RelatesTo") == text(next_one, "wsa:MessageID")

    assert refused.status == 400
    assert text(refused.body, "wsa:Action") == f"{WSD}/fault"
    assert text(refused.body, "wsa:RelatesTo") == text(question, "wsa:MessageID")
    assert text(refused.body, "soap:Subcode/soap:Value") == "wsd:MatchingRuleNotSupported"
    rules = text(refused.body, "soap:Detail/wsd:SupportedMatchingRules")
    assert rules.split() == [f"{WSD}/{name}" for name in ("rfc2396", "strcmp0", "uuid")]


def test_a_flood_gets_few_answers(server: Server) -> None:
    """T-D1, DPW-085: ten in any second for each source; the messages are numbered upwards (DPW-013)."""
    begun = time.monotonic()
    with asking() as flood, asking("127.0.0.2") as bystander:
        for _ in range(60):
            flood.sendto(probe(), directed(server))
        bystander.sendto(probe(), directed(server))
        bystander.recv(65536)  # it is answered, and whatever the flood gets has been sent before
        seconds = int(time.monotonic() - begun) + 1
        answers = []
        while heard(flood):
            answers.append(flood.recv(65536))

    numbers = [sequenced(answer)[1] for answer in answers]
    assert 0 < len(answers) <= 10 * seconds
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


@pytest.mark.conformance("DPW-014", "DPW-015")
def test_a_restart_keeps_the_endpoint_and_raises_the_instance(tmp_path: Path) -> None:
    """DPW-014, DPW-015: also after a crash."""
    with running(tmp_path, discovered(*free_ports(2))) as server:
        before = ask(probe(), directed(server))
        server.kill()
        server.start()
        after = ask(probe(), directed(server))

    assert text(before, "wsa:Address") == text(after, "wsa:Address")
    assert text(after, "wsa:Address").startswith("urn:uuid:")
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
        server.close()


# --- knowing nothing ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    """A cable with nobody else on it."""
    with cable() as laid:
        yield laid


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
        server.close()
        listening.close()

    assert hello[0] == hello[1]
    assert bye[0] == bye[1]
    assert [text(one, "wsa:Action") for one in (hello[0], bye[0])] == [f"{WSD}/Hello", f"{WSD}/Bye"]
    assert len({text(one, "wsa:Address") for one in (hello[0], answer, bye[0])}) == 1
    assert text(answer, "wsd:XAddrs") == f"http://{SERVER}:{urlsplit(server.url).port}/ScanServer"
    run, numbers = zip(*map(sequenced, (hello[0], answer, bye[0])), strict=True)
    assert len(set(run)) == 1
    assert list(numbers) == sorted(set(numbers))
    assert server.tracebacks() == []


def test_a_link_that_comes_later_is_served_like_the_others(wire: Cable, tmp_path: Path) -> None:
    """DPW-002, DPW-026: somebody plugs in a cable, and again; the server says Hello there, and hears Probes."""
    server = wire.at_server(Server, tmp_path, on_the_cable("0.0.0.0"))
    try:
        wire.at_server(server.start)
        for _ in range(2):
            with another(wire) as plug_in, wire.at_client(joined, LATE_CLIENT) as listening:
                plug_in()
                hello = listening.recv(65536)
                answer = wire.at_client(ask, probe(), (GROUP, PORT), LATE_CLIENT)

            assert text(hello, "wsa:Action") == f"{WSD}/Hello"
            assert sequenced(hello) < sequenced(answer)
            assert text(answer, "wsd:XAddrs") == f"http://{LATE_SERVER}:{urlsplit(server.url).port}/ScanServer"
    finally:
        wire.at_server(server.stop)
        server.close()
    assert server.tracebacks() == []


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
        server.close()

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
        server.close()
