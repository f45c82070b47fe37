"""The messages of WS-Discovery: what is read, what matches, and what is written, element by element."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from discovery_messages import (
    DEVICE,
    DSP,
    ENDPOINT,
    HOSTILE,
    NS,
    SCANNER,
    SOAP,
    TARGET,
    WSA,
    WSD,
    WSDP,
    XADDR,
    resolve,
    texts,
    usual,
)
from schemas import assert_valid

from postscan.soap.discovery import messages
from postscan.soap.discovery.messages import Discoverable, Probe, Resolve, SequenceNumber
from postscan.soap.message.faults import Fault

# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_probe_is_read_with_its_types_resolved_where_they_stand() -> None:
    """DPW-008, DPW-082: any prefix, even one that is declared on the element itself; blanks do not count."""
    data = usual().replace(b"<wsd:Types>wsdp:Device", b'<wsd:Types xmlns:a="urn:a" xmlns="urn:b">\n a:One  Two\t')

    assert messages.read(data) == Probe(messages.read(data).message_id, ("{urn:a}One", "{urn:b}Two"))


def test_scopes_are_read_with_their_rule() -> None:
    """Without MatchBy it is rfc2396."""
    with_rule = usual().replace(
        b"</wsd:Types>", f'</wsd:Types><wsd:Scopes MatchBy="{WSD}/strcmp0">a b</wsd:Scopes>'.encode()
    )
    without = usual().replace(b"</wsd:Types>", b"</wsd:Types><wsd:Scopes>a</wsd:Scopes>")

    assert [(one.scopes, one.rule) for one in map(messages.read, (with_rule, without))] == [  # type: ignore[union-attr]  # both are Probes
        (("a", "b"), f"{WSD}/strcmp0"),
        (("a",), f"{WSD}/rfc2396"),
    ]


def test_a_resolve_is_read_with_its_address_trimmed() -> None:
    """DPW-051."""
    data = resolve(ENDPOINT)

    assert messages.read(data) == Resolve(texts(data, "soap:Header/wsa:MessageID")[0], ENDPOINT)


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_question_is_refused_with_a_fault(data: bytes) -> None:
    """Whoever asks by HTTP gets it; by UDP nobody does."""
    with pytest.raises(Fault):
        messages.read(data)


# --- matching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "lenient", "told"),
    [
        ((), False, (DEVICE, SCANNER)),
        ((DEVICE,), False, (DEVICE, SCANNER)),
        ((SCANNER, DEVICE), False, (DEVICE, SCANNER)),
        ((DEVICE, f"{{{DSP}}}Other"), False, None),
        (("{urn:x}Device",), False, None),
        (("Device",), False, None),
        ((f"{{{DSP}}}Other",), True, (DEVICE, SCANNER, f"{{{DSP}}}Other")),
        ((f"{{{DSP}}}Other", "{urn:x}Printer"), True, None),
    ],
)
def test_every_type_that_is_asked_for_must_be_ours(
    types: tuple[str, ...], lenient: bool, told: tuple[str, ...] | None
) -> None:
    """DPW-007, DPW-008, DPW-028: by namespace and name; where guesses are welcome the guess is confirmed."""
    assert messages.types_for(Probe("1", types), TARGET, lenient=lenient) == told


@pytest.mark.parametrize(
    ("rule", "scope", "matches"),
    [
        ("rfc2396", "http://fabrikam.example/berlin", True),
        ("rfc2396", "http://FABRIKAM.example/berlin/", True),
        ("rfc2396", "http://fabrikam.example", True),
        ("rfc2396", "http://fabrikam.example/berlin?x#y", True),
        ("rfc2396", "http://fabrikam.example/ber", False),
        ("rfc2396", "http://fabrikam.example/Berlin", False),
        ("rfc2396", "http://fabrikam.example/berlin/../berlin", False),
        ("rfc2396", "https://fabrikam.example/berlin", False),
        ("rfc2396", "http://[", False),
        ("strcmp0", "http://fabrikam.example/berlin/floor%202", True),
        ("strcmp0", "http://fabrikam.example/berlin", False),
        ("uuid", "HTTP://fabrikam.example/berlin/floor%202", True),
        ("ldap", "http://fabrikam.example/berlin/floor%202", False),
    ],
)
def test_scopes_match_by_the_rule_that_is_named(rule: str, scope: str, matches: bool) -> None:
    """DPW-010; an unknown rule matches nothing (nor is it asked for: `check_rule`)."""
    probe = Probe("1", (), (scope,), f"{WSD}/{rule}")

    assert (messages.types_for(probe, TARGET) is not None) == matches


def test_every_scope_must_match() -> None:
    """And a server without scopes is in none."""
    scope = TARGET.scopes[0]

    assert messages.types_for(Probe("1", (), (scope, "urn:other")), TARGET) is None
    assert messages.types_for(Probe("1", (), (scope,)), Discoverable(ENDPOINT, (DEVICE,), (), 1)) is None


def test_only_our_own_endpoint_is_resolved() -> None:
    """DPW-019: a UUID in any case, a URL as it is."""
    secure = Discoverable("https://scan.example/ScanServer", (DEVICE,), (), 1)

    assert messages.is_meant(Resolve("1", ENDPOINT.upper()), TARGET)
    assert not messages.is_meant(Resolve("1", ENDPOINT[:-1] + "4"), TARGET)
    assert not messages.is_meant(Resolve("1", "https://scan.example/scanserver"), secure)


# --- writing ---------------------------------------------------------------------------------------------------------


def shape(data: bytes, path: str) -> list[str]:
    """Return the names of the children at a path, in their order, as they are written, of a message that is valid."""
    assert_valid(data)
    (parent,) = ET.fromstring(data).findall(path, NS)
    names = {uri: prefix for prefix, uri in NS.items()}
    return [f"{names[child.tag[1:].partition('}')[0]]}:{child.tag.rpartition('}')[2]}" for child in parent]


@pytest.mark.parametrize("kind", ["Probe", "Resolve"])
def test_an_answer_holds_what_the_digest_lists_and_nothing_else(kind: str) -> None:
    """DPW-009, DPW-012, DPW-018, DPW-045, DPW-083, T-D4: one address; who is meant; the place in the sequence."""
    stamp = SequenceNumber(1_790_000_000, 41)
    data = (
        messages.probe_matches(Probe("urn:uuid:q<&"), TARGET, TARGET.types, XADDR, stamp)
        if kind == "Probe"
        else messages.resolve_matches(Resolve("urn:uuid:q<&", ENDPOINT), TARGET, TARGET.types, XADDR, stamp)
    )
    match = f"soap:Body/wsd:{kind}Matches/wsd:{kind}Match"

    assert shape(data, ".") == ["soap:Header", "soap:Body"]
    assert shape(data, "soap:Header") == ["wsa:To", "wsa:Action", "wsa:MessageID", "wsa:RelatesTo", "wsd:AppSequence"]
    assert shape(data, "soap:Body") == [f"wsd:{kind}Matches"]
    assert shape(data, f"soap:Body/wsd:{kind}Matches") == [f"wsd:{kind}Match"]
    described = ["wsa:EndpointReference", "wsd:Types", "wsd:Scopes", "wsd:XAddrs", "wsd:MetadataVersion"]
    assert shape(data, match) == described
    assert texts(data, "soap:Header/wsa:To") == [f"{WSA}/role/anonymous"]
    assert texts(data, "soap:Header/wsa:Action") == [f"{WSD}/{kind}Matches"]
    assert texts(data, "soap:Header/wsa:RelatesTo") == ["urn:uuid:q<&"]
    (sequenced,) = ET.fromstring(data).findall("soap:Header/wsd:AppSequence", NS)
    assert sequenced.attrib == {"InstanceId": "1790000000", "MessageNumber": "41"}
    assert texts(data, f"{match}/wsa:EndpointReference/wsa:Address") == [ENDPOINT]
    assert texts(data, f"{match}/wsd:Types") == ["wsdp:Device dsp:RepositoryDeviceType"]
    assert texts(data, f"{match}/wsd:Scopes") == list(TARGET.scopes)
    assert texts(data, f"{match}/wsd:XAddrs") == [XADDR]
    assert texts(data, f"{match}/wsd:MetadataVersion") == ["7"]


def test_hello_and_bye_hold_what_the_digest_lists_and_nothing_else() -> None:
    """DPW-026, DPW-027: Hello names no address, Bye nothing but the endpoint."""
    said = (messages.hello(TARGET, SequenceNumber(9, 1)), messages.bye(TARGET, SequenceNumber(9, 2)))

    for data, action in zip(said, ("Hello", "Bye"), strict=True):
        assert shape(data, "soap:Header") == ["wsa:To", "wsa:Action", "wsa:MessageID", "wsd:AppSequence"]
        assert texts(data, "soap:Header/wsa:To") == ["urn:schemas-xmlsoap-org:ws:2005:04:discovery"]
        assert texts(data, "soap:Header/wsa:Action") == [f"{WSD}/{action}"]
        assert texts(data, f"soap:Body/wsd:{action}/wsa:EndpointReference/wsa:Address") == [ENDPOINT]
    described = ["wsa:EndpointReference", "wsd:Types", "wsd:Scopes", "wsd:MetadataVersion"]
    assert shape(said[0], "soap:Body/wsd:Hello") == described
    assert shape(said[1], "soap:Body/wsd:Bye") == ["wsa:EndpointReference"]


def test_a_message_declares_the_namespaces_that_it_uses_and_no_other() -> None:
    """D24; those of types, too, whatever their prefix."""
    types = (DEVICE, "{urn:a}One", "{urn:a}Two")
    data = messages.probe_matches(Probe("1"), TARGET, types, XADDR, SequenceNumber(1, 1))
    opening = data.partition(b">")[0].decode()

    assert opening.count(" xmlns:") == 5
    assert all(f'"{uri}"' in opening for uri in (SOAP, WSA, WSD, WSDP, "urn:a"))
    assert messages.bye(TARGET, SequenceNumber(1, 1)).partition(b">")[0].count(b" xmlns:") == 3
