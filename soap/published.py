"""The files that we publish, read once: the WSDL of the service, and the schemas that it needs.

A schema is published if the WSDL leads to it by relative addresses, and under no other name.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from lxml import etree

FOLDER: Final = Path(__file__).parent / "wsdl"
WSDL: Final = "processing.wsdl"

_SCHEMA: Final = "{http://www.w3.org/2001/XMLSchema}"


@functools.cache
def wsdl() -> bytes:
    """Return the WSDL; `metadata.wsdl` puts the address into it."""
    return (FOLDER / WSDL).read_bytes()


@functools.cache
def schemas() -> dict[str, bytes]:
    """Return the schemas that the WSDL needs, by file name."""
    found: dict[str, bytes] = {}
    waiting = _named_in(wsdl())
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (FOLDER / name).read_bytes()
            waiting += _named_in(found[name])
    return found


def _named_in(document: bytes) -> list[str]:
    root = etree.fromstring(document)
    return [str(one.get("schemaLocation")) for one in root.iter(_SCHEMA + "import", _SCHEMA + "include")]
