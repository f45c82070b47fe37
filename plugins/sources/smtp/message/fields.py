"""The header fields of a mail and of its parts: few of them are read, each of bounded length.

Scanners and mail programs write fields that the standards do not allow: names in 8 bits, encoded words in quotes, types
without a slash. A line that is no field is skipped.

Source: RFC 5322 section 2.2; RFC 2045, 2047, 2183 and 2231.
"""

from __future__ import annotations

import contextlib
import email.header
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.message import Message
from typing import Final

from postscan.plugins.sources.smtp.replies import NOT_USABLE, Rejected

BLOCK: Final = 64 * 1024
"""Bytes of the fields of a mail or of one part, with the empty line behind them."""

LONGEST: Final = 8 * 1024
"""Bytes of a field whose parameters are read: the parser needs a time that grows with their square."""

MOST: Final = 1000
"""Most fields of a mail or of one part."""

OCTETS: Final = "application/octet-stream"

_READ: Final = frozenset(
    (
        *("content-type", "content-disposition", "content-transfer-encoding", "content-id"),
        *("subject", "auto-submitted", "precedence", "list-id", "x-autoreply", "x-autorespond"),
    )
)
_NAME: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}", re.ASCII)
_SHOWN: Final = 200  # characters of a name or subject


class Fields:
    """The fields of one block that the server acts on; the first of each name counts."""

    def __init__(self, block: bytes) -> None:
        """Read a block; raise `Rejected` for too many fields, and for one that is too long."""
        self._fields: Message = Message()
        self.received = 0
        for number, (name, value) in enumerate(_fields(block)):
            if number == MOST:
                raise Rejected(NOT_USABLE, f"the mail or a part of it has more than {MOST:,} fields")
            if name == "received":
                self.received += 1
            elif name in _READ and name not in self._fields:
                if len(value) > LONGEST:
                    raise Rejected(NOT_USABLE, f"a field {name} of {len(value):,} bytes; expected at most {LONGEST:,}")
                self._fields[name] = _text(value)

    def __getitem__(self, name: str) -> str:
        """Return the value of a field in lower case, without comments behind it; empty if there is none."""
        return str(self._fields.get(name, "")).partition("(")[0].partition(";")[0].strip().lower()

    @property
    def media_type(self) -> str:
        """The type in lower case; empty if none is named, and that of octets for an invalid one."""
        named = self["content-type"]
        return named if not named or _MEDIA_TYPE.fullmatch(named) else OCTETS

    @property
    def boundary(self) -> bytes:
        """What separates the parts; empty if there is none."""
        boundary = self._fields.get_boundary("")
        return boundary.rstrip().encode("utf-8", "surrogateescape")

    @property
    def is_attachment(self) -> bool:
        """Whether the sender meant it as a file beside the text."""
        return self["content-disposition"] == "attachment"

    @property
    def content_id(self) -> str:
        """The name by which the text of the mail shows this part; empty if there is none."""
        return str(self._fields.get("content-id", "")).strip().strip("<>")

    @property
    def file_name(self) -> str:
        """The name of the file, for people to read; empty if there is none."""
        try:
            name = self._fields.get_filename("")
        except (ValueError, LookupError):  # RFC 2231 with a charset that does not exist
            return "?"
        return _decoded(name)

    @property
    def subject(self) -> str:
        """The subject, for people to read."""
        return _decoded(str(self._fields.get("subject", "")))


def end_of_block(content: bytes) -> int:
    """Return where the fields end, with the empty line behind them; -1 if they do not end here."""
    if found := re.match(rb"\r?\n", content):
        return found.end()
    found = re.search(rb"\n\r?\n", content)
    return found.end() if found else -1


def _fields(block: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and value of each field, unfolded; skip lines that are none."""
    name, lines = "", [b""]
    for line in block.splitlines():
        if line[:1] in (b" ", b"\t"):
            lines.append(line)
        else:
            if name:
                yield name, b"".join(lines).strip()
            found = _NAME.match(line)
            name = found[1].decode("ascii").lower() if found else ""
            lines = [line[found.end() :]] if found else []
    if name:
        yield name, b"".join(lines).strip()


def _text(value: bytes) -> str:
    """Return a value as text; old programs write names in Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _decoded(text: str) -> str:
    """Return text without encoded words, as one line of printable characters."""
    if "=?" in text:
        with contextlib.suppress(ValueError, LookupError, HeaderParseError):  # it stays as it was written
            text = str(email.header.make_header(email.header.decode_header(text)))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_SHOWN]
