"""Searches and counts: the jobs that are wanted, all of them, newest first, none twice; on each kind of database."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import ANNA, BORIS
from job_states import STATES
from reads import between
from works import SID

from postscan.core.errors import InvalidArgument
from postscan.core.model.job import Job, JobDocument, JobToken, JobTurn
from postscan.core.model.principal import Principal, Proof, User, of_source
from postscan.core.model.records import Delivery, JobOrigin, OriginProof
from postscan.core.model.states import JobReason, JobState
from postscan.core.service.administration import listing as listings
from postscan.core.service.administration.listing import (
    ALL_JOBS,
    HOURS,
    SECONDS,
    FoundJobs,
    JobGroup,
    JobListing,
    JobQuery,
    JobsOfProcess,
    SearchCursor,
)
from postscan.core.store.database import pages
from postscan.core.store.schema import JOB
from postscan.core.store.sources.origins import OriginRow
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
CEM = User("S-1-5-21-1-2-3-2002", "cem@fabrikam.example")
SOURCE = of_source("mail", "10.0.0.9")
PARTS = [1, 2, 3, 100]
"""How many jobs a transaction looks at."""

Put = Callable[..., Job]


@pytest.fixture
def listing(store: Store, clock: FakeClock) -> JobListing:
    """Searches and counts, on a clock that stands still."""
    return JobListing(store, clock)


@pytest.fixture
def put(store: Store, job: Callable[..., Job]) -> Put:
    """Store a job in a state that was created some seconds late, and differs in some fields."""

    def insert(token: str, seconds: float = 0, state: str = "Creating", *records: Any, **changed: Any) -> Job:
        made = job("urn:acme:copy", "urn:acme:sleep", token=token)
        for name, value in changed.items():
            setattr(made, name, value)
        made.created = EXAMPLE_TIME + timedelta(seconds=seconds)
        made.receive(JobDocument(1, "png", 10, "0" * 64, f"{token}/1"), EXAMPLE_TIME)
        STATES[state](made)
        store.insert(made, *records)
        return made

    return insert


def all_pages(
    listing: JobListing, query: JobQuery, most: int, after: SearchCursor | None = None
) -> Iterator[FoundJobs]:
    """Yield the pages of a search, each behind the one before."""
    while True:
        page = listing.search(ADMIN, query, after, most)
        yield page
        after = page.cursor
        if after is None:
            return


def tokens(found: FoundJobs) -> list[str]:
    """Return the tokens of the jobs of a page."""
    return [one.token for one in found.jobs]


# --- pages -----------------------------------------------------------------------------------------------------------


def test_pages_of_any_size_have_every_job_once(listing: JobListing, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newest first whatever their state; two jobs are created at each moment, so that a page may end between them."""
    for number in range(7):
        put(f"job-{number}", number // 2, ("Creating", "Canceled", "Completed")[number % 3])
    queries = (ALL_JOBS, JobQuery(text="invoice"), JobQuery(user=SID))

    for part, most, query in itertools.product(PARTS, (1, 2, 4, 7, 8), queries):
        monkeypatch.setattr(pages, "PART", part)
        found = list(all_pages(listing, query, most))

        assert [one for page in found for one in tokens(page)] == [f"job-{number}" for number in reversed(range(7))]
        assert {len(page.jobs) for page in found[:-1]} <= {most}
        assert len(found[-1].jobs) <= most


def test_a_page_has_at_most_so_many_jobs_whatever_is_asked_for(
    listing: JobListing, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says that there are more."""
    for number in range(3):
        put(f"job-{number}", number)
    monkeypatch.setattr(pages, "PAGE", 2)

    page = listing.search(ADMIN, most=1000)

    assert tokens(page) == ["job-2", "job-1"]
    assert page.cursor is not None
    assert tokens(listing.search(ADMIN, after=page.cursor)) == ["job-0"]


def test_a_job_that_begins_meanwhile_moves_no_page(listing: JobListing, put: Put) -> None:
    """A page begins behind a job, not behind a number of jobs."""
    for number in range(4):
        put(f"job-{number}", number)
    first = listing.search(ADMIN, most=2)
    put("newer", 100)

    assert tokens(listing.search(ADMIN, after=first.cursor)) == ["job-1", "job-0"]


def test_a_row_has_what_the_job_has(listing: JobListing, put: Put, store: Store) -> None:
    """The same facts, and those of its filters, under the same names."""
    put("job", 5, "Processing")
    store.record_progress(JobTurn("job", 1), 0, "half")
    with store.change("job") as changed:
        changed.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME + timedelta(seconds=9))
    job = store.load("job")

    [row] = listing.search(ADMIN).jobs

    names = [name for name in row.__slots__ if name != "steps"]
    assert {name: getattr(row, name) for name in names} == {name: getattr(job, name) for name in names}
    assert [one._asdict() for one in row.steps] == [
        {name: getattr(step, name) for name in row.steps[0]._fields} for step in job.steps
    ]
    assert row.steps[0].progress == "half"


# --- what is wanted --------------------------------------------------------------------------------------------------


@pytest.fixture
def several(put: Put, store: Store) -> None:
    """Jobs that differ in what a search looks for."""
    put("creating", 0)
    put("aborted", 10, "Aborted")
    put("canceled", 20, "Canceled", owner=BORIS)
    put("named", 30, process_id="P2", process_name="Letters", document_root="100%_Ok", user=CEM)
    origin = JobOrigin(
        JobToken("sourced"), "mail", "0" * 64, OriginProof.DEVICE, "10.0.0.9", "", "invoices", 2000.0, with_job=False
    )
    put("sourced", 40, "Pending", OriginRow(origin, 1000.0), owner=SOURCE)
    put("delivered", 50, "Processing")
    for document in (1, None):
        assert store.grant(
            JobTurn("delivered", 1), 0, 1, Delivery(0, document, "/srv/scans", "a", published=False), EXAMPLE_TIME
        )


def at(seconds: float) -> datetime:
    """Return a moment after the first job was created."""
    return EXAMPLE_TIME + timedelta(seconds=seconds)


QUERIES: dict[str, tuple[JobQuery, list[str]]] = {
    "state": (JobQuery(states=(JobState.ABORTED,)), ["aborted"]),
    "states": (JobQuery(states=(JobState.ABORTED, JobState.CANCELED)), ["canceled", "aborted"]),
    "reason": (JobQuery(reason=JobReason.PROCESSING_FAILED), ["aborted"]),
    "identifier of a process": (JobQuery(process="P2"), ["named"]),
    "name of a process": (JobQuery(process="Letters"), ["named"]),
    "SID of a user": (JobQuery(user=CEM.sid), ["named"]),
    "name of a user": (JobQuery(user=CEM.name), ["named"]),
    "part of the name of a user": (JobQuery(user="cem"), []),
    "address of a device": (JobQuery(device="192.0.2.8"), ["canceled"]),
    "owner": (JobQuery(device=BORIS.name), ["canceled"]),
    "address of an origin": (JobQuery(device="10.0.0.9"), ["sourced"]),
    "owner of a source's job": (JobQuery(device=SOURCE.name), ["sourced"]),
    "part of an address": (JobQuery(device="192.0.2"), []),
    "destination of an output": (JobQuery(destination="/srv/scans"), ["delivered"]),
    "destination of a source": (JobQuery(destination="invoices"), ["sourced"]),
    "part of a destination": (JobQuery(destination="/srv"), []),
    "from": (JobQuery(begin=at(40)), ["delivered", "sourced"]),
    "to": (JobQuery(end=at(20)), ["aborted", "creating"]),
    "from and to": (JobQuery(begin=at(20), end=at(40)), ["named", "canceled"]),
    "from after to": (JobQuery(begin=at(40), end=at(20)), []),
    "text of a root name": (JobQuery(text="100%_"), ["named"]),
    "text without wildcards": (JobQuery(text="0%O"), []),
    "text of a process": (JobQuery(text="lETTER"), ["named"]),
    "text of a user": (JobQuery(text="CEM@"), ["named"]),
    "open": (JobQuery(group=JobGroup.OPEN), ["delivered", "sourced", "named", "creating"]),
    "open of a user": (JobQuery(group=JobGroup.OPEN, user=SID, text="invoice"), ["delivered", "sourced", "creating"]),
    "ended": (JobQuery(group=JobGroup.ENDED), ["canceled", "aborted"]),
    "failed": (JobQuery(group=JobGroup.FAILED), ["aborted"]),
    "failed of another user": (JobQuery(group=JobGroup.FAILED, user=CEM.sid), []),
    "two conditions": (JobQuery(user=SID, states=(JobState.PENDING, JobState.ABORTED)), ["sourced", "aborted"]),
    "two conditions that no job fulfils": (JobQuery(text="letters", states=(JobState.ABORTED,)), []),
}


@pytest.mark.usefixtures("several")
def test_a_search_finds_the_jobs_that_fulfil_every_condition(
    listing: JobListing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly those, however many jobs a transaction looks at."""
    expected = {name: (found, None) for name, (_, found) in QUERIES.items()}
    for part in PARTS:
        monkeypatch.setattr(pages, "PART", part)
        found = {name: listing.search(ADMIN, query) for name, (query, _) in QUERIES.items()}

        assert {name: (tokens(page), page.cursor) for name, page in found.items()} == expected


@pytest.mark.usefixtures("several")
def test_the_pages_of_a_search_stay_in_its_time(listing: JobListing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the first one begins, and whether there is another condition or not."""
    begins = (None, SearchCursor(at(1000), JobToken("later")), SearchCursor(at(50), JobToken("z")))
    for part, after, text in itertools.product(PARTS, begins, ("", "fabrikam")):
        monkeypatch.setattr(pages, "PART", part)
        found = all_pages(listing, JobQuery(begin=at(10), end=at(50), text=text), 1, after)

        assert [one for page in found for one in tokens(page)] == ["sourced", "named", "canceled", "aborted"]


# --- who sees what ---------------------------------------------------------------------------------------------------

VIEWERS: list[tuple[Principal, list[str]]] = [
    (ADMIN, ["delivered", "sourced", "named", "canceled", "aborted", "creating"]),
    (ANNA, ["delivered", "named", "aborted", "creating"]),
    (BORIS, ["canceled"]),
    (SOURCE, ["sourced"]),
    (Principal(f"user:{SID}", Proof.CERTIFICATE, sid=SID), ["sourced"]),
    (Principal(f"user:{SID}", Proof.ADDRESS, sid=SID), []),
    (Principal(f"user:{CEM.sid}", Proof.CERTIFICATE, sid=CEM.sid), []),
    (Principal(ANNA.name, Proof.CERTIFICATE), []),
    (Principal("device:192.0.2.99", Proof.ADDRESS), []),
]


@pytest.mark.usefixtures("several")
def test_a_caller_finds_and_counts_the_jobs_that_the_caller_may_see(
    listing: JobListing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-O1, D25: own jobs by name and proof, with a certificate those of sources for the user; no trace of others."""
    for part, (by, expected) in itertools.product((1, 100), VIEWERS):
        monkeypatch.setattr(pages, "PART", part)
        page = listing.search(by)
        named = [token for token in expected if token == "named"]

        assert (by, tokens(page), page.cursor) == (by, expected, None)
        assert tokens(listing.search(by, JobQuery(user=CEM.sid))) == named
        assert tokens(listing.search(by, JobQuery(text="letters"))) == named
        assert sum(listing.counts(by).values()) == len(expected)
        assert sum(sum(hour.states.values()) for hour in listing.hours(by)) == len(expected)


# --- how long it takes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (SECONDS * 0.4, ["job-4", "job-1"]),
        (SECONDS * 10, ["job-6", "job-5", "job-4", "job-3", "job-2", "job-1", "wanted"]),
    ],
)
def test_a_search_ends_after_a_second_and_continues_where_it_was(
    listing: JobListing,
    put: Put,
    store: Store,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    expected: list[str],
) -> None:
    """However rare a hit is. Each search looks at one part at least, so it reaches the end however slow it is."""
    put("wanted", 0, document_root="Contract")
    for number in range(1, 7):
        put(f"job-{number}", number)
    monkeypatch.setattr(pages, "PART", 1)
    monkeypatch.setattr(store, "reading", between(store.reading, *[lambda: clock.advance(seconds)] * 100))

    found, cursors = list[str](), list[SearchCursor]()
    while len(cursors) < 100:
        page = listing.search(ADMIN, JobQuery(text="contract"), cursors[-1] if cursors else None)
        found += tokens(page)
        if page.cursor is None:
            break
        cursors.append(page.cursor)

    assert found == ["wanted"]
    assert [cursor.token for cursor in cursors] == expected


def test_where_a_search_goes_on_names_no_job_of_others(
    listing: JobListing, put: Put, store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-O1: the last job that was looked at is often another caller's, whose token must not be seen.

    Several jobs have the moment at which each search ends; the own ones are found all the same, each once.
    """
    for number in range(8):
        put(f"a-{number}", number // 4, owner=BORIS if number % 2 else ANNA)
    monkeypatch.setattr(store, "reading", between(store.reading, *[lambda: clock.advance(2 * SECONDS)] * 100))

    for part in (1, 2, 3):
        monkeypatch.setattr(pages, "PART", part)
        found, cursor = list[str](), None
        while True:
            page = listing.search(BORIS, after=cursor)
            found += tokens(page)
            cursor = page.cursor
            if cursor is None:
                break
            assert cursor.token not in [f"a-{number}" for number in range(0, 8, 2)]

        assert found == ["a-7", "a-5", "a-3", "a-1"]


def test_a_job_that_leaves_the_wanted_state_meanwhile_is_not_listed(
    listing: JobListing, put: Put, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job is read in one transaction after it was found, so a row is never half old and half new."""
    for number in range(3):
        put(f"job-{number}", number)

    def cancel() -> None:
        with store.change("job-1") as job:
            job.cancel(EXAMPLE_TIME)

    monkeypatch.setattr(store, "reading", between(store.reading, cancel))

    assert tokens(listing.search(ADMIN, JobQuery(states=(JobState.CREATING,)))) == ["job-2", "job-0"]


def test_a_job_that_is_deleted_meanwhile_is_left_out(
    listing: JobListing, put: Put, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention removes jobs while others search."""
    for number in range(3):
        put(f"job-{number}", number)

    def delete() -> None:
        with store.writing() as db:
            db.execute(sa.delete(JOB).where(JOB.c.token == "job-1"))

    monkeypatch.setattr(store, "reading", between(store.reading, delete))

    assert tokens(listing.search(ADMIN)) == ["job-2", "job-0"]


# --- cursors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [EXAMPLE_TIME, EXAMPLE_TIME.replace(microsecond=120)])
def test_a_cursor_can_be_printed_and_read(moment: datetime) -> None:
    """It is an argument of the command line."""
    cursor = SearchCursor(moment, JobToken("5d2c1b8e"))

    assert SearchCursor.parse(str(cursor)) == cursor


def test_a_cursor_may_have_another_zone() -> None:
    """The moment counts."""
    assert SearchCursor.parse("2026-03-02T10:41:07+01:00/a").created == datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "/",
        "/a",
        "2026-03-02",
        "2026-03-02T09:41:07+00:00",
        "2026-03-02T09:41:07+00:00/",
        "2026-03-02T09:41:07/a",
        "0001-01-01T00:00:00+23:00/a",
    ],
)
def test_what_no_search_has_printed_is_no_cursor(text: str) -> None:
    """A place in the list without a zone could be any of several."""
    with pytest.raises(InvalidArgument, match="after"):
        SearchCursor.parse(text)


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("several")
def test_jobs_are_counted_by_state(listing: JobListing, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the states, without those that no job has, however many jobs a transaction looks at."""
    for part in PARTS:
        monkeypatch.setattr(pages, "PART", part)

        assert list(listing.counts(ADMIN).items()) == [
            (JobState.CREATING, 2),
            (JobState.PENDING, 1),
            (JobState.PROCESSING, 1),
            (JobState.ABORTED, 1),
            (JobState.CANCELED, 1),
        ]


@pytest.mark.usefixtures("several")
def test_the_jobs_of_a_group_are_counted_until_there_are_many(
    listing: JobListing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a page can show that there are that many or more."""
    counted = {group: listing.group_counts(ADMIN, group) for group in JobGroup}
    monkeypatch.setattr(pages, "PART", 1)
    monkeypatch.setattr(listings, "MOST_COUNTED", 2)

    assert counted == {
        JobGroup.OPEN: {JobState.CREATING: 2, JobState.PENDING: 1, JobState.PROCESSING: 1},
        JobGroup.FAILED: {JobState.ABORTED: 1},
        JobGroup.ENDED: {JobState.ABORTED: 1, JobState.CANCELED: 1},
    }
    assert sum(listing.group_counts(ADMIN, JobGroup.OPEN).values()) == 2


def test_the_jobs_of_a_day_are_counted_by_the_hour_of_their_creation(
    listing: JobListing, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour has its first moment and not its last; what was created before the first hour is in none."""
    hour = EXAMPLE_TIME.replace(minute=0, second=0) - EXAMPLE_TIME
    put("now", 0, "Canceled")
    put("first of this hour", hour.total_seconds())
    put("last of the hour before", (hour - timedelta(microseconds=1)).total_seconds())
    put("oldest", (hour - timedelta(hours=HOURS - 1)).total_seconds(), "Completed")
    put("too old", (hour - timedelta(hours=HOURS - 1, minutes=1)).total_seconds())

    for part in PARTS:
        monkeypatch.setattr(pages, "PART", part)
        hours = listing.hours(ADMIN)

        assert [one.begin for one in hours] == [
            EXAMPLE_TIME + hour - timedelta(hours=number) for number in reversed(range(HOURS))
        ]
        assert {number: one.states for number, one in enumerate(hours) if one.states} == {
            0: {JobState.COMPLETED: 1},
            HOURS - 2: {JobState.CREATING: 1},
            HOURS - 1: {JobState.CREATING: 1, JobState.CANCELED: 1},
        }


# --- jobs of scan processes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_jobs_of_a_day_are_counted_by_their_process(
    listing: JobListing, put: Put, store: Store, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """Those that were aborted and those with errors of filters have failed; older ones do not count."""
    monkeypatch.setattr(pages, "PART", part)
    put("1", state="Completed", process_id="A")
    put("2", state="Aborted", process_id="A")
    put("3", process_id="B")
    put("4", state="Completed", process_id="B")
    with store.writing() as db:
        db.execute(sa.update(JOB).where(JOB.c.token == "4").values(reasons=[JobReason.ERRORS]))
    put("5", -25 * 3600, state="Aborted", process_id="A")

    assert listing.processes(ADMIN) == {"A": JobsOfProcess(2, 1), "B": JobsOfProcess(2, 1)}
    assert listing.processes(ANNA) == {}


def test_not_more_than_so_many_jobs_are_counted(listing: JobListing, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest."""
    monkeypatch.setattr(pages, "PART", 1)
    monkeypatch.setattr("postscan.core.service.administration.listing.MOST_COUNTED", 2)
    for number in range(4):
        put(str(number), number, process_id=f"P{number}")

    assert set(listing.processes(ADMIN)) == {"P3", "P2"}
