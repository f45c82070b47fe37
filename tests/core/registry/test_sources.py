"""Sources are probed one by one: a broken one is named, and nothing of it runs in the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import documents
import pytest
from plugin_code import changed, disable, traced

from postscan.core.engine import Engine
from postscan.core.filters.source.messages import InletStarted
from postscan.core.registry.catalogue import Plugin, PluginKind, PluginState, SourceInfo
from postscan.core.registry.probe import PluginProbe
from postscan.core.settings import Settings
from postscan.core.workers.pool import Workers

GOOD = """
from postscan.plugins import Source, hookimpl

class Good(Source):
    '''Bring nothing, well.'''
    title = "Good"
    proofs = ("local",)
    def run(self, inlet, token):
        token.wait(60)

@hookimpl
def postscan_sources():
    return [Good()]
"""
DESTINATION = {"label": "All", "process": "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"}


@pytest.fixture
def install(site_packages: Path) -> Callable[..., None]:
    """Install a source: its name, and what to change in the code."""

    def put(name: str, *changes: tuple[str, str]) -> None:
        documents.install(site_packages, f"{name}_module", changed(GOOD, *changes), name, "postscan.sources")

    return put


def plugin(core: Engine, name: str) -> Plugin:
    """Return what the catalogue says of one source."""
    return next(one for one in core.catalogue().plugins if (one.name, one.kind) == (name, PluginKind.SOURCE))


def test_a_good_source_is_ready_with_what_it_declares(core: Engine, install: Callable[..., None]) -> None:
    """As data."""
    install("good")

    found = plugin(core, "good")
    assert (found.state, found.filters) == (PluginState.READY, ())
    assert found.source == SourceInfo(title="Good", summary="Bring nothing, well.", proofs=("local",), grace=5.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([("from postscan.plugins", "import does_not_exist\nfrom postscan.plugins")], "No module named"),
        ([('title = "Good"', 'title = "Good"\n    api = 2')], "this postscan offers version 1"),
        ([('title = "Good"', "")], "Good.title is missing"),
        ([('proofs = ("local",)', "")], "Good.proofs is (); expected some of certificate, clear, device"),
        ([('("local",)', '"local"')], "Good.proofs is 'local'; expected some of"),
        ([('("local",)', '("local", "friend")')], "Good.proofs is ('local', 'friend'); expected some of"),
        ([('("local",)', "([],)")], "Good.proofs is ([],); expected some of"),
        ([('title = "Good"', 'title = "Good"\n    grace = float("nan")')], "Good.grace is nan; expected seconds"),
        ([('title = "Good"', 'title = "Good"\n    once = "no"')], "Good.once is 'no'; expected True or False"),
        ([("(self, inlet, token)", "(self, inlet)"), ("token.wait(60)", "pass")], "cannot be told to stop"),
        ([("def run", "async def run")], "would never run"),
        ([("token.wait(60)", "yield token.wait(60)")], "would never run"),
        ([("    def run", "    def pull(self):\n        pass\n    def run")], "Good.pull() cannot be asked"),
        ([("return [Good()]", "return []")], "it brings no sources: expected postscan_sources() to return one"),
        ([("return [Good()]", "return [Good(), Good()]")], "it brings 2 sources"),
        ([("return [Good()]", "return [Good]")], "is not a source"),
        ([("def postscan_sources():", "def postscan_sources(config):")], "a hook does not fit"),
        ([("def run(self, inlet, token):", "def walk(self):"), ("token.wait(60)", "pass")], "abstract"),
        ([("@hookimpl", "import os; os._exit(7)\n@hookimpl")], "died during the probe-source (exit code 7)"),
    ],
)
def test_a_broken_source_is_quarantined_with_its_reason(
    core: Engine, install: Callable[..., None], changes: list[tuple[str, str]], reason: str
) -> None:
    """And the good ones beside it can be used."""
    install("broken", *changes)

    broken = plugin(core, "broken")
    assert broken.state is PluginState.QUARANTINED
    assert reason in broken.reason
    assert broken.source is None
    assert plugin(core, "basket").state is PluginState.READY


def test_a_disabled_source_is_listed_and_never_imported(
    core: Engine, tmp_path: Path, install: Callable[..., None]
) -> None:
    """Its code would leave a file."""
    trace = tmp_path / "imported"
    install("unwanted", traced(trace))
    assert plugin(core, "unwanted").state is PluginState.READY
    assert trace.exists()
    trace.unlink()

    disable(core, "unwanted")

    assert plugin(core, "unwanted").state is PluginState.DISABLED
    assert not trace.exists()


def test_the_table_of_each_inlet_is_checked_by_its_source(core: Engine, settings: Settings) -> None:
    """A table that is refused costs no other inlet anything."""
    table = {
        "destinations": {"all": DESTINATION},
        "sources": {
            "one": {"plugin": "basket", "folder": "/scans"},
            "two": {"plugin": "basket", "folder": "/scans", "evry": 1},
            "three": {"plugin": "basket", "folder": "/scans", "every": 0},
            "other": {"plugin": "other", "folder": "/scans"},
        },
    }
    core.settings = Settings.model_validate(settings.model_dump(exclude={"sources"}) | table)

    found = plugin(core, "basket")
    assert found.source is not None
    assert found.source.refused == {
        "two": "[sources.two] has no setting 'evry'; it has: behaviour, every, folder, proof",
        "three": "[sources.three]: every is 0; expected seconds",
    }


def test_a_running_server_loads_no_source(core: Engine, tmp_path: Path, install: Callable[..., None]) -> None:
    """Only the process of an inlet does."""
    trace = tmp_path / "imported"
    install("unused", traced(trace))

    with core.running() as catalogue:
        assert [one.kind for one in catalogue.plugins if one.kind is PluginKind.SOURCE] == []
    assert not trace.exists()


@pytest.mark.parametrize(
    ("folder", "found"),
    [("missing", ["There is no folder {}."]), ("", []), (None, ["[sources.desk]: "])],
)
def test_a_source_is_asked_what_keeps_origins_from_coming(
    settings: Settings, tmp_path: Path, folder: str | None, found: list[str]
) -> None:
    """In a process of its own; a table that it refuses is a problem too."""
    settings.storage.run_dir.mkdir(parents=True)
    scans = tmp_path / (folder or "")
    started = InletStarted(
        plugin="basket",
        inlet="desk",
        settings={} if folder is None else {"folder": str(scans)},
        destinations=(),
        folder=tmp_path,
        workdir=tmp_path,
    )
    workers = Workers()
    try:
        problems = PluginProbe(workers, settings).diagnose(started)
    finally:
        workers.close()

    assert [one[: len(expected.format(scans))] for one, expected in zip(problems, found, strict=True)] == [
        expected.format(scans) for expected in found
    ]
