"""Jobs of sources in Creating: their origins have sent all, and wait for the reply.

The process of the source is stopped there by a signal, so that a test finds the job in this state, and goes on
afterwards.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from acceptance.inlets import InletServer
from acceptance.ways_in import ANNA, LABELS, WAYS_IN, InletReply, Scan, new_page
from sourced import ADMIN
from works import PATIENCE, until

ATTEMPTS = 50
"""Scans that are sent until one is stopped in time; nearly always the first one is."""

PAGE_BYTES = 3 << 20
"""So large that the server is busy with it for a while."""

OPEN = """select job.token from job join origin on origin.token = job.token where job.state = 'Creating'
    and origin.inlet = ? and job.token not in (select token from document)"""


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
