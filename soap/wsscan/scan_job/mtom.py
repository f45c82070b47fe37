"""The answer to RetrieveImage as events, while it comes: pieces of the image, and the envelope that names it.

The parts may be in either order if `start` names the root, and the image may be inline as base64, in a root or in a
plain envelope. An image counts when the last delimiter was seen and the envelope refers to its part; until then its
bytes are only candidates, which the caller holds back. No I/O beyond the given pieces.
Source: ws-scan.md sections 1 and 6; WSS-043, WSS-044, WSS-046, WSS-048; RFC 2387.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from postscan.soap.message import mtom
from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import envelope
from postscan.soap.wsscan.messages.jobs import ImageReference, read_image

LARGEST_ROOT: Final = 8 << 20
"""Most bytes of a root part, or of a plain envelope: an inline image is in it."""

LARGEST_IMAGE: Final = 2 << 30
"""Most bytes of an image."""

_ENCODINGS: Final = ("", "binary", "8bit", "7bit")
_ROOT_TYPES: Final = ("application/xop+xml", "application/soap+xml")


def read_image_bytes(content_type: str, pieces: Iterable[bytes], message_id: str = "") -> Iterator[bytes | memoryview]:
    """Yield the bytes of the image in an answer to the request *message_id*; returning says that it is whole.

    Raises `DeviceFault` for a fault, and `InvalidAnswer` for an answer that is malformed, ends early, is above a limit,
    has no image, or says that it belongs to another request.
    """
    try:
        media = mtom.media(content_type)
        if media.boundary:
            yield from _parts(media, pieces, message_id)
            return
    except mtom.MtomError as error:
        raise InvalidAnswer(f"the answer with an image is refused: {error}") from None
    image = _image_of(_document(pieces), message_id)
    if image.data is None:
        raise InvalidAnswer("the answer refers to an image, and has no further part")
    yield image.data


def _document(pieces: Iterable[bytes]) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > LARGEST_ROOT:
            raise InvalidAnswer(f"the answer of the device has more than {LARGEST_ROOT} bytes")
    return bytes(data)


def _image_of(data: bytes, message_id: str) -> ImageReference:
    root = envelope.read_envelope(data)
    body = envelope.answer_in(root)
    if envelope.answers_other(root, message_id):
        raise InvalidAnswer("the answer with an image belongs to another request")
    return read_image(body)


def _parts(media: mtom.Media, pieces: Iterable[bytes], message_id: str) -> Iterator[bytes | memoryview]:
    """Yield the bytes of the part that is not the root, then check that the root refers to it."""
    splitter = ImageSplitter(media.boundary, media.start)
    started: mtom.PartStarted | None = None
    root: ImageReference | None = None
    for piece in pieces:
        for event in splitter.feed(piece):
            match event:
                case mtom.Root(data=data):
                    root = _image_of(data, message_id)
                    _check(root, started)
                case mtom.PartStarted():
                    started = event
                    _check(root, started)
                case mtom.PartData(data=image):
                    yield image
        if splitter.ended:
            break
    splitter.close()
    if root is None or (root.data is None and started is None):
        raise InvalidAnswer("the answer has no image")
    if root.data is not None:
        yield root.data


def _check(root: ImageReference | None, started: mtom.PartStarted | None) -> None:
    """Raise `InvalidAnswer` if the root does not refer to the other part, as far as both are known."""
    if root is None or started is None:
        return
    if root.data is not None or not mtom.same_content_id(root.content_id, started.content_id):
        raise InvalidAnswer(f"the envelope refers to another image than the part {started.content_id[:80]!r}")


class ImageSplitter(mtom.Splitter):
    """The splitter of `postscan.soap.message.mtom` for an answer, whose root may be the second part.

    The root is the part that `start` names, else the first one of its media type, else the first one. The events are
    the same, in the order of the parts. `ended` is true from the last delimiter on.
    """

    def __init__(self, boundary: str, start: str = "") -> None:
        super().__init__(boundary, start, root_limit=LARGEST_ROOT, part_limit=LARGEST_IMAGE)
        self._in_root = False
        self._ids: list[str] = []
        self._roots = 0

    @property
    def ended(self) -> bool:
        """Whether the last delimiter was seen: what may follow says nothing."""
        return self._step == self._epilogue

    def _part_start(self, headers: dict[str, str]) -> None:
        encoding = headers.get("content-transfer-encoding", "").lower()
        if encoding not in _ENCODINGS:
            raise mtom.MtomError(f"a MIME part has the transfer encoding {encoding[:40]!r}; expected binary")
        if self._parts > mtom.MOST_PARTS:
            raise mtom.MtomError("the message has more MIME parts than the envelope and one image")
        content_id = headers.get("content-id", "").strip().removeprefix("<").removesuffix(">").strip()
        if content_id and content_id in self._ids:
            raise mtom.MtomError(f"two MIME parts have the Content-ID {content_id[:80]!r}")
        self._ids.append(content_id)
        self._in_root = self._is_root(content_id, headers.get("content-type", ""))
        self._roots += self._in_root
        if self._roots > 1 or (self._parts == mtom.MOST_PARTS and not self._roots):
            raise mtom.MtomError("expected one MIME part to be the envelope")
        if not self._in_root:
            self._events.append(mtom.PartStarted(content_id, encoding))

    def _is_root(self, content_id: str, content_type: str) -> bool:
        if self._start and content_id == self._start:
            return True
        if content_type.partition(";")[0].strip().lower() in _ROOT_TYPES:
            return True
        return not self._start and self._parts == 1

    def _part_data(self, piece: bytes | memoryview) -> None:
        self._size += len(piece)
        limit = LARGEST_ROOT if self._in_root else LARGEST_IMAGE
        if self._size > limit:
            raise mtom.TooLarge(f"the {'envelope' if self._in_root else 'image'} has more than {limit} bytes")
        if self._in_root:
            self._root += piece
        else:
            self._events.append(mtom.PartData(piece))

    def _part_end(self) -> None:
        if self._in_root:
            self._events.append(mtom.Root(bytes(self._root)))
            self._root.clear()
        elif self._parts:
            self._events.append(mtom.PartEnded())
        self._in_root = False
        self._size = 0
