"""The two state machines, as tables."""

from __future__ import annotations

import pytest

from postscan.core.errors import WrongState
from postscan.core.model.states import (
    FILTER_TRANSITIONS,
    TRANSITIONS,
    FilterReason,
    FilterState,
    FilterVerb,
    JobReason,
    JobState,
    Verb,
    after,
    diagram,
    filter_after,
)

LAST = {JobState.COMPLETED, JobState.ABORTED, JobState.CANCELED}


def reachable(start, table):
    """Return every state that some sequence of verbs leads to from *start*, itself included."""
    seen, waiting = set(), [start]
    while waiting:
        state = waiting.pop()
        if state not in seen:
            seen.add(state)
            waiting.extend(table[state].values())
    return seen


def test_the_job_table_has_exactly_the_agreed_edges():
    """The edges of the architecture's table and of ruling 2, and no other (I6)."""
    agreed = """
        Creating      receive→Creating end→Pending cancel→Canceled expire→Aborted fail→Aborted
        Pending       claim→Started hold→Pending-Held cancel→Canceled fail→Aborted
        Pending-Held  release→Pending cancel→Canceled fail→Aborted
        Started       run→Processing fail→Aborted cancel→Terminating
        Processing    run→Processing finish→Completed fail→Aborted cancel→Terminating
        Terminating   run→Terminating finish→Canceled fail→Canceled cancel→Terminating
        Completed
        Aborted
        Canceled
    """
    rows = [line.split() for line in agreed.strip().splitlines()]

    assert {state: set(edges) for state, *edges in rows} == {
        str(state): {f"{verb}→{target}" for verb, target in edges.items()} for state, edges in TRANSITIONS.items()
    }


@pytest.mark.parametrize("state", JobState)
def test_every_state_can_end(state):
    """From every state some verbs lead to a last state (promise 4: it always ends)."""
    assert reachable(state, TRANSITIONS) & LAST


@pytest.mark.parametrize("state", FilterState)
def test_every_filter_state_can_end(state):
    """The same holds for filters."""
    assert any(one.ended for one in reachable(state, FILTER_TRANSITIONS))


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_has_a_row(verb):
    """No verb is there that nothing allows."""
    assert any(verb in edges for edges in TRANSITIONS.values())


@pytest.mark.parametrize("verb", FilterVerb)
def test_every_filter_verb_has_a_row(verb):
    """No verb of filters is there that nothing allows."""
    assert any(verb in edges for edges in FILTER_TRANSITIONS.values())


@pytest.mark.parametrize("state", JobState)
def test_every_state_is_reached_from_creating(state):
    """No state is there that a job can never be in."""
    assert state in reachable(JobState.CREATING, TRANSITIONS)


def test_nothing_leaves_the_three_last_states():
    """Completed, Aborted and Canceled are final, and nothing else is (I7)."""
    assert {state for state in JobState if state.ended} == LAST


def test_a_terminating_job_can_only_be_canceled():
    """Whatever a worker reports after the cancel, the job ends Canceled (promise 5, I11)."""
    assert reachable(JobState.TERMINATING, TRANSITIONS) == {JobState.TERMINATING, JobState.CANCELED}


@pytest.mark.parametrize("state", [state for state in JobState if state not in LAST])
def test_every_job_that_has_not_ended_can_be_cancelled(state):
    """Cancel is an edge of every other state, and it leads to Canceled sooner or later."""
    assert reachable(after(state, Verb.CANCEL), TRANSITIONS) & LAST == {JobState.CANCELED}


@pytest.mark.parametrize("state", [JobState.CREATING, JobState.PENDING, JobState.HELD])
def test_a_cancel_is_immediate_where_nothing_runs(state):
    """There is nothing to wait for, so the job is Canceled at once."""
    assert after(state, Verb.CANCEL) is JobState.CANCELED


def test_images_come_only_while_creating():
    """SendImage has one row in the table (DSP-039)."""
    assert [state for state, edges in TRANSITIONS.items() if Verb.RECEIVE in edges] == [JobState.CREATING]


def test_an_executor_has_the_job_exactly_while_it_can_be_terminated():
    """In hand are Started, Processing and Terminating: those from which a cancel has to wait."""
    waits = {state for state, edges in TRANSITIONS.items() if edges.get(Verb.CANCEL) is JobState.TERMINATING}

    assert {state for state in JobState if state.in_progress} == waits


@pytest.mark.parametrize(("state", "verb"), [(s, v) for s in JobState for v in Verb if v not in TRANSITIONS[s]])
def test_a_verb_without_an_edge_is_refused_by_name(state, verb):
    """The error names what was tried and what state forbids it."""
    with pytest.raises(WrongState) as caught:
        after(state, verb)

    assert str(caught.value) == f"cannot {verb} while {state}"


@pytest.mark.parametrize(
    ("state", "verb"), [(s, v) for s in FilterState for v in FilterVerb if v not in FILTER_TRANSITIONS[s]]
)
def test_a_filter_verb_without_an_edge_is_refused_by_name(state, verb):
    """The same for filters."""
    with pytest.raises(WrongState) as caught:
        filter_after(state, verb)

    assert (caught.value.verb, caught.value.state) == (verb, state)


def test_a_filter_cannot_succeed_without_having_started():
    """Without a run a filter can warn, fail or be cancelled (O-7, O-11), but never succeed."""
    assert FilterState.SUCCEEDED not in FILTER_TRANSITIONS[FilterState.PENDING].values()


def test_names_are_spelled_as_the_protocol_does():
    """Every value on the wire is one of the enumerations of ws-dsp.md section 6 (DSP-059)."""
    job_states = "Creating Pending Pending-Held Started Processing Terminating Completed Aborted Canceled"
    job_reasons = (
        "None NoValidPostScanInstructionsFound CreatePostScanJobFailed SendImageFailed PostScanJobCanceled "
        "PostScanJobProcessingFailed PostScanJobTimedOut PostScanJobCompletedSuccessfully "
        "PostScanJobCompletedWithErrors PostScanJobCompletedWithWarnings"
    )
    filter_states = "Pending Processing Canceled CompletedSuccessfully CompletedWithErrors CompletedWithWarnings"
    filter_reasons = (
        "InvalidArgs OutOfDiskSpace ServerOutOfMemory FileShareAccessDenied FileShareOutOfDiskSpace "
        "SharePointAccessDenied SharePointOutOfDiskSpace InvalidSMTPServer UnableToSendEmail UnknownError"
    )

    assert set(JobState) == set(job_states.split())
    assert set(JobReason) < set(job_reasons.split())
    assert set(FilterState) == set(filter_states.split())
    assert set(FilterReason) == set(filter_reasons.split())


def test_the_diagram_shows_every_edge_of_the_table():
    """The text that the documents quote says what the table says, one state a line."""
    shown = {line.split()[0]: line.split()[1:] for line in diagram().splitlines()}

    assert shown == {
        str(state): [f"{verb}→{target}" for verb, target in edges.items()] or ["(nothing)"]
        for state, edges in TRANSITIONS.items()
    }
