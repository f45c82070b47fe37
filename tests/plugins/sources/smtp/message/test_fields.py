"""What is read of header fields, also of those that programs write otherwise than the standards ask."""

from __future__ import annotations

import pytest

from postscan.plugins.sources.smtp.message.fields import LONGEST, MOST, OCTETS, Fields, end_of_block
from postscan.plugins.sources.smtp.replies import Rejected


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (b'Content-Disposition: attachment; filename="scan 1.pdf"\r\n', "scan 1.pdf"),
        (b"Content-Disposition: attachment; filename=scan.pdf\r\n", "scan.pdf"),
        (b'Content-Type: application/pdf;\r\n\tname="scan.pdf"\r\n', "scan.pdf"),
        (b"content-disposition:inline;filename*=UTF-8''B%C3%BCro.pdf\r\n", "Büro.pdf"),
        (b"Content-Disposition: attachment; filename*0=a; filename*1=b.pdf\r\n", "ab.pdf"),
        (b'Content-Type: application/pdf; name="=?utf-8?B?QsO8cm8ucGRm?="\r\n', "Büro.pdf"),
        ('Content-Type: application/pdf; name="Büro.pdf"\r\n'.encode(), "Büro.pdf"),
        ('Content-Type: application/pdf; name="Büro.pdf"\r\n'.encode("latin-1"), "Büro.pdf"),
        (b'Content-Type: application/pdf; name="=?nonsense?B?QQ==?="\r\n', "=?nonsense?B?QQ==?="),
        (b"Content-Disposition: attachment; filename*=nonsense''%ff.pdf\r\n", "ÿ.pdf"),
        (b'Content-Type: application/pdf; name="a\x1b[1m\r\n b\x00.pdf"\r\n', "a [1m b .pdf"),
        (b"Content-Type: application/pdf\r\n", ""),
        (b"", ""),
    ],
)
def test_the_name_of_a_file_is_found_wherever_programs_write_it(block: bytes, name: str) -> None:
    """In one line of printable characters."""
    assert Fields(block).file_name == name


def test_a_name_is_of_bounded_length() -> None:
    """It goes into replies and log lines."""
    block = b"Content-Type: image/png; name=" + b"n" * 5000 + b"\r\n"

    assert Fields(block).file_name == "n" * 200


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("image/jpeg", "image/jpeg"),
        ("IMAGE/JPEG; name=x", "image/jpeg"),
        (" image/jpeg (a comment)", "image/jpeg"),
        ("image/svg+xml", "image/svg+xml"),
        ("text", OCTETS),
        ("image/jpeg/again", OCTETS),
        ("; name=x", ""),
    ],
)
def test_a_type_that_is_none_is_not_taken_for_text(written: str, kind: str) -> None:
    """Text is left out: a page must not be lost because its type is misspelt."""
    assert Fields(f"Content-Type: {written}\r\n".encode()).media_type == kind


def test_lines_that_are_no_fields_are_skipped() -> None:
    """Nothing behind them is lost."""
    block = b"From someone Mon Jan 1\r\n  folded\r\nno field\r\n: none\r\nSubject: one\r\nX\r\nContent-Type: a/b\r\n"

    fields = Fields(block)

    assert (fields.subject, fields.media_type) == ("one", "a/b")


def test_the_first_of_several_fields_counts() -> None:
    """As in the email package of Python."""
    assert Fields(b"Content-Type: a/b\r\nContent-Type: c/d\r\n").media_type == "a/b"


def test_servers_that_a_mail_has_passed_are_counted() -> None:
    """Their fields are not kept."""
    assert Fields(b"Received: from a\r\n\tby b\r\nReceived: from b\r\nReceived-SPF: pass\r\n").received == 2


@pytest.mark.parametrize("name", [b"Content-Type", b"content-disposition", b"Subject"])
def test_a_field_is_of_bounded_length(name: bytes) -> None:
    """The parser of parameters takes a time that grows with the square of the length."""
    with pytest.raises(Rejected, match="expected at most 8,192"):
        Fields(name + b": " + b'a;"' * LONGEST + b"\r\n")


def test_the_number_of_fields_is_bounded() -> None:
    """Of a mail and of each part; lines that are no fields do not count."""
    block = b"no field\r\n" + b"X: y\r\n" * (MOST - 1) + b"Subject: s\r\n"

    assert Fields(block).subject == "s"
    with pytest.raises(Rejected, match="the mail or a part of it has more than 1,000 fields"):
        Fields(block + b"X: y\r\n")


def test_a_field_is_unfolded_whatever_the_number_of_its_lines() -> None:
    """They are one field."""
    assert Fields(b"Subject: one\r\n" + b" \r\n" * 2 * MOST + b"\ttwo\r\nX: y\r\n").subject == "one two"


def test_other_fields_are_as_long_as_they_like() -> None:
    """Signatures of mail servers are."""
    assert Fields(b"DKIM-Signature: " + b"x" * 20_000 + b"\r\nSubject: s\r\n").subject == "s"


@pytest.mark.parametrize(
    ("content", "end"),
    [
        (b"A: b\r\n\r\nbody", 8),
        (b"A: b\n\nbody", 6),
        (b"A: b\n\r\nbody", 7),
        (b"\r\nbody", 2),
        (b"\nbody\n\n", 1),
        (b"A: b\r\n", -1),
        (b"", -1),
    ],
)
def test_fields_end_with_an_empty_line(content: bytes, end: int) -> None:
    """Of either kind."""
    assert end_of_block(content) == end


def test_boundaries_and_content_ids_are_read_without_their_signs() -> None:
    """Blanks at the end of a boundary do not count (RFC 2046 section 5.1.1)."""
    block = b'Content-Type: multipart/mixed; boundary="one two  "\r\nContent-ID: <logo@a.example>\r\n'

    assert (Fields(block).boundary, Fields(block).content_id) == (b"one two", "logo@a.example")
