"""Read ScanSettings as a device does: bounded, without a DTD, prefixes of any kind.

Source: escl.md section 5; ESCL-022.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from postscan.cli.device.escl.machine.jobs import FEEDER, PLATEN, PullSettings

SCAN: Final = "http://schemas.hp.com/imaging/escl/2011/05/03"
PWG: Final = "http://www.pwg.org/schemas/2010/12/sm"
LARGEST: Final = 64 * 1024
"""Bytes of a request; a settings document has about 1 KiB."""

ORDER: Final = (
    *("Version", "Intent", "ScanRegions", "InputSource", "CompressionFactor", "ColorMode"),
    *("DocumentFormat", "DocumentFormatExt", "XResolution", "YResolution", "Duplex"),
)
"""Children of ScanSettings in the order of escl.md section 5."""


class BadSettings(ValueError):
    """The document is not one that the device understands."""


def parse(data: bytes) -> etree._Element:
    """Parse a document of a client; raise `BadSettings` for one that is not well-formed, or has a DTD."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, remove_comments=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise BadSettings(f"not well-formed: {error}") from None
    if root.getroottree().docinfo.doctype:
        raise BadSettings("has a DTD")
    return root


def settings(data: bytes) -> PullSettings:
    """Read ScanSettings; raise `BadSettings`."""
    root = parse(data)
    if root.tag != f"{{{SCAN}}}ScanSettings":
        raise BadSettings(f"is a {etree.QName(root).text}; expected scan:ScanSettings")
    source = _text(root, "InputSource") or PLATEN
    if source not in (PLATEN, FEEDER):
        raise BadSettings(f"InputSource {source!r}")
    x, y = _number(root, "XResolution"), _number(root, "YResolution")
    if x != y:
        raise BadSettings(f"XResolution {x} and YResolution {y} differ")
    return PullSettings(
        source=source,
        duplex=_text(root, "Duplex") in ("true", "1"),
        color=_text(root, "ColorMode"),
        media_type=_text(root, "DocumentFormatExt") or _text(root, "DocumentFormat"),
        resolution=x,
        width=_number(root, "Width"),
        height=_number(root, "Height"),
        x_offset=_number(root, "XOffset"),
        y_offset=_number(root, "YOffset"),
        compression=_number(root, "CompressionFactor"),
        intent=_text(root, "Intent"),
        elements=tuple(etree.QName(one).localname for one in root.iterchildren(etree.Element)),
    )


def _text(root: etree._Element, name: str) -> str:
    """Return the text of the first element of this name in either namespace: devices' clients mix them."""
    for space in (SCAN, PWG):
        if (found := root.find(f".//{{{space}}}{name}")) is not None:
            return (found.text or "").strip()
    return ""


def _number(root: etree._Element, name: str) -> int:
    text = _text(root, name)
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadSettings(f"{name} {text!r}")
    return int(text)
