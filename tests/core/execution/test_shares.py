"""What filters make, and the folders in which they run, count in the share of their job's owner; with real workers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import databases
import pytest
from conftest import ANNA, BORIS, AnyProcess
from works import SID, Works, until

from postscan.core.engine import Engine
from postscan.core.errors import SpoolFull
from postscan.core.model.job import Job
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.model.states import FilterState, JobState
from postscan.core.settings import Settings

EVIL = Path(__file__).parents[2] / "outside" / "evil"
MIB = 1 << 20


@contextlib.contextmanager
def running(settings: Settings, share: int) -> Iterator[Engine]:
    """Run an engine in which each caller may have *share* bytes."""
    limits = settings.limits.model_copy(update={"caller_bytes": share})
    out = settings.filters["acme"]["folder"]
    filters = {"acme": {"folder": out}, "evil": {"folder": out}}
    databases.migrated(settings.storage.url)
    core = Engine(settings.model_copy(update={"limits": limits, "filters": filters}), AnyProcess())
    with contextlib.closing(core), core.running():
        yield core


def files(core: Engine, job: Job) -> set[str]:
    """Return the keys of the files of a job in the spool."""
    return {file.key for file in core.spool.files() if file.key.startswith(job.token)}


@pytest.mark.parametrize(("share", "fits"), [(1005, True), (1004, False)])
def test_what_a_filter_makes_fits_the_share_of_the_owner_or_is_not_kept(
    settings: Settings, share: int, fits: bool
) -> None:
    """T-Q1, I5: an image of 1,000 bytes and 5 made ones; at the share, and one byte above it. Others have theirs."""
    with running(settings, share) as core:
        works = Works(core, ANNA)
        token = works.create("turn add", "copy")
        works.send(token, 1, b"x" * 1000)
        works.service.end(token, ANNA)
        job = works.ended(token)
        until(lambda: files(core, job) == {job.documents[0].blob}, "for what was made to go")
        other = Works(core, BORIS)
        other.send(other.create("copy"), 1, b"x" * share)

    first = job.steps[0]
    if fits:
        assert (job.state, first.state) == (JobState.COMPLETED, FilterState.SUCCEEDED)
    else:
        assert (job.state, first.state, first.reasons) == (JobState.ABORTED, FilterState.ERRORS, ("OutOfDiskSpace",))
        assert first.detail == f"the documents of {ANNA.name} would be more than {share} bytes"


def test_what_has_no_room_is_not_written_to_its_end(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-P6: a sparse file takes no room in a folder, and would take all of the disk in the spool."""
    whole: list[str] = []
    with running(settings, 1004) as core:
        drop = core.spool.drop
        monkeypatch.setattr(core.spool, "drop", lambda *keys: (whole.extend(keys), drop(*keys)))
        works = Works(core, ANNA)
        token = works.create("turn add", "copy")
        works.send(token, 1, b"x" * 1000)
        works.service.end(token, ANNA)
        job = works.ended(token)

    assert job.steps[0].reasons == ("OutOfDiskSpace",)
    assert whole == []


def test_a_filter_that_only_removes_documents_needs_no_room(settings: Settings) -> None:
    """The share is used up to its last byte."""
    with running(settings, 2000) as core:
        works = Works(core, ANNA)
        token = works.create("turn remove:1", "copy")
        works.send(token, 1, b"x" * 1000)
        works.send(token, 2, b"x" * 1000)
        works.service.end(token, ANNA)

        assert works.ended(token).state is JobState.COMPLETED


def test_a_filter_whose_folder_takes_more_than_the_share_is_stopped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-Q1, T-P4: while it runs, its owner's images are refused, and those of others are not; then there is room."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(EVIL)])
    with running(settings, 8 * MIB) as core:
        works, other = Works(core, ANNA), Works(core, BORIS)
        asked = (FilterInstructions("urn:evil:fill-its-folder", b"<do/>"),)
        token = works.service.create(ANNA, SID, "P", Instructions("Invoice", asked))
        works.send(token)
        works.service.end(token, ANNA)
        other.send(other.create("copy"), 1, b"x" * MIB)
        job = works.ended(token)
        again = works.ended(works.start("copy"))

    assert (job.state, job.steps[0].reasons) == (JobState.ABORTED, ("OutOfDiskSpace",))
    expected = f"the documents of {ANNA.name} and the folders of its filters took more than {8 * MIB} bytes"
    assert job.steps[0].detail.startswith(expected)
    assert again.state is JobState.COMPLETED


def test_room_that_others_take_before_the_end_of_a_filter_is_stored_is_theirs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-Q1: the transaction counts again, the filter has failed, and the document that it made is removed."""
    with running(settings, 1010) as core:
        works = Works(core, ANNA)
        token, later = works.create("turn add", "copy"), works.create("copy")
        works.send(token, 1, b"x" * 1000)
        kept = core.store.spooled_bytes
        monkeypatch.setattr(core.store, "spooled_bytes", lambda owner=None: taken(kept(owner)))

        def taken(bytes: int) -> int:
            """Send an image after its owner's bytes were counted for the document that the filter makes."""
            monkeypatch.undo()
            works.send(later, 1, b"x" * 10)
            return bytes

        works.service.end(token, ANNA)
        job = works.ended(token)
        until(lambda: files(core, job) == {job.documents[0].blob}, "for what was made to go")

        assert (job.state, job.steps[0].reasons) == (JobState.ABORTED, ("OutOfDiskSpace",))
        with pytest.raises(SpoolFull):
            works.send(later, 2, b"x")
