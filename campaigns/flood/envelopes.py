"""The messages of unkind clients; those of devices come from the tests' device."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterable
from typing import Final

from device import Device

WSE: Final = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
WSA: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
SOAP: Final = "http://www.w3.org/2003/05/soap-envelope"
ELEMENTS: Final = 9_000
"""Elements of a large message that is not refused before it is parsed."""

_TOKEN: Final = re.compile(rb"JobToken>([^<]+)<")
_SUBCODE: Final = re.compile(rb"Subcode>\s*<[^>]*Value[^>]*>(?:\w+:)?(\w+)<")
_USER: Final = "S-1-5-21-1-2-3-1001"


def create(url: str, process: str, instructions: str) -> bytes:
    """Return a CreatePostScanJob."""
    return Device(url).envelope(
        "CreatePostScanJob",
        f"<dsp:UserIdentifier>{_USER}</dsp:UserIdentifier><dsp:PSP_Identifier>{process}</dsp:PSP_Identifier>"
        f"<dsp:PostScanInstructions>{instructions}</dsp:PostScanInstructions>",
    )


def get(url: str, token: str, names: int = 1) -> bytes:
    """Return a GetPostScanJobElements that asks so many times for the status."""
    wanted = "<dsp:Name>dsp:JobStatus</dsp:Name>" * names
    return Device(url).envelope(
        "GetPostScanJobElements",
        f"<dsp:JobToken>{token}</dsp:JobToken><dsp:RequestedElements>{wanted}</dsp:RequestedElements>",
    )


def end(url: str, token: str) -> bytes:
    """Return an EndPostScanJob."""
    return Device(url).envelope("EndPostScanJob", f"<dsp:JobToken>{token}</dsp:JobToken>")


def cancel(url: str, token: str) -> bytes:
    """Return a CancelPostScanJob."""
    return Device(url).envelope("CancelPostScanJob", f"<dsp:JobToken>{token}</dsp:JobToken>")


def image_begun(url: str, token: str) -> tuple[str, bytes]:
    """Return the media type and the first bytes of a SendImage that has no end yet."""
    kind, parts = Device(url).package(token, 1, b"\x89PNG" + bytes(2000))
    return kind, b"".join(parts).rpartition(b"\r\n--")[0]


def too_many_elements(size: int) -> bytes:
    """Return an envelope of so many bytes that has as many elements as fit; it is refused before it is parsed."""
    return _of_size(size, itertools.repeat(b"<a/>"))


def large(size: int) -> bytes:
    """Return an envelope of so many bytes that has to be parsed: many elements, with attributes and text."""
    text = b"x" * max(1, size // ELEMENTS - 20)
    return _of_size(size, (b'<a b="%d">%s</a>' % (number, text) for number in range(ELEMENTS)))


def subscribe(url: str, sink: str, seconds: int) -> bytes:
    """Return a Subscribe to all events of the caller's jobs."""
    return (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}" xmlns:wse="{WSE}"><soap:Header>'
        f"<wsa:To>{url}</wsa:To><wsa:Action>{WSE}/Subscribe</wsa:Action>"
        f"<wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo></soap:Header><soap:Body>"
        f'<wse:Subscribe><wse:Delivery Mode="{WSE}/DeliveryModes/Push"><wse:NotifyTo><wsa:Address>{sink}</wsa:Address>'
        f"</wse:NotifyTo></wse:Delivery><wse:Expires>PT{seconds}S</wse:Expires></wse:Subscribe>"
        "</soap:Body></soap:Envelope>"
    ).encode()


def token_in(answer: bytes) -> str:
    """Return the token of the job in the answer to a Create; "" if there is none."""
    found = _TOKEN.search(answer)
    return found[1].decode() if found else ""


def outcome(status: int, answer: bytes) -> str:
    """Return the status of an answer, or its SOAP fault."""
    found = _SUBCODE.search(answer)
    return found[1].decode() if found else str(status)


def _of_size(size: int, pieces: Iterable[bytes]) -> bytes:
    """Return a Get that is filled with as many of these elements as it has room for, and then with blanks."""
    empty = Device("http://test").envelope("GetPostScanJobElements", "")
    at, room, inside = empty.index(b"</dsp:Get"), size - len(empty), bytearray()
    for piece in pieces:
        if len(inside) + len(piece) > room:
            break
        inside += piece
    return empty[:at] + inside.ljust(room) + empty[at:]
