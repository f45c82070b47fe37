"""An engine with filters that do harm, and a job beside each of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import databases
import pytest
from conftest import ANNA, AnyProcess
from evil_runs import EVIL, TERM, Den
from plugin_names import unused
from works import alive, until

from postscan.core.engine import Engine
from postscan.core.model.states import JobState
from postscan.core.settings import Settings


@pytest.fixture(scope="module")
def settings_of_the_den(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Small limits, so that they are met soon."""
    folder = tmp_path_factory.mktemp("den")
    (folder / "out").mkdir()
    table = {
        "storage": {"data_dir": str(folder / "data")},
        "limits": {"open_jobs": 1000},
        "plugins": {"disabled": unused()},
        "running": {
            "slots": 4,
            "seconds": 600,  # at a tenth of a core, a filter needs 10 to use its second of the processor
            "grace_seconds": 60,
            "term_seconds": TERM,
            "memory_bytes": 512 << 20,
            "processor_seconds": 1,
            "file_bytes": 3 << 20,
            "folder_bytes": 8 << 20,
            "open_files": 64,
            "log_line_bytes": 99,
            "log_lines": 20,
        },
        "filters": {"acme": {"folder": str(folder / "out")}, "evil": {"folder": str(folder / "out")}},
    }
    return Settings.model_validate(table)


@pytest.fixture(scope="module")
def engine(settings_of_the_den: Settings) -> Iterator[Engine]:
    """One engine for all of them: each is the neighbour of those before."""
    sys.path.append(str(EVIL))
    databases.migrated(settings_of_the_den.storage.url)
    core = Engine(settings_of_the_den, AnyProcess())
    with core.running():
        yield core
    core.close()
    sys.path.remove(str(EVIL))


@pytest.fixture
def den(engine: Engine) -> Iterator[Den]:
    """The engine, and a job beside the test: whatever happens, it is not disturbed and nothing is left of the rest."""
    den = Den(engine, ANNA)
    neighbour = den.start("sleep 0.7", "copy")
    yield den

    job = den.ended(neighbour)
    assert job.state is JobState.COMPLETED
    assert [step.attempt for step in job.steps] == [1, 1]
    left = {process for path in den.out.glob("*.trace") for process in den.left(path.stem)}
    until(lambda: not any(alive(one) for one in left), f"for {left} to be gone")
    until(lambda: not list(engine.settings.storage.run_dir.iterdir()), "for the run folder to be empty")
