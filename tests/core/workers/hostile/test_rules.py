"""A filter that ends in its own way or breaks a rule has failed, with a reason; what it claims is bounded."""

from __future__ import annotations

import pytest
from evil_runs import Den
from works import alive

from postscan.core.model.states import FilterState, JobReason, JobState


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("exit-with-0", "its process ended by itself with exit code 0"),
        ("crash", "its process was ended by SIGSEGV"),
        ("end-by-a-nameless-signal", "its process was ended by signal 40"),
        ("leave-a-daemon-and-die", "its process was ended by SIGKILL"),
        ("kill-the-supervisor", "its process and its supervisor were killed"),
    ],
)
def test_a_filter_that_ends_its_own_process_is_tried_three_times(den: Den, name: str, detail: str) -> None:
    """F-R8, F-R26: then it has failed, in the words of how it ended; what it left is gone."""
    job = den.ended(den.start_evil(name))

    step = job.steps[0]
    assert (job.state, job.reasons) == (JobState.ABORTED, (JobReason.PROCESSING_FAILED,))
    assert (step.state, step.reasons, step.attempt) == (FilterState.ERRORS, ("UnknownError",), 3)
    assert step.detail == detail
    assert not any(alive(process) for process in den.left(job.token))


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("eat-memory", "ServerOutOfMemory", "it needed more than 512 MiB of memory"),
        ("find-no-memory", "ServerOutOfMemory", "OSError: [Errno 12] Cannot allocate memory"),
        ("fill-the-disk", "OutOfDiskSpace", "OSError: [Errno 27] File too large"),
        ("fill-its-folder", "OutOfDiskSpace", "its folder took more than 8388608 bytes; it was stopped"),
        ("open-files", "UnknownError", "OSError: [Errno 24] Too many open files"),
        ("deaf-in-c", "UnknownError", "it used more than 1 s of processor time and was ended"),
        ("raise-something", "UnknownError", "Odd: half a sign ? and a nul ?"),
        ("close-everything", "UnknownError", "it was killed: it closed its socket"),
        ("send-garbage", "UnknownError", "it was killed: it sent an invalid message"),
        ("send-a-line-without-end", "UnknownError", "it was killed: it sends without end"),
        ("ask-the-impossible", "UnknownError", "it was killed: it sent an invalid message"),
        ("ask-for-infinity", "UnknownError", "it was killed: it sent an invalid message"),
        ("end-deep", "UnknownError", "it was killed: it sent an invalid message: more than 32 lists and objects"),
        ("end-long", "UnknownError", "what it made cannot be used: 'xxxx"),
        ("use-a-long-destination", "UnknownError", "it was killed: it sent an invalid message: grant.destination: "),
        ("lie-about-the-end", "UnknownError", "it was killed: it sent an invalid message: failed.reasons.0: "),
    ],
)
def test_a_filter_that_breaks_a_rule_has_failed_at_once(den: Den, name: str, reason: str, detail: str) -> None:
    """F-R7, F-R8, T-P4: one attempt, with the reason of the protocol and a sentence that says what it did."""
    job = den.ended(den.start_evil(name))

    step = job.steps[0]
    assert (job.state, job.reasons) == (JobState.ABORTED, (JobReason.PROCESSING_FAILED,))
    assert (step.state, step.reasons[0], step.attempt) == (FilterState.ERRORS, reason, 1)
    assert step.detail.startswith(detail)
    assert len(step.detail) <= 2000


def test_odd_names_are_stored_in_a_form_that_every_database_takes(den: Den) -> None:
    """T-P6: what a filter says is data of a stranger; halves of characters and NUL become question marks."""
    job = den.ended(den.start_evil("ask-with-odd-names"))

    assert job.state is JobState.COMPLETED
    [delivery] = den.service.deliveries(job.token, den.by)
    assert (delivery.destination, delivery.name, delivery.published) == ("??", "?", False)


def test_what_a_filter_claims_of_itself_is_cut_to_what_can_be(den: Den) -> None:
    """T-P6: the receipt is stored whatever the filter has written into its page."""
    step = den.ended(den.start_evil("boast-of-itself")).steps[0]

    assert (step.state, step.receipt.checks) == (FilterState.SUCCEEDED, (1 << 31) - 1)
    assert 0 <= step.receipt.longest_gap < 600
    assert step.progress == f"{(1 << 63) - 1}/{-(1 << 63) + 1} pages"
