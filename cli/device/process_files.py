"""Stored scan processes as a device reads them from the directory, and their instructions.

Here the server's folder of scan processes serves as the directory. Source: scan-process.md sections 1, 3 and 7.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Final

from postscan.core.errors import InvalidArgument, PostscanError

_PSP: Final = "http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
_MAX_BYTES: Final = 4 * 524288  # the longest scan process in characters, at four bytes each


def identifier(option: str, text: str) -> str:
    """Return the GUID in *text* in the form of scan processes: upper case, no braces. *option* is for the error."""
    try:
        return str(uuid.UUID(text.strip())).upper()
    except ValueError:
        raise InvalidArgument(option, text, "a GUID; see: postscan process list") from None


def stored(folder: Path, process: str) -> Path:
    """Return the file of the scan process with this GUID; raise `PostscanError` if the folder has none."""
    for name in (process.upper(), process.lower()):
        path = folder / f"{name}.xml"
        if path.is_file():
            return path
    raise PostscanError(f"{folder} holds no scan process {process}; see: postscan process list")


def instructions(path: Path) -> str:
    """Return the content of psp:PostScanInstructions of a stored scan process, as self-contained XML text."""
    from lxml import etree

    if path.stat().st_size > _MAX_BYTES:
        raise PostscanError(f"{path}: is larger than the limit of a scan process ({_MAX_BYTES} bytes)")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(_text(path.read_bytes()), parser)
    except (etree.XMLSyntaxError, UnicodeDecodeError) as error:
        raise PostscanError(f"{path}: is not well-formed XML: {error}") from None
    element = root if root.tag == f"{{{_PSP}}}PostScanInstructions" else root.find(f"{{{_PSP}}}PostScanInstructions")
    if element is None:
        raise PostscanError(f"{path}: has no psp:PostScanInstructions")
    return "".join(etree.tostring(child, encoding="unicode", with_tail=False) for child in element)


def _text(stored: bytes) -> str:
    """Return the text without its XML declaration, whose encoding need not be that of the file."""
    text = stored.decode("utf-16" if stored[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    return re.sub(r"^\s*<\?xml\s[^>]*\?>", "", text)
