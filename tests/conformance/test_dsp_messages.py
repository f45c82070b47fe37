"""DSP-001 to DSP-013, DSP-086, DSP-087: envelopes and their headers, whatever the operation."""

from __future__ import annotations

import re
import socket
import xml.etree.ElementTree as ET

import pytest
from acceptance.scanning import Scanner, good, instructions, refusal
from conformance.wire import changed, content, creation, dsp, element_data, header, invalid, padded, query
from device import DSP, PSP, SOAP, SOAP_TYPE, WSA

ANONYMOUS = f"{WSA}/role/anonymous"
MESSAGE_IDS = (
    "urn:uuid:7f5fc1d7-0e50-4f76-9c19-6a2c48b5f003",
    "uuid:1d1a7e0c-33c6-4f2b-8a39-52f9b0f3c0de",
    "uuid:UniqueMsgId",
    "http://mfp/message?n=1",
    "7",
)


@pytest.mark.conformance("DSP-001")
def test_all_five_operations_are_served_under_their_actions(scanner: Scanner) -> None:
    """Each answer has the action and the element of its operation, by the table of ws-dsp.md section 2."""
    device, asked = scanner.device, instructions("copy")
    created = device.create(scanner.server.store(asked), asked)
    token = created.find("JobToken") or ""
    answers = {
        "CreatePostScanJob": created,
        "SendImage": device.send_image(token, 1, b"a page"),
        "GetPostScanJobElements": device.elements(token),
        "EndPostScanJob": device.end(token),
        "CancelPostScanJob": device.cancel(scanner.create("copy")),
    }

    for operation, answer in answers.items():
        assert header(good(answer), "Action") == f"{DSP}/{operation}Response"
        assert content(answer).tag == dsp(f"{operation}Response")


@pytest.mark.conformance("DSP-003")
def test_messages_are_soap_1_2_with_ws_addressing_2004_08(scanner: Scanner, token: str) -> None:
    """What we say is; and what we are told must be, or the answer names the version."""
    answer = good(scanner.device.elements(token))
    older = changed(query(scanner.device, token), SOAP, "http://schemas.xmlsoap.org/soap/envelope/")
    blocks = ET.fromstring(answer.body).findall(f"{{{SOAP}}}Header/*")

    assert ET.fromstring(answer.body).tag == f"{{{SOAP}}}Envelope"
    assert {block.tag for block in blocks} == {
        f"{{{WSA}}}{name}" for name in ("To", "Action", "MessageID", "RelatesTo")
    }
    assert b"VersionMismatch" in scanner.device.post(older).body


@pytest.mark.conformance("DSP-004")
def test_the_action_alone_chooses_the_operation(scanner: Scanner, token: str) -> None:
    """What HTTP says of the action is only a hint."""
    kind = f'{SOAP_TYPE}; action="{DSP}/CancelPostScanJob"'
    answer = good(scanner.device.post(query(scanner.device, token), kind))

    assert header(answer, "Action") == f"{DSP}/GetPostScanJobElementsResponse"
    assert scanner.status(token).state == "Creating"


@pytest.mark.conformance("DSP-004")
def test_an_action_that_is_unknown_is_refused(scanner: Scanner, token: str) -> None:
    """By name."""
    fault = refusal(scanner.device.post(query(scanner.device, token, action=f"{DSP}/PauseJob")))

    assert (fault.code, fault.subcode) == ("soap:Sender", "wsa:ActionNotSupported")
    assert fault.detail == ("Action", f"{DSP}/PauseJob")


@pytest.mark.conformance("DSP-005")
@pytest.mark.parametrize("action", ["EndPostScanJob", "CancelPostScanJob", "CreatePostScanJob", "SendImage"])
def test_a_body_of_another_operation_is_refused(scanner: Scanner, token: str, action: str) -> None:
    """And neither of the two is carried out."""
    answer = scanner.device.post(query(scanner.device, token, action=f"{DSP}/{action}"))

    assert invalid(answer) == ("GetPostScanJobElementsRequest", "")
    assert scanner.status(token).state == "Creating"


@pytest.mark.conformance("DSP-006")
def test_the_answer_comes_on_the_response_of_its_request(scanner: Scanner, token: str) -> None:
    """On the same connection, as a whole SOAP message that relates to it."""
    answer = scanner.device.elements(token, message_id=MESSAGE_IDS[0])

    assert (answer.status, answer.headers["content-type"]) == (200, "application/soap+xml; charset=utf-8")
    assert header(good(answer), "RelatesTo") == MESSAGE_IDS[0]
    assert content(answer).tag == dsp("GetPostScanJobElementsResponse")


@pytest.mark.conformance("DSP-007")
@pytest.mark.parametrize("message_id", [*MESSAGE_IDS, "ü€ & <b>"])
def test_relates_to_is_the_message_id_unchanged(scanner: Scanner, token: str, message_id: str) -> None:
    """But for the blanks around it; nothing is made lower case, and nothing is taken for a GUID."""
    escaped = message_id.replace("&", "&amp;").replace("<", "&lt;")
    answer = good(scanner.device.elements(token, message_id=f" \n\t{escaped}\r\n "))

    assert header(answer, "RelatesTo") == message_id


@pytest.mark.conformance("DSP-008")
def test_every_response_has_a_message_id_of_its_own(scanner: Scanner) -> None:
    """Also the second answer to one and the same Create, and a fault."""
    asked = instructions("copy")
    message = creation(scanner.device, scanner.server.store(asked), asked, message_id="uuid:a")
    answers = [good(scanner.device.post(message)) for _ in range(3)]
    answers.append(scanner.device.post(changed(message, "S-1-5", "S-2-5")))
    ids = [header(answer, "MessageID") for answer in answers]

    assert len({"uuid:a", *ids}) == 5
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in ids)


@pytest.mark.conformance("DSP-009")
def test_a_response_is_addressed_to_the_anonymous_uri(scanner: Scanner, token: str) -> None:
    """Good answers and faults alike."""
    answers = [good(scanner.device.elements(token)), scanner.device.end("unknown")]

    assert [header(answer, "To") for answer in answers] == [ANONYMOUS] * 2


@pytest.mark.conformance("DSP-010")
def test_the_prefixes_are_those_of_the_digest(scanner: Scanner, token: str) -> None:
    """All four are declared on the Envelope, and no element has another."""
    for answer in (good(scanner.device.elements(token)), scanner.device.end("unknown")):
        (start,) = re.findall(rb"<soap:Envelope ([^>]*)>", answer.body)
        declared = dict(re.findall(r'xmlns:(\w+)="([^"]*)"', start.decode()))
        used = set(re.findall(rb"<([\w.-]*?):?[\w.-]+[\s/>]", answer.body))

        assert {"soap": SOAP, "wsa": WSA, "dsp": DSP, "psp": PSP}.items() <= declared.items()
        assert used == {b"soap", b"wsa", b"dsp"}


@pytest.mark.conformance("DSP-011")
def test_blanks_around_a_value_are_no_part_of_it(scanner: Scanner) -> None:
    """URI (Action, Dialect), token, GUID, SID and QName, each with line breaks around it as in published samples."""
    device, asked = scanner.device, instructions("copy")
    message = creation(device, scanner.server.store(asked), asked)
    blanks = ("wsa:Action", "wsa:Address", "dsp:UserIdentifier", "dsp:PSP_Identifier", "psp:Dialect")
    token = good(device.post(padded(message, *blanks))).find("JobToken") or ""
    answer = device.post(padded(query(device, token), "wsa:Action", "dsp:JobToken", "dsp:Name"))

    assert [one.get(dsp("Valid")) for one in element_data(answer)] == ["true"]
    assert (answer.find("JobToken"), answer.find("Dialect")) == (token, "urn:acme:copy")


@pytest.mark.conformance("DSP-012")
def test_a_request_without_reply_to_is_answered_to_its_sender(scanner: Scanner, token: str) -> None:
    """It counts as anonymous, as an explicit one does."""
    reply_to = f"<wsa:ReplyTo><wsa:Address>{ANONYMOUS}</wsa:Address></wsa:ReplyTo>"
    answer = scanner.device.post(changed(query(scanner.device, token), reply_to, ""))

    assert header(good(answer), "To") == ANONYMOUS


@pytest.mark.conformance("DSP-013")
@pytest.mark.parametrize("message_id", MESSAGE_IDS)
def test_any_message_id_that_is_not_empty_is_accepted(scanner: Scanner, message_id: str) -> None:
    """Also on an operation that does something."""
    token = scanner.create("copy")
    good(scanner.device.cancel(token, message_id=message_id))

    assert scanner.status(token).state == "Canceled"
    assert refusal(scanner.device.elements(token, message_id=" ")).subcode == "wsa:MessageInformationHeaderRequired"


FOREIGN = '<x:Extra xmlns:x="urn:example:extra"><x:More>1</x:More></x:Extra>'


@pytest.mark.conformance("DSP-086")
def test_elements_and_attributes_of_other_namespaces_are_ignored(scanner: Scanner) -> None:
    """In the header, in each of the requests, and in what they hold."""
    device, asked = scanner.device, instructions("copy")
    message = creation(device, scanner.server.store(asked), asked, header=FOREIGN)
    message = changed(message, "<dsp:PSP_Identifier>", f'{FOREIGN}<dsp:PSP_Identifier xmlns:x="urn:x" x:a="1">')
    token = good(device.post(changed(message, "</psp:FiltersToProcess>", f"</psp:FiltersToProcess>{FOREIGN}"))).find(
        "JobToken"
    )
    kind, parts = device.package(token or "", 1, b"a page")
    good(device.post(changed(b"".join(parts), "</dsp:Format>", f"</dsp:Format>{FOREIGN}"), kind))
    answer = device.post(changed(query(device, token or ""), "</dsp:JobToken>", f"</dsp:JobToken>{FOREIGN}"))

    assert len(element_data(answer)) == 1
    assert answer.find("ImagesReceived") == "1"
    assert b"urn:example:extra" not in answer.body


@pytest.mark.conformance("DSP-087")
def test_a_document_type_is_refused(scanner: Scanner, token: str) -> None:
    """Whether it declares an entity or not; the same message without it is answered."""
    message = query(scanner.device, token)
    entity = b'<!DOCTYPE x [<!ENTITY e "dsp:JobStatus">]>' + changed(message, "dsp:JobStatus", "&e;")

    assert [invalid(scanner.device.post(one)) for one in (b"<!DOCTYPE Envelope>" + message, entity)] == [None] * 2
    assert len(element_data(scanner.device.post(message))) == 1


@pytest.mark.conformance("DSP-087")
def test_an_external_entity_is_not_fetched(scanner: Scanner, token: str) -> None:
    """Nobody connects to the address that it names."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        place = f"http://127.0.0.1:{canary.getsockname()[1]}/"
        doctype = f'<!DOCTYPE x SYSTEM "{place}" [<!ENTITY e SYSTEM "{place}">]>'.encode()
        answer = scanner.device.post(doctype + changed(query(scanner.device, token), "dsp:JobStatus", "&e;"))
        canary.setblocking(False)

        assert invalid(answer) is None
        with pytest.raises(BlockingIOError):
            canary.accept()
