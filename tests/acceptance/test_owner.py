"""A job that is not yours: whatever you ask, the answer is that of a job that does not exist."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from acceptance.scanning import Scanner, assert_silent, good, instructions
from acceptance.server import Server
from device import SOAP_TYPE, Answer, Device

STRANGER = "127.0.0.2"
MESSAGE_ID = "urn:uuid:0c1a7f52-1111-4222-8333-944455566677"


def creating(scanner: Scanner) -> str:
    token = scanner.create("copy")
    scanner.send(token)
    return token


def processing(scanner: Scanner) -> str:
    token = scanner.start("sleep 60")
    scanner.server.works.await_trace(token, "sleep")
    return token


def completed(scanner: Scanner) -> str:
    token = scanner.start("copy")
    scanner.ended(token)
    return token


def canceled(scanner: Scanner) -> str:
    token = scanner.create("copy")
    good(scanner.device.cancel(token))
    return token


def inline(device: Device, token: str) -> Answer:
    """Send an image as base64."""
    content = f"<dsp:JobToken>{token}</dsp:JobToken><dsp:DocumentDescription><dsp:DocumentId>1</dsp:DocumentId>"
    content += "<dsp:Format>png</dsp:Format></dsp:DocumentDescription><dsp:ImageData>aGVsbG8=</dsp:ImageData>"
    return device.post(device.envelope("SendImage", content, message_id=MESSAGE_ID), SOAP_TYPE)


OPERATIONS: dict[str, Callable[[Device, str], Answer]] = {
    "SendImage": lambda device, token: device.send_image(token, 1, b"a page", message_id=MESSAGE_ID),
    "a large SendImage": lambda device, token: device.send_image(token, 2, bytes(3 << 20), message_id=MESSAGE_ID),
    "a broken SendImage": lambda device, token: device.send_image(
        token, 1, b"", without_image=True, message_id=MESSAGE_ID
    ),
    "an inline SendImage": inline,
    "EndPostScanJob": lambda device, token: device.end(token, message_id=MESSAGE_ID),
    "CancelPostScanJob": lambda device, token: device.cancel(token, message_id=MESSAGE_ID),
    "GetPostScanJobElements": lambda device, token: device.elements(token, message_id=MESSAGE_ID),
    "a query for nothing": lambda device, token: device.elements(token, "dsp:Cost", message_id=MESSAGE_ID),
}


def comparable(answer: Answer, token: str) -> tuple[int, dict[str, str], bytes]:
    """Return all of an answer but its own MessageID, its date, and the token itself."""
    body, found = re.subn(rb"(<wsa:MessageID>)[^<]*", rb"\1", answer.body)
    assert found == 1
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status, headers, body.replace(token.encode(), b"TOKEN")


STATE_OF: dict[str, Callable[[Scanner], str]] = {
    "a large SendImage": processing,
    "a broken SendImage": canceled,
    "CancelPostScanJob": processing,
    "GetPostScanJobElements": processing,
    "a query for nothing": completed,
}
"""How the job is; Creating if nothing is said."""


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_stranger_gets_the_answer_of_an_unknown_token(server: Server, scanner: Scanner, operation: str) -> None:
    """DSP-045, DSP-051, D2, I13, T-O1: byte for byte; and nothing happens to the job."""
    ask = OPERATIONS[operation]
    token, unknown = STATE_OF.get(operation, creating)(scanner), str(uuid.uuid4())
    stranger = Device(server.url, source_address=STRANGER)
    before = server.everything(), scanner.status(token)
    foreign, nobodys = ask(stranger, token), ask(stranger, unknown)
    after = server.everything(), scanner.status(token)
    scanner.device.cancel(token)
    scanner.ended(token)  # else its end is a change in the next of these tests

    assert comparable(foreign, token) == comparable(nobodys, unknown)
    assert (foreign.status, foreign.find("JobToken")) == (400, token)
    assert after == before
    assert_silent(foreign)


def test_the_user_says_nothing_about_the_owner(server: Server) -> None:
    """D1, weak mode: the same user at another device is a stranger, another user at the same device is not."""
    anna = Scanner(server)
    token = anna.create("copy")
    elsewhere = Device(server.url, user=anna.device.user, source_address=STRANGER)
    colleague = Device(server.url, user="S-1-5-21-1-2-3-4444")

    assert elsewhere.elements(token).status == 400
    assert good(colleague.elements(token)).find("JobState") == "Creating"


@pytest.mark.parametrize(
    "field", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "True-Client-IP", "Via", "From"]
)
def test_no_header_changes_who_is_calling(server: Server, scanner: Scanner, field: str) -> None:
    """T-O2: the other end of the connection does, and nothing that it may write."""
    token = scanner.create("copy")
    query = scanner.device.envelope(
        "GetPostScanJobElements",
        f"<dsp:JobToken>{token}</dsp:JobToken>"
        "<dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>",
    )
    stranger = Device(server.url, source_address=STRANGER)
    claims = {value: {field: value} for value in ("127.0.0.1", "127.0.0.2", "for=127.0.0.1")}

    assert [stranger.post(query, headers=claim).status for claim in claims.values()] == [400] * 3
    assert [scanner.device.post(query, headers=claim).status for claim in claims.values()] == [200] * 3


def test_a_stranger_with_the_same_instructions_gets_a_job_of_its_own(server: Server, scanner: Scanner) -> None:
    """I26: even with the MessageID of somebody else's request."""
    message_id = f"urn:uuid:{uuid.uuid4()}"
    asked = instructions("copy")
    process = server.store(asked)
    mine = good(scanner.device.create(process, asked, message_id=message_id)).find("JobToken")
    theirs = good(Device(server.url, source_address=STRANGER).create(process, asked, message_id=message_id))

    assert theirs.find("JobToken") != mine
