"""The example messages of the digests, as files, and how a message of ours is compared with one of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from lxml import etree
from schemas import assert_valid

from postscan.soap.xml import namespaces

FOLDER = Path(__file__).parents[1] / "digests"
NAMES = sorted(path.stem for path in FOLDER.glob("*.xml"))
"""Digest, section, message: `dsp-13.1-CreatePostScanJob`."""

OURS_TO_CHOOSE = ("MessageID", "ServiceId")
"""The elements whose text differs between two messages that say the same."""

Shape = tuple[str, dict[str, str], str, list["Shape"]]


def example(name: str) -> bytes:
    """Return an example message."""
    return (FOLDER / f"{name}.xml").read_bytes()


def header(name: str, block: str) -> str:
    """Return the text of an addressing header of an example; "" if it has none of that name."""
    return str(etree.fromstring(example(name)).findtext(f"{{*}}Header/{namespaces.wsa(block)}", ""))


def shape(element: etree._Element) -> Shape:
    """Return name, attributes, text and children of an element, each in one way only; points in time in UTC."""
    local, text = etree.QName(element).localname, (element.text or "").strip()
    if local in OURS_TO_CHOOSE:
        text = ""
    elif local.endswith("Time"):
        text = datetime.fromisoformat(text).astimezone(UTC).isoformat()
    return str(element.tag), {str(name): str(value) for name, value in element.items()}, text, list(map(shape, element))


def shape_of(message: bytes) -> Shape:
    """Return the shape of a whole message."""
    return shape(etree.fromstring(message))


def same(written: bytes, name: str) -> bool:
    """Return whether what we wrote, which has to be valid, is an example, element for element."""
    return shape(assert_valid(written)) == shape_of(example(name))
