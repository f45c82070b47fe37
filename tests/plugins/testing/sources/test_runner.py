"""`run_source`: a source of an author on a real store."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import good_sources
import pytest
from idle_sources import Idle, Pulling
from works import PATIENCE

from postscan.plugins import CancellationToken, Ended, Refused, ScanTicket, SourceContext, Taken
from postscan.plugins.testing import run_source
from postscan.plugins.testing.runner import EXAMPLE_USER
from postscan.plugins.testing.sources.origin import noise, page


@pytest.fixture
def idle() -> Pulling:
    """A source; it has begun when its inlet is used."""
    return Pulling()


def test_a_job_of_a_source_is_stored_with_its_pages(tmp_path: Path) -> None:
    """By a source that looks into a folder; the file is gone when its job is stored."""
    with run_source(good_sources.Basket(), settings={"folder": str(tmp_path)}) as run:
        origin = good_sources.Files(tmp_path)
        origin.bring(page(1))
        (job,) = run.wait_for_jobs(1)
        run.wait_for(origin.acknowledged)

    assert (job.state, job.pages, job.formats) == ("Pending", [page(1)], ["png"])
    assert job.owner == f"source:under-test:{tmp_path}"
    assert job.user == EXAMPLE_USER.sid


def test_a_client_that_repeats_has_one_job() -> None:
    """The key is in the database."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with run_source(good_sources.Desk(), settings={"port": port}, devices=("127.0.0.1",)) as run:
        client = good_sources.Client(port)
        client.bring(page(1))
        client.again()
        assert client.acknowledged()
        client.cut(page(2), 700)
        client.again()
        run.wait_for(lambda: client.acknowledged() or client.again())
        states = [(job.state, job.pages) for job in run.jobs]

    assert [state for state in states if state[0] == "Pending"] == [("Pending", [page(1)]), ("Pending", [page(2)])]


def test_an_account_proves_itself(idle: Pulling) -> None:
    """The server believes no account whose password it has not seen."""
    with run_source(idle, accounts={"Anna": "right"}) as run:
        assert idle.ready.wait(PATIENCE)
        inlet = idle.inlet
        with pytest.raises(Refused), inlet.job("k", "Scans", "password", "anna", account="anna"):
            raise AssertionError("the block must not be entered")
        assert not inlet.password("anna", "wrong")
        assert inlet.password("anna", "right")
        with inlet.job("k", "Scans", "password", "anna", account="anna") as job, job.page() as one:
            one.write(page(1))
        (stored,) = run.jobs

    assert (stored.id, stored.owner) == (job.id, "source:under-test:anna")


def test_a_cancel_reaches_the_source(idle: Pulling) -> None:
    """And what the origin says to it is kept; the key stays taken."""
    with run_source(idle) as run:
        assert idle.ready.wait(PATIENCE)
        with pytest.raises(Ended) as ended, idle.inlet.job("k", "Scans", "device", "10.0.0.9") as job:
            run.cancel(job.id)
            assert job.token.wait(PATIENCE)
            job.token.check()
        job.told("stopped")
        with pytest.raises(Taken), idle.inlet.job("k", "Scans", "device", "10.0.0.9"):
            raise AssertionError("the block must not be entered")
        assert idle.inlet.state(job.id).state == "Canceled"

    assert ended.value.token == job.id
    assert run


def test_a_page_is_examined_as_the_server_does(idle: Pulling) -> None:
    """What is cut or no image is refused, and its job fails."""
    with run_source(idle) as run:
        assert idle.ready.wait(PATIENCE)
        for content in (page(1)[:-5], noise(1)):
            with (
                pytest.raises(Refused),
                idle.inlet.job("k", "Scans", "device", "10.0.0.9") as job,
                job.page(whole=True) as one,
            ):
                one.write(content)
        assert [(job.state, job.reasons) for job in run.jobs] == [("Aborted", ("SendImageFailed",))] * 2


def test_the_source_is_asked_for_a_scan(idle: Pulling) -> None:
    """As `postscan sources scan` does."""
    with run_source(idle) as run:
        run.pull("d1")
        run.wait_for(lambda: idle.pulled)
        idle.inlet.health("degraded", "one lamp is out")
        run.wait_for(lambda: ("degraded", "one lamp is out") in run.health)

    assert idle.pulled == ["d1"]


class Failing(Idle):
    """A source that ends by an error when it is told to."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__()
        self.at_once = at_once

    def requires(self) -> list[str]:
        """Say what is missing."""
        return ["There is no paper."] if self.at_once else []

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Fail."""
        raise RuntimeError("the tray is open")


def test_a_source_that_does_not_begin_fails_the_test() -> None:
    """With its reason."""
    with pytest.raises(AssertionError, match=r"did not begin: There is no paper\."), run_source(Failing(at_once=True)):
        raise AssertionError("the block must not be entered")


def test_a_source_that_ends_fails_the_test() -> None:
    """While something is waited for, and at the end."""
    failing = Failing(at_once=False)
    with pytest.raises(AssertionError, match="RuntimeError: the tray is open"), run_source(failing) as run:
        run.wait_for_jobs(1)
    with pytest.raises(AssertionError, match="RuntimeError: the tray is open"), run_source(failing):
        threading.Event().wait(0.5)


def test_destinations_may_have_the_tickets_of_their_scan_processes(idle: Pulling) -> None:
    """A source that asks a device for what they say can be tested."""
    invoices = ScanTicket(formats=("pdf-a",), input_source="ADFDuplex")
    with run_source(idle, destinations={"Invoices": invoices, "Letters": ScanTicket()}):
        assert idle.ready.wait(PATIENCE)
        assert [(one.label, one.ticket) for one in idle.inlet.destinations] == [
            ("Invoices", invoices),
            ("Letters", ScanTicket()),
        ]


def test_keys_of_the_server_and_of_the_source_are_told_apart(idle: Pulling) -> None:
    """A wrong value of the first is an error of the settings."""
    with run_source(idle, destinations=("Invoices", "Letters"), allow_clear=True, open_jobs=1):
        assert idle.ready.wait(PATIENCE)
        assert [one.label for one in idle.inlet.destinations] == ["Invoices", "Letters"]
        assert (idle.inlet.allow_clear, idle.inlet.started.open_jobs) == (True, 1)
    with pytest.raises(ValueError, match="open_jobs"), run_source(idle, open_jobs=0):
        raise AssertionError("the block must not be entered")


def test_the_notes_about_a_job_are_seen(idle: Pulling) -> None:
    """A test of a source shows what a person will read."""
    with run_source(idle) as run:
        assert idle.ready.wait(PATIENCE)
        with idle.inlet.job("one", "Scans", "device", "10.0.0.9") as job:
            job.note("no colour")
            with job.page() as writer:
                writer.write(page(1))
        (stored,) = run.wait_for_jobs(1)

    assert stored.notes == ("no colour",)
