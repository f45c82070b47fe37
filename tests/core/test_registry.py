"""Plugins are judged one by one: a broken one is named, and costs nobody else anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postscan.core.assembly import Core
from postscan.core.registry import Plugin, PluginState
from postscan.core.settings import Settings

GOOD = """
from postscan.plugins import Filter, hookimpl

class Good(Filter):
    '''Do nothing, well.'''
    dialect = "urn:test:good"
    title = "Good"
    def run(self, job, token):
        token.check()

@hookimpl
def postscan_filters():
    return [Good()]
"""


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Install a plugin: its name, its code, and what to change in the code."""
    folder = tmp_path / "site"
    folder.mkdir()
    sys.path.append(str(folder))

    def put(name: str, code: str = GOOD, *changes: tuple[str, str]) -> None:
        for old, new in changes:
            assert old in code
            code = code.replace(old, new)
        (folder / f"{name}_module.py").write_text(code)
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[postscan.filters]\n{name} = {name}_module\n")

    yield put
    sys.path.remove(str(folder))


def plugin(core: Core, name: str) -> Plugin:
    """Return what the catalogue says of one plugin."""
    return next(one for one in core.catalogue().plugins if one.name == name)


def test_a_good_plugin_is_ready_and_found_by_its_dialect(core: Core, install: Callable[..., None]) -> None:
    """With its title, and the first line of its docstring."""
    install("good")
    catalogue = core.catalogue()

    found = catalogue.find("urn:test:good")
    assert found is not None
    assert (found[0].state, found[0].distribution, found[0].version) == (PluginState.READY, "good", "1.0")
    assert (found[1].title, found[1].summary) == ("Good", "Do nothing, well.")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([("from postscan.plugins", "import does_not_exist\nfrom postscan.plugins")], "No module named"),
        ([('title = "Good"', 'title = "Good"\n    api = 2')], "this postscan offers version 1"),
        ([("def run(self, job, token):", "def run(self, job):"), ("token.check()", "pass")], "cannot be told to stop"),
        ([('dialect = "urn:test:good"', "")], "Good.dialect is missing"),
        ([("def run(self, job, token):", "async def run(self, job, token):")], "would never run"),
        ([("token.check()", "yield token.check()")], "would never run"),
        ([('title = "Good"', 'title = "Good"\n    grace = float("nan")')], "Good.grace is nan; expected seconds"),
        ([("return [Good()]", "return []")], "it brings no filter"),
        ([("return [Good()]", "return [Good]")], "is not a filter"),
        ([("def postscan_filters():", "def postscan_filters(config):")], "a hook does not fit"),
        ([("def run(self, job, token):", "def walk(self):"), ("token.check()", "pass")], "abstract"),
        ([("@hookimpl", "import os; os._exit(7)\n@hookimpl")], "died while it was loaded (exit code 7)"),
        ([("urn:test:good", "urn:acme:copy")], "belongs to plugin acme already"),
    ],
)
def test_a_broken_plugin_is_quarantined_with_its_reason(
    core: Core, install: Callable[..., None], changes: list[tuple[str, str]], reason: str
) -> None:
    """And the good ones beside it work."""
    install("broken", GOOD, *changes)

    broken = plugin(core, "broken")
    assert broken.state is PluginState.QUARANTINED
    assert reason in broken.reason
    assert broken.filters == ()
    assert plugin(core, "acme").state is PluginState.READY


def test_a_plugin_that_hangs_while_it_loads_is_quarantined(
    core: Core, settings: Settings, install: Callable[..., None]
) -> None:
    """A probe has a time limit."""
    limit = settings.plugins.model_copy(update={"probe_seconds": 0.3})
    core.settings = settings.model_copy(update={"plugins": limit})
    install("slow", GOOD, ("@hookimpl", "import time; time.sleep(60)\n@hookimpl"))

    assert "longer than 0.3 s" in plugin(core, "slow").reason


def test_a_disabled_plugin_is_listed_and_never_imported(
    core: Core, settings: Settings, tmp_path: Path, install: Callable[..., None]
) -> None:
    """Its code would leave a file."""
    trace = tmp_path / "imported"
    install("unwanted", GOOD, ("@hookimpl", f"open({str(trace)!r}, 'w').close()\n@hookimpl"))
    assert plugin(core, "unwanted").state is PluginState.READY
    assert trace.exists()
    trace.unlink()

    disabled = settings.plugins.model_copy(update={"disabled": ("unwanted",)})
    core.settings = settings.model_copy(update={"plugins": disabled})

    assert plugin(core, "unwanted").state is PluginState.DISABLED
    assert not trace.exists()


def test_an_unknown_key_in_a_plugins_settings_quarantines_it(core: Core, settings: Settings) -> None:
    """The reason names the table, the key, and what there is instead."""
    core.settings = settings.model_copy(update={"filters": {"acme": {"folders": "x"}}})

    assert plugin(core, "acme").reason == "[filters.acme] has no setting 'folders'; it has: folder"
