"""What all tests share: settings in a folder of their own, real databases, a real engine, and an outside plugin."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databases
import hypothesis
import postgres
import process_guard
import pytest
from no_skips import pytest_sessionfinish, pytest_terminal_summary
from plugin_names import unused
from works import PATIENCE, Works

from postscan.core.engine import Engine
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.core.settings import Settings
from postscan.core.store.database import postgresql
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary"]  # hooks: pytest looks for them here

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever is started in the background ignores Ctrl-C, and so would every process that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # until the tests are collected: they and what they import are never garbage

OUTSIDE = Path(__file__).parent / "outside"
GUARD = process_guard.of_this_process()

# No deadline: how long an example takes says nothing on a busy machine. In continuous integration the examples are the
# same in every run, so that a failure there is one of the change; at a desk they are new each time.
hypothesis.settings.register_profile(
    "suite", max_examples=50, deadline=None, derandomize=os.environ.get("CI") == "true"
)
hypothesis.settings.load_profile("suite")


LONGEST_FIRST = (
    "core/workers/hostile/test_rules.py",
    "core/workers/hostile/test_cancel.py",
    "acceptance/test_device.py",
    "acceptance/test_example.py",
    "test_process_guard.py",
    "plugins/filters/sharepoint/test_graph.py",
    "model/test_sequences.py",
    "acceptance/test_new_plugin.py",
    "acceptance/test_discovery.py",
    "cli/commands/test_process.py",
    "cli/commands/process/test_making.py",
    "compatibility/test_plugins_of_older_versions.py",
    "campaigns/test_panels.py",
    "threats/test_scanners.py",
    "conformance/test_dpw_notifying.py",
    "docs/test_first_scan.py",
    "docs/test_connect.py",
    "docs/test_panels.py",
    "acceptance/test_restart.py",
    "plugins/testing/test_contract.py",
    "cli/plugin/test_check.py",
    "soap/eventing/test_subscription_end.py",
    "model/test_stateful.py",
)
"""Files of 30 to 120 seconds on two cores that five workers share: one that started last would run alone."""

LONG = ("acceptance", "threats", "plugins", "conformance", "cli")
"""Folders of files of 5 to 30 seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of `LONGEST_FIRST` first, and those of `LONG` before the others."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent)
        if (name := path.as_posix()) in LONGEST_FIRST:
            return LONGEST_FIRST.index(name)
        return len(LONGEST_FIRST) + (LONG.index(path.parts[0]) if path.parts[0] in LONG else len(LONG))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Collect garbage from now on, and visit none of the objects that are here already."""
    gc.freeze()
    gc.enable()


def pytest_keyboard_interrupt() -> None:
    """Leave no process behind, whatever the tests have started."""
    GUARD.interrupted()


collect_ignore = ["fixtures"]  # packages of older versions; their tests run in an environment of their own


@pytest.fixture(scope="session", autouse=True)
def _outside_plugin_installed() -> Iterator[None]:
    """The plugin `acme` is installed as far as Python can tell: for this process and for those that it starts."""
    sys.path.append(str(OUTSIDE))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(OUTSIDE)
    yield
    sys.path.remove(str(OUTSIDE))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def site_packages(tmp_path: Path) -> Iterator[Path]:
    """An empty folder on the path: a plugin that is installed into it is found, by this process and its workers."""
    folder = tmp_path / "site"
    folder.mkdir()
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    if postgres.programs() is None:
        pytest.skip(postgres.NOT_HERE)
    with postgres.server() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'data' / 'postscan.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """An empty database, of each kind in turn."""
    return sqlite_url if request.param == "sqlite" else _on_postgres(request, with_tables=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """A database with all its tables, of each kind in turn."""
    return databases.migrated(sqlite_url) if request.param == "sqlite" else _on_postgres(request, with_tables=True)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """A database of PostgreSQL with all its tables."""
    return _on_postgres(request, with_tables=True)


def _on_postgres(request: pytest.FixtureRequest, *, with_tables: bool) -> str:
    server: str = request.getfixturevalue("_postgres_server")
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for seconds in ("_ANSWER_SECONDS", "_CONNECT_SECONDS"):
        monkeypatch.setattr(postgresql, seconds, int(PATIENCE))  # a busy machine is no silent server
    name = f"test_{os.getpid()}_{abs(hash(request.node.nodeid))}"
    return f"{databases.create(server, name, with_tables=with_tables)}&connect_timeout={PATIENCE:.0f}"


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    """A store with all its tables, on each kind of database; it waits for its turn on a busy machine, too."""
    store = Store(migrated_url, busy_seconds=PATIENCE)
    yield store
    store.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose data and whose filter `acme` live below the test's folder; short times, no plugin of ours."""
    (tmp_path / "out").mkdir()
    table: dict[str, Any] = {
        "server": {"port": 0, "drain_seconds": 5},
        "storage": {"data_dir": str(tmp_path / "data"), "busy_seconds": PATIENCE},
        "running": {"term_seconds": 0.3, "grace_seconds": 60},  # a filter that needs less for its test declares it
        "plugins": {"disabled": unused(), "probe_seconds": PATIENCE},
        "filters": {"acme": {"folder": str(tmp_path / "out")}},
    }
    return Settings.model_validate(table)


class AnyProcess:
    """Stored scan processes: there is one for every identifier, and every deviation is admitted."""

    def find(self, identifier: str) -> ScanProcess | None:
        """Return a process of this name."""
        return ScanProcess(identifier, "Test process", "", Instructions("Invoice", ()))

    def ticket(self, identifier: str) -> ScanTicket:
        """Return an empty ticket."""
        return ScanTicket()

    def admit(self, process: ScanProcess, sent: Instructions) -> None:
        """Admit everything."""


ANNA = Principal("device:192.0.2.7", Proof.ADDRESS)
BORIS = Principal("device:192.0.2.8", Proof.ADDRESS)


@pytest.fixture
def core(settings: Settings) -> Iterator[Engine]:
    """An engine that is not running: jobs can be made, and nothing happens to them."""
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    yield core
    core.close()


@pytest.fixture
def works(core: Engine) -> Iterator[Works]:
    """A running engine, and short words for what tests do with it."""
    with core.running():
        yield Works(core, ANNA)


@pytest.fixture
def job() -> Callable[..., Job]:
    """Make a job in memory: `job("urn:acme:copy", ...)`."""

    def make(*dialects: str, token: str = "5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935", owner: Principal = ANNA) -> Job:
        from postscan.plugins.testing.runner import EXAMPLE_TIME
        from postscan.plugins.testing.runner import EXAMPLE_USER as USER

        filters = tuple(FilterInstructions(dialect, b"<do/>") for dialect in dialects or ("urn:acme:copy",))
        instructions = Instructions("Invoice", filters)
        process = ScanProcess("7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7", "Invoices", "", instructions)
        return Job.create(JobToken(token), owner, USER, process, instructions, EXAMPLE_TIME)

    return make
