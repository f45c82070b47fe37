"""What the bytes of a document show, in calls of which none holds the interpreter's lock for long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.soap.xml import document_bytes

SMALL = 5
PIECE = 64 * 1024
COMMENTS = ["<!--a-->", "<!---->", "<!-->", "-->"]
ITEMS = [*COMMENTS, "<?b c?>", "<?>?>", "?>", " ", "\n\t", "<a/>", "</a>", "<!DOCTYPE a>", "<!DOC"]
REFERENCE = re.compile(rb"(?:[ \t\r\n]+|<!--.*?-->|<\?.*?\?>)*+<!DOCTYPE", re.DOTALL)


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_bytes, "PIECE", SMALL)


documents = st.lists(st.sampled_from(ITEMS), max_size=12).map(lambda items: "".join(items).encode())


class Watched(bytes):
    """Bytes that note how many of them a call may look at."""

    longest = 0

    def _note(self, start: int, end: int) -> None:
        Watched.longest = max(Watched.longest, min(end, len(self)) - start)

    def count(self, sub: bytes, start: int = 0, end: int = 1 << 62) -> int:  # type: ignore[override]  # as it is called
        """Count, and note."""
        self._note(start, end)
        return super().count(sub, start, end)

    def find(self, sub: bytes, start: int = 0, end: int = 1 << 62) -> int:  # type: ignore[override]  # as it is called
        """Find, and note."""
        self._note(start, end)
        return super().find(sub, start, end)

    def lstrip(self, blanks: bytes | None = None) -> bytes:  # type: ignore[override]  # as it is called
        """Strip, and note."""
        self._note(0, len(self))
        return super().lstrip(blanks)


@pytest.mark.usefixtures("_small_pieces")
@given(documents)
def test_a_document_type_is_found_as_in_the_whole_document(document: bytes) -> None:
    """T-X1: comments and instructions before it may have any length, and end anywhere in a piece."""
    assert bool(document_bytes.refusal(document)) == bool(REFERENCE.match(document))


@pytest.mark.usefixtures("_small_pieces")
@given(documents)
def test_elements_are_counted_as_in_the_whole_document(document: bytes) -> None:
    """T-X4: also where a mark and the character behind it are in two pieces."""
    others = sum(document.count(one) for one in (b"</", b"<!", b"<?"))

    assert sum(document_bytes.elements(document)) == document.count(b"<") - others


@pytest.mark.usefixtures("_small_pieces")
@given(documents, st.sampled_from([b"<!--", b"-->", b"<a/>", b"DOCTYPE a", b"x"]))
def test_a_text_is_found_wherever_a_piece_ends(document: bytes, text: bytes) -> None:
    """It may begin in one piece and end in the next but one."""
    assert document_bytes.has(document, text) == (text in document)


@pytest.mark.usefixtures("_small_pieces")
@given(st.text(max_size=30))
def test_utf_16_is_decoded_as_a_whole(text: str) -> None:
    """Characters of four bytes may be divided, too."""
    data = text.encode("utf-16")

    assert document_bytes.from_utf16(data) == text.encode()


@pytest.mark.parametrize("cut", [1, 3])
def test_utf_16_that_ends_within_a_character_is_an_error(cut: int) -> None:
    """Half a character is not dropped."""
    with pytest.raises(UnicodeError):
        document_bytes.from_utf16("a\U0001f600".encode("utf-16")[:-cut])


def test_a_document_with_a_thousand_comments_before_its_root_is_parsed_and_with_more_refused() -> None:
    """T-X4: each of them costs a step."""
    allowed = b"<!---->" * document_bytes.MOST_ITEMS

    assert document_bytes.refusal(allowed + b"<a/>") == ""
    assert "more than 1000 comments" in document_bytes.refusal(allowed + b" <?b?><a/>")


@pytest.mark.parametrize(
    "document",
    [
        b"<a/>" * PIECE,
        b"</a>" * PIECE,
        b" " * 4 * PIECE + b"<a/>",
        b"<!--" + b"-" * 4 * PIECE + b">--><a/>",
        b"<?xml " + b"x" * 4 * PIECE,
        b"=" * 4 * PIECE,
    ],
    ids=["elements", "ends", "blanks", "comment", "declaration", "text"],
)
def test_no_call_looks_at_more_than_a_piece(document: bytes) -> None:
    """T-X4: the event loop waits for the lock as long as the longest call."""
    Watched.longest = 0
    watched = Watched(document)

    document_bytes.without_blanks(watched)
    document_bytes.declaration(watched)
    document_bytes.refusal(watched)
    list(document_bytes.elements(watched))
    document_bytes.has(watched, b"encodingStyle")

    assert 0 < Watched.longest <= PIECE + len(b"encodingStyle")
