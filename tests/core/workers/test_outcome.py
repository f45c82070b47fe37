"""What the end of a run means: for the filter's state, and for its receipt."""

from __future__ import annotations

import signal

import pytest

from postscan.core.filters.cancellation import Checks
from postscan.core.model.job import RunStatus
from postscan.core.model.states import FilterVerb
from postscan.core.workers import protocol
from postscan.core.workers.outcome import outcome_of
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Limits, RunEnd, RunEndKind

LIMITS = Limits(10, resources=Resources(processor=3))
SUCCEED, WARN, FAIL, CANCEL = FilterVerb.SUCCEED, FilterVerb.WARN, FilterVerb.FAIL, FilterVerb.CANCEL


@pytest.mark.parametrize(
    ("ended", "verb", "how", "detail"),
    [
        (RunEnd(RunEndKind.REPORTED, protocol.FilterDone()), SUCCEED, RunStatus.COMPLETED, ""),
        (
            RunEnd(RunEndKind.REPORTED, protocol.FilterDone(warnings=("thin", "torn"))),
            WARN,
            RunStatus.COMPLETED,
            "thin torn",
        ),
        (
            RunEnd(RunEndKind.REPORTED, protocol.FilterCancelled()),
            CANCEL,
            RunStatus.STOPPED,
            "it stopped after the cancel",
        ),
        (RunEnd(RunEndKind.REPORTED, protocol.OrderFailed(reasons=(), error="no")), FAIL, RunStatus.FAILED, "no"),
        (RunEnd(RunEndKind.REPORTED, protocol.OrderBroken(error="E: no")), FAIL, RunStatus.FAILED, "E: no"),
        (
            RunEnd(RunEndKind.REPORTED, protocol.FilterCancelled(), late=True),
            FAIL,
            RunStatus.STOPPED,
            "it ran longer than 10 s",
        ),
        (RunEnd(RunEndKind.STOPPED, late=True), FAIL, RunStatus.KILLED, "it ran longer than 10 s"),
        (RunEnd(RunEndKind.STOPPED), CANCEL, RunStatus.KILLED, "it was killed: it checked its token 4 times"),
        (RunEnd(RunEndKind.INVALID, why="it sends"), FAIL, RunStatus.KILLED, "it was killed: it sends"),
        (
            RunEnd(RunEndKind.CRASHED, exit_code=0),
            FAIL,
            RunStatus.DIED,
            "its process ended by itself with exit code 0",
        ),
        (RunEnd(RunEndKind.CRASHED, exit_code=-9), FAIL, RunStatus.DIED, "its process was ended by SIGKILL"),
        (RunEnd(RunEndKind.CRASHED, exit_code=-40), FAIL, RunStatus.DIED, "its process was ended by signal 40"),
        (RunEnd(RunEndKind.CRASHED), FAIL, RunStatus.DIED, "its process and its supervisor were killed"),
    ],
)
def test_each_end_has_its_verb_its_course_and_its_sentence(
    ended: RunEnd, verb: FilterVerb, how: RunStatus, detail: str
) -> None:
    """Promise 7: the receipt says what happened, whatever the job makes of it."""
    judged = outcome_of(
        RunEnd(ended.kind, ended.result, ended.late, ended.exit_code, ended.why, Checks(4, 0.5)), LIMITS
    )

    assert (judged.verb, judged.receipt.status) == (verb, how)
    assert judged.detail.startswith(detail)
    assert judged.again is (how is RunStatus.DIED)


def test_the_receipt_tells_how_well_the_filter_watched_and_when_it_stopped() -> None:
    """Number of looks, longest gap, and the time since it was asked."""
    judged = outcome_of(
        RunEnd(RunEndKind.REPORTED, protocol.FilterCancelled(), checks=Checks(4, 0.5), stopped_after=0.02), LIMITS
    )

    assert (judged.receipt.checks, judged.receipt.longest_gap, judged.receipt.stopped_after) == (4, 0.5, 0.02)


def test_a_filter_that_used_up_its_processor_time_is_not_tried_again() -> None:
    """It would use it up once more."""
    judged = outcome_of(RunEnd(RunEndKind.CRASHED, exit_code=-signal.SIGXCPU), LIMITS)

    assert not judged.again
    assert judged.detail == "it used more than 3 s of processor time and was ended"


def test_the_result_of_another_order_is_a_failure() -> None:
    """T-P6: a worker may send any message of the protocol."""
    judged = outcome_of(RunEnd(RunEndKind.REPORTED, protocol.InstructionsAccepted()), LIMITS)

    assert (judged.verb, judged.receipt.status) == (FAIL, RunStatus.FAILED)
    assert judged.detail == "its worker sent the result of another order: accepted"


def test_reasons_are_few_and_of_the_protocol_or_in_its_form() -> None:
    """T-P6: other texts become UnknownError."""
    reasons = ("acme:PaperJam", "OutOfDiskSpace", "x y", "")
    result = protocol.OrderFailed(reasons=reasons * 1000, error="no")

    judged = outcome_of(RunEnd(RunEndKind.REPORTED, result), LIMITS)

    assert judged.reasons == ("acme:PaperJam", "OutOfDiskSpace", "UnknownError", "UnknownError") * 2
