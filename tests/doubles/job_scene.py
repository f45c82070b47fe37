"""Jobs in each state on an engine that runs none, for pages that show them."""

from __future__ import annotations

import contextlib

from conftest import ANNA
from job_states import NOW, STATES, processing, started
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.model.job import Job, JobToken, JobTurn, Receipt, RunStatus
from postscan.core.model.principal import Principal
from postscan.core.model.records import Delivery, JobOrigin, OriginProof
from postscan.core.model.states import FilterVerb, JobReason
from postscan.core.spool.job_log import JobLogWriter
from postscan.core.store.sources import origins
from postscan.core.store.sources.origins import OriginRow

HOSTILE = "<img src=x onerror=alert(1)>\u202e'\"&{{ 7777 * 7777 }}"
"""What a device or a filter may write: markup, a mark that turns the direction, quotes, a template."""


def failed(job: Job) -> None:
    """Its first filter has ended, and its second one has failed."""
    processing(job)
    fail_second(job)


def fail_second(job: Job) -> None:
    """Let the first filter, which runs, succeed, and the second one fail, and the job with it."""
    job.report(0, FilterVerb.SUCCEED, NOW, receipt=Receipt(RunStatus.COMPLETED, 12, 0.3))
    job.start(1, NOW)
    job.report(1, FilterVerb.FAIL, NOW, ("acme:torn",), "no room on the share")
    job.fail(JobReason.PROCESSING_FAILED, NOW)


def died_and_runs(job: Job) -> None:
    """Its first filter died once, and runs again."""
    started(job)
    job.start(0, NOW)
    job.start(0, NOW)


WAYS = STATES | {
    "Failed": failed,
    "TimedOut": lambda job: job.expire(NOW),
    "Again": died_and_runs,
}
"""How a job comes into each state, and into some more conditions."""


def put(
    core: Engine, way: str = "Creating", *, by: Principal = ANNA, name: str = "Invoice", sid: str = SID
) -> JobToken:
    """Store a job with an image and two filters, and lead it there; return its token."""
    sent = instructions("copy", "sleep 9")
    token = core.service.create(by, sid, "P", type(sent)(name, sent.filters))
    with core.service.open_image(token, by, 1, "png") as image:
        image.write(b"picture")
    with core.store.change(token) as job:
        WAYS[way](job)
    return token


def deliver(core: Engine, token: str, destination: str = "/srv/scans", name: str = "Invoice.png") -> None:
    """Let the first filter of a job that is Processing publish an output."""
    output = Delivery(0, 1, destination, name, published=True)
    assert core.store.grant(JobTurn(token, 1), 0, 1, output, NOW)
    core.store.confirm(JobTurn(token, 1), 0, output)


def write_line(core: Engine, token: str, text: str) -> None:
    """Let the first filter of a job log a line."""
    with contextlib.closing(JobLogWriter(core.spool.logs, JobToken(token), ANNA.name, 0, 1, core.clock, 0)) as log:
        log.append("info", text)


def note(core: Engine, token: JobToken, *notes: str) -> None:
    """Let a source have brought a job, and noted something about it."""
    origin = JobOrigin(token, "front-desk", "key", OriginProof.DEVICE, "10.0.0.9", "", "letters", 0.0, False)
    with core.store.writing() as db:
        origins.write_origin(db, OriginRow(origin, 0.0))
        origins.record_notes(db, "front-desk", token, notes)
