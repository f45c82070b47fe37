"""WS-Discovery without a network: what is read, what matches, what is said, and to whom nothing is said."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import pytest
from schemas import assert_valid

from postscan.core.errors import SettingsError
from postscan.core.settings import Settings
from postscan.soap.discovery import app_sequence, messages
from postscan.soap.discovery import responder as discovery_responder
from postscan.soap.discovery.app_sequence import AppSequence
from postscan.soap.discovery.messages import Discoverable, Probe, Resolve, SequenceNumber
from postscan.soap.discovery.responder import Advertisement, ReceivedDatagram, Responder
from postscan.soap.message.faults import Fault

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
NS = {"soap": SOAP, "wsa": WSA, "wsd": WSD}

DEVICE = f"{{{WSDP}}}Device"
SCANNER = f"{{{DSP}}}RepositoryDeviceType"
ENDPOINT = "urn:uuid:1b6f0d52-7c1e-4f7a-9d7e-2a6e5d0c9b13"
TARGET = Discoverable(ENDPOINT, (DEVICE, SCANNER), ("http://fabrikam.example/berlin/floor%202",), 7)
XADDR = "http://192.168.100.200:5362/ScanServer"


def usual(types: str = "wsdp:Device", message_id: str = "") -> bytes:
    """Return a Probe as Windows and scanners send it: with To, ReplyTo and Types."""
    scanning = f' xmlns:dsp="{DSP}"' if "dsp:" in types else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"'
        f' xmlns:wsd="{WSD}" xmlns:wsdp="{WSDP}"{scanning}><soap:Header>'
        "<wsa:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</wsa:To>"
        f"<wsa:Action>{WSD}/Probe</wsa:Action><wsa:MessageID>{message_id or new_id()}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo></soap:Header>"
        f"<soap:Body><wsd:Probe><wsd:Types>{types}</wsd:Types></wsd:Probe></soap:Body></soap:Envelope>"
    ).encode()


def shortest(message_id: str = "1") -> bytes:
    """Return a Probe without a byte too many."""
    return (
        f'<e:Envelope xmlns:e="{SOAP}" xmlns="{WSA}"><e:Header><Action>{WSD}/Probe</Action>'
        f'<MessageID>{message_id}</MessageID></e:Header><e:Body><Probe xmlns="{WSD}"/></e:Body></e:Envelope>'
    ).encode()


def resolve(endpoint: str) -> bytes:
    """Return a Resolve."""
    reference = f"<wsa:EndpointReference><wsa:Address>\n{endpoint} </wsa:Address></wsa:EndpointReference>"
    probe = usual().decode().replace("/Probe</wsa:Action>", "/Resolve</wsa:Action>")
    before, _, _ = probe.partition("<wsd:Probe>")
    return f"{before}<wsd:Resolve>{reference}</wsd:Resolve></soap:Body></soap:Envelope>".encode()


def new_id() -> str:
    """Return a MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    """A clock that stands still."""
    return Ticks()


@pytest.fixture
def host() -> Advertisement:
    """A host at an address of its own on each interface."""
    return Advertisement(TARGET, AppSequence(1_790_000_000), lambda local: f"http://{local}:5362/ScanServer")


@pytest.fixture
def responder(host: Advertisement, ticks: Ticks) -> Responder:
    """Its responder; local is what begins with 192.168.100."""
    return Responder(host, lambda source: source.startswith("192.168.100."), ticks)


HERE = ReceivedDatagram("192.168.100.7", "192.168.100.200")


# --- reading -----------------------------------------------------------------------------------------------------


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


HOSTILE = {
    "nothing": b"",
    "no XML": b"\x00\x01\x02",
    "cut": usual()[:-9],
    "a document type (DPW-084)": b"<!DOCTYPE e [<!ENTITY x 'y'>]>" + shortest(),
    "2009/01 discovery (DPW-086)": usual().replace(
        WSD.encode(), b"http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"
    ),
    "2005/08 addressing (DPW-086)": usual().replace(WSA.encode(), b"http://www.w3.org/2005/08/addressing"),
    "SOAP 1.1": usual().replace(SOAP.encode(), b"http://schemas.xmlsoap.org/soap/envelope/"),
    "another action": usual().replace(b"/Probe</wsa:Action>", b"/Hello</wsa:Action>"),
    "an answer": usual().replace(b"/Probe</wsa:Action>", b"/ProbeMatches</wsa:Action>"),
    "action and body that disagree": usual().replace(b"/Probe</wsa:Action>", b"/Resolve</wsa:Action>"),
    "an empty body": usual().partition(b"<wsd:Probe>")[0] + b"</soap:Body></soap:Envelope>",
    "no MessageID": shortest("").replace(b"<MessageID></MessageID>", b""),
    "a ReplyTo of somebody else (DPW-025)": usual().replace(b"/role/anonymous", b"/victim"),
    "a type with an unknown prefix": usual("nobody:Device"),
    "a mandatory signature": usual().replace(
        b"</soap:Header>", b'<wsd:Security soap:mustUnderstand="1"/></soap:Header>'
    ),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_question_is_refused_with_a_fault(data: bytes) -> None:
    """Whoever asks by HTTP gets it; by UDP nobody does."""
    with pytest.raises(Fault):
        messages.read(data)


# --- matching ----------------------------------------------------------------------------------------------------


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


def scoped(rule: str, scopes: str = "http://fabrikam.example/berlin") -> bytes:
    """Return the usual Probe with scopes and a rule."""
    return usual().replace(b"</wsd:Types>", f'</wsd:Types><wsd:Scopes MatchBy="{rule}">{scopes}</wsd:Scopes>'.encode())


def test_an_unknown_rule_is_refused_with_those_that_are_known(host: Advertisement) -> None:
    """DPW-011: the fault is discovery's own."""
    question = messages.read(scoped("urn:other"))
    with pytest.raises(Fault) as caught:
        host.response_to(question, "10.0.0.1")

    fault = caught.value
    assert (fault.code, fault.subcode, fault.action) == ("Sender", "wsd:MatchingRuleNotSupported", f"{WSD}/fault")
    assert fault.detail == (f"{{{WSD}}}SupportedMatchingRules", f"{WSD}/rfc2396 {WSD}/strcmp0 {WSD}/uuid")


def test_a_rule_without_scopes_is_of_no_account(host: Advertisement) -> None:
    """There is nothing to be matched by it."""
    assert host.response_to(messages.read(scoped("urn:other", " ")), "10.0.0.1")


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


# --- what is said, element by element ----------------------------------------------------------------------------


def texts(data: bytes, path: str) -> list[str]:
    """Return the texts at a path below the Envelope; there must be no blanks around them."""
    found = [one.text or "" for one in ET.fromstring(data).findall(path, NS)]
    assert found == [one.strip() for one in found]
    return found


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


# --- the place in the sequence -----------------------------------------------------------------------------------


def test_a_run_is_numbered_above_every_run_before_it(tmp_path: Path) -> None:
    """DPW-014: even two in one second, and when the clock was set back by years."""
    late, early = datetime(2026, 5, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    runs = [app_sequence.begin(tmp_path, now).instance for now in (late, late, early)]

    assert runs == [int(late.timestamp()) + number for number in range(3)]


def test_messages_are_numbered_upwards() -> None:
    """DPW-013."""
    run = AppSequence(5)

    assert [run.next() for _ in range(3)] == [SequenceNumber(5, 1), SequenceNumber(5, 2), SequenceNumber(5, 3)]


def test_a_file_that_holds_no_number_is_named(tmp_path: Path) -> None:
    """Nobody's file is overwritten."""
    (tmp_path / app_sequence.FILE).write_text("mine")

    with pytest.raises(SettingsError, match=rf"{app_sequence.FILE}: holds b'mine'; expected a number"):
        app_sequence.begin(tmp_path, datetime(2026, 5, 1, tzinfo=UTC))


# --- to whom nothing is said -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_question_gets_no_answer(responder: Responder, data: bytes) -> None:
    """T-D1, T-D3: nothing at all, not even a fault; an answer of somebody else's is not answered."""
    assert responder.response_to(data, HERE) is None


@pytest.mark.parametrize("multicast", [True, False])
def test_an_unknown_rule_gets_no_answer_either(responder: Responder, multicast: bool) -> None:
    """T-D1, ruling 22: by UDP there are no faults, for the sender may be forged."""
    assert responder.response_to(scoped("urn:other"), ReceivedDatagram(HERE.source, HERE.local, multicast)) is None


def test_our_own_messages_are_never_answered(responder: Responder, host: Advertisement) -> None:
    """T-D3: two servers that hear one another do not begin to talk."""
    said = [host.hello(), host.bye(), responder.response_to(usual(), HERE) or b""]

    assert all(said)
    assert [responder.response_to(data, HERE) for data in said] == [None] * 3


def test_a_datagram_that_is_too_long_is_not_looked_into(responder: Responder) -> None:
    """T-D1: at the limit it is answered, one byte above it is not."""
    room = 4096 - len(usual())

    assert responder.response_to(usual() + b" " * room, HERE)
    assert responder.response_to(usual() + b" " * (room + 1), HERE) is None


def test_an_answer_is_hardly_larger_than_its_question(settings: Settings) -> None:
    """T-D1, D24: at most 2.0 times a usual Probe, with every type; 3.2 times the shortest one, with what counts."""
    settings.storage.data_dir.mkdir(exist_ok=True)
    host = discovery_responder.advertisement(settings, 5362, AppSequence(1_790_000_000))
    responder = Responder(host, lambda _source: True, Ticks())
    answers = [responder.response_to(data, HERE) or b"" for data in (usual(), shortest())]

    assert all(answers)
    assert len(answers[0]) <= 2.0 * len(usual())
    assert len(answers[1]) <= 3.2 * len(shortest())
    assert texts(answers[0], ".//wsd:Types") == ["wsdp:Device dsp:RepositoryDeviceType"]
    assert texts(answers[1], ".//wsd:Types") == ["wsdp:Device"]


def test_a_server_with_much_to_tell_does_not_tell_it_to_strangers(ticks: Ticks) -> None:
    """T-D1: the bound holds whatever the settings say; there may then be no answer."""
    wordy = Discoverable("https://" + "x" * 400, tuple(f"{{urn:{'y' * 99}{i}}}T" for i in range(10)), TARGET.scopes, 1)
    responder = Responder(
        Advertisement(wordy, AppSequence(1), lambda _local: wordy.endpoint), lambda _source: True, ticks
    )

    assert responder.response_to(shortest(), HERE) is None
    answer = responder.response_to(usual("") + b" " * 1000, HERE)
    assert answer
    assert len(answer) <= discovery_responder.GROWTH * (len(usual("")) + 1000)


def test_a_stranger_gets_no_answer(responder: Responder) -> None:
    """T-D2: a source beyond our own links, unless the settings allow its network."""
    assert responder.response_to(usual(), ReceivedDatagram("203.0.113.9", "192.168.100.200")) is None
    assert responder.response_to(usual(), HERE)


def test_a_repeated_message_is_answered_once(responder: Responder, ticks: Ticks) -> None:
    """DPW-024, T-D3: for a minute; the same id of another source is another message."""
    probe = usual(message_id=new_id())
    first = [responder.response_to(probe, HERE) for _ in range(4)]
    other = responder.response_to(probe, ReceivedDatagram("192.168.100.8", HERE.local))
    ticks.now += discovery_responder.REMEMBER_SECONDS

    assert [one is not None for one in (*first, other, responder.response_to(probe, HERE))] == [True] + [False] * 3 + [
        True
    ] * 2


def test_no_more_messages_are_remembered_than_there_is_room_for(ticks: Ticks) -> None:
    """T-D1: the oldest is forgotten first."""
    seen = discovery_responder.DuplicateFilter(ticks)
    for number in range(discovery_responder.REMEMBERED + 1):
        seen.remember("192.168.100.7", str(number))

    assert [seen.contains("192.168.100.7", str(number)) for number in (0, 1, discovery_responder.REMEMBERED)] == [
        False,
        True,
        True,
    ]


def test_one_source_gets_ten_answers_in_a_second(responder: Responder, ticks: Ticks) -> None:
    """DPW-085, T-D1: then silence, which harms no other source; a second later it is heard again."""
    answered = [responder.response_to(usual(), HERE) is not None for _ in range(12)]
    other = responder.response_to(usual(), ReceivedDatagram("192.168.100.8", HERE.local))
    ticks.now += 1.0

    assert answered == [True] * 10 + [False] * 2
    assert other
    assert responder.response_to(usual(), HERE)


def test_all_sources_together_get_a_hundred_answers_in_a_second(responder: Responder) -> None:
    """T-D1: forged sources do not multiply what the server sends."""
    sources = [ReceivedDatagram(f"192.168.100.{number}", HERE.local) for number in range(110)]

    assert sum(responder.response_to(usual(), one) is not None for one in sources) == 100


def test_guesses_are_confirmed_only_to_who_asks_this_server(responder: Responder) -> None:
    """DPW-028: on the port of scan servers, and never to a group."""
    guess = "dsp:SomethingElse"
    strict, lenient, group = (
        ReceivedDatagram(HERE.source, HERE.local, multicast, lenient)
        for multicast, lenient in ((False, False), (False, True), (True, True))
    )

    assert responder.response_to(usual(guess), strict) is None
    assert responder.response_to(usual(guess), group) is None
    told = responder.response_to(usual(guess), lenient)
    assert told
    assert texts(told, ".//wsd:Types") == [f"wsdp:Device dsp:RepositoryDeviceType {guess}"]


def test_an_answer_tells_the_address_at_which_it_was_asked_and_no_other(responder: Responder) -> None:
    """T-D4, T-H9: nothing else about the machine, no path of a file, no version, no user."""
    told = [
        responder.response_to(usual(), ReceivedDatagram(HERE.source, local)) or b""
        for local in ("10.0.0.1", "10.9.9.9")
    ]

    assert [texts(one, ".//wsd:XAddrs") for one in told] == [
        ["http://10.0.0.1:5362/ScanServer"],
        ["http://10.9.9.9:5362/ScanServer"],
    ]
    assert b"10.9.9.9" not in told[0]


def test_under_tls_endpoint_and_address_are_the_same_url(settings: Settings) -> None:
    """DPW-016, DPW-017, DPW-018: with the name of the settings, wherever the question arrived."""
    settings.storage.data_dir.mkdir(exist_ok=True)
    server = settings.server.model_copy(update={"public_url": "https://scan01.fabrikam.example:5362"})
    host = discovery_responder.advertisement(settings.model_copy(update={"server": server}), 5362, AppSequence(1))
    told = host.response_to(Probe("1"), "10.0.0.1") or b""

    url = ["https://scan01.fabrikam.example:5362/ScanServer"]
    assert (texts(told, ".//wsa:Address"), texts(told, ".//wsd:XAddrs")) == (url, url)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"port": 5362}, "port and directed_port are both 5362"),
        ({"networks": ["10.0.0.0/40"]}, "10.0.0.0/40"),
        ({"scopes": ["a b"]}, "'a b' is not a scope"),
    ],
)
def test_settings_that_make_no_sense_are_named(table: dict[str, object], sentence: str) -> None:
    """The reader learns what was expected."""
    with pytest.raises(ValueError, match=sentence):
        Settings.model_validate({"discovery": table})


def test_discovery_under_tls_needs_the_name_in_the_certificate(tmp_path: Path) -> None:
    """DPW-016: an address that does not fit the certificate would be of no use."""
    table = {"discovery": {"enabled": True}, "tls": {"certificate": str(tmp_path / "server.pem")}}

    with pytest.raises(ValueError, match=r"server\.public_url is missing"):
        Settings.model_validate(table)
