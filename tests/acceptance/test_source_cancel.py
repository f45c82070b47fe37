"""Cancelling the job of a source, in each state: by an administrator, and by a certificate of its user.

While a job takes pages its origin waits for the reply, and its source is stopped (`open_jobs.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from acceptance import inlets
from acceptance.inlets import InletServer
from acceptance.open_jobs import creating, sent
from acceptance.scanning import good, refusal
from acceptance.ways_in import ANNA, BEN, WAYS_IN
from sourced import ADMIN
from works import PATIENCE, until

REFUSALS = {"folder, local": 550, "mail, device": 554, "ftp, device": 550, "web, device": 409}
"""One way into each source, and the reply to a scan whose job was cancelled."""


def by_administrator(site: InletServer, token: str) -> None:
    """Cancel on the command line."""
    site.command("cancel", token)


def by_certificate(site: InletServer, token: str) -> None:
    """Cancel by WS-DSP, with a certificate of the user for whom the job is."""
    good(site.certified(ANNA).cancel(token))


CANCELS: dict[str, Callable[[InletServer, str], None]] = {
    "administrator": by_administrator,
    "certificate": by_certificate,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InletServer]:
    """A server that runs one job at a time, whose first filter ends by a cancel alone."""
    with inlets.serving(tmp_path_factory.mktemp("cancelled"), "sleep 280", "copy") as site:
        yield site


def end_of(shown: dict[str, Any]) -> tuple[str, list[str], list[tuple[str, str]]]:
    """Return state and reasons of a job, and of each filter its state and the receipt of its run."""
    filters = [(one["state"], one["receipt"]["fate"]) for one in shown["filters"]]
    return shown["state"], shown["reasons"], filters


CANCELED = "Canceled", ["PostScanJobCanceled"]
NOT_STARTED = ("Canceled", "not-started")
STOPPED = ("Canceled", "stopped")


@pytest.mark.parametrize("cancel", CANCELS)
@pytest.mark.parametrize("way", REFUSALS)
def test_a_job_that_takes_pages_is_canceled_and_its_origin_is_told(site: InletServer, way: str, cancel: str) -> None:
    """D25, promises 1 and 3: at once, while its source is stopped; no filter runs, and no page is kept.

    The origin gets the reply for what is not to come again, and that is recorded. Another user cancels nothing.
    """
    with creating(site, way) as job:
        foreign = refusal(site.certified(BEN).cancel(job.token)).subcode
        before = site.job(job.token).state
        CANCELS[cancel](site, job.token)
        after = site.job(job.token).state
    reply = job.reply.result(PATIENCE)
    shown = site.shown(job.token)

    assert foreign == "dsp:ClientErrorJobTokenNotFound"
    assert (before, after) == ("Creating", "Canceled")
    assert reply.code == REFUSALS[way]
    assert "cancelled" in reply.text
    assert end_of(shown) == (*CANCELED, [NOT_STARTED, NOT_STARTED])
    assert shown["origin"]["told"] == "stopped"
    assert site.server.works.trace(job.token) == []
    assert [name for name in site.server.spool() if job.token in name] == []


@pytest.mark.parametrize(("of_running", "of_waiting"), [*itertools.permutations(CANCELS)])
@pytest.mark.parametrize("way", REFUSALS)
def test_a_job_that_runs_and_one_that_waits_are_canceled_with_receipts(
    site: InletServer, way: str, of_running: str, of_waiting: str
) -> None:
    """D25, promises 3, 4 and 6: the filter that runs stops, no other one starts, and nothing is delivered.

    Their origins were told before that the scans are stored, and are told nothing more.
    """
    running = sent(site, way)
    site.server.works.await_trace(running, "sleep")
    waiting = sent(site, way)
    before = [site.job(token).state for token in (running, waiting)]
    CANCELS[of_waiting](site, waiting)
    CANCELS[of_running](site, running)
    until(lambda: site.job(running).state.ended, f"for job {running} to end")
    ran, waited = site.shown(running), site.shown(waiting)

    assert before == ["Processing", "Pending"]
    assert end_of(ran) == (*CANCELED, [STOPPED, NOT_STARTED])
    assert ran["filters"][0]["receipt"]["stopped_after"] is not None
    assert end_of(waited) == (*CANCELED, [NOT_STARTED, NOT_STARTED])
    assert [ran["origin"]["told"], waited["origin"]["told"]] == [None, None]
    assert [line[0] for line in site.server.works.trace(running)] == ["sleep"]
    assert site.server.works.trace(waiting) == []
    assert site.server.works.delivered() == []


@pytest.mark.parametrize("way", REFUSALS)
def test_canceled_jobs_leave_their_places_to_others(site: InletServer, way: str) -> None:
    """T-S4: an inlet has four for jobs that take pages; they are free when their sources have seen the cancels."""
    most = site.server.settings.sources[WAYS_IN[way].inlet].open_jobs
    for _ in range(most):
        with creating(site, way) as job:
            site.server.works.service.cancel(job.token, ADMIN)
        assert job.reply.result(PATIENCE).code == REFUSALS[way]
    site.server.works.service.cancel(sent(site, way), ADMIN)
