"""Whole jobs, as a device sees them: from its first request to the files on the share."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import uuid
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from acceptance.scanning import (
    NOT_NOW,
    Scanner,
    assert_legal,
    good,
    instructions,
    refusal,
    status,
)
from acceptance.server import SHARE, Server, digest
from device import DSP, SOAP_TYPE, Device
from schemas import assert_valid
from works import until


def hashes(images: list[bytes]) -> list[str]:
    return sorted(hashlib.sha256(image).hexdigest() for image in images)


def test_what_was_scanned_lies_on_the_share(server: Server, scanner: Scanner) -> None:
    """DSP-001, DSP-034, DSP-082, I6, I20: byte for byte, once, in the user's folder, and in no other way than said."""
    scanner.device.user = "S-1-5-21-7-7-7-1"
    token = scanner.create(f"share {SHARE}")
    images = scanner.send(token, 9, 4, 70000, size=300_000) + scanner.send(token, 2, format="tiff-single-g4")
    creating = scanner.status(token)
    good(scanner.device.end(token))
    seen = scanner.polled(token)

    files = sorted((server.share / "S-1-5-21-7-7-7-1").iterdir())
    assert sorted(map(digest, files)) == hashes(images)
    assert {file.name.rpartition("_")[2] for file in files} == {"002.tif", "004.png", "009.png", "70000.png"}
    assert (creating.state, creating.images) == ("Creating", 4)
    assert_legal([creating, *seen])
    assert (seen[-1].state, seen[-1].reasons) == ("Completed", ("PostScanJobCompletedSuccessfully",))
    assert (seen[-1].filters, seen[-1].images) == (("CompletedSuccessfully",), 4)


def test_the_stored_states_of_a_job_are_the_path_of_the_protocol(server: Server, scanner: Scanner) -> None:
    """I6: no state is left out, and none comes twice."""
    token = scanner.start("copy")
    scanner.ended(token)

    events = server.works.core.store.events(token)
    states = [event.fields["state"] for event in events if event.kind == "JobStateChanged"]
    assert states == ["Creating", "Pending", "Started", "Processing", "Completed"]


GOOD, BAD, WARNED = "CompletedSuccessfully", "CompletedWithErrors", "CompletedWithWarnings"
ABORTED, NOTHING = "PostScanJobProcessingFailed", "NoValidPostScanInstructionsFound"
DENIED, FULL, INVALID = "FileShareAccessDenied", "OutOfDiskSpace", "InvalidArgs"
OUTCOMES = {
    "success": ("", ("copy", "copy"), "Completed", f"PostScanJob{GOOD}", (GOOD, GOOD), ()),
    "warnings only": ("", ("copy", "warn"), "Completed", f"PostScanJob{WARNED}", (GOOD, WARNED), ()),
    "error, stop": ("", ("copy", f"fail {DENIED}", "copy"), "Aborted", ABORTED, (GOOD, BAD, "Canceled"), (DENIED,)),
    "error, stop, said": ("false", (f"fail {DENIED}", "copy"), "Aborted", ABORTED, (BAD, "Canceled"), (DENIED,)),
    "error, go on": ("true", (f"fail {FULL}", "copy"), "Completed", f"PostScanJob{BAD}", (BAD, GOOD), (FULL,)),
    "one unknown dialect, go on": (
        "true",
        ("nobody", "copy"),
        "Completed",
        f"PostScanJob{BAD}",
        (BAD, GOOD),
        ("InvalidArgs",),
    ),
    "no dialect known": ("", ("nobody", "none"), "Aborted", NOTHING, ("Canceled", "Canceled"), ()),
}


@pytest.mark.conformance("DSP-069", "DSP-070")
@pytest.mark.parametrize(("go_on", "filters", "state", "reason", "steps", "why"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_job_ends_as_the_outcome_table_says(
    server: Server,
    scanner: Scanner,
    go_on: str,
    filters: tuple[str, ...],
    state: str,
    reason: str,
    steps: tuple[str, ...],
    why: tuple[str, ...],
) -> None:
    """State, reason, and the state of each filter, row by row of ws-dsp.md section 8; what is Canceled has not run."""
    token = scanner.start(*filters, go_on=go_on)
    end = scanner.ended(token)
    ran = [name for name, step in zip(filters, steps, strict=True) if step == GOOD]

    assert (end.state, end.reasons, end.filters, end.why) == (state, (reason,), steps, why)
    assert [line[0] for line in server.works.trace(token) if line[0] == "copy"] == ran


def test_a_job_without_images_ends_with_a_warning(scanner: Scanner) -> None:
    """DSP-044, O-11."""
    token = scanner.create("copy")
    good(scanner.device.end(token))
    end = scanner.ended(token)

    assert (end.state, end.reasons) == ("Completed", ("PostScanJobCompletedWithWarnings",))
    assert (end.filters, end.images) == (("CompletedWithWarnings",), 0)


def test_end_is_answered_while_the_filters_run(server: Server, scanner: Scanner) -> None:
    """DSP-042, DSP-043, O-12: it waits for no filter; none began before it; said twice it is answered twice."""
    token = scanner.create("sleep 60")
    scanner.send(token)
    assert server.works.trace(token) == []
    good(scanner.device.end(token))
    server.works.await_trace(token, "sleep")
    again = good(scanner.device.end(token))
    running = scanner.status(token)
    scanner.device.cancel(token)
    scanner.ended(token)  # else its end is a change to a test that compares all jobs

    assert again.find("EndPostScanJobResponse") == ""
    assert (running.state, running.filters) == ("Processing", ("Processing",))


def test_end_of_a_job_that_has_ended_is_refused(scanner: Scanner) -> None:
    """O-12."""
    token = scanner.start("copy")
    scanner.ended(token)
    fault = refusal(scanner.device.end(token))

    assert (fault.status, fault.code, fault.subcode) == (500, "soap:Receiver", "dsp:OperationFailed")
    assert (fault.reason, fault.detail) == (NOT_NOW, None)


def test_end_waits_for_the_image_that_is_still_on_its_way(server: Server, scanner: Scanner) -> None:
    """O-22: the last page is not lost."""
    token = scanner.create("copy")
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> list[bytes]:
        yield b"first half"
        begun.set()
        assert go_on.wait(30)
        yield b", second half"

    with ThreadPoolExecutor(2) as pool:
        sending = pool.submit(scanner.device.send_image, token, 1, slowly())
        assert begun.wait(30)
        until(lambda: any(name.endswith(".part") for name in server.spool()))
        ending = pool.submit(scanner.device.end, token)
        with pytest.raises(TimeoutError):
            ending.result(timeout=0.5)
        go_on.set()
        good(sending.result())
        good(ending.result())

    end = scanner.ended(token)
    assert (end.state, end.images) == ("Completed", 1)


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packaged", [False, True], ids=["plain SOAP", "in a MIME root part"])
def test_an_image_may_come_as_base64_in_the_message(server: Server, scanner: Scanner, packaged: bool) -> None:
    """DSP-027, O-18: with blanks and line breaks in it, too."""
    token = scanner.create("copy")
    content = f"<dsp:JobToken>{token}</dsp:JobToken><dsp:DocumentDescription><dsp:DocumentId>1</dsp:DocumentId>"
    content += "<dsp:Format>png</dsp:Format></dsp:DocumentDescription><dsp:ImageData>\n aGVs bG8g\r\nd29ybGQ=\n"
    body, kind = scanner.device.envelope("SendImage", content + "</dsp:ImageData>"), SOAP_TYPE
    if packaged:
        kind = 'multipart/related; boundary=b; type="application/xop+xml"'
        body = b"--b\r\nContent-Type: application/xop+xml\r\n\r\n" + body + b"\r\n--b--\r\n"
    good(scanner.device.post(body, kind))

    assert server.images(token) == hashes([b"hello world"])


def test_a_resent_image_is_stored_once(server: Server, scanner: Scanner) -> None:
    """DSP-032, DSP-036, O-9, I2: the answer may have been lost."""
    token = scanner.create("copy")
    first = scanner.device.send_image(token, 1, b"a page", chunks=3)
    second = scanner.device.send_image(token, 1, b"a page")

    assert (good(first).status, good(second).status) == (200, 200)
    assert scanner.status(token).images == 1
    assert server.images(token) == hashes([b"a page"])


def test_images_of_one_job_may_come_at_the_same_time(server: Server, scanner: Scanner) -> None:
    """O-21, DSP-032: none is lost, and a twin of one counts once."""
    token = scanner.create("copy")
    images = {number: os.urandom(200_000) for number in range(1, 9)}
    with ThreadPoolExecutor(8) as pool:
        answers = [
            pool.submit(scanner.device.send_image, token, number, image) for number, image in [*images.items()] * 2
        ]

    assert [answer.result().status for answer in answers] == [200] * 16
    assert scanner.status(token).images == 8
    assert server.images(token) == hashes(list(images.values()))


ROOT = "<root@device>"
KINDS = {
    "as it should be": 'multipart/related; boundary="{b}"; type="application/xop+xml"; start="<root@device>"',
    "mixed case": 'Multipart/Related; BOUNDARY="{b}"; Type="application/xop+xml"; Start="<root@device>"',
    "unquoted boundary": "multipart/related; boundary={b}; type=application/xop+xml; start=<root@device>",
    "no start": 'multipart/related; type="application/xop+xml"; boundary="{b}"',
    "start without brackets": 'multipart/related; boundary="{b}"; start="root@device"',
    "startinfo": 'multipart/related; boundary="{b}"; startinfo="application/soap+xml"',
    "start-info": 'multipart/related;boundary="{b}";start-info="application/soap+xml"',
    "many blanks": 'multipart/related ;\t boundary = "{b}" ;   type = "application/xop+xml"',
    "no type, dangling semicolon": 'multipart/related; boundary="{b}";',
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("boundary", ["uuid:5c3a+id=3", "x" * 120], ids=["odd boundary", "long boundary"])
def test_every_spelling_of_the_content_type_is_understood(
    server: Server, scanner: Scanner, kind: str, boundary: str
) -> None:
    """DSP-030, ws-dsp.md quirks 5 and 22."""
    token = scanner.create("copy")
    _, parts = scanner.device.package(token, 1, b"a page", boundary=boundary)
    good(scanner.device.post(b"".join(parts), kind.format(b=boundary)))

    assert server.images(token) == hashes([b"a page"])


BOUNDARY, CRLF = b"--b41f7c0e2a", b"\r\n"
FIRST = BOUNDARY + b"\r\nContent-Type: application/xop+xml"
PART = b"Content-Type: application/octet-stream"
QUIRKS = {
    "quirk 6": (
        b'; charset=utf-8; type="application/soap+xml"',
        b"; type=application/soap+xml\r\n charset=UTF-8",
    ),
    "quirk 7: dangling semicolon": (PART, PART + b";"),
    "quirk 7: blanks in brackets": (b"<image@device>", b"< image@device >"),
    "quirk 7: Binary": (b"Encoding: binary", b"Encoding: Binary"),
    "quirk 8": (FIRST, b"mime-version: 1.0\r\nContent-Type: Multipart/Related;\r\n boundary=b\r\n\r\n" + FIRST),
    "quirk 9: declaration": (b"<soap:Envelope", b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><soap:Envelope'),
    "quirk 9: blank line": (b"<soap:Envelope", b"\r\n\r\n<soap:Envelope"),
    "quirk 10": (b"2004/08/xop/include", b"2003/12/xop/include"),
    "quirk 1": (b"/SendImage</wsa:Action>", b"/SendImage\r\n   </wsa:Action>"),
    "quirk 4": (b"<wsa:To>http", b"<wsa:To>Destination Address http"),
    "quirk 19": (b"<wsa:Action>http:", b"<wsa:Action>https:"),
    "quirk 22": (b"Encoding: binary", b"Encoding: 8bit"),
    "folded part header": (b"Content-ID: <image", b"Content-ID:\r\n\t<image"),
    "blanks after a delimiter": (BOUNDARY + CRLF, BOUNDARY + b" \t" + CRLF),
    "percent-encoded reference": (b"cid:image@device", b"cid:image%40device"),
    "foreign element": (b"<dsp:ImageData>", b'<x:y xmlns:x="urn:x"/><dsp:ImageData>'),
    "an epilogue": (BOUNDARY + b"--\r\n", BOUNDARY + b"--\r\nThat was all.\r\n"),
}


@pytest.mark.parametrize(("written", "instead"), QUIRKS.values(), ids=QUIRKS)
def test_the_oddities_of_published_messages_are_accepted(
    server: Server, scanner: Scanner, written: bytes, instead: bytes
) -> None:
    """DSP-011, DSP-030, DSP-086, ws-dsp.md section 12."""
    token = scanner.create("copy")
    kind, parts = scanner.device.package(token, 1, b"a page")
    body = b"".join(parts)
    assert written in body
    good(scanner.device.post(body.replace(written, instead), kind))

    assert server.images(token) == hashes([b"a page"])


def test_prefixes_mean_nothing(scanner: Scanner) -> None:
    """T-X10, ws-dsp.md quirk 16: some devices write them in upper case."""
    token = scanner.create("copy")
    request = scanner.device.envelope("GetPostScanJobElements", f"<dsp:JobToken>{token}</dsp:JobToken>{NAMES}")
    for prefix in ("soap", "wsa", "dsp"):
        request = request.replace(f"{prefix}:".encode(), f"{prefix.upper()}:".encode())
        request = request.replace(f"xmlns:{prefix}=".encode(), f"xmlns:{prefix.upper()}=".encode())

    assert status(good(scanner.device.post(request))).state == "Creating"


def test_an_image_may_contain_whatever_looks_like_mime(server: Server, scanner: Scanner) -> None:
    """T-M4: only the whole delimiter at the beginning of a line ends it."""
    image = b"--b41f7c0e2a\r\n--b41f7c0e2\r\n\r\n-\r--b41f7c0e2a--\r\nContent-ID: <root@device>\r\n\r\n\r\n--\r\n"
    token = scanner.create("copy")
    for number, cut in enumerate((None, 1, 7), start=1):
        good(scanner.device.send_image(token, number, b"x" + image, chunks=cut))

    assert server.images(token) == hashes([b"x" + image] * 3)


# --- messages --------------------------------------------------------------------------------------------------------


MESSAGE_IDS = (
    "uuid:UniqueMsgId",
    "uuid:1d1a7e0c-33c6-4f2b-8a39-52f9b0f3c0de",
    "http://mfp/message?n=1",
    " \n urn:uuid:A \t",
    "7",
    "ü€",
)


@pytest.mark.parametrize("message_id", MESSAGE_IDS)
def test_any_message_id_is_taken_and_related_to(scanner: Scanner, message_id: str) -> None:
    """DSP-007, DSP-008, DSP-013, ws-dsp.md quirk 2: trimmed, else unchanged; the answer has one of its own."""
    token = scanner.create("copy")
    first = good(scanner.device.elements(token, message_id=message_id))
    second = good(scanner.device.elements(token, message_id=message_id))

    assert first.find("RelatesTo") == second.find("RelatesTo") == message_id.strip()
    assert len({message_id.strip(), first.find("MessageID"), second.find("MessageID")}) == 3


def test_an_answer_goes_to_nobody_but_the_connection(scanner: Scanner) -> None:
    """DSP-006, DSP-009, DSP-012: a request may leave ReplyTo out."""
    token = scanner.create("copy")
    request = scanner.device.envelope("GetPostScanJobElements", f"<dsp:JobToken>{token}</dsp:JobToken>{NAMES}")
    begin, end = request.index(b"<wsa:ReplyTo>"), request.index(b"</soap:Header>")
    answer = good(scanner.device.post(request[:begin] + request[end:]))

    assert answer.find("To") == "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
    assert answer.find("Action") == f"{DSP}/GetPostScanJobElementsResponse"
    assert answer.headers["content-type"] == "application/soap+xml; charset=utf-8"


NAMES = "<dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"


def test_a_token_is_recognised_in_every_spelling_of_a_guid(scanner: Scanner) -> None:
    """O-16, DSP-011, DSP-018, DSP-024: it was issued in lower case."""
    token = scanner.create("copy")
    spellings = [token.upper(), f"{{{token}}}", f" \n{token}\t"]

    assert str(uuid.UUID(token)) == token
    assert uuid.UUID(token).version == 4
    assert [scanner.status(spelled).state for spelled in spellings] == ["Creating"] * 3


def test_elements_come_in_the_order_they_were_asked_for(scanner: Scanner) -> None:
    """DSP-052 to DSP-056, O-23, O-24, ws-dsp.md quirk 17: repeated ones twice, unknown ones empty and not valid."""
    token = scanner.create("copy")
    scanner.send(token, 9, 4, format="jfif")
    asked = ["dsp:Documents", "dsp:Cost", " dsp:JobStatus\n", "JobDescription", "dsp:JobStatus"]
    answer = good(scanner.device.elements(token, *asked))
    found = ET.fromstring(answer.body).findall(f".//{{{DSP}}}ElementData")

    names = [(one.get(f"{{{DSP}}}Name"), one.get(f"{{{DSP}}}Valid"), len(one)) for one in found]
    assert names == [
        ("dsp:Documents", "true", 1),
        ("dsp:Cost", "false", 0),
        ("dsp:JobStatus", "true", 1),
        ("JobDescription", "true", 1),
        ("dsp:JobStatus", "true", 1),
    ]
    assert answer.find_all("DocumentId") == ["4", "9"]
    assert answer.find_all("Format") == ["jfif", "jfif"]
    assert answer.find("PSP_DisplayName") == "Test process"
    assert answer.find("JobOriginatingUserName") == scanner.device.user


def test_times_have_a_zone_and_the_last_comes_with_the_end(scanner: Scanner) -> None:
    """DSP-061, DSP-062, I9."""
    token = scanner.create("copy")
    creating = scanner.device.elements(token)
    good(scanner.device.end(token))
    scanner.ended(token)
    ended = scanner.device.elements(token)

    created, completed = ended.find("JobCreatedTime"), ended.find("JobCompletedTime")
    assert creating.find("JobCompletedTime") is None
    assert created == creating.find("JobCreatedTime")
    assert created
    assert completed
    assert created.endswith("Z")
    assert created <= completed


# --- connections -----------------------------------------------------------------------------------------------------


def test_a_whole_job_goes_over_one_connection(server: Server, scanner: Scanner) -> None:
    """Keep-alive: faults in between do not end it."""
    device, parts = scanner.device, urlsplit(server.url)
    asked = instructions("copy")
    create = device.envelope(
        "CreatePostScanJob",
        f"<dsp:UserIdentifier>{device.user}</dsp:UserIdentifier><dsp:PSP_Identifier>{server.store(asked)}"
        f"</dsp:PSP_Identifier><dsp:PostScanInstructions>{asked}</dsp:PostScanInstructions>",
    )
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.connect()
    end_point = connection.sock.getsockname()

    def ask(body: bytes, kind: str = SOAP_TYPE) -> tuple[int, bytes]:
        connection.request("POST", parts.path, body, {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, response.read()

    status_code, answer = ask(create)
    token = assert_valid(answer).findtext(f".//{{{DSP}}}JobToken")
    assert (status_code, ask(b"<nonsense")[0]) == (200, 400)
    kind, package = device.package(token, 1, b"a page" * 1000)
    assert ask(b"".join(package), kind)[0] == 200
    kind, package = device.package(str(uuid.uuid4()), 1, os.urandom(1 << 20))
    assert ask(b"".join(package), kind)[0] == 400
    assert ask(device.envelope("EndPostScanJob", f"<dsp:JobToken>{token}</dsp:JobToken>"))[0] == 200
    assert connection.sock.getsockname() == end_point
    connection.close()

    assert scanner.ended(token).images == 1


def test_two_devices_do_not_meet(server: Server) -> None:
    """DSP-084: jobs side by side, each with its own images and its own end."""
    anna, boris = Scanner(server), Scanner(server, "127.0.0.2")

    def scan(scanner: Scanner) -> tuple[str, list[bytes]]:
        token = scanner.create("copy")
        images = scanner.send(token, 1, 2, 3, size=100_000)
        assert server.images(token) == hashes(images)
        good(scanner.device.end(token))
        return scanner.ended(token).state, images

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(scan, [anna, boris] * 4))

    delivered = {digest(file) for file in server.out.iterdir() if file.suffix == ".png"}
    assert [state for state, _ in done] == ["Completed"] * 8
    assert {one for _, images in done for one in hashes(images)} <= delivered


def test_one_device_may_have_several_jobs_in_parallel(server: Server, scanner: Scanner) -> None:
    """DSP-084: images of one job while the next is open already."""
    first, second = scanner.create("copy"), scanner.create("copy")
    images = {token: [] for token in (first, second)}
    for number in (1, 2, 3):
        for token, sent in images.items():
            sent += scanner.send(token, number)
    good(scanner.device.end(first))
    late = scanner.send(second, 4)

    assert server.images(second) == hashes(images[second] + late)
    assert scanner.ended(first).images == 3
    assert status(scanner.device.elements(second)).state == "Creating"


def test_a_job_belongs_to_the_device_and_not_to_the_connection(server: Server) -> None:
    """D1, weak mode: the next connection from the same address is the same device."""
    token = Scanner(server).create("copy")

    assert status(good(Device(server.url).elements(token))).state == "Creating"
