"""What the end of a run means: for the filter's state, and for its receipt."""

from __future__ import annotations

import signal

import pytest

from postscan.core.filters.cancellation import Checks
from postscan.core.model.job import RunStatus
from postscan.core.model.states import FilterVerb
from postscan.core.workers.outcome import outcome_of
from postscan.core.workers.protocol import Message
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Limits, RunEnd, RunEndKind

LIMITS = Limits(10, resources=Resources(processor=3))
SUCCEED, WARN, FAIL, CANCEL = FilterVerb.SUCCEED, FilterVerb.WARN, FilterVerb.FAIL, FilterVerb.CANCEL


@pytest.mark.parametrize(
    ("ended", "verb", "how", "detail"),
    [
        (RunEnd(RunEndKind.SAID, {"end": "done"}), SUCCEED, RunStatus.COMPLETED, ""),
        (
            RunEnd(RunEndKind.SAID, {"end": "done", "warnings": ["thin", "torn"]}),
            WARN,
            RunStatus.COMPLETED,
            "thin torn",
        ),
        (RunEnd(RunEndKind.SAID, {"end": "cancelled"}), CANCEL, RunStatus.STOPPED, "it stopped when it was asked to"),
        (RunEnd(RunEndKind.SAID, {"end": "failed", "detail": "no"}), FAIL, RunStatus.FAILED, "no"),
        (RunEnd(RunEndKind.SAID, {"end": "broken", "error": "E: no"}), FAIL, RunStatus.FAILED, "E: no"),
        (RunEnd(RunEndKind.SAID, {"end": "cancelled"}, late=True), FAIL, RunStatus.STOPPED, "it ran longer than 10 s"),
        (RunEnd(RunEndKind.STOPPED, {}, late=True), FAIL, RunStatus.KILLED, "it ran longer than 10 s"),
        (RunEnd(RunEndKind.STOPPED, {}), CANCEL, RunStatus.KILLED, "it was killed: it looked at its token 4 times"),
        (RunEnd(RunEndKind.UNRULY, {}, why="it talks"), FAIL, RunStatus.KILLED, "it was killed: it talks"),
        (
            RunEnd(RunEndKind.DIED, {}, exit_code=0),
            FAIL,
            RunStatus.DIED,
            "its process ended by itself with exit code 0",
        ),
        (RunEnd(RunEndKind.DIED, {}, exit_code=-9), FAIL, RunStatus.DIED, "its process was ended by SIGKILL"),
        (RunEnd(RunEndKind.DIED, {}, exit_code=-40), FAIL, RunStatus.DIED, "its process was ended by signal 40"),
        (RunEnd(RunEndKind.DIED, {}), FAIL, RunStatus.DIED, "its process and its keeper were killed"),
    ],
)
def test_each_end_has_its_verb_its_course_and_its_sentence(
    ended: RunEnd, verb: FilterVerb, how: RunStatus, detail: str
) -> None:
    """Promise 7: the receipt says what happened, whatever the job makes of it."""
    judged = outcome_of(
        RunEnd(ended.how, ended.message, ended.late, ended.exit_code, ended.why, Checks(4, 0.5)), LIMITS
    )

    assert (judged.verb, judged.receipt.fate) == (verb, how)
    assert judged.detail.startswith(detail)
    assert judged.again is (how is RunStatus.DIED)


def test_the_receipt_tells_how_well_the_filter_watched_and_when_it_stopped() -> None:
    """Number of looks, longest gap, and the time since it was asked."""
    judged = outcome_of(
        RunEnd(RunEndKind.SAID, {"end": "cancelled"}, checks=Checks(4, 0.5), stopped_after=0.02), LIMITS
    )

    assert (judged.receipt.checks, judged.receipt.longest_gap, judged.receipt.stopped_after) == (4, 0.5, 0.02)


def test_a_filter_that_used_up_its_processor_time_is_not_tried_again() -> None:
    """It would use it up once more."""
    judged = outcome_of(RunEnd(RunEndKind.DIED, {}, exit_code=-signal.SIGXCPU), LIMITS)

    assert not judged.again
    assert judged.detail == "it used more than 3 s of processor time and was ended"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"end": ["done"]},
        {"end": "done", "warnings": 7},
        {"end": "failed", "reasons": 7, "detail": None},
        {"end": "failed", "reasons": [["x"], {}, None] * 1000},
        {"end": "broken", "error": {"x": 1}},
    ],
)
def test_a_last_word_that_makes_no_sense_still_gives_a_verdict(nonsense: Message) -> None:
    """T-P6: it comes from a stranger."""
    judged = outcome_of(RunEnd(RunEndKind.SAID, nonsense), LIMITS)

    assert judged.verb in (SUCCEED, FAIL)
    assert len(judged.reasons) <= 8
    assert all(isinstance(reason, str) for reason in judged.reasons)
