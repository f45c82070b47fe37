"""What of a PDF is walked through, and what of it is not clear."""

from __future__ import annotations

import re

import pytest
from examined_files import found
from pdf_files import rewritten, scanned, update, xref_of

from postscan.core.filters.source.completeness import pdf


def leading_to(offset: int) -> bytes:
    """Return a PDF whose startxref has another number."""
    return re.sub(rb"startxref\n\d+", b"startxref\n%d" % offset, scanned())


def test_a_table_behind_the_end_is_missing() -> None:
    """Bytes between may have been lost, as by a transfer of text."""
    assert found(leading_to(99_999)).startswith("cut: it refers to byte 99999, and ends after")


def test_a_number_that_leads_to_no_table_is_not_clear() -> None:
    """Viewers repair such a file."""
    assert found(leading_to(20)) == "unknown: no cross-reference table or stream is at byte 20"


@pytest.mark.parametrize("blanks", [b"\n", b"\r\n  "])
def test_the_number_may_lead_to_blanks_before_the_table(blanks: bytes) -> None:
    """Some writers count so."""
    assert found(scanned().replace(b"\nxref", blanks + b"xref")) == "whole: "


def test_an_object_that_is_no_table_is_not_clear() -> None:
    """A stream of another type."""
    content = scanned()

    assert found(leading_to(content.index(b"1 0 obj"))).startswith("unknown: no cross-reference table or stream")


def test_a_table_without_a_trailer_is_not_clear() -> None:
    """The trailer has what leads further."""
    assert found(scanned().replace(b"trailer", b"TRAILER")).startswith("unknown: no cross-reference table or stream")


def test_startxref_is_expected_before_the_end_mark() -> None:
    """Without it the end mark may be that of another file, inside."""
    reason = "there is no startxref before its end mark (%EOF)".replace("%", "%%")

    assert found(scanned().replace(b"startxref", b"startxerf")) == f"unknown: {reason}"


def test_zero_leads_nowhere() -> None:
    """It is what stands at the begin of a linearized file."""
    linearized = rewritten(linearize=True)
    first_end = linearized.index(b"%%EOF") + 5

    assert found(leading_to(0)) == "unknown: its startxref is 0"
    assert found(linearized[:first_end]) == "cut: its startxref is 0, as at the begin of a linearized file"


def test_a_linearized_file_knows_its_length() -> None:
    """What is missing may be all that another length would explain."""
    content = rewritten(linearize=True)
    length = str(len(content)).encode()
    longer = content.replace(b"/L " + length, b"/L " + b"9" * len(length))
    assert longer != content

    assert found(longer).startswith("unknown: it was linearized with 9")


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (b"\r\n" + bytes(5000), "whole"),
        (b"\n%%EOF\n", "whole"),
        (b"\n12 0 obj", "cut: 8 bytes follow its end mark (%%EOF), as if the file went on"),
        (b"\nxref\n0 1", "cut"),
        (b"\nendstream", "cut"),
        (b"\n</html>", "unknown: 7 bytes follow its end mark (%%EOF)"),
        (bytes(pdf.MOST_PADDING), "unknown: it ends with more than 65536 bytes of padding"),
    ],
)
def test_what_follows_the_end_mark(behind: bytes, expected: str) -> None:
    """Blanks and zeros are padding; the beginning of an update is no update; others append what they like."""
    assert found(scanned() + behind).startswith(expected)


@pytest.mark.parametrize("extra", [b"", b"/XRefStm 99999 "])
def test_earlier_tables_are_followed(extra: bytes) -> None:
    """An update refers to the revision before, and may refer to a stream beside its table."""
    first = scanned()
    later = first + update(first)

    assert found(later) == "whole: "
    assert found(first + update(first, earlier=99_999, extra=extra)).startswith("cut: it refers to byte 99999")
    assert found(first + update(first, earlier=3)) == "unknown: no cross-reference table or stream is at byte 3"


def test_a_stream_beside_a_table_is_followed() -> None:
    """Only some readers use it."""
    first = scanned()

    assert found(first + update(first, extra=b"/XRefStm 99999 ")).startswith("cut: it refers to byte 99999")


def test_tables_that_form_a_ring_are_not_clear() -> None:
    """Each is read once."""
    first = scanned()
    begin = xref_of(first + update(first))

    assert found(first + update(first, earlier=begin)) == "unknown: its cross-reference sections form a ring"


def test_tables_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may cost a pass over what is left of the file."""
    monkeypatch.setattr(pdf, "MOST_SECTIONS", 3)
    content = scanned()
    for _ in range(2):
        content += update(content)

    assert found(content) == "whole: "
    assert found(content + update(content)) == "unknown: it has more than 3 cross-reference sections"


def test_the_key_of_a_bookmark_is_no_earlier_table() -> None:
    """Its /Prev is a reference to an object."""
    assert found(scanned().replace(b"/Size", b"/Prev 99999 0 R /Size")) == "whole: "


def test_an_earlier_table_at_0_is_none() -> None:
    """The header is there; some writers leave the key in the first revision."""
    assert found(scanned().replace(b"/Size", b"/Prev 0 /Size")) == "whole: "
