"""Read the XML of a device within bounds; no I/O.

expat is used as it is: it keeps no name when a document is read, and a document type is refused when it begins. There
are no entities but the five of XML. Elements are found by their local names: devices put a few of them into the other
of the two namespaces, under any prefix. The source `hp` reads documents of other namespaces with the same bounds.
Source: escl.md section 1; ESCL-006, ESCL-011, ESCL-014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from postscan.plugins.sources.escl.errors import DeviceRefused

MOST_BYTES: Final = 1 << 20
MOST_ELEMENTS: Final = 20_000
MOST_ATTRIBUTES: Final = 32
DEEPEST: Final = 32
LONGEST_NAME: Final = 256

SCAN: Final = "http://schemas.hp.com/imaging/escl/2011/05/03"
PWG: Final = "http://www.pwg.org/schemas/2010/12/sm"
"""The namespaces of eSCL and of the PWG semantic model."""

_QUOTED: Final = 80  # characters of an answer that is not what was asked for


@dataclass(slots=True)
class EsclElement:
    """An element: its local name, whether its namespace is one of those looked for, its text, and its children.

    The text has no outer blanks.
    """

    name: str
    is_known: bool
    text: str = ""
    children: list[EsclElement] = field(default_factory=list)

    def child(self, *path: str) -> EsclElement | None:
        """Return the first element at the end of a path of local names below this one, or None."""
        found: EsclElement | None = self
        for name in path:
            if found is None:
                return None
            found = next((one for one in found.children if one.name == name and one.is_known), None)
        return found

    def value(self, *path: str) -> str:
        """Return the text of the first element at the end of a path; "" if there is none."""
        found = self.child(*path)
        return found.text if found is not None else ""

    def number(self, *path: str) -> int:
        """Return the text of the first element at the end of a path as a number; 0 if it is none of 1 to 9 digits."""
        text = self.value(*path)
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0

    def all(self, name: str) -> Iterator[EsclElement]:
        """Yield the children of this local name."""
        return (one for one in self.children if one.name == name and one.is_known)

    def anywhere(self, *names: str) -> Iterator[EsclElement]:
        """Yield the elements below this one that have one of these local names, in the order of the document."""
        for one in self.children:
            if one.name in names and one.is_known:
                yield one
            yield from one.anywhere(*names)


def is_escl(namespace: str) -> bool:
    """Return whether this is one of the two namespaces."""
    return namespace in (SCAN, PWG)


def parse(data: bytes, root: str, is_known: Callable[[str], bool] = is_escl) -> EsclElement:
    """Return the root element, which has this local name; raise `DeviceRefused` for another document.

    *is_known* tells of a namespace whether its elements are looked at; those of others are extensions. The error quotes
    the begin of what came: some devices answer with a page of their web server (ESCL-006).
    """
    if len(data) > MOST_BYTES:
        raise DeviceRefused(f"the device sent more than {MOST_BYTES} bytes where {root} was expected")
    if _is_html(data):
        raise DeviceRefused(f"the device sent a web page where {root} was expected: {quoted(data)}")
    reader = _DocumentReader(is_known)
    try:
        reader.parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: an encoding that Python lacks
        raise DeviceRefused(f"{root} of the device is not well-formed XML ({error}): {quoted(data)}") from None
    found = reader.root
    if found is None or found.name != root or not found.is_known:
        raise DeviceRefused(f"the device sent another document where {root} was expected: {quoted(data)}")
    return found


def quoted(data: bytes) -> str:
    """Return the begin of an answer, with blanks for what cannot be shown."""
    text = data[: 4 * _QUOTED].decode("utf-8", "replace")
    shown = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return repr(shown[:_QUOTED])


def is_markup(data: bytes) -> bool:
    """Return whether bytes begin as HTML or XML does; no image does."""
    return _begin(data).startswith(b"<")


def _is_html(data: bytes) -> bool:
    return _begin(data).startswith((b"<!doctype html", b"<html", b"<head"))


def _begin(data: bytes) -> bytes:
    return data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()


class _DocumentReader:
    def __init__(self, is_known: Callable[[str], bool]) -> None:
        self.root: EsclElement | None = None
        self._is_known = is_known
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.ordered_attributes = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.ProcessingInstructionHandler = self._refuse
        self._open: list[tuple[EsclElement, list[str]]] = []
        self._count = 0

    def _start(self, name: str, attributes: list[str]) -> None:
        namespace, _, local = name.rpartition(" ")
        self._count += 1
        if (
            self._count > MOST_ELEMENTS
            or len(self._open) >= DEEPEST
            or len(name) > LONGEST_NAME
            or len(attributes) > 2 * MOST_ATTRIBUTES
        ):
            raise DeviceRefused("the XML of the device has too many elements or attributes, or too long or deep ones")
        element = EsclElement(local, self._is_known(namespace))
        if self._open:
            self._open[-1][0].children.append(element)
        else:
            self.root = element
        self._open.append((element, []))

    def _end(self, _name: str) -> None:
        element, texts = self._open.pop()
        element.text = "".join(texts).strip()

    def _text(self, text: str) -> None:
        self._open[-1][1].append(text)

    def _refuse(self, *_what: object) -> None:
        raise DeviceRefused("the XML of the device has a document type or a processing instruction")
