"""The response to RetrieveImage: multipart/related with the SOAP envelope and the image, in pieces.

Source: ws-scan.md section 6; ws-dsp.md section 10 (MTOM).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

PIECE: Final = 64 * 1024
"""Bytes of an image that are sent at a time."""


@dataclass(frozen=True)
class MultipartImage:
    """The parts of a response with an image: `head` up to the first byte of the image, `tail` from its end."""

    envelope: bytes
    media_type: str
    content_id: str
    boundary: str = field(default_factory=lambda: f"wsscan-{uuid.uuid4()}")

    @property
    def type(self) -> str:
        """The Content-Type of the response."""
        return (
            f'multipart/related; type="application/xop+xml"; boundary="{self.boundary}"; '
            'start="<soap@wsscan>"; start-info="application/soap+xml"'
        )

    @property
    def head(self) -> bytes:
        """The envelope, and the head of the image."""
        return (
            self._part('application/xop+xml; charset=utf-8; type="application/soap+xml"', "soap@wsscan")
            + self.envelope
            + b"\r\n"
            + self._part(self.media_type, self.content_id)
        )

    @property
    def tail(self) -> bytes:
        """The end boundary: without it the image is not whole."""
        return f"\r\n--{self.boundary}--\r\n".encode("ascii")

    def _part(self, media_type: str, content_id: str) -> bytes:
        return (
            f"--{self.boundary}\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: <{content_id}>\r\n\r\n"
        ).encode("ascii")


def pieces(data: bytes, size: int = PIECE) -> Iterator[bytes]:
    """Yield the data in pieces of at most *size* bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
