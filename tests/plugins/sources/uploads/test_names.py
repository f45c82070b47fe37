"""Names in whatever encoding a device sends, and what people and other clients see of them."""

from __future__ import annotations

import pytest

from postscan.plugins.sources.uploads.names import ENCODING, ERRORS, LONGEST, is_plain, one_line, readable


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"scan.jpg", "scan.jpg"),
        ("Büro.pdf".encode(), "Büro.pdf"),
        ("Büro.pdf".encode("latin-1"), "Büro.pdf"),
        ("Bu\u0308ro.pdf".encode(), "Büro.pdf"),
        ("扫描.pdf".encode(), "扫描.pdf"),
        (b"a\x85b.pdf", "a_b.pdf"),
        ("a\u202egpj.exe".encode(), "a_gpj.exe"),
        (b"\xff\xfe\xfd", "ÿþý"),
    ],
)
def test_a_name_is_read_as_utf_8_or_else_as_latin_1(sent, shown):
    """And composed, without what changes the direction of text, or begins a line."""
    assert readable(sent.decode(ENCODING, ERRORS)) == shown


def test_any_bytes_are_a_name_and_go_back_as_they_came():
    """A reply repeats the client's own bytes."""
    sent = bytes(range(1, 256))

    assert sent.decode(ENCODING, ERRORS).encode(ENCODING, ERRORS) == sent
    assert readable(sent.decode(ENCODING, ERRORS)).isprintable()


def test_a_long_name_keeps_its_suffix():
    """It is what tells people the kind of the file."""
    shown = readable("x" * 1000 + ".jpg")

    assert len(shown) == LONGEST
    assert shown.endswith("x.jpg")


@pytest.mark.parametrize("line", ["STOR a\rb", "STOR a\nb", "STOR a\0b", "STOR a\x7fb", "\x1b[31m"])
def test_a_line_with_control_characters_is_not_plain(line):
    """They could end the line of a reply or of a listing."""
    assert not is_plain(line)
    assert is_plain("STOR Büro \udcfc.jpg")


def test_an_error_of_several_lines_is_one_line_of_a_reply():
    """A client takes a second line for the reply to its next command."""
    assert one_line("it failed:\r\n226 Stored\n") == "it failed: 226 Stored"
    assert len(one_line("x" * 5000)) == 400
