"""Our own schemas, as one: every message that we emit must be valid by them."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from lxml import etree

import postscan.soap

FOLDER = Path(postscan.soap.__file__).parent / "wsdl"
FILES = sorted(path.name for path in FOLDER.glob("*.xsd"))

SAY_NOTHING = (
    ["http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"],
    ["http://schemas.xmlsoap.org/ws/2004/08/eventing/UnsubscribeResponse"],
)
"""The actions of the messages whose body is empty (dpws.md sections 7.1 and 8.2)."""


@functools.cache
def all_schemas() -> etree.XMLSchema:
    """Return a schema that knows every namespace of ours."""
    imports = "".join(f'<xs:import namespace="{_namespace(name)}" schemaLocation="{FOLDER / name}"/>' for name in FILES)
    return etree.XMLSchema(
        etree.fromstring(f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>')
    )


def assert_valid(message: bytes) -> etree._Element:
    """Return the root of a message, or fail with the line and the reason why no schema of ours allows it.

    A body may be empty where its Action says that there is nothing to say, and nowhere else; no schema can know that.
    """
    root = etree.fromstring(message)
    all_schemas().assertValid(root)
    actions = [one.text for one in root.iterfind("{*}Header/{*}Action")]
    assert actions in SAY_NOTHING or not [body for body in root.iterfind("{*}Body") if not len(body)], "an empty body"
    return root


def with_its_image(body: str) -> str:
    """Return a request as the schema means it: the image where an xop:Include stands for it (XOP, section 2)."""
    return re.sub(r"<xop:Include[^>]*/>", "cGFnZQ==", body)


def _namespace(name: str) -> str:
    namespace = etree.parse(FOLDER / name).getroot().get("targetNamespace")
    assert namespace
    return namespace
