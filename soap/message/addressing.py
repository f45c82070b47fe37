"""WS-Addressing headers: strict reading, and the header of the reply.

A reply is sent on the connection of its request, so ReplyTo and FaultTo must be the anonymous address; the server never
connects to an address of a request. Source: dpws.md section 4; ws-dsp.md section 7 (order of checks)
and section 12 (quirks 1 to 4 and 19).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.soap.message import faults
from postscan.soap.xml import namespaces, writing
from postscan.soap.xml.reading import tag, trim

LONGEST_URI: Final = 2048
"""Most characters of a URI in a header (DPWS: MAX_URI_SIZE)."""

_ONCE: Final = ("Action", "MessageID", "To", "ReplyTo", "FaultTo")
_ROLES: Final = ("", namespaces.SOAP + "/role/next", namespaces.SOAP + "/role/ultimateReceiver")
_BOOLEANS: Final = {"0": False, "1": True, "false": False, "true": True}
_UNDERSTOOD: Final = (namespaces.WSA, namespaces.WSE)
_APP_SEQUENCE: Final = f"{{{namespaces.WSD}}}AppSequence"
_IDENTIFIER: Final = f"{{{namespaces.WSE}}}Identifier"


@dataclass(frozen=True, slots=True)
class Header:
    """The addressing header of a request: operation and message; `to` is not checked and may be empty.

    `subscription` is the wse:Identifier that the subscription manager issued as a reference parameter; "" if none.
    """

    action: str
    message_id: str
    to: str
    subscription: str = ""


def read(headers: Iterable[etree._Element]) -> Header:
    """Return the addressing header of a request; raise `Fault` if it allows no reply."""
    blocks = tuple(headers)
    _check_understood(blocks)
    once = _unique(blocks)
    for name in ("ReplyTo", "FaultTo"):
        if name in once:
            _check_anonymous(name, once[name])
    return Header(
        action=_plain(_uri(once, "Action") or _missing("Action")),
        message_id=_uri(once, "MessageID") or _missing("MessageID"),
        to=_uri(once, "To"),
        subscription=next((trim(block.text) for block in blocks if block.tag == _IDENTIFIER), ""),
    )


def message_id(headers: Iterable[etree._Element]) -> str | None:
    """Return the MessageID of a request, None if there is none of a valid length; checks nothing else."""
    for block in headers:
        if block.tag == namespaces.wsa("MessageID"):
            value = trim(block.text)
            return value if 0 < len(value) <= LONGEST_URI else None
    return None


def reply(request: Header, body: str) -> bytes:
    """Return the envelope of the reply to *request*; *body* is XML."""
    return writing.write(request.action + "Response", request.message_id, writing.new_message_id(), body)


def _check_understood(blocks: Iterable[etree._Element]) -> None:
    """Refuse blocks that are mandatory here and not known; first those that do not tell whether they are mandatory.

    A value of a known block that is no boolean is read as false: it makes no difference (decision 57).
    """
    marked = [(block, _mandatory(block)) for block in blocks if not _is_understood(block) and _is_for_us(block)]
    for _, mandatory in marked:
        if mandatory not in _BOOLEANS:
            raise faults.malformed(f"mustUnderstand is {mandatory[:40]!r}; expected a boolean")
    unknown = [namespaces.split(tag(block)) for block, mandatory in marked if _BOOLEANS[mandatory]]
    if unknown:
        raise faults.must_understand(unknown)


def _mandatory(block: etree._Element) -> str:
    return trim(block.get(namespaces.soap("mustUnderstand"), "false"))


def _is_for_us(block: etree._Element) -> bool:
    return trim(block.get(namespaces.soap("role"))) in _ROLES


def _is_understood(block: etree._Element) -> bool:
    return namespaces.split(tag(block))[0] in _UNDERSTOOD or block.tag == _APP_SEQUENCE


def _unique(blocks: Iterable[etree._Element]) -> dict[str, etree._Element]:
    once: dict[str, etree._Element] = {}
    for block in blocks:
        uri, local = namespaces.split(tag(block))
        if uri != namespaces.WSA or local not in _ONCE:
            continue
        if local in once:
            raise faults.invalid_header(local, trim(block.text), f"wsa:{local} is repeated; expected one")
        once[local] = block
    return once


def _uri(once: dict[str, etree._Element], name: str) -> str:
    """Return the trimmed text of a header; "" if it is missing."""
    if name not in once:
        return ""
    value = trim(once[name].text)
    if len(once[name]):
        raise faults.invalid_header(name, value, f"wsa:{name} holds elements; expected a URI")
    if len(value) > LONGEST_URI:
        raise faults.invalid_header(name, value, f"wsa:{name} is longer than {LONGEST_URI} characters")
    return value


def _missing(name: str) -> str:
    raise faults.header_required(name)


def _check_anonymous(name: str, endpoint: etree._Element) -> None:
    addresses = endpoint.findall(namespaces.wsa("Address"))
    if not addresses:
        return  # some devices write text instead of an Address
    value = trim(addresses[0].text)
    if len(addresses) > 1 or len(addresses[0]) or _plain(value) != namespaces.ANONYMOUS:
        raise faults.invalid_header(
            name, value, f"wsa:{name} is {value[:255]!r}; expected the anonymous address, or no {name}"
        )


def _plain(uri: str) -> str:
    """Return a schema URI with http, which some documentation tools have changed into https."""
    return "http" + uri.removeprefix("https") if uri.startswith("https://schemas.") else uri
