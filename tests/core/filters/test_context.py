"""What a filter sees of the world."""

from __future__ import annotations

import dataclasses

import pytest

from postscan.core.filters.cancellation import Cancelled
from postscan.core.filters.filter import Filter
from postscan.core.filters.results import FilterFailed, FilterResult
from postscan.core.model.principal import User
from postscan.core.model.states import FilterReason, FilterState
from postscan.plugins.testing.runner import run_filter


class Does(Filter):
    """Do what a test says."""

    dialect = "urn:test:does"
    title = "Does"

    def __init__(self, what):
        self.what = what

    def run(self, job, token):
        return self.what(job, token)


@pytest.fixture
def pages(tmp_path):
    """Three pages."""
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def test_documents_come_by_ascending_id(pages):
    """With the bytes, the format and the name that they should get."""
    seen = []
    run_filter(Does(lambda job, token: seen.extend(job.documents)), pages)

    assert [document.id for document in seen] == [1, 2, 3]
    assert [document.path.read_bytes() for document in seen] == [b"0.png", b"1.png", b"2.png"]
    assert {document.format for document in seen} == {"png"}
    assert seen[2].name == "Scan_anna@fabrikam.example_20260302-094107_003.png"


def test_going_through_the_documents_looks_at_the_token(pages):
    """Before each, and after the last: a plain loop can be cancelled."""
    result = run_filter(Does(lambda job, token: list(job.documents) and None), pages)

    assert result.checks.number == 4


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_loop_over_the_documents_stops_where_the_cancel_meets_it(pages, number):
    """It yields no document after the cancel."""
    seen = []

    def read(job, token):
        for document in job.documents:
            seen.append(document.id)

    result = run_filter(Does(read), pages, cancel_at=number)

    assert result.outcome is FilterState.CANCELED
    assert len(seen) == number - 1


def test_going_through_the_documents_tells_how_far_it_is(pages):
    """Without a word of the author."""
    result = run_filter(Does(lambda job, token: list(job.documents) and None), pages)

    assert result.progress == [(1, 3, "documents"), (2, 3, "documents"), (3, 3, "documents")]


def test_an_output_is_granted_before_its_body_and_told_after_it(pages):
    """So that nothing is visible that the server does not know (ruling 5)."""
    order = []

    class Watching:
        """Writes down when the server is told what."""

        def __init__(self, parent):
            self.parent = parent

        def grant(self, *about):
            order.append(("grant", *about))
            return True

        def published(self, *about):
            order.append(("published", *about))

        def withdrawn(self, *about):
            order.append(("withdrawn", *about))

    def send(job, token):
        job = dataclasses.replace(job, parent=Watching(job.parent))
        with job.publish(None, "there", "all.pdf"):
            order.append("body")
        with pytest.raises(OSError), job.publish(job.all_documents[0], "there", "one.png"):
            raise OSError

    run_filter(Does(send), pages)

    assert order == [
        ("grant", None, "there", "all.pdf"),
        "body",
        ("published", None, "there", "all.pdf"),
        ("grant", 1, "there", "one.png"),
        ("withdrawn", 1, "there", "one.png"),
    ]


def test_a_cancelled_job_publishes_nothing_more(pages):
    """The body does not even begin (promise 3)."""
    result = run_filter(Does(lambda job, token: publish_into(job, pytest.fail)), pages, cancel_at=1)

    assert result.outcome is FilterState.CANCELED
    assert result.published == []


def publish_into(job, body):
    """Publish one output whose body is *body*."""
    with job.publish(None, "there", "all.pdf"):
        body("the body ran")


def test_a_refusal_of_the_server_counts_as_the_cancel(pages):
    """The server knew of the cancel before the token did."""

    class Refusing:
        """A server that has just cancelled the job."""

        def grant(self, *about):
            return False

    def send(job, token):
        with pytest.raises(Cancelled, match="before this output was granted"):
            publish_into(dataclasses.replace(job, parent=Refusing()), pytest.fail)

    assert run_filter(Does(send), pages).outcome is FilterState.SUCCEEDED


def test_the_body_of_an_output_is_shielded(pages):
    """A cancel in the middle lets it finish, and comes right after it: nothing is half sent."""
    done = []

    def send(job, token):
        with job.publish(None, "there", "mail"):
            token.check()
            done.append("sent")
        token.check()
        done.append("went on")

    result = run_filter(Does(send), pages, cancel_at=2)

    assert done == ["sent"]
    assert result.published == [(None, "there", "mail")]
    assert result.outcome is FilterState.CANCELED


def test_the_folder_of_the_user_is_named_after_the_user(pages):
    """`user@domain`, made safe (PSP-015)."""
    folders = []
    run_filter(Does(lambda job, token: folders.append(job.user_folder)), pages)
    run_filter(Does(lambda job, token: folders.append(job.user_folder)), pages, user=User("S-1-5-9", "../x"))

    assert folders[0] == "anna@fabrikam.example"
    assert folders[1].startswith("_x~")


def test_a_failure_has_its_reason_and_a_sentence():
    """Both are for the administrator; the reason is for the protocol as well."""
    failure = FilterFailed(FilterReason.OUT_OF_DISK_SPACE, "the disk is full; expected 3 MB")

    assert failure.reasons == ("OutOfDiskSpace",)
    assert str(failure) == failure.detail == "the disk is full; expected 3 MB"


def test_a_failure_without_words_is_an_unknown_error():
    """The protocol always has a reason."""
    assert FilterFailed().reasons == ("UnknownError",)
    assert str(FilterFailed()) == "UnknownError"


def test_several_failures_make_one_with_each_reason_once():
    """As the protocol wants them reported (O-27); no sentence is lost."""
    one = FilterFailed.of(
        [FilterFailed("InvalidArgs", "a"), FilterFailed("x:own", "b"), FilterFailed("InvalidArgs", "c")]
    )

    assert one.reasons == ("InvalidArgs", "x:own")
    assert one.detail == "a; b; c"


def test_a_filter_needs_nothing_and_has_five_seconds_unless_it_says_otherwise():
    """The defaults of the contract."""
    one = Does(lambda job, token: None)

    assert list(one.requires()) == []
    assert (one.grace, one.api, one.Settings) == (5.0, 1, None)


def test_a_filter_without_run_cannot_be_made():
    """There is no filter that does nothing by mistake."""
    with pytest.raises(TypeError, match="run"):
        type("Idle", (Filter,), {"dialect": "urn:idle", "title": "Idle"})()


def test_a_result_without_warnings_is_a_success():
    """Only warnings change the outcome."""
    assert run_filter(Does(lambda job, token: FilterResult()), []).outcome is FilterState.SUCCEEDED
    assert run_filter(Does(lambda job, token: FilterResult(("hm",))), []).outcome is FilterState.WARNINGS
