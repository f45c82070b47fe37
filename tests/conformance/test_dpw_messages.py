"""DPW-040 to DPW-053, DPW-082 to DPW-084: envelopes, their addressing, and the HTTP below them."""

from __future__ import annotations

import http.client
import re
from urllib.parse import urljoin

import pytest
from acceptance.rawhttp import connected
from acceptance.scanning import Scanner, good, refusal
from acceptance.server import ENVELOPE_BYTES, Server
from conformance.wire import changed, header, padded, query
from device import DSP, SOAP, WSA, Answer, Device
from lxml import etree

WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
GET = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
LARGEST = 32_767
REPLY_TO = f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo>"


@pytest.fixture
def host(server: Server) -> Device:
    """A scanner in front of the device that hosts the service."""
    return Device(urljoin(server.url, "/ScanServer"))


def get(host: Device) -> bytes:
    """Return a Get for the device, as WSDAPI writes it."""
    written = host.envelope("x", "", action=GET)
    return changed(written, "<dsp:xRequest></dsp:xRequest>", "")


def probe(host: Device, types: str = "wsdp:Device") -> bytes:
    """Return a Probe for the device."""
    asked = f'<wsd:Probe xmlns:wsd="{WSD}"><wsd:Types xmlns:wsdp="{WSDP}">{types}</wsd:Types></wsd:Probe>'
    return changed(host.envelope("x", "", action=f"{WSD}/Probe"), "<dsp:xRequest></dsp:xRequest>", asked)


def envelope_of(answer: Answer) -> etree._Element:
    """Return the envelope of an answer that is no fault."""
    assert (answer.status, answer.fault()) == (200, None), answer.body
    return etree.fromstring(answer.body)


# --- envelopes -------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-040")
def test_soap_1_2_is_spoken_and_soap_1_1_gets_a_version_mismatch(host: Device) -> None:
    """In its own words, and with the version that is spoken here."""
    older = "http://schemas.xmlsoap.org/soap/envelope/"
    fault = host.post(changed(get(host), SOAP, older), "text/xml; charset=utf-8")
    root = etree.fromstring(fault.body)
    (supported,) = root.iter(f"{{{SOAP}}}SupportedEnvelope")
    prefix, _, name = str(supported.get("qname")).partition(":")

    assert envelope_of(host.post(get(host))).tag == f"{{{SOAP}}}Envelope"
    assert fault.status == 500
    assert root.findtext(".//faultcode", "").endswith(":VersionMismatch")
    assert (supported.nsmap[prefix], name) == (SOAP, "Envelope")


@pytest.mark.conformance("DPW-043")
def test_answers_stay_within_32767_octets(scanner: Scanner, host: Device, token: str) -> None:
    """Those that a scanner asks for: what the server is, and all that a job is and has."""
    everything = "".join(f"<dsp:Name>dsp:{name}</dsp:Name>" for name in ("JobStatus", "JobDescription", "Documents"))
    answers = [host.post(get(host)), scanner.device.post(query(scanner.device, token, everything))]

    assert all(len(envelope_of(one)) and len(one.body) <= LARGEST for one in answers)


@pytest.mark.conformance("DPW-043")
def test_a_list_is_whole_before_it_is_small(scanner: Scanner, token: str) -> None:
    """Decision 14: whoever asks for documents gets them all, as often as they may ask in one request."""
    scanner.send(token, 1, 2, 3, 4)
    answer = scanner.device.post(query(scanner.device, token, "<dsp:Name>dsp:Documents</dsp:Name>" * 64))

    assert len(answer.body) > LARGEST
    assert len(list(envelope_of(answer).iter(f"{{{DSP}}}DocumentId"))) == 4 * 64


@pytest.mark.conformance("DPW-044")
def test_incoming_envelopes_are_bounded(scanner: Scanner, host: Device, token: str) -> None:
    """The device takes what the profile allows, the service as much as its settings say; not an octet more."""
    for device, message, most in (
        (host, get(host), LARGEST),
        (scanner.device, query(scanner.device, token), ENVELOPE_BYTES),
    ):
        room = b" " * (most - len(message))
        fits, too_long = (message.replace(b"<soap:Body>", b"<soap:Body>" + room + more) for more in (b"", b" "))

        assert device.post(fits).status == 200
        assert device.post(too_long).status in (400, 413)


@pytest.mark.conformance("DPW-082")
def test_any_prefix_and_the_default_namespace_are_read(scanner: Scanner, host: Device, token: str) -> None:
    """Prefixes are the writer's own business, on every element."""
    asked = query(scanner.device, token)
    other = re.sub(rb"\b(soap|wsa)(?=:|=\")", lambda found: found[1].upper() + b"-1", asked)
    prefixless = re.sub(rb"(</?)wsa:|(?<=xmlns):wsa(?==)", rb"\1", get(host))

    assert b"<WSA-1:Action>" in other
    assert good(scanner.device.post(other)).find("JobState") == "Creating"
    assert b"<Action>" in prefixless
    assert envelope_of(host.post(prefixless)).tag == f"{{{SOAP}}}Envelope"


@pytest.mark.conformance("DPW-083")
def test_what_is_emitted_can_be_read_by_patterns(scanner: Scanner, host: Device, token: str) -> None:
    """Prefixes soap and wsa, no attributes on MessageID, Types and XAddrs, no blanks around values."""
    for answer in (host.post(probe(host)), host.post(get(host)), scanner.device.elements(token)):
        body = answer.body.decode()
        (message_id,) = re.findall("<wsa:MessageID>([^<]*)</wsa:MessageID>", body)

        assert body.startswith("<soap:Envelope ")
        assert re.fullmatch("urn:uuid:[0-9a-f-]{36}", message_id)
        assert body.count("Types>") == 2 * len(re.findall("<wsdp?:Types>[^<]+</wsdp?:Types>", body))
        assert not re.search(r">\s|\s<", body)
    assert re.search("<wsd:Types>[^<]+</wsd:Types><wsd:XAddrs>[^<]+</wsd:XAddrs>", host.post(probe(host)).body.decode())


@pytest.mark.conformance("DPW-084")
@pytest.mark.parametrize("dtd", ["<!DOCTYPE e>", '<!DOCTYPE e [<!ENTITY x "y">]>', '<!DOCTYPE e SYSTEM "file:///e">'])
def test_a_document_type_is_refused_in_every_envelope(scanner: Scanner, host: Device, token: str, dtd: str) -> None:
    """To the device, to the service, and in a multipart; `test_dpw_finding` has the datagrams."""
    kind, parts = scanner.device.package(token, 1, b"a page")
    multipart = changed(b"".join(parts), "<soap:Envelope", f"{dtd}<soap:Envelope")
    answers = [
        host.post(dtd.encode() + get(host)),
        scanner.device.post(dtd.encode() + query(scanner.device, token)),
        scanner.device.post(multipart, kind),
    ]

    assert [refusal(one).subcode for one in answers] == ["dsp:InvalidArgs"] * 3
    assert scanner.status(token).images == 0


# --- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-041")
def test_chunked_requests_are_accepted(scanner: Scanner, host: Device, token: str) -> None:
    """However they are cut, with an image or without."""
    envelope_of(host.post(get(host)[at : at + 100] for at in range(0, len(get(host)), 100)))
    good(scanner.device.send_image(token, 1, b"a page", chunks=7))

    assert scanner.status(token).images == 1


@pytest.mark.conformance("DPW-042")
def test_expect_100_continue_is_honoured(host: Device) -> None:
    """The device waits with the body until it is told to go on."""
    body = get(host)
    with connected(host.url) as line:
        line.send(line.head(f"Content-Length: {len(body)}", "Expect: 100-continue"))
        asked = line.bytes(len(b"HTTP/1.1 100 Continue\r\n\r\n"))
        answer = line.send(body).answer()

    assert asked.startswith(b"HTTP/1.1 100 ")
    assert answer.status == 200


@pytest.mark.conformance("DPW-052")
def test_a_message_without_an_answer_gets_202(host: Device) -> None:
    """The one such message that the server takes is a Probe for somebody else."""
    answer = host.post(changed(probe(host), WSDP, "urn:other"))

    assert (answer.status, answer.body) == (http.client.ACCEPTED, b"")


@pytest.mark.conformance("DPW-053")
def test_faults_of_the_sender_are_400_and_others_500(scanner: Scanner, token: str) -> None:
    """By the code of the fault, whatever its subcode."""
    good(scanner.device.end(token))
    faults = [
        refusal(one)
        for one in (
            scanner.device.elements("no such job"),
            scanner.device.send_image(token, 1, b"too late"),
            scanner.device.elements(token, header='<x:Lock xmlns:x="urn:x" soap:mustUnderstand="1"/>'),
        )
    ]

    assert [(one.status, one.code) for one in faults] == [
        (400, "soap:Sender"),
        (500, "soap:Receiver"),
        (500, "soap:MustUnderstand"),
    ]


# --- addressing ------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-045")
def test_every_reply_and_fault_says_what_it_relates_to(scanner: Scanner, host: Device, token: str) -> None:
    """Of the device as of its service."""
    asked = [get(host), probe(host), changed(get(host), "transfer/Get", "transfer/Put")]
    answers = [host.post(one) for one in asked]
    asked += [query(scanner.device, token), query(scanner.device, "no such job"), query(scanner.device, token, "")]
    answers += [scanner.device.post(one) for one in asked[3:]]

    assert [one.status for one in answers] == [200, 200, 400, 200, 400, 400]
    for question, answer in zip(asked, answers, strict=True):
        assert f"<wsa:MessageID>{header(answer, 'RelatesTo')}</wsa:MessageID>".encode() in question


@pytest.mark.conformance("DPW-046")
def test_without_reply_to_the_answer_comes_back(scanner: Scanner, host: Device, token: str) -> None:
    """As if the anonymous address had been given."""
    asked = query(scanner.device, token)

    assert header(scanner.device.post(changed(asked, REPLY_TO, "")), "To") == f"{WSA}/role/anonymous"
    envelope_of(host.post(changed(get(host), REPLY_TO, "")))


@pytest.mark.conformance("DPW-047")
@pytest.mark.parametrize("block", ["ReplyTo", "FaultTo"])
def test_another_reply_to_is_refused_on_the_same_connection(
    scanner: Scanner, host: Device, token: str, block: str
) -> None:
    """And nobody is called."""
    elsewhere = f"<wsa:{block}><wsa:Address>http://192.0.2.1/sink</wsa:Address></wsa:{block}>"
    for device, asked in ((scanner.device, query(scanner.device, token)), (host, get(host))):
        fault = refusal(device.post(changed(asked, REPLY_TO, elsewhere)))

        assert (fault.code, fault.subcode) == ("soap:Sender", "wsa:InvalidMessageInformationHeader")
        assert fault.detail == (block, "http://192.0.2.1/sink")


@pytest.mark.conformance("DPW-048")
@pytest.mark.parametrize("name", ["Action", "MessageID"])
def test_a_missing_header_is_named(scanner: Scanner, host: Device, token: str, name: str) -> None:
    """Without an Action nobody knows what to do, without a MessageID what the answer would relate to."""
    for device, asked in ((scanner.device, query(scanner.device, token)), (host, get(host))):
        without = re.sub(f"<wsa:{name}>[^<]*</wsa:{name}>".encode(), b"", asked)
        fault = refusal(device.post(without))

        assert without != asked
        assert (fault.subcode, fault.detail) == ("wsa:MessageInformationHeaderRequired", (name, ""))


@pytest.mark.conformance("DPW-049")
@pytest.mark.parametrize("value", ["1", "true"])
def test_an_unknown_mandatory_header_is_not_understood(scanner: Scanner, host: Device, token: str, value: str) -> None:
    """The fault names it; what is known may be mandatory."""
    for device, asked in ((scanner.device, query(scanner.device, token)), (host, get(host))):
        lock = f'<x:Lock xmlns:x="urn:x" soap:mustUnderstand="{value}"/></soap:Header>'
        answer = device.post(changed(asked, "</soap:Header>", lock))
        (named,) = etree.fromstring(answer.body).iter(f"{{{SOAP}}}NotUnderstood")

        assert refusal(answer).code == "soap:MustUnderstand"
        assert (named.get("qname"), named.nsmap["x"]) == ("x:Lock", "urn:x")
        assert device.post(changed(asked, "<wsa:Action>", f'<wsa:Action soap:mustUnderstand="{value}">')).status == 200


@pytest.mark.conformance("DPW-051")
def test_blanks_around_the_uris_of_headers_do_not_count(scanner: Scanner, host: Device, token: str) -> None:
    """Nor line breaks."""
    names = ("wsa:To", "wsa:Action", "wsa:MessageID", "wsa:Address")

    good(scanner.device.post(padded(query(scanner.device, token), *names)))
    envelope_of(host.post(padded(get(host), *names)))
