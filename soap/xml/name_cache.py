"""A limit on the names that libxml2 keeps in memory.

lxml keeps a dictionary of names and namespaces for each thread, which only grows, so that a client could fill the
memory. The messages of devices share a few hundred tags: `NameCache` accepts tags up to a limit. A document with other
tags is parsed in a thread of its own, whose dictionary is freed when the thread ends.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Final, TypeVar

MOST_BYTES: Final = 256 * 1024
"""Most bytes of all tags in the cache."""

LONGEST_DOCUMENT: Final = 32 * 1024
"""Most bytes of a document whose tags are compared; beyond that a thread costs less."""

_TAG: Final = re.compile(rb"<[^>]*+")
_ATTRIBUTE: Final = re.compile(rb"""([^\s=]++\s*+=\s*+)("[^"]*+"|'[^']*+')""")

_Result = TypeVar("_Result")


class NameCache:
    """The tags seen so far, up to *most_bytes*."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._known: set[bytes] = set()
        self._room = most_bytes

    def admits(self, document: bytes) -> bool:
        """Return whether all tags of a document are in the cache; add new ones while there is room."""
        if len(document) > LONGEST_DOCUMENT or b"<!" in document:
            return False
        unknown = set(_TAG.findall(document)) - self._known
        return not unknown or self._add({_without_values(tag) for tag in unknown})

    def _add(self, tags: set[bytes | None]) -> bool:
        new = {tag for tag in tags if tag is not None} - self._known
        size = sum(map(len, new))
        if None in tags or size > self._room:
            return False
        self._room -= size
        self._known |= new
        return True


def in_own_thread(parse: Callable[[], _Result]) -> _Result:
    """Call *parse* in a new thread and wait for it; return its result or raise its exception."""
    returned: list[_Result] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            returned.append(parse())
        except Exception as error:  # noqa: BLE001  (raised again in the calling thread)
            raised.append(error)

    thread = threading.Thread(target=run, name="postscan-parse")
    thread.start()
    thread.join()
    if raised:
        raise raised.pop()  # a frame of its traceback must not refer to it: only the garbage collector would free them
    return returned[0]


def _without_values(tag: bytes) -> bytes | None:
    """Return a tag with names and namespaces only; None if an attribute value contains `>`."""
    outside = _ATTRIBUTE.sub(b"", tag)
    if b'"' in outside or b"'" in outside:
        return None
    return _ATTRIBUTE.sub(_without_value, tag)


def _without_value(attribute: re.Match[bytes]) -> bytes:
    return attribute[0] if attribute[1].startswith(b"xmlns") else attribute[1]
