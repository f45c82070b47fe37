"""What the jobs of a day show: where filters deliver, which fail, and what the spool keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from conftest import ANNA
from job_states import started

from postscan.core.model.job import Job, JobDocument, JobTurn
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import Delivery
from postscan.core.model.states import FilterVerb
from postscan.core.service.administration.metrics import overview as overviews
from postscan.core.service.administration.metrics.overview import FilterOfProcess, Overview, SpoolUse
from postscan.core.store.database import pages
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
FIRST = FilterOfProcess("P", "Invoices", 0, "urn:acme:copy")
SECOND = FilterOfProcess("P", "Invoices", 1, "urn:acme:sleep")
Put = Callable[..., None]


def at(minutes: float) -> datetime:
    """Return a moment before now."""
    return EXAMPLE_TIME - timedelta(minutes=minutes)


@pytest.fixture
def overview(store: Store, clock: FakeClock) -> Overview:
    """The overview, on a clock that stands still."""
    return Overview(store, clock)


@pytest.fixture
def put(store: Store, job: Callable[..., Job]) -> Put:
    """Store a job that was created so many minutes ago, whose first filter has published at these destinations.

    With *detail* its second filter has failed.
    """

    def insert(token: str, minutes: float, *destinations: str, detail: str = "") -> None:
        made = job("urn:acme:copy", "urn:acme:sleep", token=token)
        made.process_id = "P"
        made.created = at(minutes)
        made.receive(JobDocument(1, "png", 10, "0" * 64, f"{token}/1"), EXAMPLE_TIME)
        started(made)
        made.start(0, EXAMPLE_TIME)
        store.insert(made)
        for place, destination in enumerate(destinations):
            given = Delivery(0, place or None, destination, "a", published=True)
            assert store.grant(JobTurn(token, 1), 0, 1, given, at(minutes - 1))
            store.confirm(JobTurn(token, 1), 0, given)
        with store.change(token) as stored:
            stored.report(0, FilterVerb.SUCCEED, EXAMPLE_TIME)
            if detail:
                stored.start(1, EXAMPLE_TIME)
                stored.report(1, FilterVerb.FAIL, EXAMPLE_TIME, detail=detail)

    return insert


@pytest.fixture
def timed(store: Store, job: Callable[..., Job]) -> Put:
    """Store a job that has waited and run for so many seconds; *fails* says that its filter failed."""

    def insert(token: str, waited: float, ran: float, *, fails: bool = False) -> None:
        ended, begun, ends = (at(10) + timedelta(seconds=seconds) for seconds in (0, waited, waited + ran))
        made = job("urn:acme:copy", token=token)
        made.continue_on_error = True
        made.created = at(11)
        made.receive(JobDocument(1, "png", 10, "0" * 64, f"{token}/1"), at(11))
        made.end(ended)
        made.claim(begun)
        store.insert(made)
        with store.change(token) as stored:
            stored.start(0, begun)
        with store.change(token) as stored:
            stored.report(0, FilterVerb.FAIL if fails else FilterVerb.SUCCEED, ends)
            stored.finish(ends)

    return insert


def test_destinations_are_judged_by_what_was_delivered_in_a_day(overview: Overview, put: Put) -> None:
    """Each with its last delivery, and with the failures of the filters that deliver to it."""
    put("old", 60 * 25, "/srv/old")
    put("one", 90, "/srv/a")
    put("two", 30, "/srv/a", "/srv/b", detail="no room")

    found = overview.filters(ADMIN)

    assert [(one.destination, one.last, one.delivered, one.failed, one.filters) for one in found.destinations] == [
        ("/srv/a", at(29), 2, 0, {FIRST}),
        ("/srv/b", at(29), 1, 0, {FIRST}),
    ]
    assert found.jobs == 2


def test_failures_are_counted_by_filter_of_a_process(overview: Overview, put: Put) -> None:
    """With the reason of the newest job."""
    put("one", 90, detail="no room")
    put("two", 30, detail="no access")
    put("three", 50, detail="no room")

    found = overview.filters(ADMIN)

    assert [(one.filter, one.failed, one.last, one.detail) for one in found.failures] == [
        (SECOND, 3, at(30), "no access")
    ]


def test_a_destination_has_the_failures_of_the_filters_that_deliver_there(
    overview: Overview, put: Put, store: Store
) -> None:
    """A filter that failed has named no destination in that job."""
    put("one", 90, "/srv/a", detail="no room")
    given = Delivery(1, None, "/srv/b", "a", published=True)
    put("three", 50)
    with store.change("three") as job:
        job.start(1, EXAMPLE_TIME)
    assert store.grant(JobTurn("three", 1), 1, 1, given, at(49))
    store.confirm(JobTurn("three", 1), 1, given)

    assert [(one.destination, one.failed) for one in overview.filters(ADMIN).destinations] == [
        ("/srv/a", 0),
        ("/srv/b", 1),
    ]


def test_an_output_that_was_granted_and_not_published_is_no_delivery(
    overview: Overview, put: Put, store: Store
) -> None:
    """It may never have become visible."""
    put("one", 10)
    with store.change("one") as job:
        job.start(1, EXAMPLE_TIME)
    assert store.grant(JobTurn("one", 1), 1, 1, Delivery(1, None, "/srv/a", "a", published=False), EXAMPLE_TIME)

    assert overview.filters(ADMIN).destinations == []


def test_the_newest_jobs_of_a_busy_day_are_looked_at(
    overview: Overview, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the read has an end."""
    for number in range(4):
        put(f"job-{number}", number, f"/srv/{number}")
    monkeypatch.setattr(overviews, "MOST_JOBS", 3)
    monkeypatch.setattr(pages, "PAGE", 2)

    found = overview.filters(ADMIN)

    assert [one.destination for one in found.destinations] == ["/srv/0", "/srv/1", "/srv/2"]
    assert found.jobs == 3


def test_the_spool_keeps_the_images_of_all_callers(overview: Overview, put: Put) -> None:
    """Retention may remove none of open jobs."""
    put("one", 1)
    put("two", 1)

    assert overview.spool(ADMIN) == SpoolUse(20, 0)


def test_other_callers_find_nothing(overview: Overview, put: Put) -> None:
    """Names of destinations and of processes are those of all users."""
    put("one", 1, "/srv/a", detail="no room")

    assert overview.filters(ANNA) == ([], [], 0)
    assert overview.spool(ANNA) == SpoolUse(0, 0)


def test_the_times_of_a_day_are_those_of_its_newest_jobs(
    store: Store, overview: Overview, timed: Put, put: Put
) -> None:
    """Until the filters began, and from then on to the end; one that still runs has waited, and no more."""
    put("old", 60 * 25)
    for token, waited, ran in (("a", 1, 4), ("b", 2, 6), ("c", 3, 8)):
        timed(token, waited, ran)
    put("open", 5)
    store.number_events()

    found = overview.times(ADMIN)

    assert (found.jobs, found.with_errors) == (4, 0)
    assert (found.wait_median, found.run_median, found.run_p99) == (1.0, 6.0, 8.0)


def test_jobs_that_completed_with_errors_are_counted(store: Store, overview: Overview, timed: Put) -> None:
    """Those where the other filters went on."""
    timed("a", 1, 4)
    timed("b", 1, 4, fails=True)
    store.number_events()

    assert overview.times(ADMIN)[:2] == (2, 1)


def test_a_day_without_jobs_has_no_times(overview: Overview) -> None:
    """And not zero."""
    assert overview.times(ADMIN) == (0, 0, None, None, None)


def test_the_times_of_all_jobs_are_for_those_who_may_see_them(overview: Overview, timed: Put) -> None:
    """Another caller finds nothing."""
    timed("a", 1, 4)

    assert overview.times(ANNA).jobs == 0
