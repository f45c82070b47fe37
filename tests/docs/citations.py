"""Find citations in docstrings, comments and documents, and whether the document that they cite defines them.

CONTRIBUTING.md, "How we cite", has the forms. A citation is looked for in a *passage*: a docstring, a run of comments,
a paragraph or a table row of a Markdown page, a line of a TOML file. Code in Markdown fences is not looked at.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from statements import statements

PROTOCOL: Final = {
    "DSP": "ws-dsp.md",
    "DSC": "ws-dsc.md",
    "DPW": "dpws.md",
    "PSP": "scan-process.md",
    "WSS": "ws-scan.md",
    "ESCL": "escl.md",
}
"""The digest of each checklist."""

OPEN_POINTS: Final = {"O": "ws-dsp.md", "P": "scan-process.md", "W": "dpws.md", "WS": "ws-scan.md"}
"""The digest that settles the open points of each letter."""

GENERATED: Final = ("docs/settings.md", "LICENSE", "requirements.lock")

_PUBLIC: Final = (
    r"RFC \d+|\[?MS-[A-Z]+\]?|TIFF|SOAP 1\.2|SOAP-over-UDP|XML Schema|XML 1\.0|MTOM|XOP|DPWS R\d{4}|ISO(?:/IEC)? \d+"
    r"|WS-(?:Addressing|Discovery|Eventing|Transfer|MetadataExchange)|W3C|OASIS|POSIX|PDF/A"
)
_SOURCE: Final = re.compile(rf"(?P<page>(?:[\w.-]+/)*[\w-]+\.md)\b(?!\.in)|(?P<public>{_PUBLIC})")
_NUMBERS: Final = r"\d+(?:\.\d+)*(?:(?:,| and|, and| to|-|–) \d+(?:\.\d+)*)*"
_SECTION: Final = re.compile(rf"\b[Ss]ections? (?P<numbers>{_NUMBERS})")
_QUIRK: Final = re.compile(r"\b[Qq]uirks? (?P<numbers>\d+(?:(?:,| and| to) \d+)*)")
_PAGE: Final = re.compile(r"(?<![\w./-])(?:[\w.-]+/)*[\w-]+\.md\b(?!\.in)")
_ID: Final = re.compile(
    r"(?<![\w-])(?:(?P<line>(?:DSP|DSC|DPW|PSP|WSS|ESCL)-\d{3})|(?P<threat>T-[A-Z]\d+)|(?P<fault>F-[RS]\d+)"
    r"|(?P<point>(?:[OPW]|WS)-\d{1,2})|(?P<invariant>I\d{1,2})|(?P<decision>D\d{1,2}))(?![\w-]|\.\w)"
)
_NUMBERED: Final = re.compile(r"\b(?P<word>[Rr]uling|[Pp]romise|[Dd]ecision)s? (?P<numbers>\d+(?:(?:,| and| to) \d+)*)")
_BARE: Final = re.compile(r"(?<![\w./~-])(?<!\d )[ACFHMOQRSX]\d{1,2}(?![\w-]|\.\w)")
_OLD: Final = re.compile(
    r"\b(?:WS-DS[PC]|DPWS|[Ss]can-process)\s+digest|\b[Dd]igest, (?:sections? \d|quirks? \d|W-)"
    r"|\b[Tt]hreats?,?\s+[A-Z]\d+|\b[Ff]aults? R\d+|\b[Dd]ecisions? D\d+"
)
_FORMS: Final = (_SECTION, _QUIRK, _PAGE, _ID, _NUMBERED, _BARE, _OLD)
"""All that may be a citation, each within a line."""

_NO_IDS: Final = frozenset({"A3", "A4", "A5", "C0", "C1", "C4", "S3"})
"""Not IDs: sizes of paper, the two sets of control characters, a rule of ruff, an object store."""

_CODE: Final = re.compile(r"`[^`\n]{16,}`")
"""Code within a line; what is shorter may be an ID or the name of a page."""

_ROW: Final = re.compile(r"^(?:\|\s*|\*\s+)?(DSP|DSC|DPW|PSP|WSS|ESCL)-\d{3}\b")


@dataclass(frozen=True, order=True)
class Wrong:
    """A citation that leads nowhere."""

    path: str
    line: int
    cited: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.cited}: {self.why}"


@dataclass(frozen=True)
class Passage:
    """A piece of prose, and the number of its first line."""

    text: str
    line: int


class Documents:
    """What the documents of a checkout define."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.pages = {path.relative_to(root).as_posix() for path in (*root.glob("*.md"), *root.glob("docs/**/*.md"))}
        self.pages |= {path.relative_to(root).as_posix() for path in root.glob("examples/**/*.md")}
        self._by_name: dict[str, list[str]] = {}
        for page in self.pages:
            self._by_name.setdefault(page.rpartition("/")[2], []).append(page)
        self.ids = self._defined()

    def page(self, cited: str, near: str) -> str | None:
        """Return the page that *cited* names: from the root, from the folder of *near*, or by a name that is unique."""
        beside = (Path(near).parent / cited).as_posix()
        for path in (cited, _normal(beside)):
            if path in self.pages or (path.endswith(".md") and (self._root / path).is_file()):
                return path
        found = self._by_name.get(cited, []) if "/" not in cited else []
        return found[0] if len(found) == 1 else None

    @cache  # noqa: B019  # one object lives as long as a test run
    def text(self, page: str) -> str:
        """Return a page without its fenced code."""
        return _unfenced((self._root / page).read_text("utf-8"))

    @cache  # noqa: B019
    def sections(self, page: str) -> frozenset[str]:
        """Return the numbers of a page's headings."""
        return frozenset(re.findall(r"^#{1,6} (\d+(?:\.\d+)*)\b\.? ", self.text(page), re.MULTILINE))

    @cache  # noqa: B019
    def quirks(self, page: str) -> frozenset[str]:
        """Return the numbers of the list below a page's heading on quirks."""
        found = re.search(r"^## \d+\. Quirks.*?(?=^## |\Z)", self.text(page), re.MULTILINE | re.DOTALL)
        return frozenset(re.findall(r"^(\d+)\. ", found[0], re.MULTILINE)) if found else frozenset()

    def _defined(self) -> frozenset[str]:
        ids: set[str] = set()
        for page, pattern in {
            **{f"docs/protocol/{name}": rf"^(?:\| |\* )({key}-\d{{3}})\b" for key, name in PROTOCOL.items()},
            "docs/security/threats.md": r"^\| (T-[A-Z]\d+) \|",
            "docs/faults.md": r"\| (F-[RS]\d+) \|",
            "docs/invariants.md": r"^- \*\*(I\d+)\*\*",
        }.items():
            ids |= set(re.findall(pattern, self._if_there(page), re.MULTILINE))
        for key, name in OPEN_POINTS.items():
            ids |= set(re.findall(rf"^\| ({key}-\d+) \|", self._if_there(f"docs/protocol/{name}"), re.MULTILINE))
        promises = re.findall(r"^(\d+)\. \*\*", self._if_there("docs/cancellation.md"), re.MULTILINE)
        ids |= {f"promise {number}" for number in promises}
        for page in self.pages:
            if match := re.match(r"docs/decisions/(\d{4})-", page):
                ids |= {f"decision {int(match[1])}", *settled(self._if_there(page))}
        return frozenset(ids)

    def _if_there(self, page: str) -> str:
        return self.text(page) if page in self.pages else ""


def settled(page: str) -> list[str]:
    """Return the IDs that a decision's page settles: `D14`, `ruling 8`."""
    found = re.search(r"^Settles: (.*?)\.$", page, re.MULTILINE | re.DOTALL)
    if found is None:
        return []
    decisions, _, rulings = found[1].partition("ruling")
    return re.findall(r"D\d+", decisions) + [f"ruling {number}" for number in re.findall(r"\d+", rulings)]


def tracked(root: Path) -> list[str]:
    """Return the files that are looked at."""
    listed = subprocess.run(["git", "ls-files", "*.py", "*.md", "*.toml"], cwd=root, capture_output=True, check=True)
    return [path for path in listed.stdout.decode().splitlines() if path not in GENERATED and (root / path).is_file()]


def wrong_in(root: Path) -> list[Wrong]:
    """Return every citation of a checkout that leads nowhere."""
    documents = Documents(root)
    return [one for path in tracked(root) for one in wrong(path, (root / path).read_text("utf-8"), documents)]


def wrong(path: str, text: str, documents: Documents) -> list[Wrong]:
    """Return the citations in one file that lead nowhere, each once for its line."""
    found = {
        Wrong(path, passage.line + passage.text[:at].count("\n"), " ".join(cited.split()), why)
        for passage in passages(path, text)
        for at, cited, why in _wrong(passage.text, path, documents)
    }
    return sorted(found)


def passages(path: str, text: str) -> Iterator[Passage]:
    """Yield the prose of a file."""
    if path.endswith(".py"):
        yield from _docstrings(text)
        yield from _comments(text)
    elif path.endswith(".md"):
        yield from _paragraphs(_CODE.sub(lambda match: " " * len(match[0]), _unfenced(text)))
    else:
        yield from (Passage(line, number) for number, line in enumerate(text.splitlines(), 1))


def _wrong(text: str, path: str, documents: Documents) -> Iterator[tuple[int, str, str]]:
    for match in _PAGE.finditer(text):
        if documents.page(match[0], path) is None:
            yield match.start(), match[0], "there is no such page"
    old = [range(match.start(), match.end() + 1) for match in _OLD.finditer(text)]
    for span in old:
        yield span.start, text[span.start : span.stop - 1], "not one of the forms in CONTRIBUTING.md"
    for match in _ID.finditer(text):
        if match[0] not in documents.ids:
            yield match.start(), match[0], "no document defines it"
    for match in _BARE.finditer(text):
        if match[0] not in _NO_IDS and not any(match.start() in span for span in old):
            yield match.start(), match[0], "an ID without the letter of its document"
    for match in _NUMBERED.finditer(text):
        for number in re.findall(r"\d+", match["numbers"]):
            if f"{match['word'].lower()} {number}" not in documents.ids:
                yield match.start(), match[0], f"no document has {match['word'].lower()} {number}"
    yield from _wrong_sections(text, path, documents)


def _wrong_sections(text: str, path: str, documents: Documents) -> Iterator[tuple[int, str, str]]:
    """Judge each reference to a section or a quirk by the nearest source before it, else by the page that it is in."""
    own = _own_page(text, path)
    for pattern, kind in ((_SECTION, "section"), (_QUIRK, "quirk")):
        for match in pattern.finditer(text):
            source = max(_SOURCE.finditer(text, 0, match.start()), key=lambda one: one.start(), default=None)
            last_old = max((one.end() for one in _OLD.finditer(text, 0, match.end())), default=0)
            if last_old > (source.end() if source else 0):
                continue  # it is reported as that
            following = _SOURCE.match(text[match.end() :].removeprefix(" of "))
            if (source and source["public"]) or (following and following["public"]):
                continue
            cited = source or (following if following and following["page"] else None)
            page = documents.page(cited["page"], path) if cited else own
            if page is None:
                yield match.start(), match[0], "of which document?"
                continue
            known = documents.sections(page) if kind == "section" else documents.quirks(page)
            for number in re.findall(r"\d+(?:\.\d+)*", match["numbers"]):
                if number not in known:
                    yield match.start(), match[0], f"{page} has no {kind} {number}"


def _own_page(text: str, path: str) -> str | None:
    """Return the page that a section without a source belongs to: the page itself, or a checklist's digest."""
    row = _ROW.match(text)
    if row and path in ("docs/conformance.md", "tests/conformance/checklists.toml"):
        return f"docs/protocol/{PROTOCOL[row[1]]}"
    return path if path.endswith(".md") else None


def _docstrings(text: str) -> Iterator[Passage]:
    for node in statements(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield Passage(node.value.value, node.lineno)


def _may_cite(text: str) -> bool:
    """Return whether a line with a comment may cite something: tokens are slow to find, and few files have one."""
    lines = "\n".join(line for line in text.split("\n") if "#" in line)
    return any(pattern.search(lines) for pattern in _FORMS)


def _comments(text: str) -> Iterator[Passage]:
    """Yield runs of comments on lines that follow each other; nothing of a file whose comments cannot cite anything."""
    if not _may_cite(text):
        return
    lines: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if lines and token.start[0] == last + 1 and token.line.strip().startswith("#"):
            lines.append(token.string)
        else:
            if lines:
                yield Passage("\n".join(lines), first)
            lines, first = [token.string], token.start[0]
        last = token.start[0]
    if lines:
        yield Passage("\n".join(lines), first)


def _paragraphs(text: str) -> Iterator[Passage]:
    """Yield paragraphs, list items and table rows."""
    lines: list[str] = []
    first = 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if lines and (not line.strip() or re.match(r"\s*(?:\||[*-] |\d+\. |#)", line)):
            yield Passage("\n".join(lines), first)
            lines = []
        if line.strip():
            if not lines:
                first = number
            lines.append(line)


def _unfenced(text: str) -> str:
    """Return Markdown with its fenced code blanked, so that line numbers stay."""
    return re.sub(r"^```.*?^```$", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
