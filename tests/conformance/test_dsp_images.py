"""DSP-026 to DSP-040: images, how they are packed, and which are taken."""

from __future__ import annotations

import base64
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from acceptance.rawhttp import connected
from acceptance.scanning import Scanner, good, refusal
from acceptance.server import IMAGE_BYTES, Server
from conformance.wire import hashes, invalid, send_changed, send_inline
from device import Answer
from works import until

PAGE = hashes([b"a page"])
BOUNDARY = "--b41f7c0e2a\r\n"
ROOT = f"{BOUNDARY}Content-Type: application/xop+xml; charset=utf-8"


@pytest.mark.conformance("DSP-026")
def test_an_image_is_taken_as_mtom_with_an_include(server: Server, scanner: Scanner, token: str) -> None:
    """Every byte of it, and nothing of the package."""
    (image,) = scanner.send(token, 1, size=300_000)

    assert server.images(token) == hashes([image])


@pytest.mark.conformance("DSP-027")
def test_an_image_is_taken_as_base64_in_the_message(server: Server, scanner: Scanner, token: str) -> None:
    """With line breaks in it, as xs:base64Binary may have them."""
    image = os.urandom(5000)
    good(send_inline(scanner.device, token, base64.encodebytes(image).decode()))

    assert server.images(token) == hashes([image])


STARTS = {"the first part, by its name": '; start="<root@device>"', "none": ""}


@pytest.mark.conformance("DSP-028")
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_the_root_is_the_first_part(server: Server, scanner: Scanner, token: str, start: str) -> None:
    """Whether `start` names it or is missing."""
    _, parts = scanner.device.package(token, 1, b"a page")
    kind = f'multipart/related; boundary="b41f7c0e2a"; type="application/xop+xml"{start}'
    good(scanner.device.post(b"".join(parts), kind))

    assert server.images(token) == PAGE


@pytest.mark.conformance("DSP-028")
def test_a_start_that_names_another_part_is_refused(server: Server, scanner: Scanner, token: str) -> None:
    """The deviation: whichever of the two comes first. With the root first and named, the same parts are an image."""
    _, (_, envelope, *_) = scanner.device.package(token, 1, b"a page")
    root = b"--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <root@device>\r\n\r\n" + envelope + b"\r\n"
    image = b"--b\r\nContent-Type: application/octet-stream\r\nContent-ID: <image@device>\r\n\r\na page\r\n"

    def post(*parts: bytes, start: str) -> Answer:
        return scanner.device.post(b"".join(parts) + b"--b--\r\n", f'multipart/related; boundary=b; start="<{start}>"')

    assert invalid(post(image, root, start="root@device")) is None
    assert invalid(post(root, image, start="image@device")) is None
    assert server.images(token) == []
    good(post(root, image, start="root@device"))
    assert server.images(token) == PAGE


@pytest.mark.conformance("DSP-029")
def test_a_reference_is_percent_decoded(server: Server, scanner: Scanner, token: str) -> None:
    """Once, and then compared exactly."""
    variations: dict[str, Any] = {"href": "cid:page1%2Bfront@scan", "content_id": "<page1+front@scan>"}
    good(scanner.device.send_image(token, 1, b"a page", **variations))
    twice = scanner.device.send_image(token, 2, b"a page", **variations | {"href": "cid:page1%252Bfront@scan"})

    assert server.images(token) == PAGE
    assert invalid(twice) == ("ImageData", "page1%252Bfront@scan")


@pytest.mark.conformance("DSP-029")
@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
def test_a_reference_to_elsewhere_is_never_fetched(scanner: Scanner, token: str, scheme: str) -> None:
    """It is refused, and nobody connects to the address that it names."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        href = f"{scheme}://127.0.0.1:{canary.getsockname()[1]}/image"
        answer = scanner.device.send_image(token, 1, b"a page", href=href)
        canary.setblocking(False)

        assert invalid(answer) == ("ImageData", href)
        with pytest.raises(BlockingIOError):
            canary.accept()


KINDS = {
    "mixed case": 'Multipart/Related; Boundary="{}"; Type="application/xop+xml"; START="<root@device>"',
    "unquoted": "multipart/related; boundary={}; type=application/xop+xml; start=<root@device>",
    "start-info": 'multipart/related; boundary="{}"; start-info="application/soap+xml"',
    "startinfo": 'multipart/related; boundary="{}"; startinfo="application/soap+xml"',
    "blanks between parameters": 'multipart/related;\t  boundary="{}";\t type="application/xop+xml"',
}


@pytest.mark.conformance("DSP-030")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("boundary", ["uuid:5c3a+id=3", "x" * 71, "x" * 200])
def test_odd_media_types_are_understood(server: Server, scanner: Scanner, token: str, kind: str, boundary: str) -> None:
    """Quirks 5 and 22 of ws-dsp.md section 12: also boundaries longer than MIME allows."""
    _, parts = scanner.device.package(token, 1, b"a page", boundary=boundary)
    good(scanner.device.post(b"".join(parts), kind.format(boundary)))

    assert server.images(token) == PAGE


ODDITIES = {
    "6: a semicolon is missing": (
        '; charset=utf-8; type="application/soap+xml"',
        "; type=application/soap+xml\r\n c=d",
    ),
    "7: a semicolon dangles": ("application/octet-stream", "application/octet-stream;"),
    "7: a domain @uuid": ("<image@device>", "< image@device >"),
    "7: a capital": ("Encoding: binary", "Encoding: Binary"),
    "8: HTTP headers in the body": (ROOT, f"mime-version: 1.0\r\nContent-Type: Multipart/Related\r\n\r\n{ROOT}"),
    "9: a declaration": ("<soap:Envelope", '<?xml version="1.0" encoding="utf-8"?><soap:Envelope'),
    "9: a byte order mark": ("<soap:Envelope", "\ufeff<soap:Envelope"),
    "9: a blank line": ("<soap:Envelope", "\r\n\r\n<soap:Envelope"),
    "22: 8bit": ("Encoding: binary", "Encoding: 8bit"),
}


@pytest.mark.conformance("DSP-030")
@pytest.mark.parametrize("change", ODDITIES.values(), ids=ODDITIES)
def test_odd_parts_are_understood(server: Server, scanner: Scanner, token: str, change: tuple[str, str]) -> None:
    """Quirks 6 to 9 and 22 of ws-dsp.md section 12."""
    good(send_changed(scanner.device, token, *change))

    assert server.images(token) == PAGE


@pytest.mark.conformance("DSP-030")
@pytest.mark.parametrize("name", ["http://tempuri.org/0", "SOAP-ENV:Envelope"])
def test_odd_starts_are_understood(server: Server, scanner: Scanner, token: str, name: str) -> None:
    """Quirk 22 of ws-dsp.md section 12: the root may be called anything."""
    _, parts = scanner.device.package(token, 1, b"a page")
    body = b"".join(parts).replace(b"<root@device>", f"<{name}>".encode())
    good(scanner.device.post(body, f'multipart/related; boundary="b41f7c0e2a"; start="<{name}>"'))

    assert server.images(token) == PAGE


@pytest.mark.conformance("DSP-030")
def test_a_folded_line_in_the_head_of_http_is_refused(server: Server, scanner: Scanner, token: str) -> None:
    """The deviation: below SOAP, with a bare 400; in the parts a folded line is no harm."""
    kind, parts = scanner.device.package(token, 1, b"a page")
    body = b"".join(parts)
    with connected(server.url) as line:
        head = line.head(f"Content-Length: {len(body)}", content_type=kind.replace("; type", ";\r\n type"))
        assert line.send(head + body).answer().status == 400
    good(send_changed(scanner.device, token, "Content-ID: <image", "Content-ID:\r\n\t<image"))

    assert server.images(token) == PAGE


@pytest.mark.conformance("DSP-031")
def test_an_image_that_is_not_stored_is_not_acknowledged(server: Server, scanner: Scanner, token: str) -> None:
    """There is no answer while its last bytes are missing."""
    go_on = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"a "
        assert go_on.wait(30)
        yield b"page"

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(scanner.device.send_image, token, 1, slowly())
        until(lambda: any(name.startswith(f"{token}/") for name in server.spool()), "for the image to begin")
        assert not answer.done()
        assert scanner.status(token).images == 0
        go_on.set()
        good(answer.result())

    assert server.images(token) == PAGE


@pytest.mark.conformance("DSP-032")
def test_the_number_of_images_counts_those_that_were_accepted(scanner: Scanner, token: str) -> None:
    """By one for each; not for a replayed one, and not for one that was refused."""
    counted = []
    for number, image in ((1, b"one"), (1, b"one"), (2, b"two"), (2, b"other"), (7, b"seven")):
        scanner.device.send_image(token, number, image)
        counted.append(scanner.status(token).images)

    assert counted == [1, 1, 2, 2, 3]


@pytest.mark.conformance("DSP-033")
@pytest.mark.parametrize("number", ["0", "-1", "one", ""])
def test_a_document_id_is_at_least_one(scanner: Scanner, token: str, number: str) -> None:
    """What is less, or no number, is refused by its name."""
    assert invalid(scanner.device.send_image(token, number, b"a page")) == ("DocumentId", number)


@pytest.mark.conformance("DSP-034")
def test_document_ids_may_have_gaps_and_begin_anywhere(scanner: Scanner, token: str) -> None:
    """They only give the order."""
    scanner.send(token, 9, 4, 70000)

    assert scanner.device.elements(token, "dsp:Documents").find_all("DocumentId") == ["4", "9", "70000"]


@pytest.mark.conformance("DSP-035")
@pytest.mark.parametrize(("image", "format"), [(b"another page", "png"), (b"a page", "jfif")], ids=["bytes", "format"])
def test_a_known_id_with_other_content_is_refused(
    server: Server, scanner: Scanner, token: str, image: bytes, format: str
) -> None:
    """The first one stays."""
    good(scanner.device.send_image(token, 1, b"a page"))

    assert invalid(scanner.device.send_image(token, 1, image, format)) == ("DocumentId", "1")
    assert server.images(token) == PAGE


@pytest.mark.conformance("DSP-036")
def test_an_image_that_comes_again_is_a_success(server: Server, scanner: Scanner, token: str) -> None:
    """The answer to the first may have been lost; it is stored once."""
    for _ in range(2):
        good(scanner.device.send_image(token, 1, b"a page"))

    assert server.images(token) == PAGE


PACKED = ("uncompressed", "g4", "g3mh", "jpeg-tn2")
LISTED = (
    *("dib", "exif", "jbig", "jfif", "jpeg2k", "pdf-a", "png", "xps"),
    *(f"tiff-{pages}-{packed}" for pages in ("single", "multi") for packed in PACKED),
)
VENDORS = ("image/vnd.fabrikam+raw", "fabrikam:Raw;9", "a\\b-c_d.e", "7bit")


@pytest.mark.conformance("DSP-037")
def test_every_listed_format_is_accepted_and_others_of_the_pattern(scanner: Scanner, token: str) -> None:
    """All sixteen, and some that vendors may have; each is kept as it was sent."""
    for number, format in enumerate(LISTED + VENDORS, start=1):
        scanner.send(token, number, size=10, format=format)

    assert scanner.device.elements(token, "dsp:Documents").find_all("Format") == [*LISTED, *VENDORS]


@pytest.mark.conformance("DSP-038")
@pytest.mark.parametrize("format", ["", "/png", "p ng", "png?", "png,jfif"])
def test_a_format_that_is_neither_is_refused(scanner: Scanner, token: str, format: str) -> None:
    """By its name."""
    assert invalid(scanner.device.send_image(token, 1, b"a page", format)) == ("Format", format)


@pytest.mark.conformance("DSP-039")
def test_no_image_is_taken_after_the_end(server: Server, scanner: Scanner) -> None:
    """Neither while the filters run nor afterwards: dsp:OperationFailed."""
    running, ended = scanner.start("sleep 60"), scanner.start("copy")
    scanner.ended(ended)
    faults = [refusal(scanner.device.send_image(token, 2, b"late")).subcode for token in (running, ended)]
    good(scanner.device.cancel(running))

    assert faults == ["dsp:OperationFailed"] * 2
    assert [scanner.status(token).images for token in (running, ended)] == [1, 1]


@pytest.mark.conformance("DSP-039")
def test_no_image_is_taken_after_a_cancel(server: Server, scanner: Scanner, token: str) -> None:
    """The fault says that it was canceled."""
    good(scanner.device.cancel(token))

    assert refusal(scanner.device.send_image(token, 1, b"late")).subcode == "dsp:ServerErrorPostScanJobCanceled"
    assert server.images(token) == []


@pytest.mark.conformance("DSP-040")
def test_an_image_has_a_largest_size(server: Server, scanner: Scanner, token: str) -> None:
    """The limit itself is allowed; one byte more is refused, with the size and never the data."""
    good(scanner.device.send_image(token, 1, bytes(IMAGE_BYTES)))
    answers = [scanner.device.send_image(token, 2, bytes(IMAGE_BYTES + 1), chunks=chunks) for chunks in (None, 1 << 18)]

    assert [invalid(answer) for answer in answers] == [("ImageData", f"more than {IMAGE_BYTES} bytes")] * 2
    assert server.images(token) == hashes([bytes(IMAGE_BYTES)])


TOO_MUCH = {
    "a third part": ("a page", f"a page\r\n{BOUNDARY}\r\nmore"),
    "a long header of a part": ("Content-ID: <image", f"X-Long: {'x' * 1024}\r\nContent-ID: <image"),
    "many headers of a part": ("Content-ID: <image", "X-Many: 1\r\n" * 20 + "Content-ID: <image"),
    "a long preamble": (ROOT, "x" * 1024 + f"\r\n{ROOT}"),
}


@pytest.mark.conformance("DSP-040")
@pytest.mark.parametrize("change", TOO_MUCH.values(), ids=TOO_MUCH)
def test_parts_and_their_headers_are_few_and_short(
    server: Server, scanner: Scanner, token: str, change: tuple[str, str]
) -> None:
    """What is more is refused, and nothing of it is kept."""
    assert invalid(send_changed(scanner.device, token, *change)) is None
    assert server.images(token) == []


@pytest.mark.conformance("DSP-040")
def test_the_head_of_http_is_short(server: Server) -> None:
    """What is longer gets no answer of SOAP, but the status that says so."""
    with connected(server.url) as line:
        answer = line.send(line.head(f"X-Long: {'x' * (1 << 20)}", "Content-Length: 0")).answer()

    assert (answer.status, answer.body) == (431, b"")
