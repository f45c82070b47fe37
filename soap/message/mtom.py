"""multipart/related as events: bytes in, a root and the pieces of one image out, the same events for any chunking.

The splitter is our own, because devices send blanks after a delimiter and HTTP headers before the first one, which no
library accepts (decision 5). It does no I/O and buffers only the root part and the end of a line.
Source: ws-dsp.md section 10.1 and section 12 (quirks 5 to 9 and 22); RFC 2046, section 5.1; T-M1 to T-M8.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

from postscan.soap.message import faults
from postscan.soap.xml import namespaces

LONGEST_BOUNDARY: Final = 200
MOST_PARTS: Final = 2
MOST_HEADERS: Final = 20
LONGEST_HEADER: Final = 1024
LONGEST_AROUND: Final = 1024
"""Most bytes before the first delimiter, and after the last."""

_ROOT_TYPES: Final = ("application/xop+xml", "application/soap+xml", "text/xml", "")
_CHARSETS: Final = ("", "utf-8", "utf8", "utf-16", "us-ascii")
_ENCODINGS: Final = ("", "binary", "8bit", "7bit")
_KINDS: Final[dict[str, Kind]] = {"application/soap+xml": "soap", "text/xml": "soap11", "multipart/related": "mtom"}
_PARAMETER: Final = re.compile(r'(?<![\w-])([\w-]+)[ \t\r\n]*=[ \t\r\n]*("(?:[^"\\]|\\.)*"|[^;"\s]+)')
_BOUNDARY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_FOLD: Final = re.compile(rb"\r\n[ \t]+")

Kind = Literal["soap", "mtom", "soap11", "other"]


class MtomError(faults.Fault):
    """The MIME structure of a message is malformed or not allowed; the text is the reason."""

    def __init__(self, sentence: str) -> None:
        fault = faults.malformed(sentence)
        super().__init__(fault.code, fault.subcode, fault.reason, sentence=sentence)


class TooLarge(MtomError):
    """A part exceeds its limit; `detail` names the image if it is the image."""


@dataclass(frozen=True, slots=True)
class Media:
    """A parsed Content-Type: the kind of message, and its MIME parameters; "" where there is none."""

    kind: Kind
    boundary: str = ""
    start: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Root:
    """The whole root part: the envelope."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartStarted:
    """The headers of the second part have been read. `encoding` is its transfer encoding in lower case, or ""."""

    content_id: str
    encoding: str


@dataclass(frozen=True, slots=True)
class PartData:
    """The next bytes of the part; a view of an immutable buffer."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The part is complete."""


Event = Root | PartStarted | PartData | PartEnded


@functools.lru_cache(maxsize=64)  # a device sends the same in every request
def media(content_type: str) -> Media:
    """Parse a Content-Type with the deviations of devices: folds, mixed case, missing quotes and semicolons.

    The kind is "other" for a type or charset that is not served. Raises `MtomError` for a multipart/related without a
    usable boundary.
    """
    name, parameters = _parameters(content_type)
    kind = _KINDS.get(name, "other")
    inner = _parameters(parameters.get("type", ""))[0] if kind == "mtom" else ""
    if parameters.get("charset", "").lower() not in _CHARSETS or inner not in _ROOT_TYPES:
        kind = "other"
    boundary = _usable(parameters.get("boundary", "")) if kind == "mtom" else ""
    return Media(kind, boundary, _content_id(parameters.get("start", "")), parameters.get("action", ""))


def same_content_id(href_cid: str, content_id: str) -> bool:
    """Return whether a `cid:` reference (without its scheme) names this Content-ID (without its brackets).

    The reference is percent-decoded once, then compared exactly. An empty Content-ID never matches.
    """
    try:
        return content_id != "" and unquote(href_cid, errors="strict") == content_id
    except UnicodeDecodeError:
        return False


class Splitter:
    """Cut one multipart/related body into events.

    Call `feed` for every chunk and exhaust its iterator before the next one; call `close` at the end. After an
    `MtomError` the splitter cannot be used any more.
    """

    def __init__(self, boundary: str, start: str = "", *, root_limit: int = 1 << 20, part_limit: int = 2 << 30) -> None:
        self._delimiter = b"\r\n--" + _usable(boundary).encode("ascii")
        self._start = _content_id(start)
        self._limits = (root_limit, part_limit)
        self._data = b"\r\n"  # a delimiter in the first line has its line break, too
        self._at = 0
        self._step: Callable[[], bool] = self._preamble
        self._events: list[Event] = []
        self._parts = 0
        self._size = 0
        self._root = bytearray()
        self._root_id = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Add the next bytes of the body; yield the events that they complete."""
        self._data = self._data[self._at :] + chunk
        self._at = 0
        more = True
        while more:
            more = self._step()
            yield from self._events
            self._events.clear()

    def close(self) -> None:
        """End the body; raise `MtomError` if its last delimiter is missing."""
        if self._step != self._epilogue:
            raise MtomError("the message ends before its last MIME delimiter")

    def _preamble(self) -> bool:
        """Skip the bytes before the first delimiter."""
        found = self._data.find(self._delimiter)
        if (found if found >= 0 else len(self._data) - len(self._delimiter)) > LONGEST_AROUND:
            raise MtomError(f"no MIME delimiter within the first {LONGEST_AROUND} bytes")
        if found < 0:
            return False
        self._at = found + len(self._delimiter)
        self._step = self._delimiter_end
        return True

    def _delimiter_end(self) -> bool:
        """Read the rest of a delimiter line: nothing or blanks, or the two dashes of the last one."""
        if self._data.startswith(b"--", self._at):
            self._at += 2
            self._step = self._epilogue
            self._part_end()
            if not self._parts:
                raise MtomError("the message has no parts")
            return True
        end = self._data.find(b"\r\n", self._at)
        rest = self._data[self._at : end if end >= 0 else len(self._data)]
        if rest.strip(b" \t") not in ((b"",) if end >= 0 else (b"", b"-", b"\r")) or len(rest) > LONGEST_AROUND:
            raise MtomError("a line begins with the MIME boundary but goes on with something else")
        if end < 0:
            return False
        self._at = end
        self._step = self._headers
        self._part_end()
        return True

    def _headers(self) -> bool:
        """Read the headers of a part; the break of the line before them is still there."""
        end = self._data.find(b"\r\n\r\n", self._at)
        if (end if end >= 0 else len(self._data)) - self._at > MOST_HEADERS * LONGEST_HEADER:
            raise MtomError("the headers of a MIME part are too long")
        if end < 0:
            return False
        headers = _read_headers(self._data[self._at : end])
        self._at = end + 2  # a part may be empty: its delimiter then begins with this break
        self._step = self._first_break
        self._parts += 1
        self._size = 0
        self._part_start(headers)
        return True

    def _first_break(self) -> bool:
        """Go over the empty line below the headers, unless it already begins the next delimiter."""
        whole = len(self._delimiter)
        line = self._data[self._at : self._at + whole]
        if len(line) < whole and self._delimiter.startswith(line):
            return False
        if line != self._delimiter:
            self._at += 2
        self._step = self._body
        return True

    def _body(self) -> bool:
        """Hand on the bytes of a part up to its delimiter, or to what may be the beginning of one."""
        found = self._data.find(self._delimiter, self._at)
        end = found if found >= 0 else self._safe_end()
        if end > self._at:
            piece = self._data if (self._at, end) == (0, len(self._data)) else memoryview(self._data)[self._at : end]
            self._part_data(piece)
        if found < 0:
            self._at = end
            return False
        self._at = found + len(self._delimiter)
        self._step = self._delimiter_end
        return True

    def _safe_end(self) -> int:
        """Return where a delimiter may begin whose end is still to come: at the last CR, for a boundary has none."""
        last = self._data.rfind(b"\r", max(self._at, len(self._data) - len(self._delimiter) + 1))
        return last if last >= 0 else len(self._data)

    def _epilogue(self) -> bool:
        """Drop what follows the last delimiter."""
        self._size += len(self._data) - self._at
        self._at = len(self._data)
        if self._size > LONGEST_AROUND:
            raise MtomError(f"more than {LONGEST_AROUND} bytes after the last MIME delimiter")
        return False

    def _part_start(self, headers: dict[str, str]) -> None:
        encoding = headers.get("content-transfer-encoding", "").lower()
        if encoding not in _ENCODINGS:
            raise MtomError(f"a MIME part has the transfer encoding {encoding[:40]!r}; expected binary, 8bit or 7bit")
        content_id = _content_id(headers.get("content-id", ""))
        if self._parts > MOST_PARTS:
            raise MtomError(f"the message has more than {MOST_PARTS} MIME parts; expected the envelope and one image")
        if self._parts == 1:
            self._check_root(content_id, headers.get("content-type", ""))
        elif content_id and content_id == self._root_id:
            raise MtomError(f"two MIME parts have the Content-ID {content_id[:80]!r}")
        else:
            self._events.append(PartStarted(content_id, encoding))

    def _check_root(self, content_id: str, content_type: str) -> None:
        if self._start and content_id != self._start:
            raise MtomError(f"the first MIME part is {content_id[:80]!r}; expected the root, {self._start[:80]!r}")
        name, parameters = _parameters(content_type)
        if name not in _ROOT_TYPES:
            raise MtomError(f"the root part is {name[:80]!r}; expected application/xop+xml")
        if parameters.get("charset", "").lower() not in _CHARSETS:
            raise MtomError(f"the root part has the charset {parameters['charset'][:40]!r}; expected utf-8")
        self._root_id = content_id

    def _part_data(self, piece: bytes | memoryview) -> None:
        self._size += len(piece)
        limit = self._limits[self._parts - 1]
        if self._size > limit:
            raise self._too_large(limit)
        if self._parts == 1:
            self._root += piece
        else:
            self._events.append(PartData(piece))

    def _too_large(self, limit: int) -> TooLarge:
        if self._parts == 1:
            return TooLarge(f"the envelope has more than {limit} bytes")
        error = TooLarge(f"the image has more than {limit} bytes")
        error.detail = (namespaces.dsp("ImageData"), f"more than {limit} bytes")
        return error

    def _part_end(self) -> None:
        """End the part before a delimiter, if there is one."""
        if self._parts == 1:
            self._events.append(Root(bytes(self._root)))
            self._root.clear()
        elif self._parts:
            self._events.append(PartEnded())
        self._size = 0


def _read_headers(block: bytes) -> dict[str, str]:
    """Return the `Content-*` headers by lower-case name, and drop the others."""
    lines = [line for line in _FOLD.sub(b" ", block).split(b"\r\n") if line]
    if len(lines) > MOST_HEADERS:
        raise MtomError(f"a MIME part has more than {MOST_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        name, value = _header(line)
        if not name.startswith("content-"):
            continue
        if name in headers:
            raise MtomError(f"a MIME part has two headers {name}")
        headers[name] = value
    return headers


def _header(line: bytes) -> tuple[str, str]:
    if len(line) > LONGEST_HEADER:
        raise MtomError(f"a header of a MIME part is longer than {LONGEST_HEADER} bytes")
    if any(mark in line for mark in b"\r\n\0"):
        raise MtomError("a header of a MIME part has a stray line break or NUL")
    name, colon, value = line.decode("utf-8", "replace").partition(":")
    if not colon:
        raise MtomError(f"a line among the headers of a MIME part is none: {name[:40]!r}")
    return name.strip().lower(), value.strip().rstrip(";").rstrip()


def _parameters(value: str) -> tuple[str, dict[str, str]]:
    """Return the media type in lower case and its parameters by lower-case name."""
    name, _, rest = value.partition(";")
    words = name.split(maxsplit=1)  # the semicolon before the parameters of `type` may be missing
    parameters: dict[str, str] = {}
    for key, text in _PARAMETER.findall(rest):
        parameters.setdefault(key.lower(), re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text)
    return (words[0].lower() if words else ""), parameters


def _usable(boundary: str) -> str:
    if len(boundary) > LONGEST_BOUNDARY or not _BOUNDARY.fullmatch(boundary):
        raise MtomError(
            f"the MIME boundary {boundary[:40]!r} cannot be used; expected 1 to {LONGEST_BOUNDARY} visible characters"
        )
    return boundary


def _content_id(value: str) -> str:
    """Return a Content-ID without its brackets, and without the blanks that some devices put inside."""
    value = value.strip()
    return value[1:-1].strip() if value.startswith("<") and value.endswith(">") else value
