"""Filters that change the documents for the filters after them, with real workers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from works import Works, until

from postscan.core.engine import Engine
from postscan.core.model.states import FilterState, JobReason, JobState

ONE, TWO = b"first image", b"second image"


def start(works: Works, *filters: str, go_on: bool = False) -> str:
    """Make a job of two images, and end it."""
    token = works.create(*filters, go_on=go_on)
    works.send(token, 1, ONE)
    works.send(token, 2, TWO)
    works.service.end(token, works.by)
    return token


def contents(works: Works) -> dict[str, bytes]:
    """Return what was delivered, by the number in the name and the extension."""
    return {name.rpartition("_")[2]: (works.out / name).read_bytes() for name in works.delivered()}


def spooled(works: Works) -> list[bytes]:
    """Return every file in the spool, but those that are removed meanwhile."""
    found = []
    for key in [file.key for file in works.core.spool.files()]:
        with contextlib.suppress(FileNotFoundError):
            found.append((works.core.settings.storage.spool_dir / key).read_bytes())
    return sorted(found)


@pytest.mark.parametrize(
    ("said", "delivered"),
    [
        ("reverse:2", {"001.png": ONE, "002.png": TWO[::-1]}),
        ("remove:1", {"002.png": TWO}),
        ("add", {"001.png": ONE, "002.png": TWO, "003.pdf": b"added"}),
        ("reverse:1 remove:2 add", {"001.png": ONE[::-1], "003.pdf": b"added"}),
        ("", {"001.png": ONE, "002.png": TWO}),
    ],
)
def test_the_filters_after_it_get_what_it_made(works: Works, said: str, delivered: dict[str, bytes]) -> None:
    """Replaced, removed, added; and one that changes nothing is no special case."""
    job = works.ended(start(works, f"turn {said}", "copy"))

    assert job.reasons == (JobReason.SUCCEEDED,)
    assert contents(works) == delivered


def test_each_filter_goes_on_from_the_one_before(works: Works) -> None:
    """The last change counts, and a filter that changes nothing passes it on."""
    works.ended(start(works, "turn add", "copy", "turn reverse:3 remove:1", "sleep 0", "copy"))

    assert contents(works) == {
        "001.png": ONE, "002.png": TWO, "003.pdf": b"added", "002-2.png": TWO, "003-2.pdf": b"dedda"
    }  # fmt: skip


def test_what_the_device_sent_stays_as_it_was(works: Works) -> None:
    """In the spool until retention; what filters made goes when the job has ended."""
    job = works.ended(start(works, "turn reverse:1 add", "copy"))
    until(lambda: spooled(works) == [ONE, TWO])

    assert [document.id for document in job.documents] == [1, 2]


def test_a_filter_that_fails_has_changed_nothing(works: Works) -> None:
    """What is half-made never reaches the next filter."""
    job = works.ended(start(works, "turn reverse:1 remove:2 fail", "copy", go_on=True))

    assert [step.state for step in job.steps] == [FilterState.ERRORS, FilterState.SUCCEEDED]
    assert contents(works) == {"001.png": ONE, "002.png": TWO}


def test_a_filter_that_was_cancelled_has_changed_nothing(works: Works) -> None:
    """Nothing of it is left, in the spool or elsewhere."""
    token = start(works, "turn reverse:1 wait", "copy")
    works.await_trace(token, "waiting")
    works.service.cancel(token, works.by)
    job = works.ended(token)
    until(lambda: spooled(works) in ([], [ONE, TWO]))

    assert job.state is JobState.CANCELED
    assert works.delivered() == []


def test_a_job_whose_documents_were_all_removed_ends_with_a_warning(works: Works) -> None:
    """A stack of blank pages is no error."""
    job = works.ended(start(works, "turn remove:1 remove:2", "copy"))

    assert job.reasons == (JobReason.WARNINGS,)
    assert job.steps[1].detail == "the filters before it left no document"


def test_a_document_behind_the_last_possible_id_gets_one_that_is_free(works: Works) -> None:
    """T-P6: a device may use the largest id there is."""
    token = works.create("turn add", "copy")
    works.send(token, 2147483647, ONE)
    works.service.end(token, works.by)
    job = works.ended(token)

    assert job.reasons == (JobReason.SUCCEEDED,)
    assert contents(works) == {"2147483647.png": ONE, "001.pdf": b"added"}


def test_a_file_that_is_a_link_is_not_taken_over(works: Works) -> None:
    """The workdir is a stranger's folder: only plain files count (T-P)."""
    job = works.ended(start(works, "turn link:1", "copy"))

    assert job.state is JobState.ABORTED
    assert job.steps[0].detail.startswith("what it made cannot be used: 0:")
    assert works.delivered() == []


def test_what_it_made_before_a_file_that_is_refused_is_removed_at_once(works: Works) -> None:
    """No row names it, so nothing else would remove it before the next start."""
    job = works.ended(start(works, "turn link:1 add:1", "copy"))

    assert job.state is JobState.ABORTED
    assert spooled(works) == [ONE, TWO]


def test_what_was_made_before_a_crash_is_delivered_after_it(core: Engine, works: Works) -> None:
    """The change is stored with the end of its filter, and durable before the next one starts (F-R)."""
    token = start(works, "turn reverse:1 remove:2", "sleep 30", "copy")
    works.await_trace(token, "sleep")
    job = works.job(token)
    made = [document.blob for document in job.made]

    assert [document.id for document in job.documents_for(1)] == [1]
    assert [(core.spool.path(document)).read_bytes() for document in job.documents_for(2)] == [ONE[::-1]]
    assert {blob.key: (blob.open, blob.kept) for blob in core.store.blobs([token])}[made[0]] == (True, True)
    works.service.cancel(token, works.by)
    works.ended(token)
    until(lambda: not (Path(core.settings.storage.spool_dir) / made[0]).exists())
