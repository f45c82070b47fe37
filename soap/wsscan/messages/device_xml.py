"""Read elements that devices send, leniently: in any order, with extensions, and with what is missing as "".

The namespaces are canonical already, as `postscan.soap.wsscan.messages.envelope` leaves them.
Source: ws-scan.md sections 1 and 3.
"""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from postscan.soap.wsscan.messages.names import canonical
from postscan.soap.xml.reading import trim

LONGEST_TEXT: Final = 2048
"""Most characters of a text; longer ones are cut."""

_QNAME: Final = re.compile(r"(?:([\w.-]+):)?([\w.-]+)")
_MOST_NAMES: Final = 64


def child(element: etree._Element | None, *path: str) -> etree._Element | None:
    """Return the first element at a path of Clark names below *element*; None if there is none."""
    for name in path:
        if element is None:
            return None
        element = element.find(name)
    return element


def text(element: etree._Element | None, longest: int = LONGEST_TEXT) -> str:
    """Return the trimmed text of an element, cut at *longest* characters; "" without an element."""
    return "" if element is None else trim(element.text)[:longest]


def qualified_names(element: etree._Element | None) -> tuple[str, ...]:
    """Return the qualified names in a text as Clark names, whatever their prefixes are."""
    if element is None:
        return ()
    names = []
    for word in (element.text or "").split()[:_MOST_NAMES]:
        parts = _QNAME.fullmatch(word)
        if parts is not None:
            uri = canonical(element.nsmap.get(parts[1]) or "")
            names.append(f"{{{uri}}}{parts[2]}" if uri else parts[2])
    return tuple(names)
