"""What all tests share: settings in a folder of their own, real databases, a real engine, and an outside plugin."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
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
    "acceptance/test_example.py",
    "acceptance/test_new_plugin.py",
    "compatibility/test_plugins_of_older_versions.py",
    "docs/test_first_scan.py",
    "docs/test_connect.py",
    "docs/test_panels.py",
    "test_process_guard.py",
    "docs/test_source_samples.py",
    "migrations/test_migrations.py",
    "core/registry/test_catalogue.py",
    "plugins/sources/escl/test_simulator.py",
    "core/registry/test_sources.py",
    "plugins/testing/sources/test_contract.py",
    "console/api/test_openapi.py",
    "campaigns/test_hostile_sources.py",
    "core/sources/test_inlet.py",
    "soap/wsscan/devices/test_subscribing.py",
    "core/registry/test_validation.py",
    "console/test_routes.py",
    "core/service/test_lost_commits.py",
    "core/service/accounts/test_sessions.py",
    "acceptance/test_sources.py",
    "console/pages/jobs/test_job.py",
    "core/service/accounts/test_accounts.py",
    "plugins/testing/test_contract.py",
    "core/sources/test_supervisor.py",
    "compatibility/test_data_of_older_versions.py",
    "core/filters/source/completeness/test_examine.py",
    "plugins/sources/escl/test_contract.py",
    "acceptance/test_watched_folder.py",
    "console/pages/login/test_oidc.py",
    "core/filters/source/completeness/test_hostile.py",
    "cli/commands/test_accounts.py",
    "campaigns/test_panels.py",
    "core/execution/test_pipeline.py",
    "acceptance/test_crash_points.py",
    "acceptance/test_device.py",
    "plugins/sources/hp/test_contract.py",
    "soap/wsscan/test_simulated.py",
    "soap/wsscan/devices/test_panel.py",
    "acceptance/test_source_storage.py",
    "core/service/test_jobs.py",
    "core/service/test_origins.py",
    "core/service/administration/pictures/test_maker.py",
    "plugins/filters/fileshare/test_smb_faults.py",
    "core/workers/hostile/test_rules.py",
    "acceptance/test_source_cancel.py",
    "acceptance/test_source_owners.py",
    "console/pages/login/test_ways.py",
)
"""Files that take longest, waits included, in their order in a measured run: one that started last would run alone."""

LONG = ("acceptance", "threats", "plugins", "conformance", "cli")
"""Folders of files of 5 to 30 seconds, before those of shorter ones."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of `LONGEST_FIRST` first, and those of `LONG` before the others."""

    @cache
    def rank_of(file: Path) -> int:
        path = file.relative_to(Path(__file__).parent)
        if (name := path.as_posix()) in LONGEST_FIRST:
            return LONGEST_FIRST.index(name)
        return len(LONGEST_FIRST) + (LONG.index(path.parts[0]) if path.parts[0] in LONG else len(LONG))

    items.sort(key=lambda item: rank_of(item.path))


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

    def read(self, identifier: str, display_name: str, xml: str) -> ScanProcess | None:
        """Return a process of this name; its document is not read."""
        return ScanProcess(identifier, display_name, "", Instructions("Invoice", ()))

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
