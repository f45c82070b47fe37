"""Decode the body of a part, piece by piece: base64, quoted-printable, or none.

As the standard asks, what is no base64 is skipped. Something behind the end of base64, or half of a byte, is an error:
a file was cut, or two of them were put together.

Source: RFC 2045 section 6.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from typing import Final

from postscan.plugins.sources.smtp.message.structure import Content, Part
from postscan.plugins.sources.smtp.replies import NOT_USABLE, Rejected

PIECE: Final = 256 * 1024
"""Bytes of the mail that are decoded at once."""

LINE: Final = 64 * 1024
"""Most bytes of a line in quoted-printable; the standard allows 76."""

NONE: Final = ("", "7bit", "8bit", "binary")

_NO_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))


def decoded(content: Content, part: Part) -> Iterator[bytes]:
    """Yield the file in a part; raise `Rejected` for an encoding that is unknown or violated."""
    encoding = part.fields["content-transfer-encoding"]
    pieces = (content[start : min(part.end, start + PIECE)] for start in range(part.start, part.end, PIECE))
    if encoding in NONE:
        return pieces
    if encoding == "base64":
        return _from_base64(pieces)
    if encoding == "quoted-printable":
        return _from_quoted_printable(pieces)
    raise Rejected(NOT_USABLE, f"the encoding {encoding} is unknown; expected base64 or quoted-printable")


def _from_base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held, ended = b"", False
    for piece in pieces:
        held += piece.translate(None, _NO_BASE64)
        size = len(held) // 4 * 4
        quads, held = held[:size], held[size:]
        if ended and (quads or held):
            raise _after_the_end()
        at = quads.find(b"=")
        if at >= 0:
            if at < size - 2 or quads[at:].strip(b"=") or held:
                raise _after_the_end()
            ended = True
        yield binascii.a2b_base64(quads)
    held = held.rstrip(b"=")
    if len(held) == 1 or b"=" in held:
        raise Rejected(NOT_USABLE, "an attachment in base64 has no end")
    yield binascii.a2b_base64(held + b"=" * (-len(held) % 4))


def _after_the_end() -> Rejected:
    return Rejected(NOT_USABLE, "an attachment in base64 goes on after its end")


def _from_quoted_printable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        held += piece
        lines, end, held = held.rpartition(b"\n")
        if len(held) > LINE:
            raise Rejected(NOT_USABLE, f"a line in quoted-printable has more than {LINE:,} bytes")
        yield binascii.a2b_qp(lines + end)
    yield binascii.a2b_qp(held)
