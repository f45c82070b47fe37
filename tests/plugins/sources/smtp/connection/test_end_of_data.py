"""Where the bytes behind DATA end, and what is content."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins.sources.smtp.connection.end_of_data import AmbiguousEnd, DataDecoder

END = b"\r\n.\r\n"
PIECES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"bc", b"\0", b"\r\n.\r\n"]), max_size=12)


def decoded(*pieces: bytes) -> tuple[bytes, bool, bytes]:
    """Return the content, whether it has ended, and what follows."""
    decoder = DataDecoder()
    content = b""
    for number, piece in enumerate(pieces):
        content += decoder.feed(piece)
        if decoder.ended:
            return content, True, decoder.rest + b"".join(pieces[number + 1 :])
    return content, False, b""


def outcome(*pieces: bytes) -> object:
    """Return what `decoded` does; the name of the error if it is one."""
    try:
        return decoded(*pieces)
    except AmbiguousEnd:
        return "ambiguous"


def lines_of(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return the lines, each with its end: CR LF, LF, CR or nothing."""
    lines, start = [], 0
    while start < len(raw):
        ends = [(raw.find(end, start), -len(end), end) for end in (b"\r\n", b"\n", b"\r") if raw.find(end, start) >= 0]
        if not ends:
            return [*lines, (raw[start:], b"")]
        at, _, end = min(ends)
        lines.append((raw[start:at], end))
        start = at + len(end)
    return lines


def expected(raw: bytes) -> object:
    """Return the same as `outcome`, line by line, with all bytes at hand; None if the last line is not complete."""
    content, before, start = b"", b"\r\n", 0
    for line, end in lines_of(raw):
        start += len(line) + len(end)
        if not end or (end == b"\r" and start == len(raw)):
            return None
        if line == b"." and before == end == b"\r\n":
            return content, True, raw[start:]
        if line == b".":
            return "ambiguous"
        content += (line[1:] if before == b"\r\n" and line.startswith(b".") else line) + end
        before = end
    return None


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (b"one\r\ntwo" + END, b"one\r\ntwo\r\n"),
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"a\r\n..\r\n...b\r\n.c" + END, b"a\r\n.\r\n..b\r\nc\r\n"),
        (b"a\r\n .\r\n. \r\n.\r\n", b"a\r\n .\r\n \r\n"),
        (b"line\nline\rline\n\n\r\r\nend" + END, b"line\nline\rline\n\n\r\r\nend\r\n"),
        (b"a\n..b\n.c\r\n.\r\n", b"a\n..b\n.c\r\n"),
        (b"\xff\x00\x80" * 400 + END, b"\xff\x00\x80" * 400 + b"\r\n"),
    ],
)
def test_a_mail_ends_with_a_dot_between_two_ends_of_lines(sent: bytes, content: bytes) -> None:
    """The first of two dots at the start of a line is that of the transport; what follows the end is kept."""
    assert decoded(sent + b"MAIL FROM:<a@b>\r\n") == (content, True, b"MAIL FROM:<a@b>\r\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        both
        for both in itertools.product((b"\r\n", b"\n", b"\r"), (b"\r\n", b"\n", b"\rX"))
        if both != (b"\r\n", b"\r\n")
    ],
)
def test_a_dot_between_other_ends_of_lines_is_refused_at_once(before: bytes, after: bytes) -> None:
    """A server in front of this one may have taken it for text, and what follows it is an attacker's."""
    smuggled = b"text" + before + b"." + after + b"MAIL FROM:<admin@example.org>" + END

    assert outcome(smuggled) == "ambiguous"
    assert outcome(b"text" + before + b"." + after) == "ambiguous"


def test_a_dot_at_the_very_start_needs_both_bytes_behind_it() -> None:
    """The line with DATA ended with CR LF."""
    assert outcome(b".\n") == "ambiguous"
    assert outcome(b".\rX") == "ambiguous"
    assert outcome(b".\r") == (b"", False, b"")


@given(PIECES, st.booleans())
def test_the_content_is_what_the_lines_say(pieces: list[bytes], end: bool) -> None:
    """As a second, plain implementation finds it, with the whole at hand."""
    raw = b"".join(pieces) + (END if end else b"")
    wanted = expected(raw)

    found = outcome(raw)

    if wanted is None:
        assert isinstance(found, tuple)
        assert not found[1]
    else:
        assert found == wanted


@given(PIECES, st.lists(st.integers(0, 40), max_size=6))
def test_any_cut_gives_the_same_content(pieces: list[bytes], cuts: list[int]) -> None:
    """The network decides how the bytes arrive."""
    raw = b"".join(pieces) + END
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})

    assert outcome(*(raw[a:b] for a, b in itertools.pairwise(edges))) == outcome(raw)
    assert outcome(*(raw[at : at + 1] for at in range(len(raw)))) == outcome(raw)


def test_nothing_of_a_mail_is_kept() -> None:
    """A mail is as large as it likes; the decoder holds four bytes at most."""
    decoder = DataDecoder()
    held = []
    for end in (b"text", b"\r", b"\r\n", b"\r\n.", b"\n.", b"\n"):
        decoder.feed(b"0123456789\r\n..x" * 1000 + end)
        held.append(len(decoder._held))

    assert held == [0, 1, 2, 3, 2, 1]
