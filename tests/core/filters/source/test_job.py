"""A job that a source brings, as a block: what it is when the block was left, and that its key is one job."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import source_server
from idle_sources import Idle, Job, bring
from source_server import SourceServer
from works import PATIENCE

from postscan.plugins import Busy, Ended, Refused, Taken


def test_a_job_is_stored_with_its_pages_when_its_block_was_left(server: SourceServer, job: Job) -> None:
    """Rule 1: what comes after the block may tell the origin."""
    with job() as one:
        bring(one, b"first", b"second")
        assert server.jobs[0].state == "Creating"

    (stored,) = server.jobs
    assert (stored.state, stored.pages, stored.id) == ("Pending", [b"first", b"second"], one.id)


def test_the_server_hears_who_was_proven_and_never_a_user(server: SourceServer, job: Job) -> None:
    """Rule 4."""
    with job() as one:
        bring(one, b"page")

    asked = server.jobs[0].request.model_dump(exclude={"id", "type", "remember_seconds"})
    assert asked == {
        "key": "one",
        "destination": "d1",
        "proof": "device",
        "subject": "10.0.0.9",
        "name": "from the test",
        "account": "",
    }


def test_a_job_without_a_page_is_cancelled(server: SourceServer, job: Job) -> None:
    """A device that connected and changed its mind."""
    with job():
        pass

    assert (server.jobs[0].state, server.jobs[0].reason) == ("Canceled", "the origin had no page")


def test_a_key_is_a_job_once(server: SourceServer, job: Job) -> None:
    """Rule 2: the second time says which job it is."""
    with job() as one:
        bring(one, b"page")

    with pytest.raises(Taken) as taken, job():
        raise AssertionError("the block must not be entered")
    assert taken.value.token == one.id
    assert len(server.jobs) == 1


def test_a_key_whose_job_is_open_is_busy(job: Job) -> None:
    """Two connections that bring the same at once."""
    with job() as one:
        with pytest.raises(Busy), job():
            raise AssertionError("the block must not be entered")
        bring(one, b"page")


@pytest.mark.parametrize("error", [RuntimeError("connection reset"), KeyboardInterrupt(), Refused("no picture")])
def test_an_exception_fails_the_job_and_frees_the_key(server: SourceServer, job: Job, error: BaseException) -> None:
    """Rule 3: a half never becomes a job."""
    with pytest.raises(type(error)), job() as one:
        bring(one, b"page")
        raise error

    assert server.jobs[0].state == "Aborted"
    assert type(error).__name__ in server.jobs[0].reason
    with job() as again:
        bring(again, b"page", b"and the rest")
    assert server.jobs[1].state == "Pending"


def test_an_origin_that_cancels_cancels_the_job(server: SourceServer, job: Job) -> None:
    """However the block is left then."""
    with job("one") as one:
        bring(one, b"page")
        one.cancel("stopped at the panel")
    with pytest.raises(ConnectionError), job("two") as two:
        two.cancel("stopped at the panel")
        raise ConnectionError("and hung up")

    assert [(one.state, one.reason) for one in server.jobs] == [("Canceled", "stopped at the panel")] * 2


@pytest.mark.parametrize("label", ["Letters", "letters", "LETTERS", "d2"])
def test_a_destination_may_be_named_by_its_label(server: SourceServer, job: Job, label: str) -> None:
    """Devices change the case."""
    with job(destination=label) as one:
        bring(one, b"page")

    assert server.jobs[0].request.destination == "d2"


def test_an_unknown_destination_is_refused_without_the_server(server: SourceServer, job: Job) -> None:
    """In a sentence for the origin."""
    with pytest.raises(Refused, match="no destination 'Lettres'"), job(destination="Lettres"):
        raise AssertionError("the block must not be entered")
    assert server.requests == []


def test_many_threads_may_bring_jobs_at_once(source: Idle, tmp_path: Path) -> None:
    """Each origin is one job with its own pages, whatever the order of replies, busy ones and reminders."""
    with source_server.running(source, tmp_path, open_jobs=6, requests=5) as server:
        assert source.ready.wait(PATIENCE)
        failures: list[BaseException] = []

        def bring_all(number: int) -> None:
            try:
                for origin in range(5):
                    bring_one(f"{number}-{origin}")
            except BaseException as error:
                failures.append(error)

        def bring_one(key: str) -> None:
            while True:
                try:
                    with source.inlet.job(key, "Invoices", "device", "10.0.0.9") as job:
                        bring(job, f"{key}/1".encode(), f"{key}/2".encode())
                        return
                except Busy:
                    threading.Event().wait(0.02)

        threads = [threading.Thread(target=bring_all, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

    assert failures == []
    done = [job for job in server.jobs if job.state == "Pending"]
    assert len(done) == 60
    assert {job.request.key: job.pages for job in done} == {
        key: [f"{key}/1".encode(), f"{key}/2".encode()] for key in (f"{n}-{m}" for n in range(12) for m in range(5))
    }
    assert list((tmp_path / "inlet-workdir").iterdir()) == []


def test_a_note_is_sent_as_one_line_that_is_not_too_long(server: SourceServer, job: Job) -> None:
    """What is no text at all is not sent."""
    with job() as one:
        one.note("the  color mode\n Grayscale8")
        one.note(" \n")
        one.note("x" * 5000)
        bring(one, b"page")

    assert server.jobs[0].notes == ["the color mode Grayscale8", "x" * 300]


def test_a_note_about_a_cancelled_job_says_that_it_has_ended(server: SourceServer, job: Job) -> None:
    """As a page does."""
    with pytest.raises(Ended), job() as one:
        server.cancel(server.jobs[0])
        one.note("no colour")

    assert server.jobs[0].notes == []
