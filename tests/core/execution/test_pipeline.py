"""A job's way through its filters, with real worker processes: outcomes, order, cancels, deaths."""

from __future__ import annotations

import hashlib
import time

import pytest
from works import PATIENCE, Works, alive, until

from postscan.core.errors import JobNotFound
from postscan.core.model.job import RunStatus
from postscan.core.model.principal import of_source
from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.settings import Settings

OK, ERRORS, WARNINGS, CANCELED = (
    FilterState.SUCCEEDED,
    FilterState.ERRORS,
    FilterState.WARNINGS,
    FilterState.CANCELED,
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with which the answer of a cancel waits for the filters, however busy the machine is."""
    running = settings.running.model_copy(update={"cancel_answer_seconds": PATIENCE})
    return settings.model_copy(update={"running": running})


@pytest.mark.parametrize(
    ("filters", "go_on", "state", "reason", "steps"),
    [
        (["copy", "copy"], False, JobState.COMPLETED, JobReason.SUCCEEDED, [OK, OK]),
        (["copy", "warn"], False, JobState.COMPLETED, JobReason.WARNINGS, [OK, WARNINGS]),
        (["fail x:y", "copy"], True, JobState.COMPLETED, JobReason.ERRORS, [ERRORS, OK]),
        (["fail x:y", "copy"], False, JobState.ABORTED, JobReason.PROCESSING_FAILED, [ERRORS, CANCELED]),
        (["unknown", "unknown"], False, JobState.ABORTED, JobReason.NO_VALID_INSTRUCTIONS, [CANCELED, CANCELED]),
        (["unknown", "copy"], True, JobState.COMPLETED, JobReason.ERRORS, [ERRORS, OK]),
        (["unknown", "copy"], False, JobState.ABORTED, JobReason.PROCESSING_FAILED, [ERRORS, CANCELED]),
    ],
)
def test_a_job_ends_as_the_outcome_table_says(
    works: Works, filters: list[str], go_on: bool, state: JobState, reason: JobReason, steps: list[FilterState]
) -> None:
    """DSP-069, DSP-070; ws-dsp.md section 8, outcome table and O-7."""
    job = works.ended(works.start(*filters, go_on=go_on))

    assert (job.state, job.reasons) == (state, (reason,))
    assert [step.state for step in job.steps] == steps


def test_filters_run_one_after_another_in_the_order_of_the_instructions(works: Works) -> None:
    """I17, PSP-027: the second begins when the first has ended; the same dialect twice is two filters (PSP-054)."""
    token = works.start("sleep 0.1", "copy", "sleep 0")
    works.ended(token)

    assert [line[0] for line in works.trace(token)] == ["sleep", "slept", "copy", "sleep", "slept"]


@pytest.mark.parametrize("right", [True, False])
def test_a_page_reaches_a_filter_only_if_it_has_the_hash_that_its_source_gave(
    works: Works, caplog: pytest.LogCaptureFixture, right: bool
) -> None:
    """T-S2: the server has taken the hash without a look."""
    works.by, data = of_source("mail", "10.0.0.9"), b"a page"
    sha256 = hashlib.sha256(data if right else b"another page").hexdigest()
    token = works.create("copy")
    with works.service.open_image(token, works.by, 1, "png", examine=lambda path: "png") as image:
        assert image.take(lambda target: bool(target.write_bytes(data)), sha256)
    works.service.end(token, works.by)
    until(lambda: works.core.store.load(token).state.ended)

    job = works.core.store.load(token)
    outcome = (JobState.COMPLETED, JobReason.SUCCEEDED) if right else (JobState.ABORTED, JobReason.PROCESSING_FAILED)
    assert (job.state, *job.reasons) == outcome
    assert bool(works.trace(token)) is right
    assert ("page is not what its source sent" in caplog.messages) is not right


def test_nothing_runs_before_the_end_of_the_images(works: Works) -> None:
    """DSP-043, I17."""
    token = works.create("copy")
    works.send(token)
    time.sleep(0.6)  # more than two looks of the scheduler
    assert works.job(token).state is JobState.CREATING
    assert works.trace(token) == []

    works.service.end(token, works.by)

    assert works.ended(token).state is JobState.COMPLETED


def test_a_filter_gets_the_documents_by_ascending_id_with_their_bytes(works: Works) -> None:
    """O-21: ids give the order, not arrival; PSP-026: bytes unchanged."""
    token = works.create("copy")
    late, early = works.send(token, 12), works.send(token, 3)
    works.service.end(token, works.by)
    works.ended(token)

    names = works.delivered()
    assert [name[-8:] for name in names] == ["_003.png", "_012.png"]
    assert [(works.out / name).read_bytes() for name in names] == [early, late]


def test_a_job_without_images_completes_with_warnings_and_runs_nothing(works: Works) -> None:
    """DSP-044, O-11."""
    job = works.ended(works.start("copy", images=0))

    assert (job.state, job.reasons) == (JobState.COMPLETED, (JobReason.WARNINGS,))
    assert [step.state for step in job.steps] == [WARNINGS]
    assert works.trace(job.token) == []


def test_a_filters_own_reason_is_kept_and_a_malformed_one_is_unknown(works: Works) -> None:
    """DSP-059: only values of the protocol, or of the vendor's form."""
    own = works.ended(works.start("fail acme:PaperJam"))
    known = works.ended(works.start("fail FileShareAccessDenied"))
    malformed = works.ended(works.start("fail no good"))

    reasons = [job.steps[0].reasons for job in (own, known, malformed)]
    assert reasons == [("acme:PaperJam",), ("FileShareAccessDenied",), ("UnknownError",)]
    assert own.steps[0].detail == "it was told to fail"


def test_a_filter_that_raises_anything_costs_its_own_run_only(works: Works) -> None:
    """F-R8: even SystemExit is an error of the filter, with its words kept."""
    job = works.ended(works.start("raise", "copy", go_on=True))

    assert [step.state for step in job.steps] == [ERRORS, OK]
    assert job.steps[0].detail == "SystemExit: no word about it"


def test_a_filter_whose_worker_dies_is_started_again(works: Works) -> None:
    """F-R4: up to three attempts, each with its number."""
    job = works.ended(works.start("die 2"))

    assert (job.state, job.steps[0].attempt) == (JobState.COMPLETED, 3)


def test_a_filter_that_kills_its_worker_each_time_is_given_up(works: Works) -> None:
    """F-R26: after three attempts it counts as failed, and the queue behind it moves."""
    poison, healthy = works.start("die 99"), works.start("copy")

    job = works.ended(poison)
    assert (job.state, job.steps[0].attempt) == (JobState.ABORTED, 3)
    assert job.steps[0].detail == "its process was ended by SIGKILL"
    assert works.ended(healthy).state is JobState.COMPLETED


def test_a_cancel_stops_the_running_filter_and_starts_no_other(works: Works) -> None:
    """DSP-046, DSP-047, I14; what was delivered before stays (DSP-048, I15)."""
    token = works.start("copy", "sleep 30", "copy")
    works.await_trace(token, "sleep")
    before = works.delivered()
    assert len(before) == 1

    answer = works.service.cancel(token, works.by)

    job = works.ended(token)
    assert answer.state is JobState.CANCELED
    assert (job.state, job.reasons) == (JobState.CANCELED, (JobReason.CANCELED,))
    assert [step.state for step in job.steps] == [OK, CANCELED, CANCELED]
    assert [line[0] for line in works.trace(token)] == ["copy", "sleep"]
    assert works.delivered() == before


def test_a_deaf_filter_is_killed_with_its_tools_after_its_grace_time(works: Works) -> None:
    """Promise 4: it always ends. It declares 0.3 s of grace, and SIGTERM to SIGKILL is 0.3 s here."""
    token = works.start("deaf")
    _, worker, tool, _ = works.await_trace(token, "deaf")

    works.service.cancel(token, works.by)

    job = works.ended(token)
    assert job.state is JobState.CANCELED
    assert job.steps[0].detail == "it was killed: it checked its token 1 times"
    until(lambda: not alive(int(worker)) and not alive(int(tool)), "for the worker and its tool to be gone")


def test_a_filter_that_swallows_the_cancel_publishes_nothing_after_it(works: Works) -> None:
    """Promise 3: the parent grants no output after the stored cancel, whatever the filter does."""
    token = works.start("swallow")
    works.await_trace(token, "swallow")

    works.service.cancel(token, works.by)

    works.ended(token)
    assert works.await_trace(token, "swallowed")
    assert works.delivered() == []
    assert works.service.deliveries(token, works.by) == []


def test_a_cancel_between_end_and_claim_runs_nothing(works: Works) -> None:
    """O-14 and the edge Pending → Canceled; the images are discarded, since nothing processed them."""
    token = works.create("copy")
    works.send(token)

    assert works.service.cancel(token, works.by).state is JobState.CANCELED

    assert works.trace(token) == []
    assert not (works.core.settings.storage.spool_dir / token).exists()


def test_a_second_cancel_of_an_ended_job_finds_no_job(works: Works) -> None:
    """DSP-049, O-13, ruling 1."""
    token = works.start("copy")
    works.ended(token)

    with pytest.raises(JobNotFound):
        works.service.cancel(token, works.by)


def test_a_filter_that_fails_leaves_its_reason_in_the_log(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    """F-R8: one that fails, one whose dialect is unknown; one that is cancelled has not failed."""
    failed, unknown = works.start("fail x:y"), works.start("unheard-of", "copy")
    cancelled = works.start("sleep 30")
    works.await_trace(cancelled, "sleep")
    works.service.cancel(cancelled, works.by)
    for token in (failed, unknown, cancelled):
        works.ended(token)

    lines = [vars(one) for one in caplog.records if one.getMessage() == "filter failed"]
    assert sorted((one["job"], one["filter"], one["fault"], one["reason"]) for one in lines) == sorted(
        [
            (failed, "Acme", "x:y", "it was told to fail"),
            (unknown, "urn:acme:unheard-of", "InvalidArgs", "no filter has this dialect"),
        ]
    )


def test_a_neighbour_of_a_killed_filter_goes_on(works: Works) -> None:
    """A kill ends one process group and nothing else."""
    deaf, neighbour = works.start("deaf"), works.start("sleep until woken")
    works.await_trace(deaf, "deaf")
    works.await_trace(neighbour, "sleep")

    works.service.cancel(deaf, works.by)

    assert works.ended(deaf).state is JobState.CANCELED
    works.wake(neighbour)
    job = works.ended(neighbour)
    assert (job.state, job.steps[0].attempt) == (JobState.COMPLETED, 1)


def test_no_folder_and_no_token_page_is_left_behind(works: Works) -> None:
    """Private folders and control pages go with their run, however it ends."""
    tokens = [works.start("copy"), works.start("fail x:y"), works.start("die 99"), works.start("deaf")]
    works.await_trace(tokens[3], "deaf")
    works.service.cancel(tokens[3], works.by)
    for token in tokens:
        works.ended(token)

    until(lambda: not list(works.core.settings.storage.run_dir.iterdir()), "for the run folder to be empty")


def test_every_filter_of_a_canceled_job_has_a_receipt(works: Works) -> None:
    """Promise 7: completed, stopped at its own check, or not started; with its looks and the time it took to stop."""
    token = works.start("copy", "sleep 30", "copy")
    works.await_trace(token, "sleep")
    works.service.cancel(token, works.by)

    done, stopped, never = (step.receipt for step in works.ended(token).steps)

    assert (done.status, done.stopped_after) == (RunStatus.COMPLETED, None)
    assert done.checks > 0
    assert stopped.status is RunStatus.STOPPED
    assert stopped.checks > 0
    assert stopped.stopped_after is not None
    assert 0 <= stopped.stopped_after < 20
    assert (never.status, never.checks) == (RunStatus.NOT_STARTED, 0)


def test_a_filter_that_had_to_be_killed_has_a_receipt_that_says_so(works: Works) -> None:
    """Promise 7: and how often it had looked at its token."""
    token = works.start("deaf")
    works.await_trace(token, "deaf")
    works.service.cancel(token, works.by)

    receipt = works.ended(token).steps[0].receipt

    assert receipt.status is RunStatus.KILLED
    assert receipt.stopped_after is not None
    assert receipt.stopped_after >= 0.3
