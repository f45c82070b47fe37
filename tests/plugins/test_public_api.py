"""What authors may import, and that our own filters import nothing else."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import postscan.plugins
import postscan.plugins.testing
from postscan.core.filters import hookspecs
from postscan.plugins import Filter

SHIPPED = sorted(
    (entry for entry in entry_points(group=hookspecs.ENTRY_POINTS) if entry.value.startswith("postscan.plugins.")),
    key=lambda entry: entry.name,
)
EXTRAS = {
    "email": set(),
    "fileshare": {"smbprotocol"},
    "ocr": {"PIL"},
    "pdf": {"img2pdf", "pikepdf", "PIL"},
    "sharepoint": {"cryptography", "msal"},
    "stamp": {"PIL"},
    "webhook": set(),
}
"""What each shipped filter uses beside the standard library: what its extra brings, or the core has anyway."""

SHARED = {
    "postscan.plugins.http_client": {"httpx2", "postscan.plugins.retries"},
    "postscan.plugins.retries": {"tenacity"},
    "postscan.plugins.filters.images": {"PIL"},
}
"""Parts of more than one shipped filter: held to the same rule, and to be had by anybody who copies them."""

FOR_TYPES = {"_typeshed"}


def files_of(module):
    """Return the files of a module or of a package."""
    path = Path(module.__file__)
    return sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]


def imported(path):
    """Return the modules that a file imports, wherever in it: ours in full, others by their first name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides what it names"
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name for name in submodules if name in SHARED] or [node.module]
        else:
            continue
        yield from (name if name.startswith("postscan") else name.partition(".")[0] for name in names)


def test_authors_have_exactly_these_names():
    """Every one of them is a promise; a new one is a decision."""
    assert postscan.plugins.__all__ == [
        "AccessRefused",
        "Busy",
        "CancellationToken",
        "Cancelled",
        "Completeness",
        "Destination",
        "DirectoryAway",
        "DirectoryProcess",
        "DirectoryUser",
        "Document",
        "Ended",
        "FileState",
        "Filter",
        "FilterContext",
        "FilterFailed",
        "FilterReason",
        "FilterResult",
        "GrowingHash",
        "Hooks",
        "HooksContext",
        "JobStatus",
        "PageWriter",
        "Place",
        "Refused",
        "ScanTicket",
        "Shares",
        "Source",
        "SourceContext",
        "SourceJob",
        "Taken",
        "ToolEnded",
        "element",
        "examine",
        "hookimpl",
        "setting",
    ]


def test_their_tests_have_exactly_these_names():
    """The kit is public too."""
    assert postscan.plugins.testing.__all__ == [
        "AskedHooks",
        "FakeClock",
        "Made",
        "Origin",
        "RunResult",
        "SourceRun",
        "StoredScan",
        "assert_filter_contract",
        "assert_hooks_contract",
        "assert_source_contract",
        "job_for",
        "run_filter",
        "run_hooks",
        "run_source",
    ]


@pytest.mark.parametrize("module", [postscan.plugins, postscan.plugins.testing])
def test_every_public_name_is_there_and_documented(module):
    """A name without a docstring is no API."""
    undocumented = [name for name in module.__all__ if name != "hookimpl" and not getattr(module, name).__doc__]

    assert undocumented == []


def test_every_member_that_a_plugin_sees_is_documented():
    """What a filter or a source may call says what it does."""
    seen = ("FilterContext", "CancellationToken", "Shares", "SourceContext", "SourceJob", "PageWriter")
    for one in (getattr(postscan.plugins, name) for name in seen):
        members = [member for name, member in vars(one).items() if not name.startswith("_") and callable(member)]

        assert members
        assert all(member.__doc__ for member in members)


def test_the_shipped_filters_come_through_the_same_door_as_anybodys():
    """Each is an entry point, and each is judged here."""
    assert [entry.name for entry in SHIPPED] == sorted(EXTRAS)


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_a_shipped_filter_uses_the_public_api_only(entry):
    """Beside it the standard library and what its extra brings: no private door, and no other shipped filter."""
    for path in files_of(entry.load()):
        foreign = set(imported(path)) - set(sys.stdlib_module_names) - FOR_TYPES - set(SHARED)
        own = {name for name in foreign if name.startswith(f"{entry.value}.") or name == entry.value}

        assert foreign - own - EXTRAS[entry.name] <= {"postscan.plugins"}, path.name


@pytest.mark.parametrize("name", SHARED)
def test_what_shipped_filters_share_uses_the_public_api_only(name):
    """So it is no private door either."""
    foreign = set(imported(Path(importlib.import_module(name).__file__))) - set(sys.stdlib_module_names)

    assert foreign == {"postscan.plugins"} | SHARED[name]


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_a_shipped_plugin_brings_one_filter_of_its_own_dialect(entry):
    """Two filters with one dialect could not be told apart."""
    filters = list(entry.load().postscan_filters())

    assert [isinstance(one, Filter) for one in filters] == [True]
    assert len({one.dialect for entry in SHIPPED for one in entry.load().postscan_filters()}) == len(SHIPPED)


def test_a_plugin_can_be_imported_without_its_extra():
    """So what is missing is one clear line in the list, and no traceback."""
    code = f"""
import importlib, sys
for name in {sorted(set().union(*EXTRAS.values()) - {"cryptography"} | {"httpx2"})!r}:
    sys.modules[name] = None
for name in {[entry.value for entry in SHIPPED]!r}:
    for one in importlib.import_module(name).postscan_filters():
        print(name, list(one.requires()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(SHIPPED)
