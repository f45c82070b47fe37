"""The files of a form (multipart/form-data, RFC 7578) as its bytes arrive; no I/O.

Bytes in, events out: any cut of the bytes gives the same files. A form is complete when its last boundary has arrived.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from postscan.plugins.sources.web.paths import decode, file_name

MOST_FILES: Final = 100
MOST_FIELDS: Final = 200
HEAD_BYTES: Final = 8 * 1024
PREAMBLE_BYTES: Final = 1024
LONGEST_BOUNDARY: Final = 200

_PADDING: Final = re.compile(rb"[ \t]{0,64}\r\n")
_NAME: Final = re.compile(rb';[ \t]*filename="((?:[^"\\\r\n]|\\.)*)"', re.IGNORECASE)
_BARE_NAME: Final = re.compile(rb';[ \t]*filename=([^";\s]+)', re.IGNORECASE)
_CODED_NAME: Final = re.compile(rb";[ \t]*filename\*=utf-8'[a-z-]*'([^\";\s]+)", re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"^content-disposition[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)


class BadForm(ValueError):
    """The body is not a form, or not a whole one; the text is the reason."""


class FormFile(NamedTuple):
    """A file begins; `name` is what the client calls it, without folders."""

    name: str


class FormData(NamedTuple):
    """Bytes of the file that has begun."""

    data: bytes


class FormFileEnd(NamedTuple):
    """The file is complete."""


FormEvent = FormFile | FormData | FormFileEnd


def boundary(content_type: str) -> bytes | None:
    """Return the boundary of a form, or None if the media type is another one; raise `BadForm` if it has none."""
    message = Message()
    message["content-type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        return None
    found = message.get_boundary()
    if not found or len(found) > LONGEST_BOUNDARY:
        raise BadForm(f"the form has no boundary of at most {LONGEST_BOUNDARY} characters")
    return found.encode("latin-1", "replace")


class FormParser:
    """Finds the files of one form. Fields that are no files are dropped."""

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"\r\n--" + boundary
        self._bytes = bytearray(b"\r\n")  # so that a boundary at the very beginning is one as well
        self._read: Callable[[], list[FormEvent] | None] | None = self._preamble
        self._skipped = 0
        self._files = 0
        self._fields = 0
        self._is_file = False

    @property
    def is_complete(self) -> bool:
        """Whether the last boundary has arrived; what follows it is dropped."""
        return self._read is None

    def feed(self, data: bytes) -> Iterator[FormEvent]:
        """Yield what is certain after these bytes; raise `BadForm`."""
        if not self.is_complete:
            self._bytes += data
        while (read := self._read) is not None:
            events = read()
            if events is None:
                return
            yield from events

    def close(self) -> None:
        """Raise `BadForm` if the form is not complete, or has no file."""
        if not self.is_complete:
            raise BadForm("the form ends before its last boundary")
        if not self._files:
            raise BadForm("the form has no file; expected a field with a file name")

    def _preamble(self) -> list[FormEvent] | None:
        before = self._until_boundary()
        self._skipped += len(before)
        if self._skipped > PREAMBLE_BYTES:
            raise BadForm("the form does not begin with its boundary")
        return self._after_boundary()

    def _content(self) -> list[FormEvent] | None:
        data = self._until_boundary()
        events: list[FormEvent] = [FormData(data)] if data and self._is_file else []
        ended = self._after_boundary()
        if ended is None:
            return events or None
        return [*events, FormFileEnd()] if self._is_file else events

    def _until_boundary(self) -> bytes:
        """Take what certainly comes before the next boundary."""
        found = self._bytes.find(self._mark)
        end = found if found >= 0 else max(0, len(self._bytes) - len(self._mark) + 1)
        taken = bytes(self._bytes[:end])
        del self._bytes[:end]
        return taken

    def _after_boundary(self) -> list[FormEvent] | None:
        """Take a boundary up to the end of its line; None as long as that has not arrived."""
        if not self._bytes.startswith(self._mark):
            return None
        rest = bytes(self._bytes[len(self._mark) : len(self._mark) + 66])
        if rest.startswith(b"--"):
            self._read = None
            self._bytes.clear()
            return []
        padding = _PADDING.match(rest)
        if padding is None:
            if len(rest) < 66 and not rest.strip(b" \t\r-"):
                return None
            raise BadForm("a boundary is followed by something else; expected the end of its line")
        del self._bytes[: len(self._mark) + padding.end() - 2]  # the CRLF stays, as the beginning of the head
        self._read = self._head
        return []

    def _head(self) -> list[FormEvent] | None:
        end = self._bytes.find(b"\r\n\r\n")
        if (len(self._bytes) if end < 0 else end) > HEAD_BYTES:
            raise BadForm(f"the head of a field is longer than {HEAD_BYTES} bytes")
        if end < 0:
            return None
        head = bytes(self._bytes[:end])
        del self._bytes[: end + 4]
        self._read = self._content
        return self._begun(head)

    def _begun(self, head: bytes) -> list[FormEvent]:
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise BadForm(f"the form has more than {MOST_FIELDS} fields")
        disposition = _DISPOSITION.search(head)
        name = _name(disposition[1]) if disposition else b""
        self._is_file = bool(name)
        if not name:
            return []
        self._files += 1
        if self._files > MOST_FILES:
            raise BadForm(f"the form has more than {MOST_FILES} files")
        return [FormFile(file_name(decode(name)))]


def _name(disposition: bytes) -> bytes:
    """Return the file name in a Content-Disposition; empty if there is none.

    Browsers write a quotation mark as `%22`, older clients put a backslash before it. A backslash before anything else
    separates folders.
    """
    if (quoted := _NAME.search(disposition)) is not None:
        return quoted[1].replace(b'\\"', b'"').replace(b"%22", b'"')
    if (coded := _CODED_NAME.search(disposition)) is not None:
        return unquote_to_bytes(coded[1])
    bare = _BARE_NAME.search(disposition)
    return bare[1] if bare else b""
