"""Large images: they go to the disk in constant memory, whole, however they are cut on their way."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import random
import socket
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import Server, running
from device import Device

MIB = 1 << 20
LARGE = 128 * MIB
ROOM = 32 * MIB

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanner]:
    """A device in front of a server that takes images of 256 MiB, and that has taken a small one."""
    with running(tmp_path_factory.mktemp("large"), {"limits": {"image_bytes": 2 * LARGE}}) as server:
        scanner = Scanner(server)
        scanner.ended(scanner.start("copy"))
        yield scanner


@contextlib.contextmanager
def in_constant_memory(server: Server) -> Iterator[None]:
    """Fail if the body lets the server's memory grow by `ROOM` or more, even for a moment."""
    server.forget_peak_memory()
    before = server.peak_memory()
    yield
    assert server.peak_memory() - before < ROOM


class Image:
    """An image that is never in memory as a whole: no two MiB of it are equal, and it knows its own digest."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        noise = os.urandom(MIB)
        for number, at in enumerate(range(0, self.size, MIB)):
            piece = (number.to_bytes(8, "big") + noise[8:])[: self.size - at]
            self.sent.update(piece)
            yield piece


def test_a_large_image_takes_no_memory(scanner: Scanner) -> None:
    """DSP-031, DSP-040, T-M8: less than 32 MiB above what a small one takes, and every byte is there."""
    server, device, image = scanner.server, scanner.device, Image(LARGE)
    token = scanner.create("copy")
    kind, parts = device.package(token, 1, image)
    around = sum(len(part) for part in device.package(token, 1, b"")[1])
    with in_constant_memory(server):
        good(device.post(parts, kind, {"Content-Length": str(LARGE + around)}))

    assert server.images(token) == [image.sent.hexdigest()]
    assert scanner.status(token).images == 1
    good(device.cancel(token))
    assert not [name for name in server.spool() if token in name]


def test_an_image_in_chunks_of_mixed_sizes_takes_no_memory(scanner: Scanner) -> None:
    """T-M8: without a length, in chunks of HTTP from one byte to many MiB."""
    server, image = scanner.server, Image(100 * MIB + 12345)
    token = scanner.create("copy")
    with in_constant_memory(server):
        good(scanner.device.send_image(token, 1, in_mixed_sizes(image)))

    assert server.images(token) == [image.sent.hexdigest()]


def in_mixed_sizes(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut and join the pieces anew, into chunks of 1 byte to 8 MiB."""
    sizes = itertools.cycle((1, 2, 3, 77, 1000, 4096, 65_535, 65_536, 65_537, 262_144, MIB - 1, MIB + 1, 8 * MIB))
    order, left, wanted = random.Random(7), b"", next(sizes)
    for piece in pieces:
        left += piece
        while len(left) > wanted:
            yield left[:wanted]
            left, wanted = left[wanted:], max(1, next(sizes) - order.randrange(3))
    yield left


def test_an_image_may_come_byte_by_byte(scanner: Scanner) -> None:
    """T-M8: 2 MiB in as many chunks of HTTP."""
    server, data = scanner.server, os.urandom(2 * MIB)
    token = scanner.create("copy")
    with in_constant_memory(server):
        answer = send_byte_by_byte(scanner.device, token, data)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert server.images(token) == [hashlib.sha256(data).hexdigest()]


def send_byte_by_byte(device: Device, token: str, data: bytes) -> bytes:
    """Send an image whose every byte is a chunk of its own; return the beginning of the answer."""
    kind, parts = device.package(token, 1, data)
    body = b"".join(parts)
    url = urlsplit(device.url)
    head = f"POST {url.path} HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((url.hostname, url.port or 80), 120) as connection:
        connection.sendall(head.encode())
        for at in range(0, len(body), 1 << 16):
            connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in body[at : at + (1 << 16)]))
        connection.sendall(b"0\r\n\r\n")
        return connection.recv(1000)
