"""Envelopes to and from a device: requests as bytes, answers and events as elements with canonical names.

What a device sends is judged mildly, since its fields are read one by one: either spelling of a namespace, any header,
an encodingStyle. The parser's limits hold for all of it (WSS-072). Source: ws-scan.md sections 1 and 8; dpws.md
section 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from lxml import etree

from postscan.soap.wsscan.faults import DeviceFault, InvalidAnswer
from postscan.soap.wsscan.messages.names import WSCN, canonical
from postscan.soap.xml import namespaces
from postscan.soap.xml.parser import XmlError, parse
from postscan.soap.xml.reading import tag, trim
from postscan.soap.xml.writing import escape, new_message_id

Xml = str | etree._Element
"""A piece of a message: XML text, or an element, which is written with the declarations that it needs."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OPEN: Final = (
    f'<soap:Envelope xmlns:soap="{namespaces.SOAP}" xmlns:wsa="{namespaces.WSA}" xmlns:wse="{namespaces.WSE}" '
    f'xmlns:wscn="{WSCN}">'
)


def write_request(to: str, action: str, body: Xml, headers: Iterable[Xml] = (), *, message_id: str = "") -> bytes:
    """Return a request; *headers* are further blocks, such as reference parameters; "" makes a new MessageID.

    The prefixes `soap`, `wsa`, `wse` and `wscn` are declared on the Envelope.
    """
    blocks = "".join(map(_text, headers))
    return (
        f"{_OPEN}<soap:Header><wsa:To>{escape(to)}</wsa:To><wsa:Action>{escape(action)}</wsa:Action>"
        f"<wsa:MessageID>{escape(message_id or new_message_id())}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{namespaces.ANONYMOUS}</wsa:Address></wsa:ReplyTo>{blocks}</soap:Header>"
        f"<soap:Body>{_text(body)}</soap:Body></soap:Envelope>"
    ).encode()


def read_envelope(data: bytes) -> etree._Element:
    """Return the Envelope in *data*, with canonical namespaces; raise `InvalidAnswer` if there is none."""
    try:
        root = parse(data)
    except XmlError as error:
        raise InvalidAnswer(f"the device sent a message that is refused: {error}") from None
    for element in root.iter(etree.Element):
        uri, local = namespaces.split(tag(element))
        if uri and (ours := canonical(uri)) != uri:
            element.tag = f"{{{ours}}}{local}"
    if root.tag != namespaces.soap("Envelope"):
        raise InvalidAnswer(f"the device sent {namespaces.split(tag(root))[1][:80]!r} instead of a SOAP 1.2 envelope")
    return root


def headers_of(root: etree._Element) -> list[etree._Element]:
    """Return the header blocks of an Envelope."""
    return [block for head in root.findall(namespaces.soap("Header")) for block in head]


def action_of(root: etree._Element) -> str:
    """Return the canonical wsa:Action of an Envelope; "" if there is none."""
    found = root.find(f"{namespaces.soap('Header')}/{namespaces.wsa('Action')}")
    return "" if found is None else canonical(trim(found.text))


def answers_other(root: etree._Element, message_id: str) -> bool:
    """Return whether an answer says that it is one to another message.

    A RelatesTo that is missing, or no UUID, says nothing: some devices leave it out or write a fixed text.
    """
    found = root.find(f"{namespaces.soap('Header')}/{namespaces.wsa('RelatesTo')}")
    related = None if found is None else _UUID.search(trim(found.text))
    ours = _UUID.search(message_id)
    return related is not None and ours is not None and related[0].lower() != ours[0].lower()


def body_of(root: etree._Element) -> etree._Element:
    """Return the first element in the Body, or the Body itself if it is empty; raise `InvalidAnswer` without a Body."""
    body = root.find(namespaces.soap("Body"))
    if body is None:
        raise InvalidAnswer("the device sent an envelope without a Body")
    return next(iter(body.iterchildren(etree.Element)), body)


def read_answer(data: bytes) -> etree._Element:
    """Return what `body_of` returns for an answer; raise `DeviceFault` for a fault, whatever its HTTP status."""
    return answer_in(read_envelope(data))


def answer_in(root: etree._Element) -> etree._Element:
    """Return what `body_of` returns for the Envelope of an answer; raise `DeviceFault` for a fault."""
    body = body_of(root)
    if body.tag == namespaces.soap("Fault"):
        raise read_fault(body)
    return body


def read_fault(fault: etree._Element) -> DeviceFault:
    """Return the fault in a Fault element; the innermost subcode counts, and of all names the local part."""
    names = [_local(value.text) for value in fault.iter(namespaces.soap("Value"))]
    texts = [trim(text.text) for text in fault.iter(namespaces.soap("Text"))]
    text = next(filter(None, texts), "")
    return DeviceFault(names[0] if names else "", names[-1] if len(names) > 1 else "", " ".join(text.split()))


def empty_answer() -> etree._Element:
    """Return what an answer without content stands for: an empty Body."""
    return etree.Element(namespaces.soap("Body"))


def _local(text: str | None) -> str:
    return trim(text).rpartition(":")[2]


def _text(piece: Xml) -> str:
    return piece if isinstance(piece, str) else etree.tostring(piece, encoding="unicode", with_tail=False)
