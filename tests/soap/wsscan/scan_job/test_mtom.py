"""The answer to RetrieveImage: the same image for any chunking, and no image for any cut."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_scanner import envelope, fault, multipart, multipart_type, retrieved

from postscan.soap.wsscan.faults import DeviceFault, InvalidAnswer
from postscan.soap.wsscan.scan_job import mtom
from postscan.soap.wsscan.scan_job.mtom import read_image_bytes

IMAGE = b"\xff\xd8 an image \r\n--b0undar \r\n--\r\n\r--b0undary\n\xff\xd9"
ROOT_PART = "<root@scanner>"


def read(content_type: str, pieces: Iterable[bytes]) -> bytes:
    """Return the image in an answer."""
    return b"".join(read_image_bytes(content_type, pieces))


def image_first(root: bytes = b"", data: bytes = IMAGE) -> bytes:
    """Return the two parts in the other order."""
    return (
        b"--b0undary\r\nContent-ID: <page@scanner>\r\nContent-Type: image/jpeg\r\n\r\n" + data
        + b"\r\n--b0undary\r\nContent-ID: <root@scanner>\r\nContent-Type: application/xop+xml\r\n\r\n"
        + (root or retrieved()) + b"\r\n--b0undary--"
    )  # fmt: skip


MESSAGES = {
    "root first": multipart(retrieved(), IMAGE),
    "image first": image_first(),
    "empty preamble": b"\r\n" + multipart(retrieved(), IMAGE),
    "text around": b"text\r\n" + multipart(retrieved(), IMAGE) + b"text\r\n",
}


@pytest.mark.conformance("WSS-044")
@given(name=st.sampled_from(sorted(MESSAGES)), cuts=st.lists(st.integers(0, 2000), max_size=30))
def test_any_chunking_gives_the_same_image(name: str, cuts: list[int]) -> None:
    """Of a message with its parts in either order."""
    message = MESSAGES[name]
    places = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]

    assert read(multipart_type(), [message[a:b] for a, b in itertools.pairwise(places)]) == IMAGE


@pytest.mark.conformance("WSS-044")
@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_byte_by_byte_gives_the_same_image(name: str) -> None:
    """As a slow device sends it."""
    message = MESSAGES[name]

    assert read(multipart_type(), [message[at : at + 1] for at in range(len(message))]) == IMAGE


@pytest.mark.conformance("WSS-048")
@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_cut_at_every_byte_gives_no_image(name: str) -> None:
    """Before the end boundary; behind it nothing counts."""
    message = MESSAGES[name]
    end = message.index(b"\r\n--b0undary--") + len(b"\r\n--b0undary--")

    for cut in range(end):
        with pytest.raises(InvalidAnswer):
            read(multipart_type(), [message[:cut]])
    for cut in range(end, len(message) + 1):
        assert read(multipart_type(), [message[:cut]]) == IMAGE


def test_nothing_is_read_behind_the_end() -> None:
    """A device that does not close its connection delays nothing."""

    def pieces() -> Iterable[bytes]:
        yield multipart(retrieved(), IMAGE)
        raise AssertionError("read behind the end boundary")

    assert read(multipart_type(), pieces()) == IMAGE


@pytest.mark.conformance("WSS-044")
@pytest.mark.parametrize(
    "content_type",
    [
        multipart_type(),
        multipart_type("b0undary"),
        "Multipart/Related; BOUNDARY=b0undary",
        'multipart/related;boundary="b0undary";start=root@scanner',
        'multipart/related; type="application/xop+xml";\r\n boundary="b0undary"',
    ],
)
def test_a_boundary_is_read_with_and_without_quotes(content_type: str) -> None:
    """And with the deviations that requests of devices have."""
    assert read(content_type, [multipart(retrieved(), IMAGE)]) == IMAGE


@pytest.mark.conformance("WSS-044")
@pytest.mark.parametrize("xop", ["http://www.w3.org/2004/08/xop/include", "http://www.w3.org/2003/12/xop/include"])
def test_an_include_of_either_year_is_read(xop: str) -> None:
    """The examples have the older one."""
    assert read(multipart_type(), [multipart(retrieved(xop=xop), IMAGE)]) == IMAGE


@pytest.mark.conformance("WSS-044")
def test_inline_base64_is_an_image() -> None:
    """In a plain envelope, and in a root part without another part."""
    encoded = base64.encodebytes(IMAGE * 40).decode()
    root = envelope(f"<w:RetrieveImageResponse><w:ScanData>{encoded}</w:ScanData></w:RetrieveImageResponse>")
    alone = b"--b0undary\r\nContent-Type: application/xop+xml\r\n\r\n" + root + b"\r\n--b0undary--"

    assert read("application/soap+xml", [root[:50], root[50:]]) == IMAGE * 40
    assert read(multipart_type(start="x"), [alone]) == IMAGE * 40


@pytest.mark.conformance("WSS-046")
def test_a_fault_is_raised_whatever_the_type_says() -> None:
    """In a plain envelope, and in a root part."""
    inside = fault("ClientErrorNoImagesAvailable").partition(b"\r\n\r\n")[2]
    for content_type in ("application/soap+xml; charset=utf-8", "text/xml", "", "image/jpeg"):
        with pytest.raises(DeviceFault) as caught:
            read(content_type, [inside])
        assert caught.value.subcode == "ClientErrorNoImagesAvailable"
    with pytest.raises(DeviceFault):
        read(multipart_type(), [multipart(inside, IMAGE)])


@pytest.mark.parametrize(
    "message",
    [
        multipart(retrieved("other@scanner"), IMAGE),
        image_first(retrieved("other@scanner")),
        multipart(envelope("<w:CreateScanJobResponse/>"), IMAGE),
        multipart(envelope("<w:RetrieveImageResponse/>"), IMAGE),
        multipart(envelope("<w:RetrieveImageResponse><w:ScanData>%</w:ScanData></w:RetrieveImageResponse>"), IMAGE),
        multipart(envelope("<w:RetrieveImageResponse><w:ScanData/></w:RetrieveImageResponse>"), IMAGE),
        multipart(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", IMAGE),
        multipart(b"", IMAGE),
        multipart(retrieved(), IMAGE, content_id="root@scanner"),
        multipart(retrieved(), IMAGE).replace(b"image/jpeg", b"application/xop+xml"),
        multipart(retrieved(), IMAGE).replace(b"binary", b"base64"),
        multipart(retrieved(), IMAGE)[:-4] + b"\r\nContent-Type: image/jpeg\r\n\r\nthird\r\n--b0undary--",
        b"--b0undary\r\nContent-Type: application/xop+xml\r\n\r\n" + retrieved() + b"\r\n--b0undary--",
        b"--b0undary--",
        b"",
        b"\0" * 5000,
    ],
    ids=itertools.count(),
)
def test_a_message_without_the_image_of_its_envelope_is_refused(message: bytes) -> None:
    """Each with one of our errors."""
    with pytest.raises(InvalidAnswer):
        read(multipart_type(), [message])


@pytest.mark.parametrize(
    "root",
    [
        retrieved().replace(b"cid:", b"http://192.0.2.1/"),
        retrieved().replace(b"cid:", b"file:///etc/passwd#"),
        retrieved().replace(b'href="cid:page@scanner"', b""),
    ],
)
def test_an_image_elsewhere_is_not_fetched(root: bytes) -> None:
    """Only a part of the message counts."""
    with pytest.raises(InvalidAnswer):
        read(multipart_type(), [multipart(root, IMAGE)])


@pytest.mark.conformance("WSS-043", "WSS-072")
def test_root_and_image_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image goes on piece by piece before its size is known."""
    monkeypatch.setattr(mtom, "LARGEST_ROOT", 1000)
    monkeypatch.setattr(mtom, "LARGEST_IMAGE", 1000)

    def endless(head: bytes) -> Iterable[bytes]:
        yield head
        while True:
            yield b"x" * 100

    head = multipart(retrieved(), b"")
    in_image = head[: head.rindex(b"\r\n--b0undary--")]
    passed = 0
    with pytest.raises(InvalidAnswer, match="the image has more than 1000 bytes"):
        for piece in read_image_bytes(multipart_type(), endless(in_image)):
            passed += len(piece)
    assert passed == 1000
    in_root = head[: head.index(b"\r\n\r\n") + 4]
    with pytest.raises(InvalidAnswer, match="the envelope has more than 1000 bytes"):
        read(multipart_type(), endless(in_root))
    with pytest.raises(InvalidAnswer, match="more than 1000 bytes"):
        read("application/soap+xml", endless(b""))


@pytest.mark.conformance("WSS-043")
def test_memory_does_not_grow_with_the_image() -> None:
    """64 MiB pass in pieces; no more than a few of them are held."""
    import tracemalloc

    piece = b"\x01" * 65536
    head = multipart(retrieved(), b"")
    cut = head.rindex(b"\r\n--b0undary--")

    def pieces() -> Iterable[bytes]:
        yield head[:cut]
        for _ in range(1024):
            yield bytes(piece)
        yield head[cut:]

    tracemalloc.start()
    try:
        size = sum(map(len, read_image_bytes(multipart_type(), pieces())))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert size == 1024 * 65536
    assert peak < 2 << 20
