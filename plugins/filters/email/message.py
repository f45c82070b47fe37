"""One mail with documents in it, as bytes; the same input gives the same bytes.

The `email` package writes the headers. Input that looks like an encoded word can make it write an additional header
(CVE-2024-6923), so each block of headers is parsed again and compared with its input.

Source: scan-process.md section 6.2 (PSP-018, PSP-026); RFC 5322, 2045, 2046, 2231.
"""

from __future__ import annotations

import base64
import email.policy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage, MIMEPart
from email.parser import BytesHeaderParser
from email.utils import format_datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from postscan.plugins import CancellationToken, Document, FilterFailed, FilterReason
from postscan.plugins.filters.email.address import domain_of

_LINE: Final = 57  # bytes that make a line of 76 characters in base64
_CHUNK: Final = _LINE * 4096  # bytes encoded between two checks of the token
_SPARE: Final = 256  # bytes by which the headers of one part may be longer than those of another


@dataclass(frozen=True)
class MailMessage:
    """A mail from `sender` to all `recipients`, with all `documents` attached.

    `job` is the job's token; only a hash of it is in the message. `part` and `of` count from 1, if the documents do
    not fit into one message.
    """

    job: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    date: datetime
    documents: tuple[Document, ...]
    part: int = 1
    of: int = 1

    @property
    def utf8(self) -> bool:
        """Whether an address needs a mail server that offers SMTPUTF8."""
        return not all(address.isascii() for address in (self.sender, *self.recipients))

    @cached_property
    def id(self) -> str:
        """The Message-ID: derived from job, recipients and documents, and the same in every run."""
        facts = [self.job, self.sender, *self.recipients]
        facts += [fact for one in self.documents for fact in (str(one.id), one.sha256, one.name)]
        digest = hashlib.sha256("\0".join(facts).encode("utf-8", "replace")).hexdigest()
        domain = domain_of(self.sender)
        return f"<{digest[:40]}@{domain if domain.isascii() else 'postscan.invalid'}>"

    @property
    def destination(self) -> str:
        """The destination that the server records: the recipients, and the number of the part."""
        shown: list[str] = []
        for address in self.recipients:
            if sum(map(len, shown)) > 1000:
                break
            shown.append(address)
        more = len(self.recipients) - len(shown)
        where = "mailto:" + ",".join(shown) + (f" and {more} more" if more else "")
        return where if self.of == 1 else f"{where} part {self.part} of {self.of}"

    def split(self, most: int) -> tuple[list[MailMessage], list[Document]]:
        """Return messages of at most *most* bytes, and the documents that are too large for any.

        The documents stay in their order, in as few messages as that allows.
        """
        count = len(self.documents)
        room = most - len(replace(self, part=count, of=count).head) - len(self._closing_delimiter) - _SPARE
        groups: list[list[Document]] = []
        too_large: list[Document] = []
        left = 0
        for document in self.documents:
            size = len(self._part_headers(document)) + _base64_size(document.size)
            if size > room:
                too_large.append(document)
                continue
            if not groups or size > left:
                groups.append([])
                left = room
            groups[-1].append(document)
            left -= size
        parts = [
            replace(self, documents=tuple(group), part=number, of=len(groups))
            for number, group in enumerate(groups, start=1)
        ]
        return parts, too_large

    def write(self, path: Path, token: CancellationToken) -> None:
        """Write the whole message, with CRLF at the end of every line; check the token for each chunk."""
        with path.open("wb") as file:
            file.write(self.head)
            for document in self.documents:
                file.write(self._part_headers(document))
                for lines in _base64_lines(document, token):
                    file.write(lines)
            file.write(self._closing_delimiter)

    @property
    def head(self) -> bytes:
        """The message up to its first document."""
        subject = self.subject if self.of == 1 else f"{self.subject} (part {self.part} of {self.of})"
        headers = [
            ("From", self.sender),
            ("To", ", ".join(self.recipients)),
            ("Subject", one_line(subject)),
            ("Date", format_datetime(self.date)),
            ("Message-ID", self.id),
            ("Auto-Submitted", "auto-generated"),
            ("MIME-Version", "1.0"),
            ("Content-Type", f'multipart/mixed; boundary="{self._boundary}"'),
        ]
        text = MIMEPart(policy=email.policy.SMTP.clone(cte_type="7bit"))
        text.set_content("".join(c for c in self.text if c.isprintable() or c in "\t\n"))
        return self._encoded_headers(headers) + self._delimiter + text.as_bytes()

    def _part_headers(self, document: Document) -> bytes:
        """Return the delimiter and the headers in front of a document."""
        headers = [
            ("Content-Type", document.media_type),
            ("Content-Transfer-Encoding", "base64"),
            ("Content-Disposition", f'attachment; filename="{_file_name(document.name)}"'),
        ]
        return b"\r\n" + self._delimiter + self._encoded_headers(headers)

    @property
    def _boundary(self) -> str:
        return f"=_{self.id[1:33]}"  # neither base64 nor quoted-printable contains "=_"

    @property
    def _delimiter(self) -> bytes:
        return f"--{self._boundary}\r\n".encode()

    @property
    def _closing_delimiter(self) -> bytes:
        return f"\r\n--{self._boundary}--\r\n".encode()

    def _encoded_headers(self, headers: Sequence[tuple[str, str]]) -> bytes:
        """Return exactly these headers, with the empty line behind them."""
        policy = email.policy.SMTP.clone(utf8=self.utf8)
        message = EmailMessage(policy=policy)
        try:
            for name, value in headers:
                message[name] = value
        except ValueError as error:
            raise _invalid_headers(name) from error
        written = b"".join(policy.fold_binary(name, value) for name, value in message.raw_items()) + b"\r\n"
        read = BytesHeaderParser(policy=policy).parsebytes(written)
        parsed = [(name, " ".join(str(value).split())) for name, value in read.items()]  # folding may add a blank
        if parsed != list(headers):
            raise _invalid_headers(*{name for name, _ in set(parsed) ^ set(headers)})
        return written


def one_line(text: str) -> str:
    """Return *text* as one line for a header: printable, and without encoded words."""
    visible = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(visible.split()).replace("=?", "= ?")


def _file_name(name: str) -> str:
    return one_line(name).replace('"', "_").replace("\\", "_") or "document"


def _base64_size(size: int) -> int:
    """Return the number of bytes of *size* bytes in base64, line ends included."""
    return 4 * -(-size // 3) + 2 * -(-size // _LINE)


def _base64_lines(document: Document, token: CancellationToken) -> Iterator[bytes]:
    with document.path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            token.check()
            yield base64.encodebytes(chunk).replace(b"\n", b"\r\n")


def _invalid_headers(*names: str) -> FilterFailed:
    detail = f"the mail cannot be written: these headers would not keep their values: {', '.join(sorted(names))}"
    return FilterFailed(FilterReason.UNABLE_TO_SEND_EMAIL, detail)
