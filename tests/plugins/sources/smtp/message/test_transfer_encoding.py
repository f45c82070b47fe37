"""The file in a part: base64 and quoted-printable as programs write them, and errors of both."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins.sources.smtp.message import transfer_encoding
from postscan.plugins.sources.smtp.message.structure import parts
from postscan.plugins.sources.smtp.message.transfer_encoding import decoded
from postscan.plugins.sources.smtp.replies import Rejected


def read(encoding: str, body: bytes) -> bytes:
    """Return the file in a mail with one part."""
    content = f"Content-Type: image/png\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body
    (part,) = parts(content)
    return b"".join(decoded(content, part))


@given(st.binary(max_size=400), st.integers(1, 90), st.sampled_from([b"\r\n", b"\n", b" \t\r\n", b"!\r\n", b""]))
def test_base64_is_read_with_whatever_stands_between(file: bytes, width: int, between: bytes) -> None:
    """Lines of any length; what is no base64 is skipped (RFC 2045 section 6.8)."""
    letters = base64.b64encode(file)
    body = b"".join(letters[at : at + width] + between for at in range(0, len(letters), width))

    assert read("base64", body) == file
    assert read("BASE64 (a comment)", body.rstrip(b"=")) == file


@given(st.binary(max_size=200), st.integers(1, 9))
def test_pieces_of_the_mail_may_end_anywhere(file: bytes, size: int) -> None:
    """They end where the file is read."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(transfer_encoding, "PIECE", size)

        assert read("base64", base64.encodebytes(file)) == file
        assert read("quoted-printable", quopri.encodestring(file)) == quopri.decodestring(quopri.encodestring(file))
        assert read("binary", file) == file


@pytest.mark.parametrize(
    "body", [b"QQ==QQ==", b"QUI=QUI=", b"QQ=Q", b"Q===", b"QUJD====QUJD", b"=QQ=", b"QQ==\r\nQQ=="]
)
def test_something_behind_the_end_of_base64_is_an_error(body: bytes) -> None:
    """Two files in one part, or the middle of one that is missing: a page would be lost."""
    with pytest.raises(Rejected, match="after its end"):
        read("base64", body)


@pytest.mark.parametrize("body", [b"Q", b"QUJDQ", b"QUJD\r\nQ\r\n"])
def test_half_of_a_byte_is_an_error(body: bytes) -> None:
    """The file was cut."""
    with pytest.raises(Rejected, match="has no end"):
        read("base64", body)


@pytest.mark.parametrize("encoding", ["", "7bit", "8BIT", "binary"])
def test_other_content_is_taken_byte_for_byte(encoding: str) -> None:
    """Also with bytes that the encoding forbids."""
    assert read(encoding, b"\x00\xff\r\n=41\n") == b"\x00\xff\r\n=41\n"


@pytest.mark.parametrize("encoding", ["uuencode", "x-uuencode", "gzip", "base 64"])
def test_another_encoding_is_an_error(encoding: str) -> None:
    """It is named."""
    with pytest.raises(Rejected, match=f"the encoding {encoding} is unknown"):
        read(encoding, b"x")


def test_a_line_in_quoted_printable_is_bounded() -> None:
    """Memory does not grow with a mail."""
    with pytest.raises(Rejected, match="more than 65,536 bytes"):
        read("quoted-printable", b"a" * 1_000_000)
