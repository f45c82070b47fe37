"""A cancel ends every filter in time, whatever it does meanwhile, and nothing is granted after it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from evil_runs import GRACE, SLACK, TERM, Den, order_of
from works import alive, until

from postscan.core.engine import Engine
from postscan.core.filters.cancellation import CancelSource
from postscan.core.model.states import JobReason, JobState
from postscan.core.workers import protocol
from postscan.core.workers.pool import Workers
from postscan.core.workers.slot import Limits, RunEndKind


@pytest.mark.parametrize(
    "name",
    [
        "hang",
        "ignore-sigterm",
        "deaf-in-c",
        "swallow",
        "blocked-in-a-tool",
        "stop-the-supervisor",
        "leave-daemons-and-hang",
        "print-without-end",
        "send-half-a-line",
        "flood",
        "ask-without-listening",
        "write-around",
        "cancel-itself",
    ],
)
def test_a_filter_that_does_not_stop_is_killed_in_time(den: Den, name: str) -> None:
    """Promise 4, F-R6, T-P7: grace, SIGTERM, SIGKILL, and the job ends Canceled, whatever the filter does meanwhile."""
    token = den.start_evil(name)
    den.await_trace(token, "begun")
    if name == "ask-without-listening":  # some hundred replies later it would be killed for that
        until(lambda: den.service.deliveries(token, den.by), "for a grant")
    else:
        time.sleep(0.3)
    begun = time.monotonic()

    job = den.cancelled(token)

    took = time.monotonic() - begun
    assert (job.state, job.reasons) == (JobState.CANCELED, (JobReason.CANCELED,))
    assert took < GRACE + TERM + SLACK
    assert not any(alive(process) for process in den.left(token))


def test_nothing_is_granted_after_the_cancel(den: Den) -> None:
    """Promise 3: the row decides, even for a filter that asks behind the back of `publish`."""
    token = den.start_evil("ask-after-the-cancel")
    den.await_trace(token, "begun")

    den.cancelled(token)

    assert den.await_trace(token, "granted") == ["granted", "False"]
    assert den.service.deliveries(token, den.by) == []


def test_a_filter_that_writes_around_the_framework_writes_nothing_after_its_job_has_ended(den: Den) -> None:
    """Ruling 5: the termination bounds what a filter can do without a grant."""
    token = den.start_evil("write-around")
    until(lambda: len(list(den.out.glob(f"{token}.*"))) > 3, "for it to write")

    den.cancelled(token)

    before = len(list(den.out.glob(f"{token}.*")))
    time.sleep(0.2)
    assert len(list(den.out.glob(f"{token}.*"))) == before


def test_a_slow_server_does_not_keep_a_filter_alive(tmp_path: Path, engine: Engine) -> None:
    """The termination has a thread of its own: a message that takes long to handle delays nothing."""
    workers = Workers()
    gone: list[float] = []
    begun = time.monotonic()

    def handle(message: protocol.RunMessage) -> None:
        if gone:
            return
        source.cancel("the test says so")
        until(lambda: not alive(process()), "for the filter to be gone while we are busy")
        gone.append(time.monotonic() - begun)

    def process() -> int:
        return int((tmp_path / "job.trace").read_text().split()[1])

    with CancelSource() as source, workers.slot() as slot:
        order = order_of("flood", tmp_path)
        ended = slot.run(order, source, Limits(60, GRACE, TERM), handle)
    workers.close()

    assert ended.kind is RunEndKind.STOPPED
    assert gone


def test_a_filter_that_closes_its_socket_is_killed_at_once_by_a_cancel(tmp_path: Path, engine: Engine) -> None:
    """Without grace: nothing that it does is seen any more. It ends as a killed run, not as a broken protocol."""
    workers = Workers()

    def cancel() -> None:
        trace = tmp_path / "job.trace"
        until(lambda: trace.exists() and "hung-up" in trace.read_text(), "for the filter to close its socket")
        source.cancel("the test says so")

    canceller = threading.Thread(target=cancel)
    with CancelSource() as source, workers.slot() as slot:
        canceller.start()
        ended = slot.run(order_of("hang-up", tmp_path), source, Limits(600, grace=600, term=600), lambda message: None)
    canceller.join()
    workers.close()

    assert (ended.kind, ended.exit_code, ended.why) == (RunEndKind.STOPPED, -9, "")
