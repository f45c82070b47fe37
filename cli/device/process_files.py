"""What a device reads from the directory: a stored scan process, and the instructions that it copies out of it.

Here the directory is the server's folder of scan processes. Source: scan-process.md sections 1, 3 and 7.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Final

from postscan.core.errors import InvalidArgument, PostscanError

_PSP: Final = "http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
_LARGEST: Final = 4 * 524288  # bytes: the longest scan process in characters, each at its longest


def identifier(option: str, text: str) -> str:
    """Return the GUID that *option* names, as scan processes carry it: upper case, no braces."""
    try:
        return str(uuid.UUID(text.strip())).upper()
    except ValueError:
        raise InvalidArgument(option, text, "a GUID, as `postscan process list` shows them") from None


def stored(folder: Path, process: str) -> Path:
    """Return the file of the scan process with this GUID; raise `PostscanError` if the folder has none."""
    for name in (process.upper(), process.lower()):
        path = folder / f"{name}.xml"
        if path.is_file():
            return path
    raise PostscanError(f"{folder} holds no scan process {process}; see: postscan process list")


def instructions(path: Path) -> str:
    """Return the content of psp:PostScanInstructions of a stored scan process, as XML text that stands alone."""
    from lxml import etree

    if path.stat().st_size > _LARGEST:
        raise PostscanError(f"{path}: is larger than any scan process may be ({_LARGEST} bytes)")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(_text(path.read_bytes()), parser)
    except (etree.XMLSyntaxError, UnicodeDecodeError) as error:
        raise PostscanError(f"{path}: is not well-formed XML: {error}") from None
    found = root if root.tag == f"{{{_PSP}}}PostScanInstructions" else root.find(f"{{{_PSP}}}PostScanInstructions")
    if found is None:
        raise PostscanError(f"{path}: has no psp:PostScanInstructions")
    return "".join(etree.tostring(child, encoding="unicode", with_tail=False) for child in found)


def _text(stored: bytes) -> str:
    """Return the text without its XML declaration: a directory keeps text, whatever encoding that names."""
    text = stored.decode("utf-16" if stored[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    return re.sub(r"^\s*<\?xml\s[^>]*\?>", "", text)
