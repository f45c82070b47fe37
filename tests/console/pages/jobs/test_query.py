"""The search form: what a URL asks for, what cannot be meant, and the URL of the same search."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.console.pages.jobs.query import MOST_CHARACTERS, SearchForm, SearchParameter, read
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason, JobState
from postscan.core.service.administration.listing import JobGroup, JobQuery, SearchCursor

CURSOR = SearchCursor(datetime(2026, 3, 2, 9, 41, tzinfo=UTC), JobToken("5d2c1b8e"))


def of(url: str) -> SearchForm:
    """Return what a URL asks for."""
    return read(parse_qsl(urlsplit(url).query))


def test_every_field_of_a_query_can_be_asked_for() -> None:
    """The names are those of the command line's options."""
    form = of(
        "/jobs?tab=ended&state=Aborted&state=Completed&reason=PostScanJobTimedOut&process=P&user=anna&device=10.0.0.9"
        "&destination=%2Fsrv&from=2026-03-01&to=2026-03-02T09:41&text=in+voice&after=" + f"{CURSOR}".replace("+", "%2B")
    )

    assert form.query == JobQuery(
        states=(JobState.ABORTED, JobState.COMPLETED),
        reason=JobReason.TIMED_OUT,
        process="P",
        user="anna",
        device="10.0.0.9",
        destination="/srv",
        begin=datetime(2026, 3, 1, tzinfo=UTC),
        end=datetime(2026, 3, 2, 9, 41, tzinfo=UTC),
        text="in voice",
        group=JobGroup.ENDED,
    )
    assert form.after == CURSOR
    assert form.errors == {}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/jobs?tab=none", "tab"),
        ("/jobs?state=Gone", "state"),
        ("/jobs?reason=No", "reason"),
        ("/jobs?from=soon", "from"),
        ("/jobs?to=9999-99-99", "to"),
        ("/jobs?to=0001-01-01T00:00:00%2B23:00", "to"),
        ("/jobs?after=x", "after"),
        (f"/jobs?text={'x' * (MOST_CHARACTERS + 1)}", "text"),
        ("/jobs?user=%00", "user"),
    ],
)
def test_what_cannot_be_meant_is_an_error_of_its_field(url: str, name: str) -> None:
    """The other fields count."""
    form = of(f"{url}&process=P")

    assert list(form.errors) == [name]
    assert form.query == JobQuery(process="P")


def test_the_url_of_a_search_leads_to_the_same_search() -> None:
    """In the same tab and in another one, behind a job, and without one of its fields."""
    form = of("/jobs?tab=open&text=%26a%3D%22&state=Pending&state=Started")

    assert of(form.url()).query == form.query
    assert of(form.url(tab="all")).query.group is None
    assert of(form.url(after=CURSOR)).after == CURSOR
    assert of(form.url(without=SearchParameter("state", "Pending"))).query.states == (JobState.STARTED,)
    assert of("/jobs").url() == "/jobs"


@given(st.lists(st.tuples(st.sampled_from(["tab", "state", "from", "after", "text", "user", "other"]), st.text())))
def test_no_url_is_too_odd_to_be_read(parameters: list[tuple[str, str]]) -> None:
    """It is a search, and the URL of it is one without an error or with the same ones."""
    form = read(parameters)

    assert set(of(form.url()).errors) <= set(form.errors)
