"""The responder of WS-Discovery without a network: what it answers, and to whom it answers nothing."""

from __future__ import annotations

import pytest
from discovery_messages import HOSTILE, TARGET, WSD, new_id, scoped, shortest, texts, usual

from postscan.core.settings import Settings
from postscan.soap.discovery import messages
from postscan.soap.discovery import responder as discovery_responder
from postscan.soap.discovery.app_sequence import AppSequence
from postscan.soap.discovery.messages import Discoverable, Probe
from postscan.soap.discovery.responder import Advertisement, ReceivedDatagram, Responder
from postscan.soap.message.faults import Fault


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


# --- what is answered ------------------------------------------------------------------------------------------------


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


# --- to whom nothing is said -----------------------------------------------------------------------------------------


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
