"""What a subscriber may have its sink sent, and what becomes of a sink that does not take it."""

from __future__ import annotations

import socket
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from acceptance.scanning import good, refusal
from acceptance.server import Server
from schemas import assert_valid
from threats import events
from threats.events import ADDRESSES, devices, listening, stored
from threats.office import scanned
from works import until

# --- reference parameters (T-A5) ----------------------------------------------------------------------------------


ATTRIBUTES = " ".join(f"a{number}='{number:04}'" for number in range(500))
BOMBS = {
    "4 KiB and more": f"<x:a xmlns:x='urn:x'>{'y' * 4096}</x:a>",
    "many attributes": f"<x:a xmlns:x='urn:x' {ATTRIBUTES}/>",
    "many blocks": "<x:a xmlns:x='urn:x'/>" * 33,
    "many names": "".join(f"<x{i}:a xmlns:x{i}='urn:x:{i}:{'y' * 99}'/>" for i in range(32)),
    "deep": "<x:a xmlns:x='urn:x'>" * 70 + "</x:a>" * 70,
    "what grows when it is copied": "<x:a xmlns:x='urn:x'>" + "&gt;" * 1500 + "</x:a>",
    "an Action": "<wsa:Action>urn:x</wsa:Action>",
    "a To": f"<wsa:To>http://{ADDRESSES[1]}/</wsa:To>",
    "a ReplyTo": f"<wsa:ReplyTo><wsa:Address>http://{ADDRESSES[1]}/</wsa:Address></wsa:ReplyTo>",
    "an envelope": "<soap:Envelope/>",
    "a document type": "<!DOCTYPE x>",
    "an instruction": "<?x y?>",
}


@pytest.mark.parametrize("blocks", BOMBS.values(), ids=BOMBS)
def test_reference_parameters_are_few_and_small_and_no_headers_of_ours(server: Server, blocks: str) -> None:
    """T-A5: 4 KiB of them, and none that a sink could take for something that the server says."""
    device, *_ = devices(server)
    answer = events.subscribe(device, f"http://{device.source_address}:8080/", blocks=blocks)

    assert (answer.status, refusal(answer).code) == (400, "soap:Sender")
    assert stored(server) == []


def test_what_is_in_them_comes_back_as_xml_and_nowhere_else(server: Server) -> None:
    """T-A5: line ends, tags and quotes that are meant to break out arrive in the element in which they were sent."""
    text = "x\r\nX-Injected: yes\r\n\r\n</soap:Header>\"'<&]]>"
    sent = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    block = f"<x:Id xmlns:x='urn:x' x:y='{sent.replace(chr(39), '&apos;').replace(chr(10), '&#10;')}'>{sent}</x:Id>"
    device, *_ = devices(server)
    with listening() as listener:
        events.granted(events.subscribe(device, listener.url, blocks=block * 2))
        listener.await_end(scanned(server, device))

    for told in listener.told:
        assert_valid(told.body)
        header = ET.fromstring(told.body)[0]
        assert [one.tag for one in header].count("{urn:x}Id") == 2
        assert {(one.text, one.get("{urn:x}y")) for one in header if one.tag == "{urn:x}Id"} == {(text, text)}
        assert {name.lower() for name in told.headers} == {
            "host",
            "content-type",
            "user-agent",
            "connection",
            "content-length",
        }


# --- sinks (T-A6) ------------------------------------------------------------------------------------------------


def test_a_sink_that_never_answers_holds_up_nobody(server: Server) -> None:
    """T-A6: its own jobs and those of others end, others are told; it is given up, and whoever is named hears of it."""
    hanging, other, *_ = devices(server)
    with (
        socket.create_server((ADDRESSES[0], 0), backlog=128) as tarpit,
        listening(ADDRESSES[0]) as mourner,
        listening(ADDRESSES[1]) as listener,
    ):
        url = f"http://{ADDRESSES[0]}:{tarpit.getsockname()[1]}/"
        stuck = [events.granted(events.subscribe(hanging, url, end_to=mourner.url)) for _ in range(8)]
        events.granted(events.subscribe(other, listener.url))
        tokens = [scanned(server, owner) for owner in (hanging, other)]

        listener.await_end(tokens[1])
        until(lambda: good(hanging.elements(tokens[0])).find("JobState") == "Completed", "for the job to be completed")
        until(lambda: len(mourner.told) == 8, "for the end of each subscription to be told")

    assert {one.action for one in mourner.told} == {f"{events.WSE}/SubscriptionEnd"}
    assert all(b"DeliveryFailure" in one.body for one in mourner.told)
    assert [events.get_status(hanging, one).status for one in stuck] == [400] * 8
    assert len(stored(server)) == 1


MANNERS = {
    "closes": (b"", b""),
    "500": (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", b""),
    "garbage": (b"\0\1\2\r\n\r\n", b""),
    "endless": (b"HTTP/1.1 500 No\r\n\r\n", bytes(1 << 16)),
    "endless head": (b"HTTP/1.1 202 Yes\r\n", b"X-Y: " + b"z" * 1000 + b"\r\n"),
}
"""What a sink answers, and what follows for ever."""


@pytest.mark.parametrize("manner", MANNERS)
def test_a_sink_that_misbehaves_is_given_up_and_nobody_else_is(server: Server, manner: str) -> None:
    """T-A6: whatever it answers, and however much of it; the other subscription of the same device goes on."""
    device, *_ = devices(server)
    with misbehaving(manner) as url, listening() as listener:
        bad = events.granted(events.subscribe(device, url))
        fine = events.granted(events.subscribe(device, listener.url))
        server.forget_peak_memory()
        before = server.peak_memory()
        listener.await_end(scanned(server, device))
        until(lambda: events.get_status(device, bad).status == 400, "for the bad one to be dropped")

        assert server.peak_memory() - before < 32 << 20
        assert events.get_status(device, fine).status == 200
        listener.await_end(scanned(server, device))


@contextmanager
def misbehaving(manner: str) -> Iterator[str]:
    """Let a sink answer in a bad manner while the body runs."""
    begins, follows = MANNERS[manner]

    def answer(sink: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = sink.accept()
                with connection, suppress(OSError):
                    connection.recv(1 << 16)
                    connection.sendall(begins)
                    while follows:
                        connection.sendall(follows)

    with socket.create_server((ADDRESSES[0], 0)) as sink:
        answering = threading.Thread(target=answer, args=[sink])
        answering.start()
        try:
            yield f"http://{ADDRESSES[0]}:{sink.getsockname()[1]}/"
        finally:
            sink.shutdown(socket.SHUT_RDWR)
            answering.join()
