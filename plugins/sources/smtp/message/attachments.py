"""The pages of a mail: its attachments of the kinds that the server takes.

An acknowledged mail is one whose pages are stored, all of them. So an attachment that is no page is an error, unless it
belongs to the text of a mail: text, signatures, and the small pictures that its HTML shows.
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from postscan.plugins import FileState, examine
from postscan.plugins.sources.smtp.message.structure import MAILS, Content, Part, parts
from postscan.plugins.sources.smtp.message.transfer_encoding import NONE, decoded
from postscan.plugins.sources.smtp.replies import NOT_USABLE, Rejected

KINDS: Final = "PDF, JPEG, PNG, TIFF, BMP, JPEG 2000 or XPS"

HTML: Final = 1 << 20
"""Bytes of the HTML of a mail that are searched for the pictures that it shows."""

UNREADABLE: Final = {
    "application/ms-tnef": "is TNEF (winmail.dat), which only Outlook reads; send the mail as HTML or plain text",
    "application/vnd.ms-tnef": "is TNEF (winmail.dat), which only Outlook reads; send the mail as HTML or plain text",
    "application/pkcs7-mime": "is encrypted or inside its signature (S/MIME); send the mail without",
    "application/x-pkcs7-mime": "is encrypted or inside its signature (S/MIME); send the mail without",
    "multipart/encrypted": "is encrypted; send the mail without encryption",
    "message/partial": "is one of several fragments of a mail; send it as one mail",
    "message/external-body": "is elsewhere; send the file itself",
}
"""Types whose pages cannot be read, with the end of the sentence that says so."""

_BESIDE: Final = (  # the text or the file that they belong to
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
    "application/pgp-signature",
    "application/applefile",
)
_WEAK: Final = ("", "xps")  # what the first bytes do not tell: every ZIP archive begins as XPS does
_WEAK_IN_TEXT: Final = (*_WEAK, "dib")  # and BMP with two letters
_TNEF: Final = b"\x78\x9f\x3e\x22"
_SHOWN: Final = re.compile(rb"""cid:([^"'<>\s)]{1,500})""", re.IGNORECASE)


class FileStore(Protocol):
    """Where the files of the attachments are written."""

    def write_file(self, pieces: Iterator[bytes]) -> Path:
        """Write one file and return its path."""


@dataclass(frozen=True)
class AttachmentRules:
    """What is left out: files with these names, and pictures shown in the text that have at most so many bytes."""

    ignored_names: tuple[str, ...]
    inline_bytes: int


def pages(content: Content, store: FileStore, rules: AttachmentRules) -> list[Path]:
    """Write the pages of a mail as files, and return them in their order; raise `Rejected` if one cannot be read."""
    found = parts(content)
    _check(found)
    shown = _shown_pictures(content, found)
    paths = [path for part in found if not part.holds for path in _page(content, part, shown, store, rules)]
    if not paths:
        raise Rejected(NOT_USABLE, f"the mail has no attachment that is a page; expected {KINDS}")
    return paths


def _check(found: Sequence[Part]) -> None:
    """Raise `Rejected` if pages could be missing."""
    for part in found:
        reason = UNREADABLE.get(part.kind)
        if reason:
            raise Rejected(NOT_USABLE, f"{_name(part)} {reason}")
        if not part.whole:
            raise Rejected(NOT_USABLE, "the mail is cut: the end of its last part is missing")
        if part.kind in MAILS and part.fields["content-transfer-encoding"] not in NONE:
            raise Rejected(NOT_USABLE, "an attached mail is encoded, which the standard forbids; send its files")


def _page(
    content: Content, part: Part, shown: frozenset[str], store: FileStore, rules: AttachmentRules
) -> Iterator[Path]:
    """Yield the file of a part if it is a page; raise `Rejected` if it is neither that nor to be left out."""
    name = part.fields.file_name
    is_text = part.kind.startswith("text/")
    if (is_text and not name) or part.kind in _BESIDE or _matches(name, rules.ignored_names):
        return
    path = store.write_file(decoded(content, part))
    if part.fields.content_id in shown and not part.fields.is_attachment and path.stat().st_size <= rules.inline_bytes:
        return
    with path.open("rb") as file:
        if file.read(len(_TNEF)) == _TNEF:
            raise Rejected(NOT_USABLE, f"{_name(part)} {UNREADABLE['application/ms-tnef']}")
        result = examine(file)
    is_like_a_page = result.kind not in (_WEAK_IN_TEXT if is_text else _WEAK)
    if result.state is FileState.WHOLE or (result.state is FileState.UNKNOWN and is_like_a_page):
        yield path  # what is too intricate to examine is whole, too: the mail says where it ends
    elif is_like_a_page or (result.state is FileState.CUT and not is_text):
        raise Rejected(NOT_USABLE, f"{_name(part)} is cut: {result.reason}")
    elif not is_text:
        raise Rejected(NOT_USABLE, f"{_name(part)} ({part.kind}) is no page; expected {KINDS}")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return bool(name) and any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _name(part: Part) -> str:
    return part.fields.file_name or "an attachment"


def _shown_pictures(content: Content, found: Sequence[Part]) -> frozenset[str]:
    """Return the Content-IDs of the pictures that the HTML of the mail shows."""
    names: set[str] = set()
    left = HTML
    for part in found:
        if part.kind == "text/html":
            text = _beginning(content, part, left)
            left -= len(text)
            names |= {unquote(name.decode("utf-8", "replace")) for name in _SHOWN.findall(text)}
    return frozenset(names)


def _beginning(content: Content, part: Part, most: int) -> bytes:
    """Return the first bytes of a text, as far as it can be decoded."""
    text = b""
    with contextlib.suppress(Rejected):
        for piece in decoded(content, part):
            text += piece
            if len(text) >= most:
                break
    return text[:most]
