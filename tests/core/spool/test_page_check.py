"""The hashes of pages, compared with their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from postscan.core.model.job import JobDocument
from postscan.core.spool.page_check import first_changed

CONTENT = bytes(3 << 20)


@pytest.fixture
def pages(tmp_path: Path) -> list[JobDocument]:
    """Three pages of three chunks each."""
    for number in (1, 2, 3):
        (tmp_path / str(number)).write_bytes(CONTENT)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return [JobDocument(number, "png", len(CONTENT), sha256, str(number)) for number in (1, 2, 3)]


def test_pages_with_the_hashes_of_their_rows_are_unchanged(pages: list[JobDocument], tmp_path: Path) -> None:
    """Each is read to its end."""
    assert first_changed(pages, lambda one: tmp_path / one.blob, lambda: False) is None


@pytest.mark.parametrize("change", [CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
def test_the_first_page_with_other_bytes_is_named(pages: list[JobDocument], tmp_path: Path, change: bytes) -> None:
    """Shorter, longer, or other ones."""
    for number in (2, 3):
        (tmp_path / str(number)).write_bytes(change)

    assert first_changed(pages, lambda one: tmp_path / one.blob, lambda: False) == 2


def test_it_ends_within_a_page_when_the_job_is_cancelled(pages: list[JobDocument], tmp_path: Path) -> None:
    """A page may have gigabytes."""
    answers: Iterator[bool] = iter((False, False, True))

    assert first_changed(pages, lambda one: tmp_path / one.blob, lambda: next(answers)) is None
    assert next(answers, None) is None


def test_a_page_that_cannot_be_read_is_an_error(pages: list[JobDocument], tmp_path: Path) -> None:
    """The disk may have it again later: the pipeline tries again."""
    (tmp_path / "1").unlink()
    with pytest.raises(FileNotFoundError):
        first_changed(pages, lambda one: tmp_path / one.blob, lambda: False)
