"""What the store promises: one winner, events with their change, nothing half."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from works import PATIENCE

from postscan.core.errors import JobNotFound, PostscanError, WrongState
from postscan.core.model.job import Job, JobDocument, JobTurn
from postscan.core.model.records import Delivery
from postscan.core.model.states import FilterState, FilterVerb, JobReason, JobState
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

PAGE = JobDocument(3, "png", 10, "ab" * 32, "5d2c/3-aa")


def processing(store: Store, job: Job) -> Job:
    """Store a job whose first filter runs."""
    store.insert(job)
    with store.change(job.token) as stored:
        stored.receive(PAGE, EXAMPLE_TIME)
        stored.end(EXAMPLE_TIME)
    store.claim(EXAMPLE_TIME, "a holder")
    with store.change(job.token) as stored:
        stored.start(0, EXAMPLE_TIME)
    return store.load(job.token)


def test_a_job_comes_back_as_it_was_stored(store: Store, job: Callable[..., Job]) -> None:
    """Every field survives the way through the database."""
    made = job("urn:acme:copy", "urn:acme:sleep")
    made.deadline = 1234.5

    store.insert(made)

    assert store.load(made.token) == made


def test_a_change_is_stored_with_its_events_or_not_at_all(store: Store, job: Callable[..., Job]) -> None:
    """An exception inside `change` leaves neither the row nor the events changed."""
    made = job()
    store.insert(made)
    with pytest.raises(RuntimeError), store.change(made.token) as stored:
        stored.receive(PAGE, EXAMPLE_TIME)
        raise RuntimeError("in the middle")
    assert store.load(made.token).documents == []
    assert [event.kind for event in store.events(made.token)] == ["JobStateChanged"]

    with store.change(made.token) as stored:
        stored.receive(PAGE, EXAMPLE_TIME)

    assert store.load(made.token).documents == [PAGE]
    assert [event.kind for event in store.events(made.token)] == ["JobStateChanged", "ImageReceived"]


def test_an_unknown_token_is_not_found(store: Store) -> None:
    """Loading and changing say the same."""
    with pytest.raises(JobNotFound):
        store.load("nobody")
    with pytest.raises(JobNotFound), store.change("nobody"):
        pass


def test_the_longest_waiting_job_is_claimed_once(store: Store, job: Callable[..., Job]) -> None:
    """Two claims never get the same job, and none gets one that is still in Creating."""
    store.insert(job(token="creating"))
    store.insert(job(token="waiting"))
    with store.change("waiting") as stored:
        stored.end(EXAMPLE_TIME)

    first, second = store.claim(EXAMPLE_TIME, "a holder"), store.claim(EXAMPLE_TIME, "a holder")

    assert first is not None
    assert (first.token, first.state) == ("waiting", JobState.STARTED)
    assert second is None


def test_of_a_cancel_and_a_finish_exactly_one_wins(store: Store, job: Callable[..., Job]) -> None:
    """Whatever the order of a race, the job ends Canceled exactly when its cancel was accepted, with one end event.

    (I6, I8, I11; promise 5)
    """
    for number in range(20):
        token = f"race-{number}"
        processing(store, job(token=token))
        accepted: list[bool] = []
        barrier = threading.Barrier(2)

        def cancel(token: str = token, barrier: threading.Barrier = barrier, said: list[bool] = accepted) -> None:
            barrier.wait()
            try:
                with store.change(token) as stored:
                    stored.cancel(EXAMPLE_TIME)
                said.append(True)
            except WrongState:
                said.append(False)

        def finish(token: str = token, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with store.change(token) as stored:
                stored.report(0, FilterVerb.SUCCEED, EXAMPLE_TIME)
            with store.change(token) as stored:
                stored.finish(EXAMPLE_TIME)

        threads = [threading.Thread(target=cancel), threading.Thread(target=finish)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        ended = store.load(token)
        assert ended.state is (JobState.CANCELED if accepted[0] else JobState.COMPLETED)
        assert [event.kind for event in store.events(token)].count("JobEnded") == 1


def test_no_update_is_lost_between_two_stores(store: Store, job: Callable[..., Job]) -> None:
    """Two processes (here: two stores) that change one job at once both get their change in (I2)."""
    other = Store(store.url, busy_seconds=PATIENCE)
    store.insert(job())
    token = job().token
    errors: list[PostscanError] = []

    def send(which: Store, start: int) -> None:
        for number in range(start, start + 20):
            try:
                with which.change(token) as stored:
                    stored.receive(JobDocument(number, "png", 1, f"{number:064}", str(number)), EXAMPLE_TIME)
            except PostscanError as error:
                errors.append(error)

    threads = [threading.Thread(target=send, args=(store, 1)), threading.Thread(target=send, args=(other, 101))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    assert errors == []
    assert store.load(token).images_received == 40


def test_an_output_is_granted_only_to_the_run_that_is_on(store: Store, job: Callable[..., Job]) -> None:
    """A grant needs the job in Processing and the attempt that runs: never after a cancel (I14), never twice (I22)."""
    made = processing(store, job())
    about = Delivery(0, 3, "here", "a.png", published=False)

    assert store.grant(JobTurn(made.token, 1), 0, 1, about, EXAMPLE_TIME)
    assert not store.grant(JobTurn(made.token, 1), 0, 2, about, EXAMPLE_TIME)
    with store.change(made.token) as stored:
        stored.cancel(EXAMPLE_TIME)
    assert not store.grant(JobTurn(made.token, 1), 0, 1, about, EXAMPLE_TIME)


def test_a_grant_is_settled_as_published_or_withdrawn(store: Store, job: Callable[..., Job]) -> None:
    """What was granted is on record from then on; a withdrawn output leaves no record."""
    made = processing(store, job())
    kept = Delivery(0, 3, "here", "a.png", published=False, at=EXAMPLE_TIME)
    whole = Delivery(0, None, "there", "mail", published=False, at=EXAMPLE_TIME)
    for about in (kept, whole):
        store.grant(JobTurn(made.token, 1), 0, 1, about, EXAMPLE_TIME)
    assert store.deliveries(made.token) == [whole, kept]

    store.confirm(JobTurn(made.token, 1), 0, kept._replace(published=True))
    store.confirm(JobTurn(made.token, 1), 0, whole)

    assert store.deliveries(made.token) == [kept._replace(published=True)]


def test_progress_is_kept_while_the_filter_runs_and_not_after(store: Store, job: Callable[..., Job]) -> None:
    """A late word about progress does not change a filter that has ended (I7)."""
    made = processing(store, job())
    store.record_progress(JobTurn(made.token, 1), 0, "1/3 documents")
    assert store.load(made.token).steps[0].progress == "1/3 documents"

    with store.change(made.token) as stored:
        stored.report(0, FilterVerb.SUCCEED, EXAMPLE_TIME)
    store.record_progress(JobTurn(made.token, 1), 0, "2/3 documents")

    assert store.load(made.token).steps[0].progress == "1/3 documents"
    assert store.load(made.token).steps[0].state is FilterState.SUCCEEDED


def test_jobs_are_listed_by_owner_open_and_ended(store: Store, job: Callable[..., Job]) -> None:
    """An owner sees only its own jobs."""
    store.insert(job(token="mine"))
    ended = job(token="mine, ended")
    ended.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)
    store.insert(ended)
    owner = ended.owner.name

    assert [one.token for one in store.open_jobs(owner)] == ["mine"]
    assert [one.token for one in store.ended_jobs(owner)] == ["mine, ended"]
    assert [one.token for one in store.open_jobs()] == ["mine"]
    assert store.open_jobs("device:somebody") == []


def test_a_silent_job_is_found_after_its_deadline(store: Store, job: Callable[..., Job]) -> None:
    """And only while it is in Creating; its deadline can be moved (D4)."""
    made = job()
    made.deadline = 100.0
    store.insert(made)
    assert store.idle(101.0) == [made.token]
    assert store.idle(99.0) == []

    store.extend_deadline(made.token, 200.0)
    assert store.idle(101.0) == []
    store.reset_deadlines(50.0)
    assert store.idle(51.0) == [made.token]
    with store.change(made.token) as stored:
        stored.end(EXAMPLE_TIME)

    assert store.idle(51.0) == []
