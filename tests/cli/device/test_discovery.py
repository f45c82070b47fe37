"""The simulated device finds a server, and is not led astray."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Iterator

import pytest
from hosted import DSP, ENDPOINT, WSA, WSD, WSDP, Asked, Hosted, envelope, hosting

from postscan.cli.device import discovery
from postscan.cli.device.transport import BadAnswer, HttpTransport, Unreachable

LONG = 60.0
SHORT = 0.4
TYPES = (f"{{{WSDP}}}Device", f"{{{DSP}}}RepositoryDeviceType")


@pytest.fixture
def host() -> Iterator[Hosted]:
    """A server that can be found."""
    with hosting() as host:
        yield host


def seek(host: Hosted, wait: float = SHORT) -> tuple[discovery.Match, ...]:
    """Look for the server by its name."""
    with HttpTransport() as transport:
        return discovery.at_host(transport, "127.0.0.1", host.port, ("http",), wait)


def answer_of(host: Hosted, asked: Asked) -> bytes:
    """Return a good answer to a question."""
    return host.answer(asked)[1]


def test_a_host_is_found_by_its_name_alone(host: Hosted) -> None:
    """DPW-003: the question goes to its own port by UDP, and the answer is read as names, not as text."""
    (match,) = seek(host, LONG)

    assert (match.endpoint, match.types, match.addresses) == (ENDPOINT, TYPES, (f"{host.origin}/device",))
    assert match.is_scan_server
    assert {one.operation for one in host.asked} == {"Probe"}
    assert b"<wsd:Types>wsdp:Device</wsd:Types>" in host.asked[0].data


def test_a_question_that_gets_lost_is_asked_again_as_the_same_message(host: Hosted) -> None:
    """dpws.md section 3: all copies carry the same MessageID."""
    host.datagrams = lambda asked: [answer_of(host, asked)] if len(host.asked) > 1 else []
    found = seek(host, LONG)

    assert len(found) == 1
    assert host.asked[0].data == host.asked[1].data


def test_what_is_no_answer_to_the_question_is_passed_over(host: Hosted) -> None:
    """DPW-012: noise, a DTD, the answer to somebody else, a fault; the good answer after them counts, and once."""

    def noise(asked: Asked) -> list[bytes]:
        good = answer_of(host, asked)
        evil = good.replace(ENDPOINT.encode(), b"urn:evil")
        other = evil.replace(asked.message_id.encode(), b"urn:uuid:00000000-0000-4000-8000-000000000000")
        unrelated = re.sub(rb"<wsa:RelatesTo>.*</wsa:RelatesTo>", b"", evil)
        return [b"", b"\xff<", b"<!DOCTYPE e>" + evil, other, unrelated, envelope("urn:x", "", asked.message_id), good]

    host.datagrams = noise

    assert [one.endpoint for one in seek(host, LONG)] == [ENDPOINT]


def test_an_answer_that_comes_again_counts_once(host: Hosted) -> None:
    """dpws.md section 3: copies carry the same MessageID; what is new about a second message is its name."""

    def repeated(asked: Asked) -> list[bytes]:
        first, second = answer_of(host, asked), answer_of(host, asked)
        other = answer_of(host, asked).replace(ENDPOINT.encode(), b"urn:other")
        return [first, first, second, other]

    host.datagrams = lambda asked: repeated(asked) if len(host.asked) == 1 else []
    with discovery._host_routes("127.0.0.1", host.port) as routes:
        responses = discovery._responses(routes, discovery.probe(), LONG)
        found = [match.endpoint for match, _ in itertools.islice(responses, 3)]

    assert found == [ENDPOINT, ENDPOINT, "urn:other"]


def test_nobody_else_can_answer_for_the_host(host: Hosted) -> None:
    """The answer has to come from where the question went."""
    host.deaf = True
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        discovery._host_routes("127.0.0.1", host.port) as routes,
    ):
        stranger.bind(("127.0.0.2", 0))
        question = discovery.probe()
        evil = answer_of(host, Asked("Probe", "udp", question.data))
        stranger.sendto(evil, routes[0].udp.getsockname())

        assert discovery._probe_routes(routes, question, SHORT, limit=1) == ()


def test_a_match_without_an_address_is_resolved(host: Hosted) -> None:
    """dpws.md section 6.1: XAddrs may be missing in a ProbeMatch, and never in a ResolveMatch."""
    host.says["Probe"] = lambda asked: host.match(asked, addresses="")
    (match,) = seek(host, LONG)
    question = next(one for one in host.asked if one.operation == "Resolve")

    assert match.addresses == (f"{host.origin}/device",)
    assert f"<wsa:Address>{ENDPOINT}</wsa:Address>".encode() in question.data


def test_a_host_that_is_silent_by_udp_is_asked_by_http(host: Hosted) -> None:
    """DPW-004: with a Probe at the path that Windows uses."""
    host.deaf = True
    (match,) = seek(host)

    assert match.endpoint == ENDPOINT
    assert host.asked[-1].way == "/StableWSDiscoveryEndpoint/schemas-xmlsoap-org_ws_2005_04_discovery"


def test_an_answer_by_http_has_to_relate_to_the_question(host: Hosted) -> None:
    """DPW-045: an answer to something else is none."""
    with HttpTransport() as transport, pytest.raises(BadAnswer, match="relates to urn:x; expected urn:uuid:"):
        host.answer = lambda _asked: (200, envelope("urn:x", "", "urn:x"))
        discovery.by_http(transport, host.origin)


def test_a_host_that_is_something_else_is_not_found(host: Hosted) -> None:
    """DPW-005: 202 means that no match; the error tells all that was tried."""
    host.deaf = True
    host.says["Probe"] = lambda _: (202, "")
    with pytest.raises(Unreachable) as caught:
        seek(host)

    assert f"UDP ports {host.port} and 3702: no response" in str(caught.value)
    assert f"{host.origin}: no match" in str(caught.value)


def test_a_host_where_nobody_listens_is_not_found() -> None:
    """Closed ports are an answer, too: there is nothing to wait for."""
    with hosting() as host:
        port = host.port
    with HttpTransport() as transport, pytest.raises(Unreachable, match="no device found"):
        discovery.at_host(transport, "127.0.0.1", port, ("https", "http"), LONG * 5)


def test_a_name_that_nobody_knows_is_an_error_that_names_it() -> None:
    """It never comes to a question."""
    with HttpTransport() as transport, pytest.raises(Unreachable, match=r"no\.such\.host\.invalid"):
        discovery.at_host(transport, "no.such.host.invalid", 5362, ("http",))


def test_any_prefix_and_any_blanks_are_read() -> None:
    """dpws.md section 10, items 1 and 6: a default namespace, line breaks around names and URIs."""
    question = discovery.probe()
    data = (
        f'<E xmlns="http://www.w3.org/2003/05/soap-envelope"><Header xmlns:A="{WSA}">'
        f"<A:RelatesTo>\n {question.id} </A:RelatesTo></Header><Body><ProbeMatches xmlns='{WSD}'><ProbeMatch>"
        f"<EndpointReference xmlns='{WSA}'><Address>\n urn:e </Address></EndpointReference>"
        f"<Types xmlns:P='{DSP}'>\n P:Thing  unknown:Thing </Types><XAddrs> http://a/ \n http://b/ </XAddrs>"
        "<MetadataVersion>1</MetadataVersion></ProbeMatch></ProbeMatches></Body></E>"
    )
    (match,) = discovery.matches(data.encode(), question)

    assert (match.endpoint, match.addresses) == ("urn:e", ("http://a/", "http://b/"))
    assert match.types == (f"{{{DSP}}}Thing", "unknown:Thing")
