"""Print docs/conformance.md: every line of the checklists, and the tests that show it.

The lines are in tests/conformance/checklists.toml. A test, anywhere in tests/, shows the lines of its marker:
`@pytest.mark.conformance("DSC-049", "DSC-050")`.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
CHECKLISTS = TESTS / "conformance" / "checklists.toml"
MARKER = "pytest.mark.conformance"
TITLES = {
    "DSP": "WS-DSP: the service for devices",
    "PSP": "Scan processes and filters",
    "DPW": "DPWS: discovery, metadata, eventing and addressing",
    "DSC": "WS-DSC: the service for administrators",
    "WSS": "WS-Scan: presses at the panel of a scanner",
    "ESCL": "eSCL, and HP's walk-up events",
}
_LINE = re.compile(
    r"(MUST \(step\)|MUST|SHOULD|MAY|rule) (server|client|both|device|source|simulator): (.*)", re.DOTALL
)
_OURS = ("server", "both", "source", "simulator")


@dataclass(frozen=True)
class Line:
    """One line of a checklist: its ID, its level, the side that it binds, and the requirement."""

    id: str
    level: str
    side: str
    text: str

    @property
    def binds_us(self) -> bool:
        """Whether the line applies to a part of postscan: the server, a source or the simulated scanner."""
        return self.side in _OURS


@dataclass(frozen=True)
class Checklists:
    """All lines by checklist; the reasons of deviations, and of lines that are not implemented yet."""

    lines: dict[str, list[Line]]
    deviations: dict[str, str]
    later: dict[str, str]


def checklists() -> Checklists:
    """Read the file of the checklists; raise `ValueError` for a line without level or side."""
    table = tomllib.loads(CHECKLISTS.read_text("utf-8"))
    lines = {key: [_line(id, text) for id, text in table[key].items()] for key in TITLES}
    return Checklists(lines, table["deviations"], table["later"])


def marked_tests() -> dict[str, list[str]]:
    """Return the tests that have each line in their marker, as `file::test`; raise `ValueError` for a bad marker."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text("utf-8")
        if re.search(rf"^pytestmark = .*{re.escape(MARKER)}", text, re.MULTILINE):
            raise ValueError(
                f"{file.relative_to(TESTS)}: {MARKER} belongs to single tests, so that the page names them"
            )
        for node in ast.walk(ast.parse(text)) if MARKER in text else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for line in _lines_of(node):
                    found[line].append(f"{file.relative_to(TESTS)}::{node.name}")
    return found


def _lines_of(test: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the lines in the markers of a test."""
    lines: list[str] = []
    for decorator in test.decorator_list:
        if ast.unparse(decorator).startswith(MARKER):
            if not isinstance(decorator, ast.Call) or not decorator.args or not test.name.startswith("test_"):
                raise ValueError(f"{test.name}: expected a test, and lines in its {MARKER}")
            lines += [ast.literal_eval(one) for one in decorator.args]
    return lines


def untested(lists: Checklists, tests: dict[str, list[str]]) -> list[str]:
    """Return the lines that bind postscan, and that no test shows."""
    return [
        line.id
        for lines in lists.lines.values()
        for line in lines
        if line.binds_us and line.id not in lists.later and line.id not in tests
    ]


def page() -> str:
    """Return the page."""
    lists, tests = checklists(), marked_tests()
    parts = [_INTRODUCTION, _count(lists, tests)]
    for key, lines in lists.lines.items():
        parts.append(f"## {TITLES[key]}\n\n{_table(lines, lists, tests)}")
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """# Conformance

The requirements of the protocols, line by line, and the tests of each. The first four checklists bind a scan server.
Their lines are digests of Microsoft's documents on WS-DSP and WS-DSC ([MS-BDSRR]) and of the profile that these use
(DPWS 2006/02 with WS-Discovery, WS-Addressing, WS-Eventing, WS-Transfer and MTOM). The other two bind a client of
scanners, here a *source*, and the *simulator*, a scanner in software that tests it. "Section" means a section of the
page that has the line, in [protocol](protocol/README.md). Each test has the lines that it shows in its marker,
`pytest.mark.conformance`; its path counts from `tests/`. Lines that bind the other side only are listed for
completeness.

This page is generated: `python tools/conformance_page.py > docs/conformance.md`. The decisions where the
documents leave a choice are in [protocol-notes.md](protocol-notes.md)."""


def _count(lists: Checklists, tests: dict[str, list[str]]) -> str:
    rows = ["| Checklist | Lines that bind postscan | Tested | Kept differently | Not yet |", "|---|---|---|---|---|"]
    for key, lines in lists.lines.items():
        ours = [line.id for line in lines if line.binds_us]
        due = [id for id in ours if id not in lists.later]
        tested = sum(id in tests for id in due)
        different = sum(id in lists.deviations for id in ours)
        rows.append(f"| {TITLES[key]} | {len(ours)} | {tested} of {len(due)} | {different} | {len(ours) - len(due)} |")
    return "\n".join(rows)


def _table(lines: list[Line], lists: Checklists, tests: dict[str, list[str]]) -> str:
    rows = ["| Line | Binds | Requirement | Tests | Deviation, and its reason |", "|---|---|---|---|---|"]
    for line in lines:
        named = "<br>".join(f"`{name}`" for name in tests.get(line.id, ()))
        why = lists.deviations.get(line.id) or (f"Not yet: {lists.later[line.id]}" if line.id in lists.later else "")
        rows.append(f"| {line.id} | {line.side}: {line.level} | {_cell(line.text)} | {named} | {_cell(why)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _line(id: str, text: str) -> Line:
    match = _LINE.fullmatch(text)
    if match is None:
        raise ValueError(f"{id} is {text!r}; expected a level, a side, a colon and a sentence")
    return Line(id, *match.groups())


if __name__ == "__main__":
    sys.stdout.write(page())
