"""Cancelling the job of a source, in each state: by an administrator, and by a certificate of its user.

While a job takes pages its origin waits for the reply. The process of the source is stopped there by a signal, so that
the cancel finds the job in Creating, and goes on afterwards.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from acceptance import inlets
from acceptance.inlets import ANNA, BEN, LABELS, WAYS_IN, InletReply, InletServer, Scan, new_page
from acceptance.scanning import good, refusal
from sourced import ADMIN
from works import PATIENCE, until

ATTEMPTS = 50
"""Scans that are sent until one is stopped in time; nearly always the first one is."""

PAGE_BYTES = 8 << 20
"""So large that the server is busy with it for a while."""

OPEN = """select job.token from job join origin on origin.token = job.token where job.state = 'Creating'
    and origin.inlet = ? and job.token not in (select token from document)"""

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


@dataclass(frozen=True)
class OpenJob:
    """A job in Creating, and the reply that its origin gets."""

    token: str
    reply: Future[InletReply]


@contextlib.contextmanager
def creating(site: InletServer, way: str) -> Iterator[OpenJob]:
    """Yield a job whose source is stopped: it has opened the job, and has no reply to its first page yet.

    So it has not ended the job, and cannot before the end of the body.
    """
    process = site.process(WAYS_IN[way].inlet)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(ATTEMPTS):
            scan = Scan(new_page(PAGE_BYTES), LABELS[ANNA], name=f"{uuid.uuid4()}.png")
            reply = pool.submit(WAYS_IN[way].send, site, scan)
            await_open(site, way, reply)
            process.suspend()
            try:
                until(lambda: is_stopped(process.pid), "for the source to be stopped")
                if tokens := opened(site, way):
                    yield OpenJob(tokens[0], reply)
                    return
            finally:
                process.resume()
            withdraw(site, scan, reply)
    raise AssertionError(f"none of {ATTEMPTS} jobs was stopped in time")


def opened(site: InletServer, way: str) -> list[str]:
    """Return the jobs of an inlet that take pages and have none yet."""
    return [token for (token,) in site.rows(OPEN, WAYS_IN[way].inlet)]


def await_open(site: InletServer, way: str, reply: Future[InletReply]) -> None:
    """Wait until the job of a scan is opened, asking more often than `until`; or until its reply has come."""
    end = time.monotonic() + PATIENCE
    while not reply.done() and not opened(site, way):
        assert time.monotonic() < end, "no job is opened"
        time.sleep(0.001)


def is_stopped(pid: int) -> bool:
    """Return whether all threads of a process are stopped by a signal."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        return set(states) == {"T"}
    return False


def withdraw(site: InletServer, scan: Scan, reply: Future[InletReply]) -> None:
    """Cancel the job of a scan that was not stopped in time, and wait for its end."""
    assert reply.result(PATIENCE).stored
    [token] = site.tokens_of(scan.content)
    site.server.works.service.cancel(token, ADMIN)
    until(lambda: site.job(token).state.ended, f"for job {token} to end")


def sent(site: InletServer, way: str) -> str:
    """Send a scan; return the token of its job."""
    scan = Scan(new_page(), LABELS[ANNA])
    assert WAYS_IN[way].send(site, scan).stored
    [token] = site.tokens_of(scan.content)
    return token


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
