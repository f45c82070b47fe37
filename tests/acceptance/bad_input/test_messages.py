"""Messages that cannot be read, and those with wrong headers or wrong arguments."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from acceptance.bad_input.scene import (
    GET,
    UNKNOWN,
    UNRELATED,
    Case,
    Scene,
    Send,
    invalid,
    nothing_left_behind,
    unreadable,
)
from acceptance.scanning import Refusal, refusal
from acceptance.server import ENVELOPE_BYTES
from device import DSP, WSA

NO_ACTION = "The [wsa:Action] cannot be processed at the receiver."
BAD_HEADER = "A message information header is not valid and the message cannot be processed."
NO_HEADER = "A required message information header, To, MessageID, or Action, is not present."


def header(subcode: str, reason: str, name: str, value: str = "") -> Refusal:
    return Refusal(400, "soap:Sender", f"wsa:{subcode}", reason, (name, value), "")


ELSEWHERE = "http://127.0.0.1:9/reply"
MESSAGES: dict[str, Case] = {
    "unknown operation": (
        lambda s: s.get(action=f"{DSP}/PauseJob"),
        header("ActionNotSupported", NO_ACTION, "Action", f"{DSP}/PauseJob"),
    ),
    "action and body disagree": (
        lambda s: s.get(action=f"{DSP}/CancelPostScanJob"),
        invalid("GetPostScanJobElementsRequest"),
    ),
    "no action": (
        lambda s: s.get(f"<wsa:Action>{DSP}/GetPostScanJobElements</wsa:Action>"),
        header("MessageInformationHeaderRequired", NO_HEADER, "Action"),
    ),
    "two actions": (
        lambda s: s.get(header=f"<wsa:Action>{DSP}/CancelPostScanJob</wsa:Action>"),
        header("InvalidMessageInformationHeader", BAD_HEADER, "Action", f"{DSP}/CancelPostScanJob"),
    ),
    "reply elsewhere": (
        lambda s: s.get(f"{WSA}/role/anonymous", ELSEWHERE),
        header("InvalidMessageInformationHeader", BAD_HEADER, "ReplyTo", ELSEWHERE),
    ),
    "faults elsewhere": (
        lambda s: s.get(header=f"<wsa:FaultTo><wsa:Address>{ELSEWHERE}</wsa:Address></wsa:FaultTo>"),
        header("InvalidMessageInformationHeader", BAD_HEADER, "FaultTo", ELSEWHERE),
    ),
    "a mandatory header": (
        lambda s: s.get(header='<a:b xmlns:a="urn:a" soap:mustUnderstand="true"/>'),
        Refusal(500, "soap:MustUnderstand", "", "A mandatory header was not understood.", None, ""),
    ),
    "two bodies": (
        lambda s: s.get("</soap:Body>", "</soap:Body><soap:Body/>"),
        invalid(),
    ),
    "two requests": (lambda s: s.get("</soap:Body>", "<dsp:CancelPostScanJobRequest/></soap:Body>"), invalid()),
    "two tokens": (
        lambda s: s.get("</dsp:JobToken>", f"</dsp:JobToken><dsp:JobToken>{UNKNOWN}</dsp:JobToken>"),
        invalid("JobToken", UNKNOWN),
    ),
    "no token": (lambda s: s.get(f"<dsp:JobToken>{s.token}</dsp:JobToken>"), invalid("JobToken")),
    "an argument too many": (
        lambda s: s.get("</dsp:JobToken>", "</dsp:JobToken><dsp:Urgent>1</dsp:Urgent>"),
        invalid("Urgent", "1"),
    ),
    "no names": (lambda s: s.get("<dsp:Name>dsp:JobStatus</dsp:Name>"), invalid("Name")),
    "a name with an unknown prefix": (lambda s: s.get("dsp:JobStatus<", "acme:Cost<"), invalid("Name", "acme:Cost")),
    "a SOAP array": (
        lambda s: s.get(
            "<dsp:JobToken>", '<dsp:JobToken soap:encodingStyle="http://www.w3.org/2003/05/soap-encoding">'
        ),
        invalid(),
    ),
}


@pytest.mark.parametrize(("send", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_that_says_something_wrong_is_refused(scene: Scene, send: Send, expected: Refusal) -> None:
    """DSP-004, DSP-005, DSP-072 to DSP-076, T-A1, T-X5, T-X7 to T-X9."""
    with nothing_left_behind(scene.server):
        fault = refusal(send(scene))

        assert fault == scene.related(expected)


def test_a_message_without_an_id_is_refused_and_related_to_nothing(scene: Scene) -> None:
    """O-35, ruling 21."""
    fault = refusal(scene.get(f"<wsa:MessageID>{scene.message_id}</wsa:MessageID>"))

    assert fault == replace(header("MessageInformationHeaderRequired", NO_HEADER, "MessageID"), relates_to=UNRELATED)


DOCTYPE = '<!DOCTYPE x [<!ENTITY e SYSTEM "{}">]>'
MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _body: b"",
    "no XML": lambda _body: b"DocumentId=1",
    "cut off": lambda body: body[:-20],
    "a tag left open": lambda body: body.replace(b"</dsp:Name>", b""),
    "a document type": lambda body: b"<!DOCTYPE Envelope>" + body,
    "a document type after the declaration": lambda body: b'<?xml version="1.0"?>\n<!DOCTYPE Envelope>' + body,
    "laughs": lambda body: (
        b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + body.replace(b"dsp:JobStatus<", b"&b;<")
    ),
    "an unknown entity": lambda body: body.replace(b"dsp:JobStatus<", b"&e;<"),
    "a processing instruction": lambda body: body.replace(b"<soap:Body>", b"<?go now?><soap:Body>"),
    "a stylesheet": lambda body: b'<?xml-stylesheet href="http://127.0.0.1:9/"?>' + body,
    "Latin-1": lambda body: b'<?xml version="1.0" encoding="iso-8859-1"?>' + body,
    "UTF-16 without its mark": lambda body: body.decode().encode("utf-16-le"),
    "UTF-32": lambda body: body.decode().encode("utf-32"),
    "broken UTF-8": lambda body: body.replace(b"dsp:JobStatus<", b"\xc0\xaf<"),
    "NUL": lambda body: body.replace(b"dsp:JobStatus<", b"\0<"),
    "too deep": lambda body: body.replace(b"dsp:JobStatus<", b"<a>" * 70 + b"</a>" * 70 + b"<"),
    "too large, as counted": lambda body: body + b" " * ENVELOPE_BYTES,
}


@pytest.mark.parametrize("spoil", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("packaged", [False, True], ids=["plain", "MIME"])
def test_a_message_that_cannot_be_read_is_refused(
    scene: Scene, spoil: Callable[[bytes], bytes], packaged: bool
) -> None:
    """DSP-087, D6, T-X1 to T-X6."""
    body = spoil(scene.device.envelope("GetPostScanJobElements", GET.format(scene.token)))
    with nothing_left_behind(scene.server):
        if packaged:
            part = b"--b\r\nContent-Type: application/xop+xml\r\n\r\n" + body + b"\r\n--b--\r\n"
            answer = scene.device.post(iter([part]), "multipart/related; boundary=b; type=application/xop+xml")
        else:
            answer = scene.device.post(iter([body]))

        assert refusal(answer) == unreadable()


def test_an_external_entity_is_never_fetched(scene: Scene) -> None:
    """DSP-087, T-X3: neither over the network nor from the disk."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        places = (f"http://127.0.0.1:{canary.getsockname()[1]}/", "file:///etc/hostname")
        body = scene.device.envelope("GetPostScanJobElements", GET.format(scene.token)).decode()
        faults = [
            refusal(scene.device.post((DOCTYPE.format(place) + body.replace("dsp:JobStatus<", "&e;<")).encode()))
            for place in places
        ]
        canary.setblocking(False)

        assert faults == [unreadable()] * 2
        with pytest.raises(BlockingIOError):
            canary.accept()


def test_a_part_that_nothing_refers_to_is_refused(scene: Scene) -> None:
    """T-M2: an End with an attachment is no End."""
    envelope = scene.device.envelope(
        "EndPostScanJob", f"<dsp:JobToken>{scene.token}</dsp:JobToken>", message_id=scene.message_id
    )
    package = b"--b\r\n\r\n" + envelope + b"\r\n--b\r\n\r\n" + os.urandom(100) + b"\r\n--b--\r\n"
    with nothing_left_behind(scene.server):
        fault = refusal(scene.device.post(package, "multipart/related; boundary=b"))

        assert fault == scene.related(invalid())


@pytest.mark.parametrize("text", ["]]>", "<script>", "\u202egnp", "a&b"])
def test_what_is_echoed_is_escaped(scene: Scene, text: str) -> None:
    """T-X11: the answer is still XML, and says what was sent."""
    token = f"{text}{UNKNOWN}"

    assert refusal(scene.device.cancel(token)).detail == ("JobToken", token)
