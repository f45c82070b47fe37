"""The published files, read once: the WSDL of each service, and the schemas that it imports.

A schema is published under its file name if a WSDL imports it, directly or through another schema.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final, Literal

from lxml import etree

FOLDER: Final = Path(__file__).parents[1] / "wsdl"

Service = Literal["processing", "configuration"]
"""The services with a WSDL: for devices, and for administrators."""

_SCHEMA: Final = "{http://www.w3.org/2001/XMLSchema}"


@functools.cache
def wsdl(service: Service = "processing") -> bytes:
    """Return the WSDL of a service, with a placeholder for its address; see `messages.wsdl`."""
    return (FOLDER / f"{service}.wsdl").read_bytes()


@functools.cache
def schemas(service: Service = "processing") -> dict[str, bytes]:
    """Return the schemas that the WSDL of a service imports, by file name."""
    found: dict[str, bytes] = {}
    waiting = _named_in(wsdl(service))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (FOLDER / name).read_bytes()
            waiting += _named_in(found[name])
    return found


def _named_in(document: bytes) -> list[str]:
    root = etree.fromstring(document)
    return [str(one.get("schemaLocation")) for one in root.iter(_SCHEMA + "import", _SCHEMA + "include")]
