"""A filter that fills the disk of the server: the cancel of its job is stored all the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import databases
import pytest
from conftest import ANNA, AnyProcess
from destinations import small_disk
from works import SID, Works, until

from postscan.core.engine import Engine
from postscan.core.model.job import JobToken
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.settings import Settings

EVIL = Path(__file__).parents[2] / "outside" / "evil"
MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Lend a small file system for all data."""
    (tmp_path / "data").mkdir()
    with small_disk(tmp_path / "data", 24 * MIB) as disk:
        yield disk


def engine_on(disk: Path, settings: Settings, **storage: int) -> Engine:
    """Return an engine whose data are on a small disk, and whose filters do harm."""
    out = settings.filters["acme"]["folder"]
    changed = settings.storage.model_copy(update={"data_dir": disk, "ballast_bytes": 4 * MIB} | storage)
    filters = {"acme": {"folder": out}, "evil": {"folder": out}}
    databases.migrated(changed.url)
    return Engine(settings.model_copy(update={"storage": changed, "filters": filters}), AnyProcess())


@pytest.fixture(autouse=True)
def _evil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(EVIL)])


def filling(works: Works) -> JobToken:
    """Start a job whose filter has filled the disk."""
    asked = (FilterInstructions("urn:evil:take-every-byte", b"<do/>"),)
    token = works.service.create(works.by, SID, "P", Instructions("Invoice", asked))
    works.send(token)
    works.service.end(token, works.by)
    return token


def test_a_cancel_is_stored_while_a_filter_takes_every_byte_of_the_disk(disk: Path, settings: Settings) -> None:
    """F-R10, F-R12, I11: the ballast makes room for it; it is allocated again when the filter has ended."""
    core = engine_on(disk, settings, reserve_bytes=0)
    with core.running():
        works = Works(core, ANNA)
        token = filling(works)
        works.await_trace(token, "full")
        whole = (disk / "ballast").stat().st_size
        stored = core.service.cancel(token, ANNA)
        ended = works.ended(token)
        core.ballast.allocate()
        again = (disk / "ballast").stat().st_size
    core.close()

    assert stored.state in (JobState.TERMINATING, JobState.CANCELED)
    assert (ended.state, ended.reasons) == (JobState.CANCELED, (JobReason.CANCELED,))
    assert (whole, again) == (4 * MIB, 4 * MIB)


def test_a_filter_that_takes_the_reserve_is_stopped_without_a_cancel(disk: Path, settings: Settings) -> None:
    """F-R10: it has failed for lack of space, its folder is removed, and the next job has the room."""
    core = engine_on(disk, settings, reserve_bytes=8 * MIB)
    with core.running():
        works = Works(core, ANNA)
        job = works.ended(filling(works))
        until(lambda: not list(core.settings.storage.run_dir.iterdir()), "for the folder to be removed")
        after = works.ended(works.start("copy"))
    core.close()

    assert (job.state, job.steps[0].state) == (JobState.ABORTED, FilterState.ERRORS)
    assert job.steps[0].reasons == ("OutOfDiskSpace",)
    assert "the disk is full, and its folder took the most" in job.steps[0].detail
    assert after.state is JobState.COMPLETED
