"""Where messages may be sent: to the host that asked, and into networks that the settings name."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schemas import assert_valid

from postscan.soap.eventing import sinks
from postscan.soap.eventing.sinks import Peers, Sinks
from postscan.soap.message import faults
from postscan.soap.message.endpoint_reference import Reference
from postscan.soap.message.faults import Fault

PEER = "192.0.2.7"
PEERS = Peers(PEER, ("192.0.2.1", 5362))
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
NAMES = {
    "mfp-17.fabrikam.example": [PEER],
    "both.fabrikam.example": ["192.0.2.99", "2001:db8::7", PEER],
    "mapped.fabrikam.example": [f"::ffff:{PEER}"],
    "elsewhere.example": ["203.0.113.5"],
    "six.example": ["2001:db8::7"],
    "localhost": ["127.0.0.1", "::1"],
    "metadata.example": ["169.254.169.254"],
    "2130706433": ["127.0.0.1"],
    "127.1": ["127.0.0.1"],
}


class Resolver:
    """A resolver that knows a few names, and remembers what it was asked."""

    def __init__(self, names: dict[str, list[str]] | None = None) -> None:
        self.names = NAMES if names is None else names
        self.asked: list[str] = []

    def __call__(self, host: str) -> Iterable[str]:
        """Return what the name stands for."""
        self.asked.append(host)
        return self.names.get(host, [])


def admitted(url: str, peers: Peers = PEERS, networks: tuple[str, ...] = ()) -> str:
    """Return the address that an admitted sink is pinned to."""
    sink = Sinks(networks, Resolver()).admit(Reference(url, "<a/>"), peers)

    assert (sink.url, sink.parameters) == (url, "<a/>")
    return sink.address


def refused(url: str, peers: Peers = PEERS, networks: tuple[str, ...] = ()) -> Fault:
    """Return the fault for a sink that is not admitted."""
    with pytest.raises(Fault) as caught:
        Sinks(networks, Resolver()).admit(Reference(url), peers)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        f"http://{PEER}/",
        f"http://{PEER}",
        f"HTTP://{PEER}:5357/events/3?a=1&b=%20c;d='e'",
        f"https://{PEER}:443/events#there",
        f"http://{PEER}:5362/",
        f"http://[::ffff:{PEER}]/",
        "http://mfp-17.fabrikam.example:5357/events/3",
        "https://MFP-17.Fabrikam.Example/",
        "http://both.fabrikam.example/",
        "http://mapped.fabrikam.example/",
    ],
)
def test_a_device_may_have_its_events_sent_to_itself(url: str) -> None:
    """T-A2, DPW-077: by its address or by a name that stands for it; the address is kept."""
    assert admitted(url) == PEER


ELSEWHERE = (
    # third parties, by address and by name
    *("http://203.0.113.5/", "http://192.0.2.8/", "http://elsewhere.example/", "http://nobody.example/"),
    # this machine, and what is near it
    *("http://127.0.0.1/", "http://127.0.0.1:5362/", "http://localhost/", "http://[::1]/", "http://0.0.0.0/"),
    *("http://[::]/", "http://192.0.2.1/", "http://192.0.2.1:5362/", "http://10.0.0.1/", "http://192.168.0.1/"),
    *("http://169.254.169.254/latest/meta-data/", "http://metadata.example/", "http://[fe80::1%25eth0]/"),
    *("http://[::ffff:127.0.0.1]/", "http://224.0.0.1/", "http://255.255.255.255/", "http://[2001:db8::7]/"),
    # the same in other spellings
    *("http://2130706433/", "http://127.1/", "http://0x7f000001/", "http://017700000001/", "http://six.example/"),
    *(f"http://{PEER}.example/", f"http://x.{PEER}/", "http://3221225991/", "http://192.0.2.007/"),
    # users, ports and other things that two readers might read apart
    *(f"http://{PEER}@203.0.113.5/", f"http://user:pass@{PEER}/", f"http://203.0.113.5\\@{PEER}/", f"http://@{PEER}/"),
    *(f"http://{PEER}:0/", f"http://{PEER}:65536/", f"http://{PEER}:-1/", f"http://{PEER}:/", f"http://{PEER}:http/"),
    *(f"http://{PEER} /", f"http://{PEER}/\r\nX: y", f"http://{PEER}/é", f"http://[{PEER}/", f'http://{PEER}/"<>'),
    # other schemes, and none
    *(f"ftp://{PEER}/", f"file://{PEER}/etc/passwd", f"soap.udp://{PEER}/", f"gopher://{PEER}/", f"//{PEER}/"),
    *(
        PEER,
        f"{WSA}/role/anonymous",
        "urn:uuid:1c4b7a90-6c02-4cf5-9c0d-7e8f90a1b213",
        "http:///",
        "http://",
        "x" * 3000,
    ),
)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nothing_is_sent_anywhere_else(url: str) -> None:
    """T-A2, DPW-078: each refusal is the same fault, with the address and nothing of what we know about it."""
    fault = refused(url)

    assert (fault.code, fault.subcode) == ("Sender", "wsa:DestinationUnreachable")
    assert fault.detail == (f"{{{WSA}}}Address", url)
    assert fault.reason == "No route can be determined to reach the destination role defined by the WS-Addressing To."
    assert fault.action == f"{WSA}/fault"
    assert_valid(faults.write(fault, "urn:uuid:7"))


def test_there_are_as_many_of_them_as_the_threat_wants() -> None:
    """T-A2."""
    assert len(set(ELSEWHERE)) >= 40


def test_a_name_is_looked_up_once_and_never_again() -> None:
    """T-A2: a name that stands for something else later is not asked for it; what counts is what was pinned."""
    resolver = Resolver({"rebinding.example": [PEER]})
    sink = Sinks((), resolver).admit(Reference("http://rebinding.example/"), PEERS)
    resolver.names = {"rebinding.example": ["127.0.0.1"]}

    assert sink.address == PEER
    assert resolver.asked == ["rebinding.example"]


def test_a_name_that_stands_for_something_else_at_the_first_look_is_refused() -> None:
    """T-A2: there is no second look that could find the right address."""
    answers = iter([["127.0.0.1"], [PEER]])
    with pytest.raises(Fault):
        Sinks((), lambda _host: next(answers)).admit(Reference("http://rebinding.example/"), PEERS)

    assert next(answers) == [PEER]


@pytest.mark.parametrize("url", [url for url in ELSEWHERE if "example" not in url and "localhost" not in url])
def test_nothing_is_looked_up_for_what_is_no_name(url: str) -> None:
    """T-A1, T-A2: an address, or nothing of the kind, costs nobody a question; odd numbers do not leave the machine."""
    resolver = Resolver()
    with pytest.raises(Fault):
        Sinks((), resolver).admit(Reference(url), PEERS)

    odd_numbers = {"2130706433", "127.1", "0x7f000001", "017700000001", "3221225991", "192.0.2.007", f"x.{PEER}"}
    assert set(resolver.asked) <= odd_numbers


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://10.2.3.4:8080/", "10.2.3.4"),
        ("http://elsewhere.example/", "203.0.113.5"),
        ("http://[2001:db8::7]/", "2001:db8::7"),
        (f"http://{PEER}/", PEER),
    ],
)
def test_the_settings_may_name_networks(url: str, address: str) -> None:
    """D17: then a device may have its events sent there as well."""
    assert admitted(url, networks=("10.2.0.0/16", "203.0.113.5/32", "2001:db8::/32")) == address


@pytest.mark.parametrize("url", ["http://0.0.0.0/", "http://224.0.0.1/", "http://[ff02::c]/"])
def test_but_a_network_holds_neither_everybody_nor_nobody(url: str) -> None:
    """T-A2: the address of no host and that of a group are never sinks."""
    refused(url, networks=("10.2.0.0/16", "0.0.0.0/4", "224.0.0.0/4", "ff00::/8"))


def test_the_server_is_no_sink_of_its_own() -> None:
    """T-A2: whoever asks from this very machine may listen at another port, but not be our own door."""
    home = Peers("127.0.0.1", ("127.0.0.1", 5362))

    assert admitted("http://127.0.0.1:5357/", home) == "127.0.0.1"
    assert admitted("http://localhost:5357/", home) == "127.0.0.1"
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        refused(f"http://{host}:5362/", home)
    refused("http://127.0.0.2:5362/", home, ("127.0.0.0/8",))
    refused("http://[::1]:5362/", home, ("::1/128",))
    refused("http://192.0.2.1:5362/", PEERS, ("192.0.2.0/24",))


def test_a_link_local_device_is_pinned_together_with_its_link() -> None:
    """Without its zone nobody could connect to it."""
    peers = Peers("fe80::7%eth0", ("fe80::1%eth0", 5362))

    assert admitted("http://[fe80::7]:5357/", peers) == "fe80::7%eth0"
    assert admitted("http://[fe80::7%25eth0]:5357/", peers) == "fe80::7%eth0"
    refused("http://[fe80::1]:5362/", peers, ("fe80::/10",))


def test_the_machines_resolver_is_asked_without_raising() -> None:
    """Whatever the name is."""
    assert set(sinks.lookup("localhost")) & {"127.0.0.1", "::1"}
    assert sinks.lookup("nobody.invalid") == []
    assert sinks.lookup(f"{'x' * 80}.example") == []


@given(st.text(max_size=40), st.sampled_from(["http://", "https://", f"http://{PEER}", f"http://{PEER}:80", ""]))
def test_any_text_is_admitted_to_the_peer_or_refused(text: str, before: str) -> None:
    """T-A2: there is no third way, and no other error."""
    try:
        found = Sinks((), Resolver()).admit(Reference(before + text), PEERS).address
    except Fault as fault:
        found = str(fault.subcode)

    assert found in (PEER, "wsa:DestinationUnreachable")


def test_a_name_server_that_does_not_answer_holds_up_few() -> None:
    """T-A2, T-Q1: so many look-ups and one more, which is refused at once; an address needs none."""
    asked, answer = threading.Semaphore(0), threading.Event()

    def hang(_host: str) -> list[str]:
        asked.release()
        answer.wait(30)
        return [PEER]

    there = Sinks((), hang)
    with ThreadPoolExecutor(sinks.LOOKUPS) as threads:
        hanging = [threads.submit(there.admit, Reference("http://slow.example/"), PEERS) for _ in range(sinks.LOOKUPS)]
        for _ in hanging:
            assert asked.acquire(timeout=30)
        with pytest.raises(Fault):
            there.admit(Reference("http://slow.example/"), PEERS)
        assert there.admit(Reference(f"http://{PEER}/"), PEERS).address == PEER
        answer.set()
        assert [one.result().address for one in hanging] == [PEER] * sinks.LOOKUPS
    assert there.admit(Reference("http://slow.example/"), PEERS).address == PEER


def test_it_is_the_kernel_that_knows_our_addresses() -> None:
    """An address is ours if a socket can have it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused(f"http://127.0.0.1:{port}/", Peers("127.0.0.1", ("192.0.2.1", port)))
