"""Changes that subscribers are told of, and a job whose life makes some of every kind."""

from __future__ import annotations

from collections.abc import Iterator

from postscan.core.model.job import Job, JobDocument
from postscan.core.model.principal import Principal
from postscan.core.model.snapshot import JobChange
from postscan.core.model.states import FilterVerb
from postscan.core.store import outbox
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

EVERYTHING = 1000


def page(number: int) -> JobDocument:
    """Return an image."""
    return JobDocument(number, "png", 10, f"{number:064}", f"blob-{number}")


def told(store: Store, cursor: int = 0, limit: int = EVERYTHING, owner: Principal | None = None) -> list[JobChange]:
    """Return the happenings behind the cursor, of all that is committed."""
    store.number_events()
    return outbox.after(store.reading, cursor, limit, owner)[0]


def live(store: Store, job: Job) -> Iterator[Job]:
    """Lead a job through its life; yield it as it is stored after each commit that changed its status."""
    token = job.token
    job.receive(page(1), EXAMPLE_TIME)
    store.insert(job)
    yield store.load(token)
    with store.change(token) as stored:
        stored.receive(page(2), EXAMPLE_TIME)
    with store.change(token) as stored:
        stored.end(EXAMPLE_TIME)
    yield store.load(token)
    store.claim(EXAMPLE_TIME, "a holder")
    yield store.load(token)
    for step in job.steps:
        with store.change(token) as stored:
            stored.start(step.position, EXAMPLE_TIME)
        yield store.load(token)
        with store.change(token) as stored:
            stored.start(step.position, EXAMPLE_TIME)  # its server died: again
        with store.change(token) as stored:
            stored.report(step.position, FilterVerb.FAIL, EXAMPLE_TIME, reasons=("acme:Torn",))
        yield store.load(token)
    with store.change(token) as stored:
        stored.finish(EXAMPLE_TIME)
    yield store.load(token)
