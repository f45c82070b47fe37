"""The response to RetrieveImage: the SOAP envelope and the image, in pieces.

The usual shape is multipart/related with the envelope first. Devices have other shapes of the same: the image first, or
base64 inside the envelope. Source: ws-scan.md sections 1 and 6; ws-dsp.md section 10 (MTOM).
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Final, Protocol

from postscan.cli.device.wsscan.protocol.http_server import SOAP_TYPE

PIECE: Final = 3 * 16 * 1024
"""Bytes of an image that are sent at a time; a multiple of 3, so that pieces of base64 need no padding."""

XOP_2003: Final = b"http://www.w3.org/2003/12/xop/include"
XOP_2004: Final = b"http://www.w3.org/2004/08/xop/include"

_ROOT: Final = "soap@wsscan"
_ROOT_TYPE: Final = 'application/xop+xml; charset=utf-8; type="application/soap+xml"'


class ImageResponse(Protocol):
    """A response with an image: its Content-Type, what is before and after the image, and the image's encoding.

    Without `tail` the image is not whole.
    """

    type: str
    head: bytes
    tail: bytes

    def encoded(self, piece: bytes) -> bytes:
        """Return the bytes that are sent for a piece of the image."""


class MultipartImage:
    """multipart/related with two parts; *odd*: the image first, no quotes around the boundary, XOP of 2003."""

    def __init__(self, envelope: bytes, media_type: str, content_id: str, *, odd: bool = False) -> None:
        self._boundary = f"wsscan-{uuid.uuid4()}"
        quote = "" if odd else '"'
        self.type = (
            f'multipart/related; type="application/xop+xml"; boundary={quote}{self._boundary}{quote}; '
            f'start="<{_ROOT}>"; start-info="application/soap+xml"'
        )
        root = self._part(_ROOT_TYPE, _ROOT) + (envelope.replace(XOP_2004, XOP_2003) if odd else envelope)
        image = self._part(media_type, content_id)
        end = f"\r\n--{self._boundary}--\r\n".encode("ascii")
        if odd:
            self.head, self.tail = image, b"\r\n" + root + end
        else:
            self.head, self.tail = root + b"\r\n" + image, end

    def encoded(self, piece: bytes) -> bytes:
        """Return the piece: parts are binary."""
        return piece

    def _part(self, media_type: str, content_id: str) -> bytes:
        return (
            f"--{self._boundary}\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: <{content_id}>\r\n\r\n"
        ).encode("ascii")


class InlineImage:
    """The envelope alone, with the image as base64 in the place of *include*."""

    type = SOAP_TYPE

    def __init__(self, envelope: bytes, include: bytes) -> None:
        self.head, _, self.tail = envelope.partition(include)

    def encoded(self, piece: bytes) -> bytes:
        """Return the piece as base64."""
        return base64.b64encode(piece)


def pieces(data: bytes, size: int = PIECE) -> Iterator[bytes]:
    """Yield the data in pieces of at most *size* bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
