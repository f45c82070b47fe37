"""What callers get, and what is stored, when the connection to PostgreSQL ends during a COMMIT (F-R14)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import postgres_relay
import pytest
from conftest import ANNA, AnyProcess
from postgres_relay import PostgresRelay
from works import PATIENCE, SID, Works, instructions, until

from postscan.core.engine import Engine
from postscan.core.errors import OutcomeUnknown, StoreBusy
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import RequestKey
from postscan.core.model.states import JobReason, JobState
from postscan.core.settings import Settings
from postscan.plugins.testing.runner import EXAMPLE_TIME

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
PAGE = b"the only page"


@pytest.fixture
def relay(postgres_url: str) -> Iterator[PostgresRelay]:
    """A relay to an empty database with all tables."""
    with PostgresRelay(postgres_url) as relay:
        yield relay


@pytest.fixture
def works(settings: Settings, relay: PostgresRelay) -> Iterator[Works]:
    """An engine whose connections go through the relay; it runs nothing."""
    storage = settings.storage.model_copy(update={"database": relay.url, "busy_seconds": PATIENCE})
    engine = Engine(settings.model_copy(update={"storage": storage}), AnyProcess())
    yield Works(engine, ANNA)
    engine.close()


def key(verb: str) -> RequestKey:
    """Return the key of the request for a verb: the same each time."""
    return RequestKey(f"urn:uuid:{verb}", verb)


def send(works: Works, token: str) -> None:
    """Send the only page."""
    with works.service.open_image(token, ANNA, 1, "png", key("send")) as sink:
        sink.write(PAGE)


def timed_out(works: Works) -> str:
    """Return a job with a page that timed out."""
    token = works.create("copy")
    works.send(token)
    with works.core.store.change(token) as job:
        job.expire(EXAMPLE_TIME)
    return token


def failed(works: Works) -> str:
    """Return a job with a page that failed."""
    token = started(works)
    _fail(works, token)
    return token


def pending(works: Works) -> str:
    """Return a pending job with a page."""
    token = works.create("copy")
    works.send(token)
    works.service.end(token, ANNA)
    return token


def held(works: Works) -> str:
    """Return a held job with a page."""
    token = pending(works)
    works.service.hold(token, ADMIN)
    return token


def started(works: Works) -> str:
    """Return a job that was claimed."""
    token = pending(works)
    assert works.core.store.claim(EXAMPLE_TIME, "a holder") is not None
    return token


Verb = tuple[Callable[[Works], str], Callable[[Works, str], object], Callable[[Works, str], object]]

VERBS: dict[str, Verb] = {
    "create": (
        lambda works: "",
        lambda works, token: works.service.create(ANNA, SID, "P", instructions("copy"), key("create")),
        lambda works, token: len(works.service.active(ANNA)) == 1,
    ),
    "send": (
        lambda works: works.create("copy"),
        send,
        lambda works, token: (
            [works.core.spool.path(page).read_bytes() for page in works.job(token).documents] == [PAGE]
        ),
    ),
    "end": (
        lambda works: works.create("copy"),
        lambda works, token: works.service.end(token, ANNA, key("end")),
        lambda works, token: works.job(token).state is JobState.PENDING,
    ),
    "cancel": (
        pending,
        lambda works, token: works.service.cancel(token, ANNA, key("cancel")),
        lambda works, token: works.job(token).state is JobState.CANCELED,
    ),
    "hold": (
        pending,
        lambda works, token: works.service.hold(token, ADMIN),
        lambda works, token: works.job(token).state is JobState.HELD,
    ),
    "release": (
        held,
        lambda works, token: works.service.release(token, ADMIN),
        lambda works, token: works.job(token).state is JobState.PENDING,
    ),
    "restart": (
        timed_out,
        lambda works, token: works.service.release(token, ADMIN),
        lambda works, token: (
            [works.core.spool.path(page).exists() for job in works.service.active(ANNA) for page in job.documents]
            == [True]
        ),
    ),
    "retry": (
        failed,
        lambda works, token: works.service.retry(token, ADMIN),
        lambda works, token: (
            [works.core.spool.path(page).exists() for job in works.service.active(ANNA) for page in job.documents]
            == [True]
        ),
    ),
    "discard": (
        timed_out,
        lambda works, token: works.service.discard(token, ADMIN),
        lambda works, token: not works.job(token).images_kept,
    ),
    "claim": (
        pending,
        lambda works, token: works.core.store.claim(EXAMPLE_TIME, "a holder"),
        lambda works, token: works.job(token).state is JobState.STARTED,
    ),
    "fail": (
        started,
        lambda works, token: _fail(works, token),
        lambda works, token: works.job(token).state is JobState.ABORTED,
    ),
}


def _fail(works: Works, token: str) -> None:
    with works.core.store.change(token) as job:
        job.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)


@pytest.mark.parametrize("cut", postgres_relay.CUTS)
@pytest.mark.parametrize("verb", VERBS)
def test_the_outcome_of_a_lost_commit_is_that_of_the_database(
    works: Works, relay: PostgresRelay, verb: str, cut: str
) -> None:
    """Success if it is committed, however late; else `StoreBusy`, and the same request is stored then."""
    prepare, act, is_done = VERBS[verb]
    token = prepare(works)

    relay.cuts.append(cut)
    try:
        act(works, token)
    except OutcomeUnknown:
        raise
    except StoreBusy:
        assert cut in ("before", "in")
        assert not is_done(works, token)
        act(works, token)

    assert not relay.cuts
    assert is_done(works, token)


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("verb", ["send", "restart", "retry"])
def test_no_file_is_removed_while_the_outcome_of_its_commit_is_unknown(
    works: Works, relay: PostgresRelay, monkeypatch: pytest.MonkeyPatch, verb: str, cut: str
) -> None:
    """The server cannot be reached after the cut: the file stays, and is right if the commit was."""
    prepare, act, is_done = VERBS[verb]
    token = prepare(works)
    before = set(files(works))

    relay.closing = True
    relay.cuts.append(cut)
    with monkeypatch.context() as impatient, pytest.raises(OutcomeUnknown):
        impatient.setattr(works.core.store._database, "_busy_seconds", 2.0)
        act(works, token)
    new = set(files(works)) - before
    relay.closed = False

    assert len(new) == 1
    assert bool(is_done(works, token)) is (cut == "after")
    if verb == "send":
        act(works, token)
        assert is_done(works, token)


def files(works: Works) -> list[Path]:
    """Return the files of the spool."""
    return [path for path in works.core.settings.storage.spool_dir.glob("*/*") if path.is_file()]


def test_a_job_is_delivered_once_though_every_commit_loses_its_connection(works: Works, relay: PostgresRelay) -> None:
    """The claim, each report of a filter, each grant and the end of the job."""
    with works.core.running():
        token = works.create("copy")
        works.send(token, data=os.urandom(100))
        begun = relay.commits
        relay.cuts.extend(["after", "late"] * 100)
        works.service.end(token, ANNA)
        until(lambda: not works.core.store.in_progress() and works.job(token).state.ended)
        relay.cuts.clear()

        assert relay.commits - begun >= 7
        assert works.job(token).state is JobState.COMPLETED
        assert [step.attempt for step in works.job(token).steps] == [1]
        assert len(works.delivered()) == 1
