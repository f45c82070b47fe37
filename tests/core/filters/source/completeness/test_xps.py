"""What of an XPS is walked through, and what of it is not clear."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from examined_files import found
from packed_files import archive, long_numbers


def package(*names: str) -> bytes:
    """Return an archive of these parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, b"a part")
    return file.getvalue()


def changed(content: bytes, signature: bytes, place: int, layout: str, value: int) -> bytes:
    """Return an archive with another number in the last record that has this signature."""
    copy = bytearray(content)
    struct.pack_into(layout, copy, content.rindex(signature) + place, value)
    return bytes(copy)


@pytest.mark.parametrize("name", ["Doc.FDSEQ", "doc.fdseq/[0].piece", "doc.fdseq/[0].last.piece"])
def test_a_fixed_document_sequence_makes_it_an_xps(name: str) -> None:
    """In one part or in pieces."""
    assert found(package("[Content_Types].xml", name)) == "whole: "


def test_another_archive_is_not_clear() -> None:
    """A document of Word is a package as well."""
    content = package("[Content_Types].xml", "word/document.xml", "a.fdseq.txt")

    assert found(content) == "unknown: it is a ZIP archive without a fixed document sequence"


def test_the_comment_may_have_the_mark_of_an_end_record() -> None:
    """The last record counts whose comment is in the file."""
    assert found(archive(comment=b"PK\x05\x06 and more than that follows")) == "whole: "
    assert found(archive(comment=b"a comment")[:-1]) == "cut: it has no end record"


def test_an_archive_inside_is_not_the_archive() -> None:
    """Cut behind it, the file has an end record that is right for another begin."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as outer:
        outer.writestr("inner.zip", archive())
        outer.writestr("doc.fdseq", b"")
    content = file.getvalue()
    end = content.index(archive()) + len(archive())

    assert found(content) == "whole: "
    assert found(content[:end]).startswith("unknown: its directory does not end at byte")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (changed(archive(), b"PK\x05\x06", 10, "<H", 5), "no entry of its directory is at byte"),
        (changed(archive(), b"PK\x01\x02", 0, "<H", 0), "no entry of its directory is at byte"),
        (changed(archive(), b"PK\x01\x02", 20, "<I", 999), "ends behind the begin of the directory"),
        (changed(archive(), b"PK\x01\x02", 42, "<I", 999), "ends behind the begin of the directory"),
        (changed(archive(), b"PK\x01\x02", 42, "<I", 0xFFFF_FFFF), "ends behind the begin of the directory"),
        (changed(long_numbers(), b"PK\x06\x07", 8, "<Q", 3), "no end record of ZIP64 is at byte 3"),
    ],
    ids=["too many entries", "no entry", "size", "offset", "offset without its field", "ZIP64"],
)
def test_a_broken_directory_is_not_clear(content: bytes, reason: str) -> None:
    """It has an end record, so nothing is missing at its end."""
    assert found(content).startswith("unknown: ")
    assert reason in found(content)


def test_a_record_of_zip64_behind_the_end_is_missing() -> None:
    """Its offset is in the file."""
    assert found(changed(long_numbers(), b"PK\x06\x07", 8, "<Q", 9999)).startswith("cut: it refers to byte 10054")


def test_numbers_of_zip64_count() -> None:
    """A size of eight bytes that is wrong is noticed."""
    content = long_numbers()
    sizes = content.rindex(b"\x01\0\x18\0") + 4

    assert found(content) == "whole: "
    assert found(content[: sizes + 8] + struct.pack("<Q", 9999) + content[sizes + 16 :]).endswith(
        "begin of the directory"
    )
