"""Plugins are judged one by one: a broken one is named, and costs nobody else anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import documents
import pytest
from plugin_code import changed, disable, traced

from postscan.core.engine import Engine
from postscan.core.filters import parameters
from postscan.core.registry import catalogue as registry_catalogue
from postscan.core.registry.catalogue import FilterInfo, Plugin, PluginState
from postscan.core.settings import Settings
from postscan.core.workers import protocol

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
def install(site_packages: Path) -> Callable[..., None]:
    """Install a plugin: its name, its code, and what to change in the code."""

    def put(name: str, code: str = GOOD, *changes: tuple[str, str]) -> None:
        documents.install(site_packages, name, changed(code, *changes), name)

    return put


def plugin(core: Engine, name: str) -> Plugin:
    """Return what the catalogue says of one plugin."""
    return next(one for one in core.catalogue().plugins if one.name == name)


def test_a_good_plugin_is_ready_and_found_by_its_dialect(core: Engine, install: Callable[..., None]) -> None:
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
        ([('"urn:test:good"', '"  "')], "dialect is '  '; expected a URI, without blanks around it"),
        ([("def run(self, job, token):", "async def run(self, job, token):")], "would never run"),
        ([("token.check()", "yield token.check()")], "would never run"),
        ([("    def run", "    def check(self):\n        pass\n    def run")], "Good.check() cannot be asked"),
        (
            [("    def run", "    async def check(self, asked):\n        pass\n    def run")],
            "Good.check would never run",
        ),
        (
            [("    def run", "    Instructions = int\n    def run")],
            "Good.Instructions cannot be used: int is no datacl",
        ),
        ([('title = "Good"', 'title = "Good"\n    grace = float("nan")')], "Good.grace is nan; expected seconds"),
        ([("return [Good()]", "return []")], "it brings no filter"),
        ([("return [Good()]", "return [Good]")], "is not a filter"),
        ([("def postscan_filters():", "def postscan_filters(config):")], "a hook does not fit"),
        ([("def run(self, job, token):", "def walk(self):"), ("token.check()", "pass")], "abstract"),
        ([("@hookimpl", "import os; os._exit(7)\n@hookimpl")], "died during the probe (exit code 7)"),
        ([("urn:test:good", "urn:acme:copy")], "belongs to plugin acme already"),
    ],
)
def test_a_broken_plugin_is_quarantined_with_its_reason(
    core: Engine, install: Callable[..., None], changes: list[tuple[str, str]], reason: str
) -> None:
    """And the good ones beside it work."""
    install("broken", GOOD, *changes)

    broken = plugin(core, "broken")
    assert broken.state is PluginState.QUARANTINED
    assert reason in broken.reason
    assert broken.filters == ()
    assert plugin(core, "acme").state is PluginState.READY


def test_a_plugin_that_hangs_while_it_loads_is_quarantined(
    core: Engine, settings: Settings, install: Callable[..., None]
) -> None:
    """A probe has a time limit."""
    limit = settings.plugins.model_copy(update={"probe_seconds": 0.3})
    core.settings = settings.model_copy(update={"plugins": limit})
    install("slow", GOOD, ("@hookimpl", "import time; time.sleep(60)\n@hookimpl"))

    assert "longer than 0.3 s" in plugin(core, "slow").reason


def test_a_disabled_plugin_is_listed_and_never_imported(
    core: Engine, tmp_path: Path, install: Callable[..., None]
) -> None:
    """Its code would leave a file."""
    trace = tmp_path / "imported"
    install("unwanted", GOOD, traced(trace))
    assert plugin(core, "unwanted").state is PluginState.READY
    assert trace.exists()
    trace.unlink()

    disable(core, "unwanted")

    assert plugin(core, "unwanted").state is PluginState.DISABLED
    assert not trace.exists()


def test_an_unknown_key_in_a_plugins_settings_quarantines_it(core: Engine, settings: Settings) -> None:
    """The reason names the table, the key, and what there is instead."""
    core.settings = settings.model_copy(update={"filters": {"acme": {"folders": "x"}}})

    assert plugin(core, "acme").reason == "[filters.acme] has no setting 'folders'; it has: api_key, folder"


def test_the_catalogue_knows_what_a_filter_takes_and_whether_it_judges_by_itself(core: Engine) -> None:
    """Its elements as data; a rule of the class and a `check` are code, and can only be asked."""
    catalogue = core.catalogue()
    found = {name: catalogue.find(f"urn:acme:{name}") for name in ("copy", "print", "moody")}
    infos = {name: one[1] for name, one in found.items() if one is not None}
    declared = infos["print"].instructions

    assert declared is not None
    assert [one.path for one in declared.parameters] == [
        ("Copies",),
        ("Colour",),
        ("Pages", "First"),
        ("Pages", "Last"),
    ]
    assert {name: (one.checks, one.has_own_check) for name, one in infos.items()} == {
        "copy": (False, False),
        "print": (False, True),
        "moody": (True, True),
    }


# --- declarations of strangers ---------------------------------------------------------------------------------------


@dataclass
class Order:
    """Order: something to do."""

    pages: tuple[str, ...] = parameters.element("Pages/Page", default=("1",))
    copies: int = parameters.element("Copies", default=1, least=1, most=9)


GOOD_DECLARATION: dict[str, Any] = {
    "dialect": "urn:test:declared",
    "title": "Declared",
    "summary": "",
    "grace": 1.0,
    "lacks": [],
    "instructions": parameters.schema(Order).as_data(),
    "settings": [],
    "checks": False,
}


def declaring(**changes: Any) -> FilterInfo | str:
    """Let the plugin acme declare one filter; return what the catalogue makes of it, or the reason why not."""

    def probe(name: str, _settings: Mapping[str, Any]) -> protocol.Result:
        filters = [GOOD_DECLARATION | changes] if name == "acme" else []
        try:
            message = protocol.read_message(json.dumps({"type": "declared", "filters": filters}).encode())
        except protocol.BadMessage as error:
            return protocol.OrderBroken(error=f"what it declares is invalid: {error}")
        assert isinstance(message, protocol.PluginDeclared)
        return message

    plugins = registry_catalogue.read(probe, {}, disabled=()).plugins
    acme = next(one for one in plugins if one.name == "acme")
    return acme.filters[0] if acme.state is PluginState.READY else acme.reason


def with_copies(**changes: Any) -> dict[str, Any]:
    """Change what is declared of the element Copies."""
    pages, copies = GOOD_DECLARATION["instructions"]["parameters"]
    return GOOD_DECLARATION["instructions"] | {"parameters": [pages, copies | changes]}


def test_what_was_declared_is_what_is_known() -> None:
    """Across the pipe and back."""
    info = declaring()

    assert isinstance(info, FilterInfo)
    assert info.instructions == parameters.Schema.from_data(json.loads(json.dumps(parameters.schema(Order).as_data())))


@pytest.mark.parametrize(
    "changes",
    [
        {"dialect": ""},
        {"dialect": " \t\n"},
        {"dialect": " urn:test:declared"},
        {"grace": 10**400},
        {"grace": float("nan")},
        {"instructions": {"element": "Order"}},
        {"instructions": GOOD_DECLARATION["instructions"] | {"element": "Order><evil"}},
        {"instructions": GOOD_DECLARATION["instructions"] | {"element": ""}},
        {"instructions": GOOD_DECLARATION["instructions"] | {"parameters": [with_copies()["parameters"][1]] * 201}},
        {"instructions": with_copies(path=[])},
        {"instructions": with_copies(path=["a"] * 100_000)},
        {"instructions": with_copies(path=["Group", "Copies>1</x><x"])},
        {"instructions": with_copies(path=["1st"])},
        {"instructions": with_copies(name=["copies"])},
        {"instructions": with_copies(kind=None)},
        {"instructions": with_copies(kind="text", longest="1")},
        {"instructions": with_copies(least="one")},
        {"instructions": with_copies(most=10**400)},
        {"instructions": with_copies(many=True, default=1)},
        {"instructions": with_copies(many="yes")},
    ],
    ids=lambda changes: repr(changes)[-60:],
)
def test_a_declaration_by_which_nothing_can_be_checked_quarantines_the_plugin(changes: dict[str, Any]) -> None:
    """T-P5, T-P6: the server will read by it, and put its names into faults; so none of it may surprise later."""
    assert str(declaring(**changes)).startswith("what it declares is invalid: ")
