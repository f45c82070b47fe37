"""Endpoint references: an address, and the header blocks that every message to it carries.

The blocks of a client are copied as XML nodes with the namespaces that they use, and never concatenated as text. Blocks
of the SOAP and addressing namespaces are refused. Source: dpws.md section 4; T-A5.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.soap.xml import namespaces
from postscan.soap.xml.name_cache import in_own_thread
from postscan.soap.xml.reading import children, required, tag, trim
from postscan.soap.xml.writing import escape

MOST_BYTES: Final = 4096
"""Most bytes of the header blocks of one reference."""

MOST_BLOCKS: Final = 32

_WITH_BLOCKS: Final = ("ReferenceProperties", "ReferenceParameters")
_PARTS: Final = ("Address", *_WITH_BLOCKS, "PortType", "ServiceName")
_PREFIX: Final = re.compile(r"([\w.-]+):")


@dataclass(frozen=True, slots=True)
class Reference:
    """An endpoint: an address, trimmed but not checked, and further header blocks as XML."""

    address: str
    parameters: str = ""


def read(endpoint: etree._Element) -> Reference:
    """Read an endpoint reference; raise `InvalidArgument` if a part is missing, unknown, forbidden or too long."""
    found = children(endpoint, namespaces.WSA, _PARTS)
    address = required(found, namespaces.WSA, "Address")
    value = trim(address.text)
    if len(address) or not value:
        raise InvalidArgument(tag(address), value, "the address of an endpoint")
    return Reference(value, _copied([block for name in _WITH_BLOCKS if name in found for block in found[name]]))


def write(address: str, parameters: str) -> str:
    """Write the content of an endpoint reference; *parameters* is XML."""
    return (
        f"<wsa:Address>{escape(address)}</wsa:Address><wsa:ReferenceParameters>{parameters}</wsa:ReferenceParameters>"
    )


def _copied(blocks: list[etree._Element]) -> str:
    """Return the blocks as XML, one after another."""
    for block in blocks:
        if namespaces.split(tag(block))[0] in (namespaces.SOAP, namespaces.WSA):
            raise InvalidArgument(tag(block), trim(block.text), "reference parameters of another namespace")
    if len(blocks) > MOST_BLOCKS:
        raise InvalidArgument(
            namespaces.wsa("ReferenceParameters"), str(len(blocks)), f"at most {MOST_BLOCKS} elements"
        )
    if not blocks:
        return ""
    copied = in_own_thread(
        lambda: "".join(map(_self_contained, blocks))
    )  # in a thread of its own, so that no names are cached
    if (size := len(copied.encode())) > MOST_BYTES:
        raise InvalidArgument(namespaces.wsa("ReferenceParameters"), f"{size} bytes", f"at most {MOST_BYTES}")
    return copied


def _self_contained(block: etree._Element) -> str:
    """Return an element as XML that has the same meaning in any context.

    It keeps the namespace declarations of its names, and those whose prefix appears before a colon in its texts, since
    such a text may be a qualified name.
    """
    values = [text for one in block.iter() for text in (one.text, *one.attrib.values()) if text]
    used = {prefix for text in values for prefix in _PREFIX.findall(text)}
    holder = etree.Element("holder", nsmap={prefix: uri for prefix, uri in block.nsmap.items() if prefix in used})
    holder.append(copy.deepcopy(block))
    return etree.tostring(holder[0], encoding="unicode", with_tail=False)
