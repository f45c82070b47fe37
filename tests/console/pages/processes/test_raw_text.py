"""Files of a process in a text control of a browser, which changes line ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.console.pages.processes import raw_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\t"), max_size=30)


def by_a_browser(text: str) -> str:
    """Return what a browser submits of the text of a control: all line ends are CRLF."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


@given(TEXTS, st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]))
def test_a_text_that_is_saved_as_it_was_shown_is_the_same_file(text: str, mark: bytes) -> None:
    """Byte for byte, whatever its encoding and its line ends are."""
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(mark, "utf-8")
    file = mark + text.encode(encoding)
    shown = raw_text.shown(file)

    assert shown is not None
    assert raw_text.submitted(by_a_browser(shown), file) == file


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        (b"<a/>\n", "<b/>\r\n", b"<b/>\n"),
        (b"<a/>\r\n", "<b/>\r\n<c/>", b"<b/>\r\n<c/>"),
        (b"<a/>\r\n\n", "<b/>\r\n", b"<b/>\n"),
        (None, "<b/>\r\n", b"<b/>\n"),
        (b"\xff\xfe" + "<a/>\r\n".encode("utf-16-le"), "<b/>\r\n", b"\xff\xfe" + "<b/>\r\n".encode("utf-16-le")),
        (None, "", None),
        (b"<a/>", "", b""),
    ],
)
def test_a_changed_text_has_the_encoding_and_the_line_ends_of_the_file(
    before: bytes | None, text: str, after: bytes | None
) -> None:
    """As an editor would save it."""
    assert raw_text.submitted(text, before) == after


def test_a_file_in_another_encoding_has_no_text() -> None:
    """It is not shown with characters that it has not."""
    assert raw_text.shown(b"\xe4") is None
