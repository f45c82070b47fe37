"""Post-scan instructions as text, the usual ones and changed ones, and what is read of them."""

from __future__ import annotations

import messages

from postscan.core.model.process import Instructions
from postscan.soap.processes import instructions
from postscan.soap.xml import namespaces, parser

SHARE = "\\\\nas1.contoso.example\\inbox"
OTHER_SHARE = "\\\\nas2.contoso.example\\inbox\\archive"
SITE = "https://team.contoso.example/books/In"
ADDRESS = "books@contoso.example"


def read(text: str = messages.INSTRUCTIONS) -> Instructions:
    """Return what instructions with this content say."""
    wrapped = f"<dsp:PostScanInstructions {messages.NAMESPACES}>{text}</dsp:PostScanInstructions>"
    return instructions.read(parser.parse(wrapped.encode()))


def changed(*changes: tuple[str, str]) -> Instructions:
    """Return the usual instructions with some words changed."""
    text = messages.INSTRUCTIONS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return read(text)


def only(filter_xml: str) -> str:
    """Return instructions with one filter."""
    return (
        "<psp:DocumentRootName>a</psp:DocumentRootName>"
        f"<psp:FiltersToProcess><psp:Filter>{filter_xml}</psp:Filter></psp:FiltersToProcess>"
    )


def custom(inside: str) -> Instructions:
    """Return instructions for one filter of an unknown dialect."""
    return read(only(f"<psp:Dialect>urn:acme:ocr</psp:Dialect><psp:Instructions>{inside}</psp:Instructions>"))


def fsf(name: str) -> str:
    """Return the Clark name of an element of the file share filter."""
    return f"{{{namespaces.FILESHARE}}}{name}"


def emlf(name: str) -> str:
    """Return the Clark name of an element of the e-mail filter."""
    return f"{{{namespaces.EMAIL}}}{name}"


def spf(name: str) -> str:
    """Return the Clark name of an element of the SharePoint filter."""
    return f"{{{namespaces.SHAREPOINT}}}{name}"
