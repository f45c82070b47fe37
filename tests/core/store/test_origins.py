"""The keys of origins: one job for each, until it is forgotten or free again. On each kind of database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from some_jobs import AT, new_job

from postscan.core.model.job import JobToken
from postscan.core.model.principal import of_source
from postscan.core.model.records import REMEMBERED, JobOrigin, OriginProof, key_hash
from postscan.core.model.states import JobReason
from postscan.core.store.database import pages
from postscan.core.store.schema import JOB
from postscan.core.store.sources import destinations, origins
from postscan.core.store.sources.origins import KeyHeld, OriginRow
from postscan.core.store.store import Store

NOW = 1000.0
TEN_MINUTES = 600.0
OWNER = of_source("mail", "10.0.0.9")


def origin(token: str, key: str = "mail-1", *, seconds: float = REMEMBERED, inlet: str = "mail") -> JobOrigin:
    """Return the origin of a job, stored at `NOW`."""
    return JobOrigin(
        token=JobToken(token),
        inlet=inlet,
        key=key_hash(key),
        proof=OriginProof.DEVICE,
        subject="10.0.0.9",
        account="",
        destination="invoices",
        until=NOW + seconds,
        with_job=seconds >= REMEMBERED,
    )


def insert(store: Store, token: str, key: str = "mail-1", *, now: float = NOW, **more: object) -> None:
    """Store a job of this key in state Creating."""
    job = replace(new_job(), token=JobToken(token), owner=OWNER)
    one = origin(token, key, **more)
    store.insert(job, OriginRow(replace(one, until=one.until - NOW + now), now))


def held(store: Store, key: str = "mail-1", *, now: float = NOW, inlet: str = "mail") -> str | None:
    """Return the job of a key."""
    with store.reading() as db:
        found = origins.find_key(db, inlet, key_hash(key), now)
    return found and found.token


def delete(store: Store, token: str) -> None:
    """Delete a job, as the retention does."""
    with store.writing() as db:
        db.execute(JOB.delete().where(JOB.c.token == token))


def test_a_key_is_one_job(store: Store) -> None:
    """The second job is not stored, and neither is anything of it."""
    insert(store, "first")

    with pytest.raises(KeyHeld) as refused:
        insert(store, "second")

    assert refused.value.token == "first"
    assert [job.token for job in store.open_jobs()] == ["first"]


def test_each_inlet_has_keys_of_its_own(store: Store) -> None:
    """The same file may come through two folders."""
    insert(store, "first")
    insert(store, "second", inlet="other")

    assert (held(store), held(store, inlet="other"), held(store, "mail-2")) == ("first", "second", None)


def test_a_key_is_free_again_when_its_job_failed_before_its_end(store: Store) -> None:
    """The same origin comes again then, and is a new job; what is known of the first one stays."""
    insert(store, "first")
    with store.change("first") as job:
        job.break_off(AT)

    insert(store, "second")

    with store.reading() as db:
        first = origins.of_job(db, "first")
    assert first == replace(origin("first"), key="")
    assert held(store) == "second"


@pytest.mark.parametrize("ended", ["expire", "fail"])
def test_however_it_failed(store: Store, ended: str) -> None:
    """By its deadline, or since a file of the spool is damaged."""
    insert(store, "first")
    if ended == "expire":
        store.extend_deadline("first", NOW - 1)
        assert store.expire(["first"], NOW, AT) == ["first"]
    else:
        with store.change("first") as job:
            job.fail(JobReason.PROCESSING_FAILED, AT)

    assert held(store) is None


def test_a_key_stays_taken_when_its_job_was_cancelled_or_failed_after_its_end(store: Store) -> None:
    """The origin was acknowledged, or is not wanted: it is no new job."""
    insert(store, "cancelled", "1")
    insert(store, "aborted", "2")
    with store.change("cancelled") as job:
        job.cancel(AT)
    with store.change("aborted") as job:
        job.end(AT)
    with store.change("aborted") as job:
        job.fail(JobReason.PROCESSING_FAILED, AT)

    assert (held(store, "1"), held(store, "2")) == ("cancelled", "aborted")


def test_a_key_is_remembered_for_thirty_days_and_as_long_as_its_job(store: Store) -> None:
    """Whichever is longer."""
    insert(store, "first")
    with store.change("first") as job:
        job.end(AT)

    assert held(store, now=NOW + 2 * REMEMBERED) == "first"
    delete(store, "first")
    assert held(store, now=NOW + REMEMBERED - 1) == "first"
    assert held(store, now=NOW + REMEMBERED) is None


def test_a_key_of_ten_minutes_is_free_after_them(store: Store) -> None:
    """The same file, sent again a quarter of an hour later, is meant."""
    insert(store, "first", seconds=TEN_MINUTES)
    with store.change("first") as job:
        job.end(AT)
    with pytest.raises(KeyHeld):
        insert(store, "again", seconds=TEN_MINUTES, now=NOW + TEN_MINUTES - 1)

    insert(store, "second", seconds=TEN_MINUTES, now=NOW + TEN_MINUTES)

    assert held(store, now=NOW + TEN_MINUTES) == "second"


def test_but_not_while_its_job_takes_pages(store: Store) -> None:
    """Else two transfers of one file would be two jobs."""
    insert(store, "slow", seconds=TEN_MINUTES)

    with pytest.raises(KeyHeld):
        insert(store, "second", seconds=TEN_MINUTES, now=NOW + 2 * TEN_MINUTES)


def test_what_need_not_be_known_is_forgotten_a_batch_at_a_time(store: Store) -> None:
    """Rows of jobs that are kept lose only a key of a shorter life; each is looked at once a day."""
    for number in range(3):
        insert(store, f"gone-{number}", f"{number}", seconds=TEN_MINUTES)
        delete(store, f"gone-{number}")
    for token, seconds in (("brief", TEN_MINUTES), ("long", REMEMBERED), ("open", TEN_MINUTES)):
        insert(store, token, token, seconds=seconds)
    for token in ("brief", "long"):
        with store.change(token) as job:
            job.end(AT)
    later = NOW + REMEMBERED

    with store.writing() as db:
        seen = [origins.forget(db, later, 4), origins.forget(db, later, 4), origins.forget(db, later, 4)]

    assert seen == [4, 2, 0]
    with store.reading() as db:
        rows = {token: origins.of_job(db, token) for token in ("gone-0", "gone-1", "gone-2", "brief", "long", "open")}
    assert {token for token, row in rows.items() if row} == {"brief", "long", "open"}
    assert rows["brief"] == replace(origin("brief", "brief"), key="", until=later + origins.AGAIN, with_job=False)
    assert rows["long"] == replace(origin("long", "long"), until=later + origins.AGAIN)
    assert rows["open"] == replace(origin("open", "open"), until=later + origins.SOON, with_job=False)


def test_the_jobs_of_sources_that_take_pages_are_found(store: Store) -> None:
    """A start of the server fails them: their sources have ended. Those of devices are not among them."""
    insert(store, "open", "1")
    insert(store, "ended", "2")
    store.insert(new_job())
    with store.change("ended") as job:
        job.end(AT)

    with store.reading() as db:
        ended = origins.ended_of(db, ["open", "ended", "unknown"])

    assert list(store.jobs_of_sources()) == ["open"]
    assert ended == {"ended": "Pending", "unknown": None}


def test_the_jobs_of_sources_are_found_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oldest first, among those of devices; three parts."""
    monkeypatch.setattr(pages, "PART", 2)
    for number in range(5):
        job = replace(new_job(), token=JobToken(f"{number}"), created=AT + timedelta(seconds=number))
        store.insert(replace(job, owner=OWNER) if number % 2 else job)

    assert list(store.jobs_of_sources()) == ["1", "3"]


def test_what_an_origin_said_is_recorded_for_jobs_of_its_inlet_alone(store: Store) -> None:
    """A source knows the jobs of its own inlet."""
    insert(store, "first")
    with store.writing() as db:
        told = [origins.record_told(db, inlet, "first", "stopped") for inlet in ("other", "mail")]

    with store.reading() as db:
        found = origins.of_job(db, "first")

    assert told == [False, True]
    assert found is not None
    assert found.told == "stopped"


def test_notes_are_stored_for_jobs_of_their_inlet_alone(store: Store) -> None:
    """All at once, in their order; a job that no source made has none."""
    insert(store, "first")
    notes = ("600 dpi in place of 1200 dpi", "no colour")
    with store.writing() as db:
        stored = [origins.record_notes(db, inlet, "first", notes) for inlet in ("mail", "other")]

    assert stored == [True, False]
    assert (store.notes("first"), store.notes("unknown")) == (notes, ())


def test_a_destination_keeps_its_identifier(store: Store) -> None:
    """Random, different, and the same after each start."""
    with store.writing() as db:
        destinations.add_identifiers(db, ["invoices", "letters"])
        destinations.add_identifiers(db, ["letters", "plans"])
        first = destinations.read_identifiers(db)
    with store.writing() as db:
        destinations.add_identifiers(db, ["invoices"])
        again = destinations.read_identifiers(db)

    assert first == again
    assert sorted(first) == ["invoices", "letters", "plans"]
    assert len(set(first.values())) == 3
