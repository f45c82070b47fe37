"""Lines of the audit trail are found by what is wanted of them, in pages, with short transactions."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from functools import partial

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA, BORIS
from reads import longest

from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import AuditLine
from postscan.core.service.administration.audit_trail import AuditQuery, AuditTrail, FoundLines
from postscan.core.store.database import pages
from postscan.core.store.schema import AUDIT
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
NOON = EXAMPLE_TIME
HOUR = timedelta(hours=1)


@pytest.fixture
def trail(store: Store) -> AuditTrail:
    """The trail of a database."""
    return AuditTrail(store, FakeClock())


def write(store: Store, number: int, by: Principal = ANNA, verb: str = "cancel", **more: str) -> None:
    """Write so many lines, one an hour."""
    with store.writing() as db:
        lines = (AuditLine.of(by, verb, f"job-{hour}", NOON + hour * HOUR, **more) for hour in range(number))
        db.execute(sa.insert(AUDIT), [{k: v for k, v in line._asdict().items() if k != "seq"} for line in lines])


def tokens(found: FoundLines) -> list[str]:
    """Return what the lines are about."""
    return [line.token for line in found.lines]


@pytest.mark.parametrize(
    ("query", "number"),
    [
        (AuditQuery(), 7),
        (AuditQuery(who="BORIS"), 2),
        (AuditQuery(who="%"), 0),
        (AuditQuery(verb="hold"), 2),
        (AuditQuery(outcome="refused"), 2),
        (AuditQuery(token="job-1"), 2),
        (AuditQuery(token="job-1", verb="cancel"), 1),
        (AuditQuery(begin=NOON + 3 * HOUR), 2),
        (AuditQuery(end=NOON + HOUR), 2),
        (AuditQuery(begin=NOON + HOUR, end=NOON + 3 * HOUR, who=ANNA.name), 2),
    ],
)  # fmt: skip
def test_lines_are_found_by_each_field(store: Store, trail: AuditTrail, query: AuditQuery, number: int) -> None:
    """A text with a wildcard of SQL is a text."""
    write(store, 5)
    write(store, 2, Principal("user:boris", Proof.CERTIFICATE), "hold", outcome="refused")

    assert len(trail.search(ADMIN, query).lines) == number
    assert len(list(trail.every(ADMIN, query, 100))) == number


def test_pages_go_back_to_the_oldest_line_and_have_each_line_once(
    store: Store, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest first; also where a page ends in the middle of a part, or with the last line."""
    monkeypatch.setattr(pages, "PART", 3)
    write(store, 12)
    found, before = [], None
    while True:
        page = trail.search(ADMIN, AuditQuery(), before, most=4)
        found += tokens(page)
        before = page.before
        if before is None:
            break

    assert found == [f"job-{hour}" for hour in reversed(range(12))]
    assert [line.token for line in trail.every(ADMIN, AuditQuery(), 7)] == found[:7]


def test_a_search_that_takes_too_long_says_where_it_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one begins there, and finds what the first one did not reach."""
    monkeypatch.setattr(pages, "PART", 2)
    clock = FakeClock()
    monkeypatch.setattr(clock, "ticks", iter(range(100)).__next__)
    write(store, 1, BORIS)
    write(store, 5)
    first = AuditTrail(store, clock).search(ADMIN, AuditQuery(who=BORIS.name))
    second = AuditTrail(store, FakeClock()).search(ADMIN, AuditQuery(who=BORIS.name), first.before)

    assert first.lines == []
    assert tokens(second) == ["job-0"]


def test_a_search_of_a_time_does_not_read_what_is_long_before_it(
    store: Store, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the first part that is older than that time by a day."""
    monkeypatch.setattr(pages, "PART", 5)
    write(store, 200)
    opened: list[int] = []
    reading = store.reading
    monkeypatch.setattr(store, "reading", lambda: opened.append(1) or reading())
    found = trail.search(ADMIN, AuditQuery(begin=NOON + 198 * HOUR))

    assert tokens(found) == ["job-199", "job-198"]
    assert found.before is None
    assert len(opened) < 10


def test_no_transaction_of_a_search_is_longer_in_a_longer_trail(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wanted, and although nothing is found. PostgreSQL runs the same statements."""
    monkeypatch.setattr(pages, "PART", 10)
    queries = (AuditQuery(), AuditQuery(who="nobody"), AuditQuery(begin=NOON, verb="none"), AuditQuery(token="job-1"))
    with contextlib.closing(Store(databases.migrated(sqlite_url))) as store:
        trail = AuditTrail(store, FakeClock())
        write(store, 40)
        few = [longest(partial(trail.search, ADMIN, query)) for query in queries]
        write(store, 400)
        many = [longest(partial(trail.search, ADMIN, query)) for query in queries]

    assert min(few) > 0
    assert all(after <= 1.5 * before for before, after in zip(few, many, strict=True))


def test_others_find_nothing(store: Store, trail: AuditTrail) -> None:
    """The lines name other callers and their jobs."""
    write(store, 1)

    assert trail.search(ANNA) == FoundLines([], None)
    assert list(trail.every(ANNA, AuditQuery(), 10)) == []
