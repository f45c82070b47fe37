"""Strict reading of the children and the text of an element: unexpected content raises an error that names it.

Elements of other namespaces are extensions and are ignored. Source: ws-dsp.md sections 3 and 11
(O-32), and its rule on trimming (DSP-011).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.soap.xml import namespaces

STRING255: Final = 255
_BLANKS: Final = " \t\r\n"
_GUID: Final = re.compile(r"(\{)?([0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})(?(1)\})", re.IGNORECASE)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def trim(text: str | None) -> str:
    """Return *text* without the white space of XML around it; other blanks are content."""
    return (text or "").strip(_BLANKS)


def guid(value: str) -> str | None:
    """Return a GUID in upper case and without braces; None if *value* is none."""
    match = _GUID.fullmatch(trim(value))
    return match[2].upper() if match else None


def tag(element: etree._Element) -> str:
    """Return the element's Clark name."""
    return str(element.tag)


def children(element: etree._Element, namespace: str, names: Collection[str]) -> dict[str, etree._Element]:
    """Return the children of *namespace* by local name, in any order.

    Raises `InvalidArgument` for a name that is not among *names* and for a second child of one name.
    """
    found: dict[str, etree._Element] = {}
    for child in element:
        uri, local = namespaces.split(tag(child))
        if uri != namespace:
            continue
        if local not in names:
            raise InvalidArgument(tag(child), trim(child.text), f"one of {', '.join(names)}")
        if local in found:
            raise InvalidArgument(tag(child), trim(child.text), f"one {local} in {namespaces.split(tag(element))[1]}")
        found[local] = child
    return found


def listed(element: etree._Element, name: str) -> list[etree._Element]:
    """Return the children of a list element, which all have the local name *name*; at least one.

    Raises `InvalidArgument` for other children of the list's own namespace, and for an empty list.
    """
    namespace = namespaces.split(tag(element))[0]
    found = []
    for child in element:
        uri, local = namespaces.split(tag(child))
        if uri != namespace:
            continue
        if local != name:
            raise InvalidArgument(
                tag(child), trim(child.text), f"only {name} elements in {namespaces.split(tag(element))[1]}"
            )
        found.append(child)
    if not found:
        raise InvalidArgument(f"{{{namespace}}}{name}", "", f"at least one in {namespaces.split(tag(element))[1]}")
    return found


def required(found: dict[str, etree._Element], namespace: str, name: str) -> etree._Element:
    """Return the child *name*; raise `InvalidArgument` if it is missing."""
    try:
        return found[name]
    except KeyError:
        raise InvalidArgument(f"{{{namespace}}}{name}", "", "one such element") from None


def text(element: etree._Element, longest: int = STRING255) -> str:
    """Return the trimmed text of an element without children; raise `InvalidArgument` above *longest* characters."""
    value = trim(element.text)
    if len(element):
        raise InvalidArgument(tag(element), value, "text without elements inside")
    if len(value) > longest:
        raise InvalidArgument(tag(element), value, f"at most {longest} characters")
    return value


def boolean(element: etree._Element) -> bool:
    """Return the value of an xs:boolean element: true, false, 1 or 0."""
    return to_boolean(tag(element), text(element))


def to_boolean(clark: str, value: str) -> bool:
    """Return the xs:boolean that *value* spells; *clark* names its element or attribute in the error."""
    try:
        return _BOOLEANS[trim(value)]
    except KeyError:
        raise InvalidArgument(clark, value, "true, false, 1 or 0") from None
