"""The templates and static files: nothing that the policy forbids, a token in each form, and all texts for gettext."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import ROOT

from postscan.console.rendering import environment

TEMPLATES = sorted((ROOT / "console" / "templates").rglob("*.html"))
STATIC = sorted(path for path in (ROOT / "console" / "static").iterdir() if path.is_file())
SOURCES = sorted((ROOT / "console").rglob("*.py"))
NAMES = {"postscan", "SHA"}
"""Words that are the same in each language; SHA-256 is the name of a method."""

FORBIDDEN = {
    "what is not escaped": r"\|\s*safe\b|\bMarkup\b|autoescape",
    "an inline style": r"\bstyle\s*=|<style",
    "an inline handler": r"[\s\"']on[a-z]+\s*=",
    "an inline script": r"<script(?![^>]*\ssrc=)",
    "another host": r"(?:src|href|action|formaction|poster)\s*=\s*[\"']?(?:https?:)?//",
}


def name(path: Path) -> str:
    """Return the name of a parameter."""
    return path.name


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_a_template_has_nothing_that_the_policy_forbids(path: Path) -> None:
    """T-C2: texts of devices and filters stay text, and the Content-Security-Policy needs no exception."""
    text = path.read_text()

    assert [what for what, pattern in FORBIDDEN.items() if re.search(pattern, text)] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_each_form_that_changes_something_has_its_token(path: Path) -> None:
    """T-C1."""
    forms = re.findall(r"<form\b[^>]*method=[\"']?post.*?</form>", path.read_text(), re.DOTALL | re.IGNORECASE)

    assert [form for form in forms if "csrf()" not in form] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_each_text_of_a_template_is_passed_to_gettext(path: Path) -> None:
    """So that the console can be translated: text between tags, and the attributes that are read to people."""
    shown = _without_expressions(path.read_text())
    attributes = re.findall(r"\s(?:alt|title|placeholder|aria-label)=\"([^\"]*)\"", shown)
    shown = re.sub(r"<(code|pre)\b.*?</\1>", " ", shown, flags=re.DOTALL)  # commands are the same in each language
    texts = [re.sub(r"<[^>]*>|&\w+;", " ", shown), *attributes]
    words = {word for text in texts for word in re.findall(r"[A-Za-z]{2,}", text)}

    assert words - NAMES == set()


def _without_expressions(source: str) -> str:
    """Return a template without its expressions, its blocks, its comments, and what stands in `trans`."""
    parts, is_translated, block = [], False, ""
    for _line, kind, value in environment().lex(source):
        if kind == "block_begin":
            block = ""
        elif kind == "name" and not block:
            block = value
            is_translated = {"trans": True, "endtrans": False}.get(value, is_translated)
        elif kind == "data" and not is_translated:
            parts.append(value)
        elif kind == "variable_begin":
            block = "expression"
    return "".join(parts)


@pytest.mark.parametrize("path", STATIC, ids=name)
def test_a_static_file_names_no_other_host(path: Path) -> None:
    """A page of ours asks no server of others for anything: addresses of namespaces and comments are asked by none."""
    found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"']*", path.read_text("utf-8"))

    assert [url for url in found if "www.w3.org/" not in url] == [] or path.suffix == ".md"


def test_the_sheet_is_small() -> None:
    """Each page waits for it."""
    assert (ROOT / "console" / "static" / "console.css").stat().st_size <= 16 * 1024


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_of_the_console_marks_a_text_as_safe(path: Path) -> None:
    """T-C2: the templates alone make HTML."""
    assert not re.search(r"\bMarkup\b|markupsafe|HTMLResponse\(", path.read_text())
