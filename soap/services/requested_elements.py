"""Elements that a client requests by qualified names, and the ElementData for each of them, in order.

Both services have such an operation for jobs, and the configuration service has one for itself. Source:
ws-dsp.md section 4.5; ws-dsc.md sections 2.1 and 2.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.soap.services.job_elements import NCNAME
from postscan.soap.xml import namespaces
from postscan.soap.xml.reading import listed, tag, text
from postscan.soap.xml.writing import attribute

MOST_NAMES: Final = 64
"""Most elements in one request: each of them can be the list of all documents."""

_QNAME: Final = re.compile(rf"(?:({NCNAME}):)?({NCNAME})")


@dataclass(frozen=True, slots=True)
class RequestedName:
    """One requested name: the text as sent, trimmed, and the namespace and local name that it resolves to."""

    text: str
    namespace: str
    local: str


def read(requested: etree._Element) -> tuple[RequestedName, ...]:
    """Return the names in a RequestedElements; raise `InvalidArgument` if it is invalid."""
    names = listed(requested, "Name")
    if len(names) > MOST_NAMES:
        raise InvalidArgument(tag(requested), f"{len(names)} names", f"at most {MOST_NAMES}")
    return tuple(_requested(name) for name in names)


def write(prefix: str, names: Sequence[RequestedName], content: Callable[[RequestedName], str | None]) -> str:
    """Write the ElementData for *names* in the service's namespace, which has our *prefix*.

    *content* returns the XML of an element, or None if there is no such element. It is called once for each element,
    however often that is requested.
    """
    contents = {(name.namespace, name.local): name for name in names}
    written = {key: content(name) for key, name in contents.items()}
    return "".join(_element_data(prefix, name, written[name.namespace, name.local]) for name in names)


def asks_for_receipts(names: Sequence[RequestedName]) -> bool:
    """Return whether our own element is among the names."""
    return any((name.namespace, name.local) == (namespaces.PS, "Receipts") for name in names)


def _requested(element: etree._Element) -> RequestedName:
    """Resolve a QName with the namespaces in scope; a name without a prefix falls back to the service's namespace."""
    value = text(element)
    match = _QNAME.fullmatch(value)
    if match is None:
        raise InvalidArgument(tag(element), value, "a qualified name")
    prefix, local = match.groups()
    own, _ = namespaces.split(tag(element))
    uri = namespaces.XML if prefix == "xml" else element.nsmap.get(prefix, own if prefix is None else "")
    if not uri:
        raise InvalidArgument(tag(element), value, f"a name whose prefix is declared; {prefix!r} is not")
    return RequestedName(value, uri, local)


def _element_data(ours: str, name: RequestedName, content: str | None) -> str:
    prefix = name.text.rpartition(":")[0]
    own, declared = ours, ""
    if (
        prefix == ours and name.namespace != namespaces.PREFIXES[ours]
    ):  # the client declares our prefix for another namespace
        own, declared = "ours", f' xmlns:ours="{namespaces.PREFIXES[ours]}" xmlns:{ours}="{attribute(name.namespace)}"'
    elif namespaces.PREFIXES.get(prefix) != name.namespace:
        declared = f' xmlns{":" if prefix else ""}{prefix}="{attribute(name.namespace)}"'
    start = f'<{own}:ElementData{declared} {own}:Name="{attribute(name.text)}" {own}:Valid='
    if content is None:
        return f'{start}"false"/>'
    return f'{start}"true">{content}</{own}:ElementData>'
