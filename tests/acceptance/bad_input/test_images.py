"""Images that a device gets wrong, and references to other places than the package."""

from __future__ import annotations

import socket

import pytest
from acceptance.bad_input.scene import (
    GET,
    PNG,
    UNKNOWN,
    Case,
    Scene,
    Send,
    invalid,
    nothing_left_behind,
    unknown,
    unreadable,
)
from acceptance.scanning import Refusal, good, refusal
from acceptance.server import ENVELOPE_BYTES, IMAGE_BYTES

TOO_MANY_BYTES = f"more than {IMAGE_BYTES} bytes"
OF_IMAGE = b"\r\nContent-ID: <image"
NOT_THERE = invalid("ImageData", "image@device")
INCLUDE = b'<xop:Include href="cid:image@device"/>'
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
