"""Every citation leads to a document that a reader can open, and that defines what is cited."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from docs import citations

ROOT = Path(__file__).parents[2]

DECISIONS = ROOT / "docs" / "decisions"


@pytest.fixture(scope="module")
def documents() -> citations.Documents:
    """What the documents of this checkout define."""
    return citations.Documents(ROOT)


def test_every_citation_leads_somewhere() -> None:
    """CONTRIBUTING.md, "How we cite", has the forms."""
    assert [str(one) for one in citations.wrong_in(ROOT)] == []


# --- the checker itself ----------------------------------------------------------------------------------------------


def found(text: str, documents: citations.Documents, path: str = "core/anything.py") -> list[tuple[int, str]]:
    """Return line and text of the wrong citations in a file with this content."""
    return [(one.line, one.cited) for one in citations.wrong(path, text, documents)]


@pytest.mark.parametrize(
    "cited",
    [
        "T-Z9",
        "T-A99",
        "F-R99",
        "F-S99",
        "I99",
        "D99",
        "DSP-999",
        "DSC-999",
        "DPW-999",
        "PSP-999",
        "WSS-999",
        "ESCL-999",
        "O-99",
        "P-99",
        "W-99",
        "WS-99",
        "ruling 99",
        "rulings 2 and 99",
        "promise 99",
        "decision 999",
        "docs/no" + "where.md",
        "no" + "where.md",
        "../spec/ws-d" + "sp-old.md",
        "section 9",
        "sections 8 and 11",
        "quirk 7",
        "WS-DSP digest",
        "threats A2",
        "fault R18",
        "decision D14",
        "H2",
        "R18",
    ],
)
def test_a_wrong_citation_is_found(cited: str, documents: citations.Documents) -> None:
    """In a docstring and in a comment of code, on a page, and in a TOML file; with its line."""
    assert found(f'"""Do it.\n\nSource: {cited}.\n"""\n', documents) == [(1 + 2, cited)]
    assert found(f"x = 1\n# as {cited} says\n", documents) == [(2, cited)]
    assert found(f'why = "({cited})"\n', documents, "tests/anything.toml") == [(1, cited)]
    if not cited.startswith("section"):  # on a page, that is one of its own
        assert found(f"A page.\n\n* As {cited} says.\n", documents, "docs/why.md") == [(3, cited)]


@pytest.mark.parametrize(
    "cited",
    [
        "T-A2, T-M1 to T-M8; F-R1, F-S16; I27 to I29",
        "D14, D1 to D4, ruling 8, rulings 20 and 21, decision 13",
        "DSP-004, DSC-041, DPW-073, PSP-017, WSS-010, ESCL-043; O-12, P-4, W-2, WS-3",
        "promise 4, promises 3 and 6",
        "ws-dsp.md section 9, rule 3",
        "docs/protocol/dpws.md sections 6.2 and 8.1 (RFC 2396)",
        "ws-dsp.md section 10.1 and section 12 (quirks 5 to 9 and 22)",
        "dpws.md quirk 7",
        "docs/architecture.md",
        "RFC 5321 section 4.1.2",
        "section 4.1.2 of RFC 5321",
        "TIFF 6.0, section 2",
        "[MS-BDSRR] section 2.2.5.11",
        "XML Schema part 2, sections 3.2.6 and 3.2.7",
        "every page on A4, by DPWS R0038; Windows Server 2008 R2",
    ],
)
def test_what_leads_somewhere_is_not_found(cited: str, documents: citations.Documents) -> None:
    """The forms of CONTRIBUTING.md, and public documents."""
    assert found(f'"""Do it.\n\nSource: {cited}.\n"""\n', documents) == []
    assert found(f"A page: {cited}.\n", documents, "docs/why.md") == []


@pytest.mark.parametrize(
    ("cited", "expected"),
    [
        ("ws-dsp.md section 99", "section 99"),
        ("ws-dsp.md section 9; dpws.md sections 9 and 99", "sections 9 and 99"),
        ("scan-process.md quirks 2 and 99", "quirks 2 and 99"),
    ],
)
def test_a_section_that_its_page_does_not_have_is_found(
    cited: str, expected: str, documents: citations.Documents
) -> None:
    """The nearest document before it counts."""
    assert found(f"# {cited}\n", documents) == [(1, expected)]


def test_code_is_not_prose(documents: citations.Documents) -> None:
    """Neither texts of a program nor fenced code cite anything."""
    assert found('NAME = "T-Z9, section 9"\n', documents) == []
    assert found("```text\nT-Z9, section 9\n```\n", documents, "docs/why.md") == []


# --- the documents that are cited ------------------------------------------------------------------------------------


def test_the_digests_have_the_lines_of_the_checklists(documents: citations.Documents) -> None:
    """Word for word: the conformance page is made of the checklists, and readers look into the digests."""
    listed = tomllib.loads((ROOT / "tests" / "conformance" / "checklists.toml").read_text("utf-8"))
    for key, name in citations.PROTOCOL.items():
        text = documents.text(f"docs/protocol/{name}")
        lines = dict(re.findall(rf"^\* ({key}-\d{{3}}) (.*)$", text, re.MULTILINE))
        rows = re.findall(rf"^\| ({key}-\d{{3}}) \| [^|]* \| (\w+) \| ([^|]*) \| (.*) \|$", text, re.MULTILINE)
        lines |= {id: f"{level} {who}: {line}" for id, who, level, line in rows}

        assert lines == listed[key]


def test_the_index_of_the_decisions_has_every_id_and_every_page() -> None:
    """And leads to the page that settles it."""
    index = (DECISIONS / "README.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (D\d+|ruling \d+) \| \[\d+\. [^\]]*\]\(([^)]+)\) \|$", index, re.MULTILINE))
    pages = sorted(path.name for path in DECISIONS.glob("0*.md"))
    settled = {id: name for name in pages for id in citations.settled((DECISIONS / name).read_text("utf-8"))}

    assert rows == settled
    assert [name for name in pages if f"({name})" not in index.partition("## All pages")[2]] == []


def test_no_document_defines_an_id_twice() -> None:
    """A page settles what no other page settles."""
    ids = [id for path in sorted(DECISIONS.glob("0*.md")) for id in citations.settled(path.read_text("utf-8"))]

    assert sorted(set(ids)) == sorted(ids)
