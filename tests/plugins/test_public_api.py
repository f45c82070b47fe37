"""What authors may import, and that our own filters import nothing else."""

from __future__ import annotations

import ast
import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import postscan.plugins
import postscan.plugins.testing
from postscan.core import hookspecs
from postscan.plugins import Filter

SHIPPED = sorted(
    (entry for entry in entry_points(group=hookspecs.ENTRY_POINTS) if entry.value.startswith("postscan.plugins.")),
    key=lambda entry: entry.name,
)
ALLOWED = {
    "fileshare": {"postscan.plugins", "lxml"},
    "stamp": {"postscan.plugins", "lxml", "PIL"},
}
FOR_TYPES = {"_typeshed"}


def imported(module):
    """Return the modules that a module imports, wherever in it: ours in full, others by their first name."""
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides what it names"
            names = [node.module]
        else:
            continue
        yield from (name if name.startswith("postscan") else name.partition(".")[0] for name in names)


def test_authors_have_exactly_these_names():
    """Every one of them is a promise; a new one is a decision."""
    assert postscan.plugins.__all__ == [
        "CancellationToken",
        "Cancelled",
        "Document",
        "Filter",
        "FilterContext",
        "FilterFailed",
        "FilterReason",
        "FilterResult",
        "Place",
        "Shares",
        "hookimpl",
    ]


def test_their_tests_have_exactly_these_names():
    """The kit is public too."""
    assert postscan.plugins.testing.__all__ == ["FakeClock", "RunResult", "run_filter"]


@pytest.mark.parametrize("module", [postscan.plugins, postscan.plugins.testing])
def test_every_public_name_is_there_and_documented(module):
    """A name without a docstring is no API."""
    undocumented = [name for name in module.__all__ if name != "hookimpl" and not getattr(module, name).__doc__]

    assert undocumented == []


def test_every_member_that_a_filter_sees_is_documented():
    """What a filter may call says what it does."""
    for one in (postscan.plugins.FilterContext, postscan.plugins.CancellationToken, postscan.plugins.Shares):
        members = [member for name, member in vars(one).items() if not name.startswith("_") and callable(member)]

        assert members
        assert all(member.__doc__ for member in members)


def test_the_shipped_filters_come_through_the_same_door_as_anybodys():
    """Each is an entry point, and each is judged here."""
    assert [entry.name for entry in SHIPPED] == sorted(ALLOWED)


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_a_shipped_filter_uses_the_public_api_only(entry):
    """Beside it the standard library and what its extra declares: no private door, and no other shipped filter."""
    foreign = set(imported(entry.load())) - set(sys.stdlib_module_names) - FOR_TYPES

    assert foreign == ALLOWED[entry.name]


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_a_shipped_plugin_brings_one_filter_of_its_own_dialect(entry):
    """Two filters with one dialect could not be told apart."""
    filters = list(entry.load().postscan_filters())

    assert [isinstance(one, Filter) for one in filters] == [True]
    assert len({one.dialect for entry in SHIPPED for one in entry.load().postscan_filters()}) == len(SHIPPED)


def test_importing_the_api_brings_no_image_library():
    """A server without the extra [image] can still load every plugin."""
    module = importlib.import_module("postscan.plugins.stamp")
    outer = [
        node for node in ast.parse(Path(module.__file__).read_text("utf-8")).body if isinstance(node, ast.ImportFrom)
    ]

    assert "PIL" not in {node.module.partition(".")[0] for node in outer}
