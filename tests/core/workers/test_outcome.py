"""What the end of a run means: for the filter's state, and for its receipt."""

from __future__ import annotations

import signal

import pytest

from postscan.core.filters.cancellation import Checks
from postscan.core.model.job import Fate
from postscan.core.model.states import FilterVerb
from postscan.core.workers.outcome import verdict
from postscan.core.workers.protocol import Message
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Ended, How, Limits

LIMITS = Limits(10, resources=Resources(processor=3))
SUCCEED, WARN, FAIL, CANCEL = FilterVerb.SUCCEED, FilterVerb.WARN, FilterVerb.FAIL, FilterVerb.CANCEL


@pytest.mark.parametrize(
    ("ended", "verb", "how", "detail"),
    [
        (Ended(How.SAID, {"end": "done"}), SUCCEED, Fate.COMPLETED, ""),
        (Ended(How.SAID, {"end": "done", "warnings": ["thin", "torn"]}), WARN, Fate.COMPLETED, "thin torn"),
        (Ended(How.SAID, {"end": "cancelled"}), CANCEL, Fate.STOPPED, "it stopped when it was asked to"),
        (Ended(How.SAID, {"end": "failed", "detail": "no"}), FAIL, Fate.FAILED, "no"),
        (Ended(How.SAID, {"end": "broken", "error": "E: no"}), FAIL, Fate.FAILED, "E: no"),
        (Ended(How.SAID, {"end": "cancelled"}, late=True), FAIL, Fate.STOPPED, "it ran longer than 10 s"),
        (Ended(How.STOPPED, {}, late=True), FAIL, Fate.KILLED, "it ran longer than 10 s"),
        (Ended(How.STOPPED, {}), CANCEL, Fate.KILLED, "it was killed: it looked at its token 4 times"),
        (Ended(How.UNRULY, {}, why="it talks"), FAIL, Fate.KILLED, "it was killed: it talks"),
        (Ended(How.DIED, {}, exit_code=0), FAIL, Fate.DIED, "its process ended by itself with exit code 0"),
        (Ended(How.DIED, {}, exit_code=-9), FAIL, Fate.DIED, "its process was ended by SIGKILL"),
        (Ended(How.DIED, {}, exit_code=-40), FAIL, Fate.DIED, "its process was ended by signal 40"),
        (Ended(How.DIED, {}), FAIL, Fate.DIED, "its process and its keeper were killed"),
    ],
)
def test_each_end_has_its_verb_its_course_and_its_sentence(
    ended: Ended, verb: FilterVerb, how: Fate, detail: str
) -> None:
    """Promise 7: the receipt says what happened, whatever the job makes of it."""
    judged = verdict(Ended(ended.how, ended.message, ended.late, ended.exit_code, ended.why, Checks(4, 0.5)), LIMITS)

    assert (judged.verb, judged.receipt.fate) == (verb, how)
    assert judged.detail.startswith(detail)
    assert judged.again is (how is Fate.DIED)


def test_the_receipt_tells_how_well_the_filter_watched_and_when_it_stopped() -> None:
    """Number of looks, longest gap, and the time since it was asked."""
    judged = verdict(Ended(How.SAID, {"end": "cancelled"}, checks=Checks(4, 0.5), stopped_after=0.02), LIMITS)

    assert (judged.receipt.checks, judged.receipt.longest_gap, judged.receipt.stopped_after) == (4, 0.5, 0.02)


def test_a_filter_that_used_up_its_processor_time_is_not_tried_again() -> None:
    """It would use it up once more."""
    judged = verdict(Ended(How.DIED, {}, exit_code=-signal.SIGXCPU), LIMITS)

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
    judged = verdict(Ended(How.SAID, nonsense), LIMITS)

    assert judged.verb in (SUCCEED, FAIL)
    assert len(judged.reasons) <= 8
    assert all(isinstance(reason, str) for reason in judged.reasons)
