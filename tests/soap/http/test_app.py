"""The door to HTTP: what is refused below SOAP, and what must not be left behind when a request breaks."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from acceptance.rawhttp import Line, connected
from acceptance.scanning import (
    NOT_NOW,
    UNEXPECTED,
    Refusal,
    Scanner,
    assert_bare,
    assert_silent,
    good,
    instructions,
    refusal,
)
from acceptance.server import ENVELOPE_BYTES, IMAGE_BYTES, Server, running
from device import SOAP_TYPE, Device
from works import until

MTOM_TYPE = "multipart/related; boundary=b; type=application/xop+xml"
FRAMING = 64 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits."""
    with running(tmp_path_factory.mktemp("app")) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that waits three seconds for the next bytes of a body."""
    with running(tmp_path_factory.mktemp("hasty"), {"server": {"port": 0, "idle_seconds": 3}}) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def scanner(server: Server) -> Scanner:
    """A device in front of it."""
    return Scanner(server)


# --- refused by the head ---------------------------------------------------------------------------------------------


PATHS = ("/", "/ScanServer/", "/ScanServer/processing/", "/ScanServer/processing/x", "/%2e%2e/etc", "//x")


@pytest.mark.parametrize("path", PATHS)
def test_there_is_nothing_at_other_paths(line: Line, path: str) -> None:
    """T-H8, T-H9: nor a redirection, which would be built from what the request says of its host."""
    line.send(line.head("Content-Length: 0", path=path))
    answer = line.answer()

    assert_bare(answer, 404)
    assert "location" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_only_post_is_served(line: Line, method: str) -> None:
    """T-H8."""
    line.send(line.head("Content-Length: 0", method=method))
    answer = line.answer()

    assert_bare(answer, 405)
    assert answer.headers["allow"] == "POST"


MEDIA_TYPES = (
    "",
    "text/plain",
    "application/json",
    "application/xml",
    "application/soap+xml; charset=iso-8859-1",
    "multipart/form-data; boundary=b",
    "multipart/mixed; boundary=b",
    "multipart/related; boundary=b; type=image/png",
    "soap",
)


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_other_media_types_are_refused(scanner: Scanner, media_type: str) -> None:
    """T-H8: before a byte of the body is looked at."""
    body = scanner.device.envelope("GetPostScanJobElements", "")

    assert_bare(scanner.device.post(body, media_type), 415)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity", "x"])
def test_a_compressed_body_is_refused(scanner: Scanner, encoding: str) -> None:
    """T-H7: nothing is ever inflated."""
    answer = scanner.device.post(b"\x1f\x8b" + bytes(1000), headers={"Content-Encoding": encoding})

    assert_bare(answer, 415)


def test_a_multipart_without_a_usable_boundary_is_a_fault(scanner: Scanner) -> None:
    """D7: it is SOAP, badly packed."""
    for kind in ("multipart/related", "multipart/related; boundary=", f"multipart/related; boundary={'x' * 201}"):
        fault = refusal(scanner.device.post(b"--b--\r\n", kind))

        assert (fault.status, fault.subcode, fault.detail) == (400, "dsp:InvalidArgs", None)


def test_soap_1_1_is_answered_with_the_version_that_is_spoken(scanner: Scanner) -> None:
    """T-X9, ruling 17."""
    body = b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body/></e:Envelope>'
    answer = scanner.device.post(body, "text/xml; charset=utf-8")

    assert answer.status == 500
    assert b"VersionMismatch" in answer.body
    assert b'<soap:SupportedEnvelope qname="soap:Envelope"/>' in answer.body
    assert_silent(answer)


LARGEST = {SOAP_TYPE: ENVELOPE_BYTES, MTOM_TYPE: ENVELOPE_BYTES + IMAGE_BYTES + FRAMING}
TOO_LARGE = [(kind, size) for kind, most in LARGEST.items() for size in (most + 1, 1 << 31, 1 << 32, (1 << 63) + 1)]


@pytest.mark.parametrize(("kind", "size"), TOO_LARGE)
def test_a_body_that_says_it_is_too_large_is_not_read(line: Line, kind: str, size: int) -> None:
    """T-H6, T-M8, ruling 17: not even asked for."""
    line.send(line.head(f"Content-Length: {size}", "Expect: 100-continue", content_type=kind))

    assert_bare(line.answer(), 413)
    assert line.is_closed()


@pytest.mark.parametrize(("kind", "size"), LARGEST.items())
def test_a_body_may_say_that_it_is_as_large_as_the_limit(line: Line, kind: str, size: int) -> None:
    """T-H6: the limit itself is allowed."""
    line.send(line.head(f"Content-Length: {size}", "Expect: 100-continue", content_type=kind))

    assert line.bytes(25) == b"HTTP/1.1 100 Continue\r\n\r\n"


# --- while the body comes --------------------------------------------------------------------------------------------


def test_a_device_may_ask_before_it_sends_its_image(server: Server, scanner: Scanner, line: Line) -> None:
    """Expect: 100-continue (RFC 9110, section 10.1.1)."""
    token = scanner.create("copy")
    kind, parts = scanner.device.package(token, 1, b"a page")
    body = b"".join(parts)
    line.send(line.head(f"Content-Length: {len(body)}", "Expect: 100-continue", content_type=kind))
    asked = line.bytes(25)
    answer = line.send(body).answer()

    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert good(answer).find("SendImageResponse") == ""
    assert len(server.images(token)) == 1


def test_a_device_that_leaves_in_the_middle_of_an_image_leaves_nothing(server: Server, scanner: Scanner) -> None:
    """T-M5, I3: wherever the cut is; the job waits for the next try."""
    token, image = scanner.create("copy"), os.urandom(1 << 20)
    whole = len(b"".join(scanner.device.package(token, 1, image)[1]))
    for after in (0, 10, 700, 1500, whole // 2, whole - 40, whole - 1):
        scanner.device.break_off(token, 1, image, after)
    until(lambda: server.log().count("client disconnected") >= 6, "for the server to notice")
    until(lambda: not [name for name in server.spool() if token in name], f"for the spool: {server.spool()}")

    assert (scanner.status(token).state, scanner.status(token).images) == ("Creating", 0)
    good(scanner.device.send_image(token, 1, image))


def test_a_device_that_stops_talking_in_the_middle_of_an_image_leaves_nothing(hasty: Server) -> None:
    """T-H2: it gets 408; an End meanwhile is asked to come again, and works then."""
    scanner = Scanner(hasty)
    token = scanner.create("copy")
    kind, parts = scanner.device.package(token, 1, os.urandom(1 << 20))
    with connected(hasty.url) as line:
        line.send(line.head(f"Content-Length: {2 << 20}", content_type=kind) + b"".join(parts)[: 1 << 19])
        until(lambda: line.has_answered() or any(token in one and one.endswith(".part") for one in hasty.spool()))

        assert_bare(line.answer(), 408)
        assert line.is_closed()
    until(lambda: not [name for name in hasty.spool() if token in name], f"for the spool: {hasty.spool()}")
    good(scanner.device.end(token))


@pytest.mark.parametrize("kind", [SOAP_TYPE, MTOM_TYPE])
def test_a_body_that_never_comes_is_not_waited_for(hasty: Server, kind: str) -> None:
    """T-H2."""
    with connected(hasty.url) as line:
        line.send(line.head("Content-Length: 100", content_type=kind))

        assert_bare(line.answer(), 408)
        assert line.is_closed()


def test_a_body_is_waited_for_as_long_as_it_comes(hasty: Server) -> None:
    """T-H2: longer than the time that it may be silent, if it comes fast enough."""
    scanner = Scanner(hasty)
    token = scanner.create("copy")

    def slowly() -> Iterator[bytes]:
        for _ in range(12):
            time.sleep(0.3)
            yield b"one more line" * 100

    good(scanner.device.send_image(token, 1, slowly()))

    assert len(hasty.images(token)) == 1


def test_an_upload_that_stalls_holds_up_nobody(scanner: Scanner, server: Server) -> None:
    """T-M9, T-C4: others are served while it waits."""
    token = scanner.create("copy")
    kind, parts = scanner.device.package(token, 1, os.urandom(1 << 20))
    half = b"".join(parts)[: 1 << 19]
    with contextlib.ExitStack() as lines:
        for _ in range(20):
            line = lines.enter_context(connected(server.url))
            line.send(line.head(f"Content-Length: {1 << 21}", content_type=kind) + half)
        until(lambda: any(token in name and name.endswith(".part") for name in server.spool()))
        other = Scanner(server, "127.0.0.2")

        assert other.ended(other.start("copy")).state == "Completed"


def test_a_refused_image_may_still_be_sent_to_its_end(server: Server, scanner: Scanner) -> None:
    """ws-dsp.md quirk 21: some devices read the answer only when they have sent everything; the connection goes on."""
    kind, parts = scanner.device.package(str(uuid.uuid4()), 1, bytes(3 << 20))
    body = b"".join(parts)
    with connected(server.url) as line:
        for _ in range(2):
            line.send(line.head(f"Content-Length: {len(body)}", content_type=kind) + body)
            fault = refusal(line.answer())

            assert (fault.status, fault.subcode) == (400, "dsp:ClientErrorJobTokenNotFound")


def test_a_refused_image_without_end_is_cut(server: Server, scanner: Scanner) -> None:
    """T-H6: it gets its fault, and nobody reads for ever what nobody wants."""
    kind, parts = scanner.device.package(str(uuid.uuid4()), 1, b"")
    first = b"".join(parts).removesuffix(b"\r\n--b41f7c0e2a--\r\n")
    with connected(server.url) as line:
        line.send(line.head("Transfer-Encoding: chunked", content_type=kind))
        line.send(b"%x\r\n%b\r\n" % (len(first), first))
        for _ in range(40):
            line.send(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
        answer = line.answer()

        assert refusal(answer).subcode == "dsp:ClientErrorJobTokenNotFound"
        assert answer.headers["connection"] == "close"
        assert line.is_closed()


def test_the_spool_may_be_gone_for_a_while(server: Server, scanner: Scanner) -> None:
    """O-31, F-R10: the device is asked to try again, and the job does not notice."""
    token = scanner.create("copy")
    spool = server.settings.storage.spool_dir
    elsewhere = spool.rename(spool.with_name("elsewhere"))
    try:
        fault = refusal(scanner.device.send_image(token, 1, b"a page"))
        still = scanner.status(token).state
    finally:
        elsewhere.rename(spool)
    good(scanner.device.send_image(token, 1, b"a page"))

    temporary = Refusal(500, "soap:Receiver", "dsp:ServerErrorTemporaryError", UNEXPECTED, None, fault.relates_to)
    assert fault == temporary
    assert still == "Creating"


# --- whole requests --------------------------------------------------------------------------------------------------


def get(device: Device, token: str) -> bytes:
    """Return the envelope of a query."""
    names = "<dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"
    return device.envelope("GetPostScanJobElements", f"<dsp:JobToken>{token}</dsp:JobToken>{names}")


def test_requests_may_be_sent_before_their_answers_are_read(scanner: Scanner, line: Line) -> None:
    """RFC 9112, section 9.3.2: they are answered in their order."""
    tokens = [scanner.create("copy") for _ in range(3)]
    bodies = [get(scanner.device, token) for token in tokens]
    line.send(b"".join(line.head(f"Content-Length: {len(body)}") + body for body in bodies))

    assert [good(line.answer()).find("JobToken") for _ in tokens] == tokens


def test_http_1_0_is_served(server: Server, scanner: Scanner) -> None:
    """The connection ends with the answer."""
    token = scanner.create("copy")
    body = get(scanner.device, token)
    with connected(server.url) as line:
        head = line.head(f"Content-Length: {len(body)}").replace(b"HTTP/1.1", b"HTTP/1.0")
        answer = line.send(head + body).answer()

        assert good(answer).find("JobState") == "Creating"
        assert line.is_closed()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "[::1]", ""])
def test_the_host_that_a_request_names_means_nothing(server: Server, scanner: Scanner, host: str) -> None:
    """T-H9: it is not repeated."""
    token = scanner.create("copy")
    body = get(scanner.device, token)
    with connected(server.url) as line:
        head = line.head(f"Content-Length: {len(body)}").replace(b"Host: test", f"Host: {host}".encode())
        answer = line.send(head + body).answer()

        assert b"evil" not in answer.body
        assert good(answer).find("JobState") == "Creating"


def test_many_requests_at_once_are_all_answered(scanner: Scanner) -> None:
    """T-H4: more than there are threads for them."""
    token = scanner.create("copy")
    with ThreadPoolExecutor(80) as pool:
        answers = list(pool.map(lambda _: scanner.device.elements(token).status, range(400)))

    assert answers == [200] * 400


def test_every_fault_may_be_answered_with_500(tmp_path: Path) -> None:
    """D16: for clients that read no other status."""
    with running(tmp_path, {"server": {"port": 0, "always_500": True}}) as server:
        scanner = Scanner(server)
        faults = [
            refusal(scanner.device.cancel(str(uuid.uuid4()))),
            refusal(scanner.device.post(b"<nonsense")),
            refusal(scanner.device.create(str(uuid.uuid4()), instructions("copy"))),
        ]

        assert [(fault.status, fault.code) for fault in faults] == [(500, "soap:Sender")] * 3
        assert NOT_NOW not in {fault.reason for fault in faults}


def test_a_connection_is_kept_even_if_it_may_be_idle_for_a_moment_only(tmp_path: Path) -> None:
    """T-H1: a time below a second is no reason to hang up at once."""

    def is_kept() -> bool:
        with connected(server.url) as line:
            assert line.send(line.head("Content-Length: 0")).answer().status == 400
            time.sleep(0.1)
            return not line.send(line.head("Content-Length: 0")).is_closed()

    with running(tmp_path, {"server": {"port": 0, "idle_seconds": 0.9}}) as server:
        until(is_kept, "for a client that was not late with its second request")


def test_waiting_requests_of_one_device_delay_no_other(tmp_path: Path) -> None:
    """T-H4: 80 Ends wait for two images that do not come; the cancel of another device does not wait behind them."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(tmp_path, {"server": {"port": 0, "idle_seconds": 60}}))
        bystander = Scanner(server, "127.0.0.9")
        token, ends = bystander.create("copy"), []
        for address in ("127.0.0.7", "127.0.0.8"):
            busy = Scanner(server, address)
            job = busy.create("copy")
            kind, parts = busy.device.package(job, 1, b"x" * 1000)
            upload = stack.enter_context(connected(server.url, address))
            upload.send(upload.head("Content-Length: 100000", content_type=kind) + b"".join(parts)[:1500])
            until(lambda job=job: any(job in name for name in server.spool()), "for the upload to begin")
            for _ in range(40):
                end = busy.device.envelope("EndPostScanJob", f"<dsp:JobToken>{job}</dsp:JobToken>")
                ends.append(stack.enter_context(connected(server.url, address)))
                ends[-1].send(ends[-1].head(f"Content-Length: {len(end)}") + end)
        good(bystander.device.elements(token))
        good(bystander.device.cancel(token))

        assert not any(end.has_answered() for end in ends)
