"""The simulated device on the wire."""

from __future__ import annotations

import re
import tracemalloc
from email import message_from_bytes
from pathlib import Path

import pytest
from scripted import TOKEN, Script, status

from postscan.cli.device.client import BadAnswer, Device, Package, SoapFault, Unreachable


def parts_of(headers: dict[str, str], body: bytes) -> list[bytes]:
    """Return the parts of a multipart body, read by the standard library."""
    message = message_from_bytes(f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + body)
    return [part.get_payload(decode=True) for part in message.get_payload()]


def test_create_returns_the_token(server: Script) -> None:
    """The device keeps what the server calls the job (DSP-014, DSP-025)."""
    server.accept()
    with Device(server.url, "S-1-5-21-1-2-3-1001") as device:
        token = device.create("7B0E", "<psp:DocumentRootName>A &amp; B</psp:DocumentRootName>")

    assert token == TOKEN
    assert b"<dsp:UserIdentifier>S-1-5-21-1-2-3-1001</dsp:UserIdentifier>" in server.requests[0].body
    assert b"<psp:DocumentRootName>A &amp; B</psp:DocumentRootName>" in server.requests[0].body


@pytest.mark.parametrize("chunked", [False, True])
def test_an_image_arrives_byte_for_byte(server: Script, tmp_path: Path, chunked: bool) -> None:
    """With its length or in chunks: the second part is the file, and the envelope points to it."""
    server.accept()
    image = bytes(range(256)) * 3000
    file = tmp_path / "a.png"
    file.write_bytes(image)
    sent: list[int] = []
    with Device(server.url, "S-1-5-21-1", chunked=chunked) as device:
        device.send_image(TOKEN, 9, "png", file, sent.append)
    request = server.requests[0]
    envelope, received = parts_of(request.headers, request.body)

    assert received == image
    assert b"<dsp:DocumentId>9</dsp:DocumentId><dsp:Format>png</dsp:Format>" in envelope
    assert re.search(rb'<xop:Include href="cid:([^"]+)"', envelope)[1] in request.body
    assert ("transfer-encoding" in request.headers) is chunked
    assert sent[-1] == len(image)
    assert sent == sorted(sent)


def test_a_large_image_is_never_in_memory(tmp_path: Path) -> None:
    """The file is read as it is sent: 48 MiB go by while less than 2 MiB are held."""
    file = tmp_path / "a.png"
    with file.open("wb") as sparse:
        sparse.truncate(48 << 20)
    package = Package(b"<envelope/>", "image@device", file, lambda _count: None)
    tracemalloc.start()
    size = sum(len(chunk) for chunk in package)
    _now, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert highest < 2 << 20
    assert str(size) == package.headers(chunked=False)["Content-Length"]


def test_a_fault_is_an_error_that_says_everything(server: Script) -> None:
    """Code, subcode, reason, detail and HTTP status are all in the sentence."""
    server.fault("CancelPostScanJob", "dsp:ClientErrorJobTokenNotFound", detail="<dsp:JobToken>x</dsp:JobToken>")
    with Device(server.url, "S-1-5-21-1") as device, pytest.raises(SoapFault) as caught:
        device.cancel("x")

    assert str(caught.value) == ("soap:Sender dsp:ClientErrorJobTokenNotFound: Because. [JobToken 'x'] (HTTP 400)")


def test_a_temporary_error_is_tried_again_as_the_same_message(server: Script) -> None:
    """DSP-088: the server may be able to do it later; the MessageID lets it recognise the request."""
    server.fault("EndPostScanJob", "dsp:ServerErrorTemporaryError", "soap:Receiver", 500)
    server.answer("EndPostScanJob", "<dsp:EndPostScanJobResponse/>")
    with Device(server.url, "S-1-5-21-1", retry_pauses=(0.0, 0.0)) as device:
        device.end(TOKEN)

    assert len(server.requests) == 2
    assert len({one.message_id for one in server.requests}) == 1


def test_patience_ends(server: Script) -> None:
    """A server that stays broken is reported after the last try."""
    server.fault("EndPostScanJob", "dsp:ServerErrorTemporaryError", "soap:Receiver", 500)
    with Device(server.url, "S-1-5-21-1", retry_pauses=(0.0, 0.0)) as device, pytest.raises(SoapFault):
        device.end(TOKEN)

    assert len(server.requests) == 3


def test_a_lasting_error_is_not_tried_again(server: Script) -> None:
    """DSP-088: dsp:ServerErrorInternalError would only fail again."""
    server.fault("EndPostScanJob", "dsp:ServerErrorInternalError", "soap:Receiver", 500)
    with Device(server.url, "S-1-5-21-1", retry_pauses=(0.0,)) as device, pytest.raises(SoapFault):
        device.end(TOKEN)

    assert len(server.requests) == 1


def test_the_status_tells_the_job_and_each_filter(server: Script) -> None:
    """JobStatus as a value: state and filters in their order."""
    filters = (("urn:example:one", "CompletedSuccessfully"), ("urn:example:two", "Canceled"))
    server.answer("GetPostScanJobElements", status("Canceled", filters))
    with Device(server.url, "S-1-5-21-1") as device:
        found = device.status(TOKEN)

    assert (found.state, found.images, found.ended) == ("Canceled", 1, True)
    assert tuple((one.dialect, one.state) for one in found.filters) == filters


def test_an_answer_that_is_not_soap_is_named(server: Script) -> None:
    """A wrong URL often ends at some web server."""
    server.answers["EndPostScanJob"].append((404, b"<html><p>not found</html>"))
    with Device(server.url, "S-1-5-21-1") as device, pytest.raises(BadAnswer, match="HTTP 404 without a SOAP"):
        device.end(TOKEN)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no.such.host.invalid/", "gopher://127.0.0.1/"])
def test_a_server_that_is_not_there_is_named(url: str) -> None:
    """No connection is one sentence with the address."""
    with Device(url, "S-1-5-21-1") as device, pytest.raises(Unreachable, match=re.escape(url)):
        device.end(TOKEN)
