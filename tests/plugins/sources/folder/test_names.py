"""Names of files: which are left alone, and others that are made of them."""

from __future__ import annotations

import os

import pytest

from postscan.plugins.sources.folder import names
from postscan.plugins.sources.folder.settings import IGNORED, TEMPORARY


@pytest.mark.parametrize("name", ["a.tmp", "A.TMP", "a.pdf.part", "~a.pdf", "~$a.pdf", "a.filepart", "a.crdownload"])
def test_temporary_names_are_known_in_any_case(name: str) -> None:
    """As programs spell them."""
    assert names.matches(name, TEMPORARY)


@pytest.mark.parametrize("name", ["scan.pdf", "tmp", "part.pdf", "a~.pdf", "\udcff.pdf", "thumbs.db.pdf"])
def test_other_names_are_scans(name: str) -> None:
    """What a scanner calls its files."""
    assert not names.matches(name, (*TEMPORARY, *IGNORED))
    assert not names.is_hidden(name)


@pytest.mark.parametrize("name", ["a.png", "a", "a." + "x" * 253, "é" * 127, "\udcff" * 255, "x" * 251 + ".png"])
def test_names_that_are_made_fit_the_file_system(name: str) -> None:
    """And differ from the first one."""
    for made in (names.numbered(name), names.beside(name, ".txt"), names.aside(name)):
        assert made != name
        assert len(os.fsencode(made)) <= names.LONGEST


def test_another_name_keeps_the_suffix() -> None:
    """By which programs know the kind of a file."""
    assert names.numbered("scan.png").startswith("scan-")
    assert names.numbered("scan.png").endswith(".png")


@pytest.mark.parametrize("name", ["scan.png", "-", "\udcff.png", ".png", "a\nb"])
def test_a_hidden_name_leads_back(name: str) -> None:
    """After a crash the file gets its name again."""
    assert names.is_hidden(names.aside(name))
    assert names.put_back_name(names.aside(name)) == name


@pytest.mark.parametrize("name", [".postscan", ".postscan-1234", ".postscan-12345678", "postscan-12345678-a", ".a"])
def test_other_hidden_names_lead_nowhere(name: str) -> None:
    """They are of other programs."""
    assert names.put_back_name(name) == ""


def test_a_name_is_shown_as_text() -> None:
    """What is no UTF-8 cannot be stored."""
    assert names.shown(os.fsdecode(b"Gr\xfc\xc3\x9fe")) == "Gr\N{REPLACEMENT CHARACTER}\xdfe"
