"""DPW-003 to 015, 019, 024, 028, 029, 036 and 084 to 086: a server on loopback, asked by datagrams and over HTTP."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from acceptance.seeking import (
    WSA,
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
    message,
    new_id,
    probe,
    resolve,
    sequenced,
    text,
)
from acceptance.server import Server, Tables, running
from conformance.wire import changed
from device import DSP, Device

BERLIN = "http://fabrikam.example/berlin/floor2"
GUESSED = f"{{{DSP}}}RepositoryDeviceType"
SETTINGS: Tables = {
    "discovery": {"scopes": [BERLIN]},
    "device": {"types": ["{urn:vendor}ScanServer"], "service_types": ["{urn:vendor}Intake"]},
}
_PASSERS_BY = itertools.count(1)
DIRECTED = "/StableWSDiscoveryEndpoint/schemas-xmlsoap-org_ws_2005_04_discovery"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one scope and one type more than the usual; nothing that it hears makes it stumble."""
    settings = {**SETTINGS, "discovery": {**SETTINGS["discovery"], **discovered(*free_ports(2))["discovery"]}}
    with running(tmp_path_factory.mktemp("found"), settings) as server:
        yield server
    assert server.tracebacks() == []


def strictly(server: Server) -> tuple[str, int]:
    """Return where everybody asks, whatever they look for."""
    return "127.0.0.1", server.settings.discovery.port


def passer_by() -> str:
    """Return a loopback address that has not asked yet: each gets few answers in a second (DPW-085)."""
    return f"127.0.1.{next(_PASSERS_BY)}"


def asked(server: Server, question: bytes) -> bytes:
    """Return the answer to a question that is put to this very server."""
    return ask(question, directed(server), passer_by())


def answered(server: Server, *questions: bytes) -> list[str]:
    """Return the MessageIDs to which answers come, if these are asked one after another and then a usual Probe."""
    last, told = probe(), []
    with asking(passer_by()) as socket_:
        for data in (*questions, last):
            socket_.sendto(data, strictly(server))
        while text(last, "wsa:MessageID") not in told:
            told.append(text(socket_.recv(65536), "wsa:RelatesTo"))
        assert not heard(socket_)
    return told[:-1]


def ids(*questions: bytes) -> list[str]:
    """Return their MessageIDs."""
    return [text(one, "wsa:MessageID") for one in questions]


# --- asked for what it is --------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-003")
def test_a_unicast_probe_is_answered_to_the_source_address_and_port(found: Server) -> None:
    """A connected socket hears nobody but whom it asked."""
    question = probe()
    with asking(passer_by()) as socket_:
        socket_.connect(directed(found))
        socket_.send(question)
        answer = socket_.recv(65536)

    assert text(answer, "wsa:Action") == f"{WSD}/ProbeMatches"
    assert text(answer, "wsa:RelatesTo") == text(question, "wsa:MessageID")


@pytest.mark.conformance("DPW-004")
@pytest.mark.parametrize("path", ["/ScanServer", DIRECTED])
def test_a_probe_over_http_is_answered_in_the_response(found: Server, path: str) -> None:
    """At the device's own path, and at the one that Windows uses."""
    question = probe()
    answer = Device(device_url(found).replace("/ScanServer", path)).post(question)

    assert (answer.status, answer.find("RelatesTo")) == (200, text(question, "wsa:MessageID"))
    assert answer.find("XAddrs") == device_url(found)


@pytest.mark.conformance("DPW-005")
def test_an_unmatched_probe_over_http_gets_202_and_nothing(found: Server) -> None:
    """It is accepted, and that is all."""
    answer = device_of(found).post(changed(probe(), WSDP, "urn:other"))

    assert (answer.status, answer.body) == (202, b"")


@pytest.mark.conformance("DPW-006")
def test_an_unmatched_probe_over_udp_gets_silence(found: Server) -> None:
    """Not even a fault."""
    assert answered(found, changed(probe(), WSDP, "urn:other")) == []


@pytest.mark.conformance("DPW-007")
def test_a_probe_without_types_and_scopes_is_answered(found: Server) -> None:
    """Whoever looks for anything finds us."""
    anything = message("Probe", "<wsd:Probe/>")

    assert answered(found, anything) == ids(anything)


@pytest.mark.conformance("DPW-008")
def test_types_are_compared_as_qnames_and_all_must_be_ours(found: Server) -> None:
    """The prefix is the device's own business; one type that is not ours, or of another namespace, is too many."""
    ours = changed(probe("x:Device x:Device"), f'xmlns:wsdp="{WSDP}"', f'xmlns:x="{WSDP}"')
    one_too_many, of_others = probe("wsdp:Device wsdp:Printer"), changed(probe(), WSDP, "urn:other")

    assert answered(found, one_too_many, ours, of_others) == ids(ours)


@pytest.mark.conformance("DPW-009")
def test_its_types_include_device(found: Server) -> None:
    """Whatever else it is."""
    assert "wsdp:Device" in text(asked(found, probe()), "wsd:Types").split(" ")


@pytest.mark.conformance("DPW-010")
@pytest.mark.parametrize(
    ("rule", "near", "far"),
    [
        ("rfc2396", "http://FABRIKAM.example/berlin", "http://fabrikam.example/ber"),
        ("strcmp0", BERLIN, "http://fabrikam.example/berlin"),
        ("", "http://fabrikam.example", "http://fabrikam.example/Berlin"),
    ],
)
def test_scopes_match_by_path_and_by_text(found: Server, rule: str, near: str, far: str) -> None:
    """RFC 2396 compares whole segments, and is the rule where none is named; strcmp0 compares every letter."""
    here, there = (probe(scopes=one, rule=f"{WSD}/{rule}" if rule else "") for one in (near, far))

    assert answered(found, there, here) == ids(here)


@pytest.mark.conformance("DPW-011")
def test_another_matching_rule_gets_a_fault_by_http_and_silence_by_udp(found: Server) -> None:
    """With the rules that there are."""
    question, next_one = probe(scopes=BERLIN, rule=f"{WSD}/ldap"), probe()
    fault = device_of(found).post(question).body

    assert text(fault, "wsa:Action") == f"{WSD}/fault"
    assert text(fault, "soap:Subcode/soap:Value") == "wsd:MatchingRuleNotSupported"
    assert f"{WSD}/rfc2396" in text(fault, "soap:Detail/wsd:SupportedMatchingRules").split(" ")
    assert answered(found, question, next_one) == ids(next_one)


@pytest.mark.conformance("DPW-019")
def test_only_its_own_address_is_resolved(found: Server) -> None:
    """In capitals or not; for another's there is silence."""
    endpoint = text(asked(found, probe()), "wsa:Address")
    ours = [resolve(endpoint), resolve(endpoint.upper().replace("URN:UUID", "urn:uuid"))]
    others = [resolve(f"{endpoint[:-4]}0000"), resolve(device_url(found))]

    assert answered(found, *others, *ours) == ids(*ours)


@pytest.mark.conformance("DPW-028")
def test_on_the_directed_port_a_name_that_might_be_ours_matches(found: Server) -> None:
    """And is confirmed, for some look again; but nobody else's name is, nor any on the port of everybody."""
    guess = changed(probe("g:ScanRepositoryType"), "xmlns:wsdp=", f'xmlns:g="{DSP}" xmlns:wsdp=')
    answer = asked(found, guess)

    assert "ScanRepositoryType" in text(answer, "wsd:Types")
    assert device_of(found).post(guess).find("Types") == text(answer, "wsd:Types")
    assert device_of(found).post(changed(guess, DSP, "urn:other")).status == 202
    assert answered(found, changed(guess, text(guess, "wsa:MessageID"), new_id())) == []


@pytest.mark.conformance("DPW-029")
def test_the_qnames_of_the_settings_are_announced(found: Server) -> None:
    """Beside those that are always said: wsdp:Device, and what nobody has published (W-2)."""
    mine = message("Get", "").replace(f"{WSD}/Get".encode(), b"http://schemas.xmlsoap.org/ws/2004/09/transfer/Get")
    looks_for_it = changed(probe("v:ScanServer"), "xmlns:wsdp=", 'xmlns:v="urn:vendor" xmlns:wsdp=')
    host, hosted, *_ = device_of(found).post(mine).find_all("Types")

    assert answered(found, looks_for_it) == ids(looks_for_it)
    assert [types.split(" ")[-1].partition(":")[2] for types in (host, hosted)] == ["ScanServer", "Intake"]


# --- how its answers are stamped -------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-012")
def test_an_answer_relates_to_its_question_and_has_its_place_in_the_sequence(found: Server) -> None:
    """ProbeMatches and ResolveMatches alike."""
    first = probe()
    matches = asked(found, first)
    second = resolve(text(matches, "wsa:Address"))
    resolved = asked(found, second)

    assert [text(one, "wsa:Action") for one in (matches, resolved)] == [f"{WSD}/ProbeMatches", f"{WSD}/ResolveMatches"]
    assert [text(one, "wsa:RelatesTo") for one in (matches, resolved)] == ids(first, second)
    assert sequenced(matches)[0] == sequenced(resolved)[0]


@pytest.mark.conformance("DPW-013")
def test_message_numbers_never_fall(found: Server) -> None:
    """Whatever is answered, on whichever way."""
    stamps = [sequenced(asked(found, probe())), sequenced(ask(probe(), strictly(found), passer_by()))]
    stamps += [sequenced(device_of(found).post(probe()).body), sequenced(asked(found, probe()))]

    assert len({run for run, _ in stamps}) == 1
    assert [number for _, number in stamps] == sorted({number for _, number in stamps})


@dataclass(frozen=True)
class Restarted:
    """What a server said before and after it was killed, and its settings changed."""

    before: bytes
    after: bytes


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Restarted:
    """A server that calls itself something else after a crash."""
    home = tmp_path_factory.mktemp("restarted")
    with running(home, {**discovered(*free_ports(2)), "device": {"friendly_name": "Nils"}}) as server:
        before = asked(server, probe())
        server.kill()
        settings = home / "postscan.toml"
        settings.write_text(settings.read_text().replace('"Nils"', '"Nora"'))
        server.start()
        return Restarted(before, asked(server, probe()))


@pytest.mark.conformance("DPW-036")
def test_changed_metadata_has_a_higher_version(restarted: Restarted) -> None:
    """What the server is called comes from its settings, which are read at the start."""
    versions = [int(text(one, "wsd:MetadataVersion")) for one in (restarted.before, restarted.after)]

    assert versions[0] < versions[1]


# --- to whom it says nothing -----------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-024")
def test_a_datagram_that_comes_again_is_dropped(found: Server) -> None:
    """By its MessageID: it is answered once."""
    again = probe()

    assert answered(found, again, again, again) == ids(again)


OLDER_AND_NEWER: dict[str, Callable[[bytes], bytes]] = {
    "discovery 2009/01": lambda it: changed(it, WSD, "http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"),
    "addressing 2005/08": lambda it: changed(it, WSA, "http://www.w3.org/2005/08/addressing"),
}


@pytest.mark.conformance("DPW-086")
@pytest.mark.parametrize("version", OLDER_AND_NEWER)
def test_datagrams_of_other_versions_are_ignored(found: Server, version: str) -> None:
    """Of discovery, and of addressing."""
    assert answered(found, OLDER_AND_NEWER[version](probe())) == []


@pytest.mark.conformance("DPW-084")
def test_a_datagram_with_a_document_type_is_refused(found: Server) -> None:
    """In silence, like all that is no question."""
    plain, bomb = changed(probe(), "?>", "?><!DOCTYPE e>"), changed(probe(), "?>", '?><!DOCTYPE e [<!ENTITY x "y">]>')

    assert answered(found, plain, bomb) == []


@pytest.mark.conformance("DPW-085")
def test_a_source_gets_few_answers_in_a_second(found: Server) -> None:
    """Ten; another source is served all the same. The flood may last longer than a second."""
    begin = time.monotonic()
    with asking(passer_by()) as flood, asking(passer_by()) as bystander:
        for _ in range(60):
            flood.sendto(probe(), directed(found))
        bystander.sendto(probe(), directed(found))
        bystander.recv(65536)  # whatever the flood gets has been sent before
        seconds = int(time.monotonic() - begin)
        answers = 0
        while heard(flood):
            answers += bool(flood.recv(65536))

    assert 0 < answers <= 10 * (seconds + 1)
