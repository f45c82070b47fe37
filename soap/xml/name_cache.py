"""Names that libxml2 may remember: a thread of it never forgets one, so a stranger must not choose how many.

lxml keeps one dictionary of names and namespaces for each thread, and it only grows. The messages of a fleet of
devices share a few hundred tags; those are learned, up to a limit. Whatever comes with others is parsed in a thread
of its own, which takes its dictionary with it when it ends.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Final, TypeVar

MOST_BYTES: Final = 256 * 1024
"""Bytes of tags that are learned, all together."""

LONGEST_DOCUMENT: Final = 32 * 1024
"""Bytes of a document up to which looking at its tags costs less than a thread."""

_TAG: Final = re.compile(rb"<[^>]*+")
_ATTRIBUTE: Final = re.compile(rb"""([^\s=]++\s*+=\s*+)("[^"]*+"|'[^']*+')""")

_Result = TypeVar("_Result")


class NameCache:
    """The tags that were seen so far, as long as there is room for them."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._known: set[bytes] = set()
        self._room = most_bytes

    def is_familiar(self, document: bytes) -> bool:
        """Return whether all tags of a document are known; unknown ones are learned while there is room."""
        if len(document) > LONGEST_DOCUMENT or b"<!" in document:
            return False
        unknown = set(_TAG.findall(document)) - self._known
        return not unknown or self._learn({_without_values(tag) for tag in unknown})

    def _learn(self, tags: set[bytes | None]) -> bool:
        new = {tag for tag in tags if tag is not None} - self._known
        size = sum(map(len, new))
        if None in tags or size > self._room:
            return False
        self._room -= size
        self._known |= new
        return True


def apart(parse: Callable[[], _Result]) -> _Result:
    """Call *parse* in a thread that ends with it; return what it returns, raise what it raises."""
    returned: list[_Result] = []
    raised: list[Exception] = []

    def run() -> None:
        try:
            returned.append(parse())
        except Exception as error:  # noqa: BLE001  (it is raised below, in the caller's thread)
            raised.append(error)

    thread = threading.Thread(target=run, name="postscan-parse")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return returned[0]


def _without_values(tag: bytes) -> bytes | None:
    """Return a tag with its names and namespaces only; None if it goes on behind its first `>`."""
    outside = _ATTRIBUTE.sub(b"", tag)
    if b'"' in outside or b"'" in outside:
        return None
    return _ATTRIBUTE.sub(_without_value, tag)


def _without_value(attribute: re.Match[bytes]) -> bytes:
    return attribute[0] if attribute[1].startswith(b"xmlns") else attribute[1]
