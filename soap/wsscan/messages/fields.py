"""Read fields of what a device sends: paths of local names below an element, texts, numbers and booleans.

A field that is missing or malformed has the value of a missing one, since devices leave out and misspell much; what
must be there is demanded by the reader of the message. Source: ws-scan.md sections 7 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lxml import etree

from postscan.soap.wsscan.messages.names import wscn
from postscan.soap.xml.reading import trim

LONGEST: Final = 255
"""Most characters of a text that is kept; WS-Scan's own limit of names and tokens."""

MOST_ITEMS: Final = 200
"""Most entries of a list that are read."""

LARGEST: Final = 2**31 - 1

_TRUE: Final = ("true", "1")


def find(element: etree._Element | None, *names: str) -> etree._Element | None:
    """Return the first element below *element* at the path of these local names; None if there is none."""
    for name in names:
        if element is None:
            return None
        element = element.find(wscn(name))
    return element


def items(element: etree._Element | None, *names: str) -> Iterator[etree._Element]:
    """Yield the elements at a path, of the last name all, up to `MOST_ITEMS`."""
    *way, last = names
    parent = find(element, *way)
    if parent is not None:
        for number, child in enumerate(parent.iterchildren(wscn(last))):
            if number == MOST_ITEMS:
                return
            yield child


def text(element: etree._Element | None, *names: str) -> str:
    """Return the trimmed text at a path; "" if it is missing or longer than `LONGEST`."""
    found = find(element, *names)
    value = "" if found is None else trim(found.text)
    return value if len(value) <= LONGEST else ""


def texts(element: etree._Element | None, *names: str) -> tuple[str, ...]:
    """Return the texts of a list, without empty ones, in its order and each once."""
    return tuple(dict.fromkeys(filter(None, (text(one) for one in items(element, *names)))))


def number(element: etree._Element | None, *names: str) -> int | None:
    """Return the number at a path, within 0 and `LARGEST`; None if there is none."""
    return _number(text(element, *names))


def numbers(element: etree._Element | None, *names: str) -> tuple[int, ...]:
    """Return the numbers of a list above 0, in ascending order."""
    found = {value for one in texts(element, *names) if (value := _number(one))}
    return tuple(sorted(found))


def boolean(element: etree._Element | None, *names: str) -> bool:
    """Return whether there is a true at a path, in any case of its letters."""
    return text(element, *names).lower() in _TRUE


def _number(value: str) -> int | None:
    value = value.removeprefix("+")
    if not (value.isascii() and value.isdecimal() and len(value) <= 10):
        return None
    return found if (found := int(value)) <= LARGEST else None
