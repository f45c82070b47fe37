"""The words of the shipped packages: names of the field, one meaning each, and all of them in the glossary."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest
from documents import PAGES, ROOT, page
from statements import statements

from postscan.core.model import states

SHIPPED = ("core", "soap", "plugins", "migrations", "doctor", "console", "cli")
GLOSSARY = "docs/glossary.md"

NOT_EVEN_IN_PROSE = ("keeper", "ladder", "bury", "survivors", "strays", "errand", "courier")
PRONOUNS = ("somebody", "nobody", "whoever")

MOST_ON_PAGES = 0
MOST_NAMES = 0
MOST_IN_PROSE = 0
MOST_PRONOUNS = 20

TWICE = {
    "Instructions": "the contract of plugins asks a filter for a class of this name; the engine has the job's",
    "Settings": "the contract of plugins asks a filter for a class of this name; the engine has the server's",
}
"""Class names that are defined more than once, and why."""

DOMAIN = [
    "administrator",
    "attempt",
    "audit trail",
    "cancel",
    "canceled",
    "catalogue",
    "delivery",
    "destination",
    "device",
    "dialect",
    "document",
    "event",
    "executor",
    "filter",
    "grace period",
    "grant",
    "instructions",
    "jobtoken",
    "orphan",
    "outbox",
    "owner",
    "pipeline",
    "plugin",
    "postscan job",
    "principal",
    "publish",
    "quarantine",
    "quota",
    "reason",
    "receipt",
    "repository",
    "retention",
    "scan process",
    "scheduler",
    "share",
    "sid",
    "sink",
    "slot",
    "snapshot",
    "spool",
    "step",
    "stored response",
    "subscription",
    "supervisor",
    "terminating",
    "termination",
    "token",
    "user",
    "worker",
]
"""What docs/architecture.md and core/model talk about."""


# --- what is looked at -----------------------------------------------------------------------------------------------


def files(*patterns: str) -> Iterator[Path]:
    """Yield the files of the shipped packages that match one of the patterns."""
    for pattern in patterns:
        for package in SHIPPED:
            yield from (path for path in sorted((ROOT / package).rglob(pattern)) if "__pycache__" not in path.parts)


def texts() -> Iterator[tuple[str, str]]:
    """Yield path and content of every text of the shipped packages: code, comments, templates, samples."""
    for path in files("*"):
        if path.is_file():
            try:
                yield str(path.relative_to(ROOT)), path.read_text("utf-8")
            except UnicodeDecodeError:
                continue  # a picture


@cache
def all_definitions() -> list[tuple[type[ast.AST], str, str]]:
    """Return kind, name and place of every definition of the shipped packages, nested ones as well."""
    return [
        (type(node), node.name, f"{path.relative_to(ROOT)}:{node.lineno}")
        for path in files("*.py")
        for node in statements(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def definitions(*kinds: type[ast.AST]) -> Iterator[tuple[str, str]]:
    """Yield name and place of every definition of these kinds."""
    return ((name, place) for kind, name, place in all_definitions() if kind in kinds)


def modules() -> Iterator[tuple[str, str]]:
    """Yield name and place of every module and of every folder of modules."""
    for path in files("*.py"):
        place = str(path.relative_to(ROOT))
        yield (path.parent.name if path.stem == "__init__" else path.stem), place


def folded(name: str) -> str:
    """Return a name as it is compared: `answer`, `_answer` and `Answer` are one."""
    return name.strip("_").lower()


def private_words(glossary: str) -> set[str]:
    """Return the first column of the table of words, in snake case and in one word, each with its plural."""
    table = glossary.partition("\n## Words that name nothing\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    words = {form for cell in cells for word in cell.split("`")[1::2] for form in (word, word.replace("_", ""))}
    return words | {f"{word}s" for word in words if not word.endswith("s")}


# --- what holds ------------------------------------------------------------------------------------------------------


def test_names_are_words_of_the_field() -> None:
    """No module, class, function or method is named by a word of the table."""
    words = private_words(page(GLOSSARY))
    named = [*modules(), *definitions(ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)]
    wrong = [f"{place} {name}" for name, place in named if folded(name) in words]

    assert len(words) > 80
    assert len(wrong) <= MOST_NAMES, wrong


def test_some_words_are_not_even_in_comments() -> None:
    """They were names of things that have a name in the field."""
    found = [
        f"{path}: {word}"
        for path, text in texts()
        for word in re.findall("|".join(NOT_EVEN_IN_PROSE), text, re.IGNORECASE)
    ]

    assert len(found) <= MOST_IN_PROSE, found


def test_prose_says_who() -> None:
    """Client, caller, subscriber, administrator; a pronoun only where any of them is meant."""
    pronoun = re.compile(rf"\b(?:{'|'.join(PRONOUNS)})\b", re.IGNORECASE)
    found = [f"{path}: {word}" for path, text in texts() for word in pronoun.findall(text)]

    assert len(found) <= MOST_PRONOUNS, found


def test_pages_say_who() -> None:
    """The same for the documents; names of tests and other code are not looked at."""
    pronoun = re.compile(rf"\b(?:{'|'.join(PRONOUNS)}|anybody|strangers?)\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in PAGES
        for word in pronoun.findall(re.sub(r"```.*?```|`[^`]*`", "", path.read_text("utf-8"), flags=re.DOTALL))
    ]

    assert len(found) <= MOST_ON_PAGES, found


def test_a_class_name_stands_for_one_class() -> None:
    """The exceptions are listed, and are still exceptions."""
    places = defaultdict(list)
    for name, place in definitions(ast.ClassDef):
        places[name].append(place)

    assert {name: where for name, where in places.items() if len(where) > 1}.keys() == TWICE.keys(), places


@pytest.mark.parametrize("name", ["Keeper", "_keeper", "keepers", "in_hand", "InHand", "PutDown", "testpage"])
def test_a_word_of_the_table_is_found(name: str) -> None:
    """As a private name, as a class, as a plural."""
    assert folded(name) in private_words(page(GLOSSARY))


def test_the_tables_words_are_not_found_in_others() -> None:
    """Names are compared as a whole: an `answered` is not an `answer`."""
    words = private_words(page(GLOSSARY))

    assert [name for name in ("answered", "InMemory", "door_id", "row", "test_page") if folded(name) in words] == []


# --- the glossary ----------------------------------------------------------------------------------------------------


def test_the_glossary_has_the_words_of_the_domain() -> None:
    """Each in an entry of its own, in the order of the alphabet."""
    entries = re.findall(r"^\*\*(.+?)\.\*\*", page(GLOSSARY), re.MULTILINE)

    assert [word for word in DOMAIN if word not in [entry.lower() for entry in entries]] == []
    assert entries == sorted(entries, key=str.lower)


@pytest.mark.parametrize(
    ("heading", "keywords"),
    [
        ("States of a job", states.JobState),
        ("Reasons of a job", states.JobReason),
        ("States of a filter", states.FilterState),
    ],
)
def test_the_glossary_has_every_state_and_every_reason(heading: str, keywords: type[StrEnum]) -> None:
    """One row for each keyword of the protocol, and no other row."""
    table = page(GLOSSARY).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == sorted(keywords)


def test_the_glossary_names_classes_that_exist() -> None:
    """A class in parentheses is one of the shipped packages."""
    named = {name for group in re.findall(r"\(([^()]*`[^()]*)\)", page(GLOSSARY)) for name in group.split("`")[1::2]}
    classes = {name for name, _ in definitions(ast.ClassDef)}

    assert len(named) > 25
    assert named - classes == set()
