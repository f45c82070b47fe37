"""Requests to one device: pinned, bounded, and ended by a deadline, a cancel and `abort`."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from scripted_scanner import ScannerRequest, ScriptedScanner, answer, envelope, fault, http
from works import until

from postscan.core.filters.cancellation import CancelSource
from postscan.plugins import Cancelled
from postscan.soap.wsscan.client import DeviceUrl, ScannerClient, parse_url
from postscan.soap.wsscan.faults import CallAborted, DeviceAway, DeviceFault, InvalidAnswer
from postscan.soap.wsscan.messages.names import GET_SCANNER_ELEMENTS

BODY = "<wscn:GetScannerElementsRequest/>"


@pytest.fixture
def stop() -> Iterator[CancelSource]:
    """The stop of the source."""
    source = CancelSource()
    yield source
    source.close()


@pytest.fixture
def client(stop: CancelSource) -> ScannerClient:
    """A client of the device on loopback."""
    return ScannerClient("127.0.0.1", stop=stop.token())


def silent(scanner: ScriptedScanner) -> Callable[[ScannerRequest], Iterator[bytes]]:
    """Return a reply that never comes."""

    def reply(_request: ScannerRequest) -> Iterator[bytes]:
        scanner.stopped.wait(30)
        yield b""

    return reply


# --- what is sent, and where to ----------------------------------------------------------------------------------


@pytest.mark.conformance("WSS-071")
def test_only_the_pinned_host_is_called(client: ScannerClient) -> None:
    """Of the address that a message names, port and path are used; the device hears it whole."""
    with ScriptedScanner(GetScannerElements=answer("<w:X/>")) as scanner:
        elsewhere = scanner.service.replace("127.0.0.1", "192.0.2.1")
        client.call(elsewhere, GET_SCANNER_ELEMENTS, BODY)
        (request,) = scanner.requests

    assert request.root.findtext(".//{*}To") == elsewhere


@pytest.mark.conformance("WSS-071")
def test_the_environment_and_redirects_change_nothing(client: ScannerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy is used, and no Location is followed."""
    with ScriptedScanner() as elsewhere, ScriptedScanner() as scanner:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setitem(os.environ, name, elsewhere.service)
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.service}\r\nContent-Length: 0\r\n\r\n"
        scanner.replies["GetScannerElements"] = moved.encode()
        with pytest.raises(InvalidAnswer, match="307"):
            client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)

    assert (len(scanner.requests), len(elsewhere.requests)) == (1, 0)


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.9/wsd",
        "ftp://10.0.0.9/",
        "http://10.0.0.9:99999/",
        "http://10.0.0.9:0/",
        "http://10.0.0.9/a b",
        "http://10.0.0.9/\u00e4",
        "http:///wsd",
        "wsd",
        "",
        "http://[::1/",
    ],
)
def test_an_address_that_is_none_is_refused(client: ScannerClient, url: str) -> None:
    """Before anything is connected."""
    with pytest.raises(InvalidAnswer):
        client.call(url, GET_SCANNER_ELEMENTS, BODY)


def test_a_request_cannot_have_further_lines() -> None:
    """`urlsplit` drops line breaks."""
    with pytest.raises(InvalidAnswer):
        parse_url("http://10.0.0.9:8018/a\r\nX: y")


def test_port_and_target_of_an_address() -> None:
    """Port 80 and the root are the defaults."""
    assert parse_url("http://10.0.0.9") == DeviceUrl(80, "/")
    assert parse_url("http://scanner:8018/wsd/scan?x=1#part") == DeviceUrl(8018, "/wsd/scan?x=1")
    assert parse_url("http://[fe80::1]:5358/") == DeviceUrl(5358, "/")


# --- answers -----------------------------------------------------------------------------------------------------


@pytest.mark.conformance("WSS-046")
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_fault_is_one_in_any_status(client: ScannerClient, status: int) -> None:
    """And no other status makes an answer a fault."""
    with ScriptedScanner(GetScannerElements=fault("InvalidArgs", "Bad.", status)) as scanner:
        with pytest.raises(DeviceFault) as caught:
            client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)
        scanner.replies["GetScannerElements"] = answer("<w:Good/>", status)
        body = client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)

    assert (caught.value.code, caught.value.subcode, caught.value.text) == ("Sender", "InvalidArgs", "Bad.")
    assert body.tag.endswith("}Good")


def test_an_answer_without_content_is_an_empty_body(client: ScannerClient) -> None:
    """As 202 has it."""
    with ScriptedScanner(GetScannerElements=b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n") as scanner:
        body = client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)

    assert body.tag.endswith("}Body")
    assert len(body) == 0


@pytest.mark.conformance("WSS-072")
@pytest.mark.parametrize(
    "bad",
    [
        http(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        http(b"<?xml version='1.0'?><?pi?><a/>"),
        http(b"<a>" * 65 + b"</a>" * 65),
        http(b"<a " + b" ".join(b'a%d="1"' % n for n in range(501)) + b"/>"),
        http(b"<a>" + b"<b/>" * 10_001 + b"</a>"),
        http(b"x" * ((1 << 20) + 1)),
        http(envelope("").replace(b"soap-envelope", b"other")),
        http(b"<Envelope/>"),
        http(b"", 500),
        http(b"<html/>", 404, "text/html"),
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<a>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\0" * 100,
    ],
)
def test_a_lying_answer_has_an_error(client: ScannerClient, bad: bytes) -> None:
    """One of ours, within the limits."""
    with ScriptedScanner(GetScannerElements=bad) as scanner, pytest.raises(DeviceAway):
        client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)


def test_an_endless_answer_is_cut_at_its_limit(client: ScannerClient) -> None:
    """Chunk after chunk."""

    def endless(_request: ScannerRequest) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while not scanner.stopped.is_set():
            yield b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

    with ScriptedScanner(GetScannerElements=endless) as scanner, pytest.raises(InvalidAnswer, match="bytes"):
        client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)


# --- waits -------------------------------------------------------------------------------------------------------


def drips(head: bytes) -> Callable[[ScannerRequest], Iterator[bytes]]:
    """Return a reply that sends a byte now and then, for ever."""

    def reply(_request: ScannerRequest) -> Iterator[bytes]:
        yield head
        for _ in range(1000):
            time.sleep(0.02)
            yield b"x"

    return reply


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n<a>", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["status", "head", "body", "continue"],
)
def test_the_deadline_holds_for_the_whole_answer(client: ScannerClient, head: bytes) -> None:
    """A byte now and then does not prolong it."""
    with ScriptedScanner(GetScannerElements=drips(head)) as scanner:
        began = time.monotonic()
        with pytest.raises(DeviceAway):
            client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY, seconds=0.3)

    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("by", ["abort", "stop"])
def test_a_blocked_read_ends_within_100_ms(client: ScannerClient, stop: CancelSource, by: str) -> None:
    """By `abort` of another thread, and by the stop of the source."""
    with ScriptedScanner() as scanner:
        scanner.replies["GetScannerElements"] = silent(scanner)
        at: list[float] = []

        def end() -> None:
            until(lambda: scanner.requests)
            at.append(time.monotonic())
            if by == "abort":
                client.abort()
            else:
                stop.cancel("stopped")

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(CallAborted if by == "abort" else Cancelled):
            client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)
        ended = time.monotonic()
        thread.join()

    assert ended - at[0] < 0.1


def test_a_blocked_connect_ends_at_the_abort(client: ScannerClient) -> None:
    """A backlog that is full does not answer."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = server.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        threading.Timer(0.2, client.abort).start()
        began = time.monotonic()
        with pytest.raises(CallAborted):
            client.call(f"http://127.0.0.1:{port}/", GET_SCANNER_ELEMENTS, BODY)

    assert time.monotonic() - began < 1.0


def test_an_aborted_client_calls_no_more(client: ScannerClient) -> None:
    """Nothing is connected."""
    client.abort()
    with ScriptedScanner() as scanner:
        with pytest.raises(CallAborted):
            client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)

        assert scanner.requests == []


def test_a_device_that_is_off_is_away(client: ScannerClient) -> None:
    """Its port is closed."""
    with ScriptedScanner() as scanner:
        service = scanner.service
    with pytest.raises(DeviceAway, match="cannot be reached"):
        client.call(service, GET_SCANNER_ELEMENTS, BODY)


def test_no_descriptor_is_left(client: ScannerClient) -> None:
    """Whatever an answer is."""
    with ScriptedScanner() as scanner:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for bad in (b"", fault("InvalidArgs"), answer("<w:X/>"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<"):
            scanner.replies["GetScannerElements"] = bad
            with contextlib.suppress(DeviceAway, DeviceFault):
                client.call(scanner.service, GET_SCANNER_ELEMENTS, BODY)
        until(lambda: len(os.listdir("/proc/self/fd")) <= before)  # noqa: PTH208
