"""What ends a job from the server's side: a cancel, an end that is not stored, a stop, the death of the server."""

from __future__ import annotations

import threading

import pytest
from idle_sources import IdleWithJob, Job, bring
from source_server import SourceServer
from works import PATIENCE

from postscan.core.filters.source.messages import (
    EndRequest,
    FailRequest,
    InletBusy,
    LeaveRequest,
    OpenRequest,
    PageRequest,
    Reply,
    Request,
)
from postscan.plugins import Busy, Ended, SourceContext


def test_a_cancel_reaches_the_origin_at_once(server: SourceServer, job: Job) -> None:
    """Rule 6: the token stops what waits for the origin, and what the origin said is kept."""
    aborted = threading.Event()
    with pytest.raises(Ended, match="by an administrator") as ended, job() as one, one.token.calling(aborted.set):
        server.cancel(server.jobs[0], "by an administrator")
        assert aborted.wait(PATIENCE)
        raise ConnectionError("the connection was closed")
    one.told("stopped")

    assert ended.value.token == one.id
    assert (server.jobs[0].state, server.jobs[0].told) == ("Canceled", ["stopped"])


@pytest.mark.parametrize("step", ["page", "write", "leave", "end"])
def test_a_cancel_that_came_before_is_seen_at_each_step(server: SourceServer, job: Job, step: str) -> None:
    """Also if its message comes behind the reply to the step."""
    kinds = {"page": PageRequest, "end": EndRequest, "leave": LeaveRequest, "write": LeaveRequest}

    def cancel(request: Request) -> None:
        if isinstance(request, kinds[step]):
            server.jobs[0].state, server.jobs[0].reason = "Canceled", "too late"

    server.on_request = cancel
    with pytest.raises(Ended, match="too late"), job() as one:
        if step == "write":
            with one.page() as page:
                with pytest.raises(Ended):
                    page.write(b"x")
                assert one.token.cancelled
                page.write(b"y")
        bring(one, b"page")

    assert server.jobs[0].state == "Canceled"


def test_a_cancelled_job_is_closed_when_its_block_was_left(server: SourceServer, job: Job) -> None:
    """Else the server would keep its place for the pages that it takes for possible."""
    with pytest.raises(Ended), job() as one:
        bring(one, b"page")
        server.cancel(server.jobs[0], "by an administrator")
        one.token.wait(PATIENCE)
        one.check()

    assert isinstance(server.requests[-1], FailRequest)
    assert server.jobs[0].state == "Canceled"


def test_an_end_that_cannot_be_stored_acknowledges_nothing(server: SourceServer, job: Job) -> None:
    """The job fails, so that the origin may come again."""
    server.on_request = lambda request: (
        InletBusy(id=request.id, seconds=3.0) if isinstance(request, EndRequest) else None
    )
    with pytest.raises(Busy), job() as one:
        bring(one, b"page")

    assert server.jobs[0].state == "Aborted"


@pytest.mark.parametrize("kind", [OpenRequest, LeaveRequest, PageRequest, EndRequest])
def test_the_death_of_the_server_ends_every_wait(
    server: SourceServer, inlet: SourceContext, job: Job, kind: type[Request]
) -> None:
    """At each step: `Busy`, which every protocol can say, and the tokens are set."""
    held = threading.Event()

    def die(request: Request) -> Reply | None:
        if isinstance(request, kind):
            server.die()
            held.wait(PATIENCE)
        return None

    server.on_request = die
    with pytest.raises(Busy), job() as one:
        bring(one, b"page")
    held.set()

    assert inlet.token.cancelled
    with pytest.raises(Busy), job("another"):
        raise AssertionError("the block must not be entered")


def test_a_wait_for_the_origin_ends_as_well(server: SourceServer, job: Job) -> None:
    """The token of each job is set."""
    with pytest.raises(Busy, match="server has gone"), job() as one:
        server.die()
        woken = one.token.wait(PATIENCE)
        one.token.check()

    assert woken


def test_a_stopped_inlet_takes_nothing_new_and_ends_what_is_open(
    server: SourceServer, source: IdleWithJob, inlet: SourceContext, job: Job
) -> None:
    """The origin hears "come again", as when there is no room."""
    with source.open, job() as one:
        server.stop()
        assert inlet.token.wait(PATIENCE)
        with pytest.raises(Busy, match="being stopped"), job("another"):
            raise AssertionError("the block must not be entered")
        assert not one.token.cancelled
        bring(one, b"page")

    assert server.jobs[0].state == "Pending"
