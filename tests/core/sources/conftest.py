"""A running engine with inlets, and one inlet without a process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databases
import pytest
from asked_inlet import Inlet
from errands import OUTSIDE, Running, Start
from sourced import Processes, Sources, picture, with_sources

from postscan.core.engine import Engine
from postscan.core.settings import Settings
from postscan.plugins.testing.runner import FakeClock


@pytest.fixture
def start(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Inlets of `tests/outside/inlets`."""
    monkeypatch.syspath_prepend(str(OUTSIDE))

    @contextlib.contextmanager
    def running(**inlets: Any) -> Iterator[Running]:
        sources = {}
        for name, table in inlets.items():
            folder = tmp_path / "inlets" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "picture").write_bytes(picture())
            sources[name] = {"plugin": "errand", "folder": str(folder), **table}
        found = with_sources(settings, **sources)
        databases.migrated(found.storage.url)
        core = Engine(found, Processes())
        opened.callback(core.close)  # a test may look at its jobs when it has stopped
        with core.running():
            yield Running(core, tmp_path / "inlets")

    with contextlib.ExitStack() as opened:
        yield running


@pytest.fixture
def sources(settings: Settings, migrated_url: str, clock: FakeClock) -> Iterator[Sources]:
    """Sources on each kind of database."""
    found = Sources(with_sources(settings, migrated_url), clock)
    yield found
    found.core.close()


@pytest.fixture
def inlet(sources: Sources, tmp_path: Path) -> Inlet:
    """The inlet of the test."""
    return Inlet(sources, tmp_path / "inlet")
