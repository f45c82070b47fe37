"""DSP-072 to DSP-076: how a request is refused."""

from __future__ import annotations

import re
import socket
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acceptance.scanning import (
    CANCELED,
    INVALID,
    NO_SUCH_JOB,
    NOT_NOW,
    UNEXPECTED,
    Scanner,
    good,
    instructions,
    refusal,
)
from acceptance.server import Server, running
from conformance.wire import changed, header, query
from device import DSP, SOAP, WSA, Answer, Device

from postscan.soap.message import faults

UNKNOWN = "0f4e8a36-5b1c-4d2e-9f70-a1b2c3d4e5f6"
ELSEWHERE = "http://127.0.0.1:9/reply"
MANDATORY = '<x:Must xmlns:x="urn:x" soap:mustUnderstand="true"/>'

Bad = Callable[[Scanner, str], Answer]


def ended(scanner: Scanner, token: str) -> Answer:
    """Tell a job that has ended that it ends."""
    good(scanner.device.end(token))
    scanner.ended(token)
    return scanner.device.end(token)


def canceled(scanner: Scanner, token: str) -> Answer:
    """Tell a job that was canceled that it ends."""
    good(scanner.device.cancel(token))
    return scanner.device.end(token)


def asked(scanner: Scanner, token: str, written: str = "", instead: str = "", **more: str) -> Answer:
    """Query the job with a request in which something is written differently."""
    return scanner.device.post(changed(query(scanner.device, token, **more), written, instead))


SENDER, RECEIVER = "soap:Sender", "soap:Receiver"
NO_ACTION = "The [wsa:Action] cannot be processed at the receiver."
PAUSE = f"{DSP}/PauseJob"
REFUSED: dict[str, tuple[Bad, str, str, str | None, tuple[str, str] | None]] = {
    "unknown operation": (
        lambda s, t: asked(s, t, action=PAUSE),
        *(SENDER, "wsa:ActionNotSupported", NO_ACTION, ("Action", PAUSE)),
    ),
    "bad argument": (
        lambda s, t: asked(s, t, f"<dsp:JobToken>{t}</dsp:JobToken>"),
        *(SENDER, "dsp:InvalidArgs", INVALID, ("JobToken", "")),
    ),
    "unknown job": (
        lambda s, _t: s.device.end(UNKNOWN),
        *(SENDER, "dsp:ClientErrorJobTokenNotFound", NO_SUCH_JOB, ("JobToken", UNKNOWN)),
    ),
    "ended job": (ended, RECEIVER, "dsp:OperationFailed", NOT_NOW, None),
    "canceled job": (canceled, RECEIVER, "dsp:ServerErrorPostScanJobCanceled", CANCELED, None),
    "another reply endpoint": (
        lambda s, t: asked(s, t, f"{WSA}/role/anonymous", ELSEWHERE),
        *(SENDER, "wsa:InvalidMessageInformationHeader", None, ("ReplyTo", ELSEWHERE)),
    ),
    "no MessageID": (
        lambda s, t: asked(s, t, "<wsa:MessageID>uuid:a</wsa:MessageID>", message_id="uuid:a"),
        *(SENDER, "wsa:MessageInformationHeaderRequired", None, ("MessageID", "")),
    ),
    "mandatory header": (lambda s, t: asked(s, t, header=MANDATORY), "soap:MustUnderstand", "", None, None),
    "another version": (lambda s, t: asked(s, t, SOAP, "urn:soap:2.0"), "soap:VersionMismatch", "", None, None),
}


@pytest.mark.conformance("DSP-072")
@pytest.mark.parametrize(("send", "code", "subcode", "reason", "detail"), REFUSED.values(), ids=REFUSED)
def test_each_mistake_has_its_code(
    scanner: Scanner, token: str, send: Bad, code: str, subcode: str, reason: str | None, detail: tuple[str, str] | None
) -> None:
    """Code, subcode, reason text and detail, by the table of ws-dsp.md section 7."""
    fault = refusal(send(scanner, token))

    assert (fault.code, fault.subcode, fault.detail) == (code, subcode, detail)
    assert reason in (None, fault.reason)


@pytest.mark.conformance("DSP-072")
def test_what_may_vanish_is_a_temporary_error(tmp_path: Path) -> None:
    """Here: too many open jobs of one device."""
    with running(tmp_path, {"limits": {"open_jobs": 1}}) as server:
        scanner, plain = Scanner(server), instructions("copy")
        scanner.create("copy")
        fault = refusal(scanner.device.create(server.store(plain), plain))

    assert (fault.code, fault.subcode, fault.reason) == (RECEIVER, "dsp:ServerErrorTemporaryError", UNEXPECTED)
    assert fault.detail is None


@pytest.mark.conformance("DSP-072")
def test_what_nobody_foresaw_is_an_internal_error() -> None:
    """No device can cause one, so the table itself is asked; the sentence about it stays here."""
    fault = faults.from_error(RuntimeError("the disk is on fire"))

    assert (f"soap:{fault.code}", fault.subcode, fault.reason) == (RECEIVER, "dsp:ServerErrorInternalError", UNEXPECTED)
    assert b"fire" not in faults.write(fault, None)


@pytest.mark.conformance("DSP-072")
def test_the_first_check_that_fails_decides(scanner: Scanner) -> None:
    """Header before action, action before arguments, arguments before the job."""
    spoilt = query(scanner.device, UNKNOWN, "<dsp:Name>no:name</dsp:Name>", action=PAUSE)
    mended = [changed(spoilt, f"{WSA}/role/anonymous", ELSEWHERE), spoilt]
    mended.append(changed(spoilt, "PauseJob", "GetPostScanJobElements"))
    mended.append(changed(mended[-1], "no:name", "dsp:JobStatus"))

    assert [refusal(scanner.device.post(one)).subcode for one in mended] == [
        "wsa:InvalidMessageInformationHeader",
        "wsa:ActionNotSupported",
        "dsp:InvalidArgs",
        "dsp:ClientErrorJobTokenNotFound",
    ]


class Remembering(Device):
    """A device that remembers its last message."""

    last = b""

    def post(self, body: Any, *more: Any) -> Answer:
        """Remember the message, and post it."""
        self.last = body
        return super().post(body, *more)


@pytest.mark.conformance("DSP-073")
@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind not in ("no MessageID", "another version")])
def test_a_fault_has_the_fault_action_and_relates_to_its_request(scanner: Scanner, token: str, kind: str) -> None:
    """Whatever went wrong, as soon as the request can be read."""
    scanner.device = device = Remembering(scanner.server.url)
    answer = REFUSED[kind][0](scanner, token)
    (message_id,) = re.findall(rb"<wsa:MessageID>(.*?)</", device.last)

    assert (header(answer, "Action"), header(answer, "RelatesTo")) == (f"{WSA}/fault", message_id.decode())


@pytest.mark.conformance("DSP-074")
@pytest.mark.parametrize("kind", REFUSED)
def test_reason_texts_say_that_they_are_english(scanner: Scanner, token: str, kind: str) -> None:
    """Each fault has one text, in one language."""
    answer = REFUSED[kind][0](scanner, token)
    texts = ET.fromstring(answer.body).findall(f".//{{{SOAP}}}Reason/{{{SOAP}}}Text")

    assert [text.attrib for text in texts] == [{"{http://www.w3.org/XML/1998/namespace}lang": "en"}]


@pytest.mark.conformance("DSP-075")
@pytest.mark.parametrize("kind", REFUSED)
def test_the_senders_mistakes_are_400_and_the_rest_500(scanner: Scanner, token: str, kind: str) -> None:
    """MustUnderstand and VersionMismatch are the rest, too."""
    answer = REFUSED[kind][0](scanner, token)

    assert answer.status == (400 if refusal(answer).code == SENDER else 500)


@pytest.mark.conformance("DSP-076")
@pytest.mark.parametrize("name", ["ReplyTo", "FaultTo", "From"])
def test_no_endpoint_of_a_request_is_connected_to(server: Server, scanner: Scanner, name: str) -> None:
    """Neither with an answer nor with a fault; what is said of it is said on the request's own connection."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        place = f"http://127.0.0.1:{canary.getsockname()[1]}/"
        block = f"<wsa:{name}><wsa:Address>{place}</wsa:Address></wsa:{name}>"
        request = query(scanner.device, UNKNOWN)
        begin, end = request.index(b"<wsa:ReplyTo>"), request.index(b"</soap:Header>")
        fault = refusal(scanner.device.post(request[:begin] + block.encode() + request[end:]))
        canary.setblocking(False)

        assert fault.detail == (("JobToken", UNKNOWN) if name == "From" else (name, place))
        with pytest.raises(BlockingIOError):
            canary.accept()
