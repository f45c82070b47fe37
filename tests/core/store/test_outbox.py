"""What subscribers hear of: whole commits, in order, each the same however often it is told."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA, BORIS, AnyProcess
from works import PATIENCE

from postscan.core.engine import Engine
from postscan.core.model.job import Job, JobDocument
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.snapshot import JobChange
from postscan.core.model.states import FilterState, FilterVerb, JobReason, JobState
from postscan.core.settings import Settings
from postscan.core.store import events, jobs, outbox
from postscan.core.store.schema import EVENT
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

EVERYTHING = 1000


def page(number: int) -> JobDocument:
    """Return an image."""
    return JobDocument(number, "png", 10, f"{number:064}", f"blob-{number}")


def told(store: Store, cursor: int = 0, limit: int = EVERYTHING, owner: Principal | None = None) -> list[JobChange]:
    """Return the happenings behind the cursor."""
    return outbox.after(store.reading, cursor, limit, owner)[0]


def of_jobs(store: Store, **how: Any) -> list[JobChange]:
    """Return the happenings of jobs."""
    return [one for one in told(store, **how) if one.job is not None]


def live(store: Store, job: Job) -> Iterator[Job]:
    """Lead a job through its life; yield it as it is stored after each commit that changed its status."""
    token = job.token
    job.receive(page(1), EXAMPLE_TIME)
    store.insert(job)
    yield store.load(token)
    with store.change(token) as stored:
        stored.receive(page(2), EXAMPLE_TIME)
    with store.change(token) as stored:
        stored.end(EXAMPLE_TIME)
    yield store.load(token)
    store.claim(EXAMPLE_TIME)
    yield store.load(token)
    for step in job.steps:
        with store.change(token) as stored:
            stored.start(step.position, EXAMPLE_TIME)
        yield store.load(token)
        with store.change(token) as stored:
            stored.start(step.position, EXAMPLE_TIME)  # its server died: again
        with store.change(token) as stored:
            stored.report(step.position, FilterVerb.FAIL, EXAMPLE_TIME, reasons=("acme:Torn",))
        yield store.load(token)
    with store.change(token) as stored:
        stored.finish(EXAMPLE_TIME)
    yield store.load(token)


def facts(job: Any) -> tuple[Any, ...]:
    """Return what the writers of messages read of a job, under the names of `Job`."""
    return (
        (job.token, job.user, job.process_id, job.process_name, job.state, job.reasons),
        [(step.dialect, step.state, step.reasons) for step in job.steps],
        (job.images_received, job.created, job.completed),
    )


def test_each_commit_is_told_as_the_job_stood_after_it(store: Store, job: Callable[..., Job]) -> None:
    """I28: the snapshots are the stored jobs, commit by commit; none for a lone image, none for a run begun again."""
    stood = [facts(one) for one in live(store, job("urn:acme:copy", "urn:acme:sleep"))]

    happenings = of_jobs(store)

    assert [facts(one.job) for one in happenings] == stood
    assert [one.first for one in happenings] == [True] + [False] * (len(stood) - 1)
    assert [one.ended for one in happenings] == [False] * (len(stood) - 1) + [True]


def test_a_cancel_at_once_is_one_happening_that_ends(store: Store, job: Callable[..., Job]) -> None:
    """Four events in one commit: the filters, the state, the end."""
    store.insert(job("urn:acme:copy", "urn:acme:sleep"))
    with store.change(job().token) as stored:
        stored.cancel(EXAMPLE_TIME)

    (_, canceled) = told(store)

    assert canceled.ended
    assert canceled.job is not None
    assert (canceled.job.state, canceled.job.reasons) == (JobState.CANCELED, (JobReason.CANCELED,))
    assert [step.state for step in canceled.job.steps] == [FilterState.CANCELED] * 2
    assert canceled.seq == store.events(job().token)[-1].seq


def test_what_is_told_again_is_the_same(store: Store, job: Callable[..., Job]) -> None:
    """I27: a duplicate is identical, whatever has happened since."""
    heard = []
    for _ in live(store, job()):
        heard.append(told(store)[-1])

    again = told(store)

    assert [one for one in again if one in heard] == heard
    assert again == told(store)


def test_pages_of_any_size_tell_the_same(store: Store, job: Callable[..., Job]) -> None:
    """At most so many happenings at a time, no commit cut in half, each told once."""
    for number in range(3):
        for _ in live(store, job(*["urn:acme:copy"] * 3, token=f"job-{number}")):
            pass
    whole, heard = told(store), dict[int, list[JobChange]]()
    with store.reading() as db:
        newest = events.newest(db)
    for limit in (1, 2, 3, 7):
        heard[limit], cursor = [], 0
        while cursor < newest:
            part, cursor = outbox.after(store.reading, cursor, limit, None)
            assert len(part) <= limit
            heard[limit] += part

    assert heard == dict.fromkeys((1, 2, 3, 7), whole)
    assert [one.seq for one in whole] == sorted({one.seq for one in whole})


def test_an_owner_hears_of_its_own_jobs_only(store: Store, job: Callable[..., Job]) -> None:
    """I29, D23: name and proof decide; the repository is the administrators'."""
    forged = Principal(ANNA.name, Proof.CERTIFICATE)
    for owner in (ANNA, BORIS, forged):
        for _ in live(store, job(token=f"{owner.name} {owner.proof}"[-36:], owner=owner)):
            pass

    heard = {owner: {one.job and one.job.token for one in told(store, owner=owner)} for owner in (ANNA, BORIS, forged)}

    assert heard == {owner: {f"{owner.name} {owner.proof}"[-36:]} for owner in (ANNA, BORIS, forged)}
    assert told(store, owner=Principal("device:nobody", Proof.ADDRESS)) == []
    assert {one.job is None for one in told(store)} == {True, False}


def test_the_cursor_moves_on_even_if_there_is_nothing_to_tell(store: Store, job: Callable[..., Job]) -> None:
    """Images, and what happens to others, are passed once and not looked at again."""
    store.insert(job())
    with store.change(job().token) as stored:
        stored.receive(page(1), EXAMPLE_TIME)
    with store.reading() as db:
        newest = events.newest(db)

    assert outbox.after(store.reading, 1, EVERYTHING, ANNA) == ([], newest)
    assert outbox.after(store.reading, 0, EVERYTHING, BORIS) == ([], newest)
    assert outbox.after(store.reading, newest + 5, EVERYTHING, None) == ([], newest + 5)


def test_who_has_something_to_hear_is_known_at_once(store: Store, job: Callable[..., Job]) -> None:
    """Owners by name and proof, the repository, and the newest number; an image is nothing to tell (ruling 23)."""
    anna, boris = ((one.name, str(one.proof)) for one in (ANNA, BORIS))
    store.insert(job(token="anna"))
    store.insert(job(token="boris", owner=BORIS))
    with store.reading() as db:
        assert outbox.owners_since(db, 0) == ({anna, boris}, False, 2)
        assert outbox.owners_since(db, 1) == ({boris}, False, 2)
        assert outbox.owners_since(db, 2) == (set(), False, 2)
    with store.change("anna") as stored:
        stored.receive(page(1), EXAMPLE_TIME)
    with store.change("boris") as stored:
        stored.end(EXAMPLE_TIME)
    with store.reading() as db:
        assert outbox.owners_since(db, 2) == ({boris}, False, 4)
        assert outbox.owners_since(db, 3) == ({boris}, False, 4)

    store.claim(EXAMPLE_TIME)

    with store.reading() as db:
        assert outbox.owners_since(db, 4) == ({boris}, True, 6)


def test_what_waits_for_somebody_is_counted(store: Store, job: Callable[..., Job]) -> None:
    """Events behind the cursor, of one owner or of all; images do not count."""
    anna = job(token="anna")
    anna.receive(page(1), EXAMPLE_TIME)
    store.insert(anna)
    store.insert(job(token="boris", owner=BORIS))
    store.record_filters(("urn:a",), EXAMPLE_TIME)
    with store.reading() as db:
        newest = events.newest(db)
        assert [outbox.waiting(db, 0, one) for one in (ANNA, BORIS, None)] == [(1, newest), (1, newest), (3, newest)]
        assert [outbox.waiting(db, 2, one) for one in (ANNA, BORIS, None)] == [(0, newest), (1, newest), (2, newest)]


def test_a_page_takes_four_questions_however_many_jobs_it_is_about(store: Store, job: Callable[..., Job]) -> None:
    """The newest number, the page, the histories of its jobs, the jobs; one more where a page ends within a commit."""
    for number in range(5):
        for _ in live(store, job(token=f"job-{number}")):
            pass
    asked: list[str] = []

    def count(_db: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        told(store, owner=ANNA)
        whole = len(asked)
        told(store, limit=8, owner=ANNA)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)

    assert (whole, len(asked) - whole) == (4, 5)


def test_a_forgotten_job_is_not_told_of_any_more(store: Store, job: Callable[..., Job]) -> None:
    """Retention may be faster than a subscriber that does not answer; the others' happenings stay."""
    for token in ("old", "new"):
        for _ in live(store, job(token=token)):
            pass
    store.record_ended(100.0)
    store.record_images_removed("old")
    store.drop_jobs(200.0, keep=0)

    assert {one.job.token for one in of_jobs(store) if one.job} == {"new"}


# --- the repository ----------------------------------------------------------------------------------------------


def test_the_repository_is_processing_while_any_job_is_in_hand(store: Store, job: Callable[..., Job]) -> None:
    """Told with the commit of the first job that was taken in hand, and of the last one that left it."""
    for token in ("one", "two"):
        store.insert(job(token=token))
        with store.change(token) as stored:
            stored.end(EXAMPLE_TIME)
    commits: list[tuple[str, str]] = []

    def now() -> None:
        state = next((one.state for one in reversed(told(store)) if one.state), "")
        commits.append((store.load("one").state + "/" + store.load("two").state, state))

    now()
    store.claim(EXAMPLE_TIME)
    now()
    store.claim(EXAMPLE_TIME)
    now()
    with store.change("one") as stored:
        stored.cancel(EXAMPLE_TIME)
    now()
    with store.change("one") as stored:
        stored.finish(EXAMPLE_TIME)
    now()
    with store.change("two") as stored:
        stored.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)
    now()

    assert commits == [
        ("Pending/Pending", ""),
        ("Started/Pending", "Processing"),
        ("Started/Started", "Processing"),
        ("Terminating/Started", "Processing"),
        ("Canceled/Started", "Processing"),
        ("Canceled/Aborted", "Idle"),
    ]
    assert [one.state for one in told(store) if one.state] == ["Processing", "Idle"]


def test_a_change_that_is_undone_leaves_the_repository_as_it_was(store: Store, job: Callable[..., Job]) -> None:
    """I28: in the same transaction, so nothing is told that is not durable."""
    store.insert(job())
    with store.change(job().token) as stored:
        stored.end(EXAMPLE_TIME)
    with pytest.raises(RuntimeError), store.writing() as db:
        loaded = jobs.load(db, job().token)
        before = jobs.Stored.of(loaded)
        loaded.claim(EXAMPLE_TIME)
        jobs.save(db, loaded, before)
        assert outbox.owners_since(db, 2)[1]
        raise RuntimeError("in the middle")

    with store.reading() as db:
        assert outbox.owners_since(db, 2) == (set(), False, 2)


def test_other_filters_than_the_last_time_are_told_of(store: Store) -> None:
    """The first time as well; the order in which they are found is no difference, and so is a second start."""
    for filters in (["urn:b", "urn:a"], ["urn:a", "urn:b"], ["urn:a"], [], []):
        store.record_filters(filters, EXAMPLE_TIME)

    assert [one.filters for one in told(store)] == [("urn:a", "urn:b"), ("urn:a",), ()]
    assert all(one.job is None and one.state == "" for one in told(store))


def test_a_server_that_starts_tells_which_filters_it_has(settings: Settings) -> None:
    """What the last one wrote is what it compares with: here one plugin is switched off before the second start."""
    databases.migrated(settings.storage.url)
    without = settings.model_copy(update={"plugins": settings.plugins.model_copy(update={"disabled": ("acme",)})})
    for table in (settings, without):
        with contextlib.closing(Engine(table, AnyProcess())) as core, core.running() as catalogue:
            assert told(core.store)[-1].filters == tuple(sorted(catalogue.dialects))
            first, *others = told(core.store)

    assert first.filters is not None
    assert "urn:acme:copy" in first.filters
    assert [set(first.filters) - set(one.filters or ()) for one in others] == [
        {dialect for dialect in first.filters if dialect.startswith("urn:acme:")}
    ]


def test_what_is_old_of_the_repository_is_forgotten_but_the_newest_of_each_kind(
    store: Store, job: Callable[..., Job]
) -> None:
    """D15; the newest of each kind is what the next change is compared with. Ages are those of the jobs, in ticks."""

    def kinds() -> list[str]:
        with store.reading() as db:
            return list(db.scalars(sa.select(EVENT.c.kind).where(EVENT.c.token.is_(None)).order_by(EVENT.c.seq)))

    for number in range(3):
        store.record_filters([f"urn:{number}"], EXAMPLE_TIME)
        for _ in live(store, job(token=f"job-{number}")):
            pass
        store.record_ended(100.0 * number)
    one_round = ["RepositoryConfigurationChanged", "RepositoryStatusChanged", "RepositoryStatusChanged"]
    assert kinds() == one_round * 3

    store.drop_repository_events(-1.0)
    assert kinds() == one_round * 3
    store.drop_repository_events(50.0)
    after_one_is_old = kinds()
    store.drop_repository_events(1000.0)

    assert after_one_is_old == one_round[-1:] + one_round * 2
    assert kinds() == ["RepositoryConfigurationChanged", "RepositoryStatusChanged"]
    store.record_filters(["urn:2"], EXAMPLE_TIME)
    assert len(kinds()) == 2


# --- many at once ------------------------------------------------------------------------------------------------


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    """A store that waits for its turn on a busy machine, too."""
    with contextlib.closing(Store(migrated_url, busy_seconds=PATIENCE)) as store:
        yield store


@pytest.fixture
def other(store: Store) -> Iterator[Store]:
    """A second store on the same database, as another process would have it."""
    with contextlib.closing(Store(store.url, busy_seconds=PATIENCE)) as other:
        yield other


def test_a_reader_never_passes_an_event_that_is_not_committed_yet(
    store: Store, other: Store, job: Callable[..., Job]
) -> None:
    """I27, T-A6: of two transactions the one that wrote first is seen first, however long its commit takes.

    PostgreSQL draws the numbers before the commits; without the lock the second one is seen alone, and the reader's
    cursor is behind the first when that comes.
    """
    cursor, heard = 0, list[JobChange]()

    def read() -> None:
        nonlocal cursor
        part, cursor = outbox.after(other.reading, cursor, EVERYTHING, None)
        heard.extend(part)

    second = threading.Thread(target=other.insert, args=(job(token="second"),))
    with store.writing() as db:
        jobs.insert(db, job(token="first"))
        second.start()
        wait_until_waiting(other, second)
        if store.url.startswith("postgresql"):
            read()
            assert heard == []
    second.join()
    read()

    assert [one.job and one.job.token for one in heard] == ["first", "second"]


def wait_until_waiting(store: Store, thread: threading.Thread) -> None:
    """Return when the thread's transaction waits for another one, or is over; SQLite does not tell."""
    if not store.url.startswith("postgresql"):
        return
    query = sa.text("select count(*) from pg_locks where locktype = 'advisory' and not granted")
    end = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < end:
        with store.reading() as db:
            if db.scalar(query):
                return
        time.sleep(0.01)


def test_a_reader_beside_many_writers_hears_all(store: Store, other: Store, job: Callable[..., Job]) -> None:
    """I27: in order, without gaps, once each; two stores with three threads each stand for two processes."""
    errors: list[BaseException] = []

    def write(which: Store, name: str) -> None:
        try:
            for number in range(5):
                token = f"{name}-{number}"
                which.insert(job(token=token))
                with which.change(token) as stored:
                    stored.end(EXAMPLE_TIME)
                with which.change(token) as stored:
                    stored.cancel(EXAMPLE_TIME)
        except BaseException as error:
            errors.append(error)

    writers = [
        threading.Thread(target=write, args=(which, f"{n}-{m}"))
        for n, which in enumerate((store, other))
        for m in range(3)
    ]
    for writer in writers:
        writer.start()
    cursor, heard = 0, list[JobChange]()
    while True:
        over = not any(writer.is_alive() for writer in writers)
        part, cursor = outbox.after(store.reading, cursor, 4, None)
        heard += part
        if over and not part:
            break

    assert errors == []
    assert heard == told(store)
    assert len(heard) == 6 * 5 * 3
    states: dict[str, list[str]] = {}
    for one in heard:
        assert one.job is not None
        states.setdefault(one.job.token, []).append(one.job.state)
    assert set(map(tuple, states.values())) == {("Creating", "Pending", "Canceled")}


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_a_window_divides_no_commit_and_loses_none(
    store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """A transaction looks at few events; told window by window, the changes are the same."""
    for number, owner in enumerate((ANNA, BORIS, ANNA)):
        for _ in live(store, job(token=f"job-{number}", owner=owner)):
            pass
    whole = {owner: told(store, owner=owner) for owner in (None, ANNA, BORIS)}
    monkeypatch.setattr(outbox, "WINDOW", window)

    for owner, expected in whole.items():
        heard, cursor, before, count = list[JobChange](), 0, -1, 0
        while before < cursor:
            before = cursor
            part, cursor = outbox.after(store.reading, cursor, 4, owner)
            heard += part
        assert heard == expected
        before = cursor = 0
        while True:
            with store.reading() as db:
                found, cursor = outbox.waiting(db, before, owner)
            count += found
            if cursor <= before:
                break
            before = cursor
        with store.reading() as db:
            monkeypatch.setattr(outbox, "WINDOW", EVERYTHING)
            assert outbox.waiting(db, 0, owner)[0] == count
            monkeypatch.setattr(outbox, "WINDOW", window)
