"""The audit trail: who did what, how it was proven, and what was refused; and a limit on guessing."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from conftest import ANNA, BORIS
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound, Throttled
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import AuditLine
from postscan.core.service.throttle import Throttle
from postscan.core.settings import Settings
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)


@pytest.fixture
def idle(core: Engine) -> Works:
    """An engine in which nothing runs."""
    return Works(core, ANNA)


def told(works: Works, token: str) -> list[tuple[str, str, str, str]]:
    """Return who did what to a job, how proven, and with which outcome."""
    return [(line.who, line.proof, line.verb, line.outcome) for line in works.service.audit(ADMIN, token)]


def test_every_change_of_a_job_has_its_line(idle: Works) -> None:
    """Promise 11: who, how and when, for the owner's road and for the administrator's."""
    token = idle.create("copy")
    idle.service.end(token, ANNA)
    idle.service.hold(token, ADMIN)
    idle.service.cancel(token, ADMIN)

    assert told(idle, token) == [
        (ANNA.name, "address", "create", "done"),
        (ANNA.name, "address", "end", "done"),
        ("local:root", "local", "hold", "done"),
        ("local:root", "local", "cancel", "done"),
    ]


def test_a_refused_stranger_has_a_line_too(idle: Works) -> None:
    """T-O1: nothing changes, but it is known who tried."""
    token = idle.create("copy")
    with pytest.raises(JobNotFound):
        idle.service.cancel(token, BORIS)

    assert told(idle, token)[-1] == (BORIS.name, "address", "cancel", "refused")


def test_only_administrators_read_the_trail(idle: Works) -> None:
    """Its lines name other people's jobs."""
    idle.create("copy")

    assert idle.service.audit(ANNA) == []
    assert len(idle.service.audit(ADMIN)) == 1


@pytest.mark.parametrize("statement", ["update audit set who = 'nobody'", "delete from audit"])
def test_the_database_itself_refuses_to_rewrite_the_trail(store: Store, statement: str) -> None:
    """Append-only, for whoever can connect with the server's own rights."""
    store.record(AuditLine.of(ADMIN, "cancel", "some-job", EXAMPLE_TIME))

    with pytest.raises(sa.exc.DBAPIError, match="append-only"), store.writing() as db:
        db.exec_driver_sql(statement)
    assert len(store.audit()) == 1


def test_who_guesses_tokens_has_to_wait_and_nobody_else(core: Engine, settings: Settings) -> None:
    """T-O4: after 20 unknown tokens in a minute; the guesser's own jobs still answer."""
    works = Works(core, ANNA)
    mine = works.create("copy")
    for number in range(20):
        with pytest.raises(JobNotFound):
            core.service.job(f"guess-{number}", ANNA)

    with pytest.raises(Throttled) as refused:
        core.service.job("one-more", ANNA)

    assert 0 < refused.value.seconds <= 60
    assert core.service.job(mine, ANNA).token == mine
    with pytest.raises(JobNotFound):
        core.service.job(mine, BORIS)


def test_misses_are_forgotten_after_a_minute(clock: FakeClock) -> None:
    """On the steady clock."""
    throttle = Throttle(2, clock)
    throttle.miss("anna")
    clock.advance(30)
    throttle.miss("anna")
    with pytest.raises(Throttled):
        throttle.miss("anna")

    clock.advance(31)
    throttle.miss("anna")
    with pytest.raises(Throttled):
        throttle.miss("anna")
