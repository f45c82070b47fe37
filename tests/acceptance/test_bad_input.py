"""What a device may get wrong: each mistake is answered with the one fault that names it, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from acceptance.scanning import (
    CANCELED,
    INVALID,
    NO_SUCH_JOB,
    NOT_NOW,
    UNEXPECTED,
    Refusal,
    Scanner,
    good,
    instructions,
    refusal,
)
from acceptance.server import ENVELOPE_BYTES, IMAGE_BYTES, SHARE, Server, running
from device import DSP, WSA, Answer, Device

PNG = b"\x89PNG and the rest"
UNKNOWN = "0f4e8a36-5b1c-4d2e-9f70-a1b2c3d4e5f6"
UNRELATED = f"{WSA}/id/unspecified"
ASKED = ("copy", f"share {SHARE}", "warn thin")
TOO_MANY_BYTES = f"more than {IMAGE_BYTES} bytes"


@dataclass
class Scene:
    """A device with a job in Creating that has one image; all its requests have the same MessageID."""

    server: Server
    device: Device
    token: str
    message_id: str

    def related(self, expected: Refusal) -> Refusal:
        """Return a fault as the answer to this scene's request, unless it is one that relates to nothing."""
        return replace(expected, relates_to=expected.relates_to or self.message_id)

    def create(self, sent: str, stored: str = "", **more: str) -> Answer:
        """Create a job with instructions that differ from the stored ones."""
        identifier = self.server.store(stored or instructions(*ASKED))
        return self.device.create(identifier, sent, message_id=self.message_id, **more)

    def send(self, number: int | str = 2, data: bytes = PNG, format: str = "png", **more: object) -> Answer:
        """Send an image to the job."""
        token = str(more.pop("token", self.token))
        return self.device.send_image(token, number, data, format, message_id=self.message_id, **more)

    def send_spoilt(self, written: bytes, instead: bytes, **more: object) -> Answer:
        """Send an image in a package in which something is written differently."""
        kind, parts = self.device.package(self.token, 2, PNG, message_id=self.message_id, **more)
        body = b"".join(parts)
        assert written in body
        return self.device.post(body.replace(written, instead), kind)

    def send_cut(self, before: bytes) -> Answer:
        """Send an image in a package that ends early: complete as HTTP, not as MIME."""
        kind, parts = self.device.package(self.token, 2, PNG * 1000, message_id=self.message_id)
        body = b"".join(parts)
        return self.device.post(body[: body.rindex(before)], kind)

    def get(self, written: str = "", instead: str = "", **more: str) -> Answer:
        """Query the job with a request in which something is written differently."""
        content = f"<dsp:JobToken>{self.token}</dsp:JobToken>"
        content += "<dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"
        body = self.device.envelope("GetPostScanJobElements", content, message_id=self.message_id, **more).decode()
        assert written in body
        return self.device.post(body.replace(written, instead).encode())


@pytest.fixture
def scene(server: Server) -> Scene:
    """A new job with image 1."""
    scanner = Scanner(server)
    token = scanner.create(*ASKED)
    good(scanner.device.send_image(token, 1, PNG))
    return Scene(server, scanner.device, token, f"urn:uuid:{uuid.uuid4()}")


@contextlib.contextmanager
def nothing_left_behind(server: Server) -> Iterator[None]:
    """Fail if the body leaves a file, a folder, a row or an event."""
    before = server.everything()
    yield
    assert server.everything() == before


def invalid(name: str = "", value: str = "") -> Refusal:
    """Return the fault for a wrong argument; without a name, for a message that cannot be read."""
    return Refusal(400, "soap:Sender", "dsp:InvalidArgs", INVALID, (name, value) if name else None, "")


def unreadable() -> Refusal:
    """Return the fault for an envelope that cannot be read, so that nobody knows what it relates to."""
    return replace(invalid(), relates_to=UNRELATED)


def unknown(token: str) -> Refusal:
    return Refusal(400, "soap:Sender", "dsp:ClientErrorJobTokenNotFound", NO_SUCH_JOB, ("JobToken", token), "")


OF_IMAGE = b"\r\nContent-ID: <image"
NOT_THERE = invalid("ImageData", "image@device")

Send = Callable[[Scene], Answer]
Case = tuple[Send, Refusal]


IMAGES: dict[str, Case] = {
    "cut in the image": (lambda s: s.send_cut(b"PNG"), invalid()),
    "cut before the last delimiter": (lambda s: s.send_cut(b"\r\n--"), invalid()),
    "cut in the last delimiter": (lambda s: s.send_cut(b"--\r\n"), invalid()),
    "cut before the image": (lambda s: s.send_cut(b"--b41f7c0e2a\r\n"), unreadable()),
    "no image part": (lambda s: s.send(without_image=True), NOT_THERE),
    "another part": (lambda s: s.send(content_id="<other@device>"), NOT_THERE),
    "a part without a name": (
        lambda s: s.send_spoilt(b"Content-ID: <image@device>", b"Content-A: b"),
        NOT_THERE,
    ),
    "an empty part": (lambda s: s.send(data=b""), invalid("ImageData")),
    "three parts": (lambda s: s.send(data=b"a\r\n--b41f7c0e2a\r\n\r\nb"), invalid()),
    "an encoded part": (
        lambda s: s.send_spoilt(b"binary" + OF_IMAGE, b"base64" + OF_IMAGE),
        invalid(),
    ),
    "the root is not first": (lambda s: s.send_spoilt(b"Content-ID: <root@device>", b"Content-ID: <r>"), unreadable()),
    "two parts with one name": (lambda s: s.send(content_id="<root@device>"), invalid()),
    "reference to the root": (lambda s: s.send(href="cid:root@device"), invalid("ImageData", "root@device")),
    "decoded twice": (lambda s: s.send(href="cid:image%2540device"), invalid("ImageData", "image%2540device")),
    "empty reference": (lambda s: s.send(href="cid:"), invalid("ImageData", "cid:")),
    "too large, as counted": (
        lambda s: s.send(data=bytes(IMAGE_BYTES + 1), chunks=1 << 18),
        invalid("ImageData", TOO_MANY_BYTES),
    ),
    "too large by one byte": (lambda s: s.send(data=bytes(IMAGE_BYTES + 1)), invalid("ImageData", TOO_MANY_BYTES)),
    "envelope too large in its part": (
        lambda s: s.send_spoilt(b"</soap:Body>", b" " * ENVELOPE_BYTES + b"</soap:Body>"),
        unreadable(),
    ),
    "unknown token": (lambda s: s.send(token=UNKNOWN), unknown(UNKNOWN)),
    "token that is no GUID": (lambda s: s.send(token="../../etc/passwd"), unknown("../../etc/passwd")),
    "token without end": (lambda s: s.send(token="x" * 256), invalid("JobToken", "x" * 255)),
    "other bytes under a known id": (lambda s: s.send(1, PNG + b"!"), invalid("DocumentId", "1")),
    "other format under a known id": (lambda s: s.send(1, PNG, "jfif"), invalid("DocumentId", "1")),
    **{
        f"DocumentId {number!r}": (lambda s, number=number: s.send(number), invalid("DocumentId", number.strip()))
        for number in ("0", "-1", "2147483648", "9" * 30, "1.5", "0x1", "\u0663", "1 2", "")
    },
    **{
        f"Format {format!r}": (lambda s, format=format: s.send(format=format), invalid("Format", format.strip()))
        for format in ("", "/png", "p ng", "png?")
    },
    "no ImageData": (
        lambda s: s.send_spoilt(b'<dsp:ImageData><xop:Include href="cid:image@device"/></dsp:ImageData>', b""),
        invalid("ImageData"),
    ),
    "two Includes": (
        lambda s: s.send_spoilt(b"</dsp:ImageData>", b'<xop:Include href="cid:image@device"/></dsp:ImageData>'),
        invalid("ImageData", "2 elements"),
    ),
    "no base64": (lambda s: s.send_spoilt(INCLUDE, b"=not base64="), invalid("ImageData", "11 characters")),
    "an empty ImageData": (lambda s: s.send_spoilt(INCLUDE, b""), invalid("ImageData")),
}
INCLUDE = b'<xop:Include href="cid:image@device"/>'


@pytest.mark.parametrize(("send", "expected"), IMAGES.values(), ids=IMAGES)
def test_a_bad_image_is_refused_by_name(scene: Scene, send: Send, expected: Refusal) -> None:
    """DSP-028, DSP-029, DSP-033, DSP-035, DSP-038, DSP-040, DSP-050, T-M1 to T-M8, I3."""
    with nothing_left_behind(scene.server):
        fault = refusal(send(scene))

        assert fault == scene.related(expected)


def test_after_a_bad_image_the_right_one_is_taken(scene: Scene) -> None:
    """I3, T-M5: under the same id; the job did not notice."""
    refusal(scene.send_cut(b"\r\n--"))
    good(scene.send())

    assert good(scene.device.elements(scene.token)).find("ImagesReceived") == "2"


def test_an_image_and_an_envelope_may_be_as_large_as_the_limits(scene: Scene) -> None:
    """DSP-040: the limit itself is allowed."""
    good(scene.device.send_image(scene.token, 2, bytes(IMAGE_BYTES)))
    good(scene.device.send_image(scene.token, 3, bytes(IMAGE_BYTES), chunks=1 << 18))
    body = scene.device.envelope("GetPostScanJobElements", GET.format(scene.token))
    good(scene.device.post(body + b" " * (ENVELOPE_BYTES - len(body))))

    assert refusal(scene.device.post(iter([body, b" " * (ENVELOPE_BYTES + 1 - len(body))]))).detail is None


GET = "<dsp:JobToken>{}</dsp:JobToken><dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"


@pytest.mark.parametrize("scheme", ["http://{}/image", "HTTP://{}/", "https://{}", "ftp://{}/i", "//{}/i", "{}"])
def test_a_reference_to_another_place_is_never_followed(scene: Scene, scheme: str) -> None:
    """DSP-029, O-19, T-M1: nobody is asked for the image."""
    with socket.create_server(("127.0.0.1", 0)) as canary, nothing_left_behind(scene.server):
        href = scheme.format(f"127.0.0.1:{canary.getsockname()[1]}")
        fault = refusal(scene.send(href=href))
        canary.setblocking(False)

        assert fault == scene.related(invalid("ImageData", href))
        with pytest.raises(BlockingIOError):
            canary.accept()


@pytest.mark.parametrize("href", ["file:///etc/hostname", r"\\nas\scans\x", "data:;base64,aGVsbG8=", "cid"])
def test_a_reference_to_a_file_is_never_opened(scene: Scene, href: str) -> None:
    """DSP-029, O-19, T-M1."""
    with nothing_left_behind(scene.server):
        fault = refusal(scene.send(href=href))

        assert fault == scene.related(invalid("ImageData", href))


# --- the state of the job --------------------------------------------------------------------------------------------


def failed() -> Refusal:
    return Refusal(500, "soap:Receiver", "dsp:OperationFailed", NOT_NOW, None, "")


def canceled() -> Refusal:
    return Refusal(500, "soap:Receiver", "dsp:ServerErrorPostScanJobCanceled", CANCELED, None, "")


def to_completed(scene: Scene) -> None:
    good(scene.device.end(scene.token))
    Scanner(scene.server).ended(scene.token)


def to_canceled(scene: Scene) -> None:
    good(scene.device.cancel(scene.token))


def end(scene: Scene) -> Answer:
    return scene.device.end(scene.token, message_id=scene.message_id)


def cancel(scene: Scene) -> Answer:
    return scene.device.cancel(scene.token, message_id=scene.message_id)


STATES: dict[str, tuple[Callable[[Scene], None], Send, Callable[[Scene], Refusal]]] = {
    "SendImage after the end": (to_completed, lambda s: s.send(), lambda _s: failed()),
    "a large SendImage after the end": (to_completed, lambda s: s.send(data=bytes(1 << 20)), lambda _s: failed()),
    "EndPostScanJob after the end": (
        to_completed,
        end,
        lambda _s: failed(),
    ),
    "CancelPostScanJob after the end": (
        to_completed,
        cancel,
        lambda s: unknown(s.token),
    ),
    "SendImage after the cancel": (to_canceled, lambda s: s.send(), lambda _s: canceled()),
    "EndPostScanJob after the cancel": (
        to_canceled,
        end,
        lambda _s: canceled(),
    ),
    "CancelPostScanJob after the cancel": (
        to_canceled,
        cancel,
        lambda s: unknown(s.token),
    ),
}


@pytest.mark.parametrize(("arrange", "send", "expected"), STATES.values(), ids=STATES)
def test_what_the_state_does_not_allow_is_refused(
    scene: Scene, arrange: Callable[[Scene], None], send: Send, expected: Callable[[Scene], Refusal]
) -> None:
    """DSP-039, DSP-049, O-8, O-12, O-13."""
    arrange(scene)
    with nothing_left_behind(scene.server):
        fault = refusal(send(scene))

        assert fault == scene.related(expected(scene))


# --- CreatePostScanJob -----------------------------------------------------------------------------------------------


STORED = instructions(*ASKED, go_on="false")
STORED_DO = '<a:do xmlns:a="urn:acme">thin</a:do>'
ROOT_NAME = "<psp:DocumentRootName>Invoice</psp:DocumentRootName>"
OTHER = r"\\nas\others"
DEVIATIONS = {
    "another share": (STORED.replace(SHARE, OTHER), ("ShareUNC", OTHER)),
    "one more share": (
        STORED.replace("</f:FileShares>", f"<f:ShareUNC>{OTHER}</f:ShareUNC></f:FileShares>"),
        ("ShareUNC", OTHER),
    ),
    "no shares": (STORED.replace("FileShares>", "Nothing>"), ("Nothing", "")),
    "one more filter": (instructions(*ASKED, "copy", go_on="false"), ("FiltersToProcess", "4 filters")),
    "one filter fewer": (instructions(*ASKED[:2], go_on="false"), ("FiltersToProcess", "2 filters")),
    "another order": (instructions(ASKED[2], *ASKED[:2], go_on="false"), ("Dialect", "urn:acme:warn")),
    "another dialect": (STORED.replace("urn:acme:warn", "urn:acme:fail"), ("Dialect", "urn:acme:fail")),
    "other parameters": (STORED.replace("thin", "thick"), ("Instructions", STORED_DO.replace("thin", "thick"))),
    "another ContinueOnError": (instructions(*ASKED, go_on="true"), ("ContinueOnError", "true")),
    "another DocumentRootName": (STORED.replace("Invoice", "Payroll"), ("DocumentRootName", "Payroll")),
    "no DocumentRootName": (
        STORED.replace("<psp:DocumentRootName>Invoice</psp:DocumentRootName>", ""),
        ("DocumentRootName", ""),
    ),
    "a DocumentRootName without end": (STORED.replace("Invoice", "I" * 256), ("DocumentRootName", "I" * 255)),
    "no filters": (instructions(go_on="false"), ("Filter", "")),
    "no instructions": ("", ("DocumentRootName", "")),
    "nonsense for ContinueOnError": (STORED.replace(">false<", ">maybe<"), ("ContinueOnError", "maybe")),
    "something else": (f"{STORED}<psp:Priority>1</psp:Priority>", ("Priority", "1")),
}


@pytest.mark.parametrize(("sent", "detail"), DEVIATIONS.values(), ids=DEVIATIONS)
def test_instructions_that_differ_from_the_stored_ones_are_refused(
    scene: Scene, sent: str, detail: tuple[str, str]
) -> None:
    """DSP-019, DSP-021, DSP-022, O-1, O-2, T-O6: the fault names the element, and no job is made."""
    with nothing_left_behind(scene.server):
        fault = refusal(scene.create(sent, STORED))

        assert fault == scene.related(invalid(*detail))


SPX = "http://schemas.microsoft.com/windows/2010/09/imaging/postscan/scanprocess/extensions"


def test_what_the_stored_process_permits_may_differ(scene: Scene) -> None:
    """DSP-022, O-2, O-3: another root name; and the same thing in other words is no difference."""
    allow = f'<x:AllowDeviceFileNameChange xmlns:x="{SPX}">true</x:AllowDeviceFileNameChange>'
    identifier = scene.server.store(STORED, allow=allow)
    renamed = STORED.replace("Invoice", "March")
    reworded = STORED.replace(SHARE, SHARE.upper() + "\\").replace(">false<", "> 0 <").replace("f:", "q:")
    reworded = reworded.replace("xmlns:f=", "xmlns:q=")

    assert good(scene.device.create(identifier, renamed)).find("JobToken")
    assert good(scene.device.create(identifier.lower(), reworded)).find("JobToken")
    assert refusal(scene.device.create(identifier, STORED.replace(SHARE, OTHER))).detail == ("ShareUNC", OTHER)


def test_an_unknown_process_and_somebody_elses_answer_alike(scene: Scene) -> None:
    """DSP-017, O-4, O-6, T-O7: no device can find out which processes there are."""
    foreign = scene.server.store(instructions("copy"), users=("S-1-5-21-9-9-9-9",))
    identifiers = (foreign, UNKNOWN.upper())
    with nothing_left_behind(scene.server):
        faults = [
            refusal(scene.device.create(identifier, instructions("copy"), message_id=scene.message_id))
            for identifier in identifiers
        ]

        assert faults == [
            scene.related(invalid("PSP_Identifier", identifier)) for identifier in (foreign, UNKNOWN.upper())
        ]


USERS = ("mlopez", "S-1-5-", "S-1-5-21-4294967296", "S-2-5-21-1", "", "S-1-5-21-1-\u0663")


@pytest.mark.parametrize("user", USERS)
def test_a_user_who_is_no_sid_is_refused(scene: Scene, user: str) -> None:
    """DSP-016."""
    scene.device.user = user
    with nothing_left_behind(scene.server):
        fault = refusal(scene.create(instructions(*ASKED)))

        assert fault == scene.related(invalid("UserIdentifier", user))


@pytest.mark.parametrize("missing", ["UserIdentifier", "PSP_Identifier", "PostScanInstructions"])
def test_a_create_that_lacks_an_argument_is_refused_by_its_name(scene: Scene, missing: str) -> None:
    """DSP-014, DSP-015."""
    values = {
        "UserIdentifier": scene.device.user,
        "PSP_Identifier": UNKNOWN,
        "PostScanInstructions": instructions("copy"),
    }
    content = "".join(f"<dsp:{name}>{value}</dsp:{name}>" for name, value in values.items() if name != missing)
    with nothing_left_behind(scene.server):
        body = scene.device.envelope("CreatePostScanJob", content, message_id=scene.message_id)
        fault = refusal(scene.device.post(body))

        assert fault == scene.related(invalid(missing))


def test_a_broken_stored_process_is_not_the_devices_fault(scene: Scene) -> None:
    """F-R29: the log says which file and why, the device hears nothing of it."""
    identifier = scene.server.store(instructions("copy", root="Broken"))
    (scene.server.settings.processes_dir / f"{identifier}.xml").write_text("<oops>")
    with nothing_left_behind(scene.server):
        fault = refusal(scene.device.create(identifier, instructions("copy"), message_id=scene.message_id))

        assert fault == scene.related(failed())
        assert f"{identifier}.xml cannot be used" in scene.server.log()


def test_a_device_with_too_many_open_jobs_is_asked_to_wait(tmp_path: Path) -> None:
    """T-Q1: a new job is possible as soon as an old one is gone; another device does not notice."""
    with running(tmp_path, {"limits": {"open_jobs": 2}}) as server:
        one, other = Scanner(server), Scanner(server, "127.0.0.2")
        tokens = [one.create("copy"), one.create("copy")]
        fault = refusal(one.device.create(server.store(instructions("copy")), instructions("copy")))
        other.create("copy")
        good(one.device.cancel(tokens[0]))
        one.create("copy")

        temporary = Refusal(500, "soap:Receiver", "dsp:ServerErrorTemporaryError", UNEXPECTED, None, fault.relates_to)
        assert fault == temporary


# --- messages --------------------------------------------------------------------------------------------------------


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
