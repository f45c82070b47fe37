"""Who hears of what, for how long, and that nobody gets at anybody else's subscription."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import ANNA, BORIS
from works import PATIENCE

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, StoreBusy, SubscriptionNotFound, Unavailable
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import AuditLine
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.service.subscriptions import Subscriptions
from postscan.core.settings.network import EventSettings
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

ADMIN = Principal("user:S-1-5-21-1-2-3-500", Proof.CERTIFICATE, admin=True, sid="S-1-5-21-1-2-3-500")
NOTIFY = Sink("http://192.0.2.7:8080/events?a=b", "192.0.2.7", '<i:id xmlns:i="urn:x">7</i:id>')
END = Sink("https://[2001:db8::7]/end", "2001:db8::7")
NEWS = "urn:example:news"


@pytest.fixture
def subscriptions(store: Store, clock: FakeClock) -> Subscriptions:
    """No subscriptions yet; most 5, most 3 of one caller."""
    return Subscriptions(store, EventSettings(most=5, most_per_caller=3), clock)


def subscribe(subscriptions: Subscriptions, owner: Principal = ANNA, **other: Any) -> Subscription:
    """Subscribe to the events of jobs for a minute."""
    asked: dict[str, Any] = {
        "port": EventService.PROCESSING,
        "notify_to": NOTIFY,
        "end_to": None,
        "actions": (),
        "manager_of": "http://scan.example/{}".format,
        "absolute": False,
        "seconds": 60.0,
    }
    return subscriptions.add(owner=owner, **asked | other)


@pytest.mark.parametrize("end_to", [None, END])
@pytest.mark.parametrize("port", EventService)
def test_a_subscription_comes_back_as_it_was_made(
    subscriptions: Subscriptions, end_to: Sink | None, port: EventService
) -> None:
    """Every field survives the way through the database; the identifier is a GUID in lower case."""
    made = subscribe(subscriptions, port=port, end_to=end_to, actions=(NEWS, "urn:y"), absolute=True)

    assert str(uuid.UUID(made.id)) == made.id
    assert made == Subscription(
        id=made.id,
        port=port,
        owner=Principal(ANNA.name, ANNA.proof, admin=port is EventService.CONFIGURATION),
        notify_to=NOTIFY,
        end_to=end_to,
        actions=(NEWS, "urn:y"),
        manager=f"http://scan.example/{made.id}",
        absolute=True,
        until=1060.0,
        cursor=0,
    )
    assert subscriptions.get(made.id, port, ANNA) == made
    assert subscriptions.live() == [made]
    assert subscriptions.left(made) == 60.0


def test_a_subscriber_hears_of_its_own_jobs_and_an_administrator_of_all(subscriptions: Subscriptions) -> None:
    """D23, I29."""
    assert subscribe(subscriptions).scope == ANNA
    assert subscribe(subscriptions, ADMIN, port=EventService.CONFIGURATION).scope is None


def test_it_hears_of_what_happens_from_now_on(
    subscriptions: Subscriptions, store: Store, job: Callable[..., Job]
) -> None:
    """Not of what was before; and each reader of its own jobs."""
    store.insert(job(token="before"))
    made = subscribe(subscriptions)
    store.insert(job(token="after"))
    store.insert(job(token="boris", owner=BORIS))
    store.number_events()

    happenings, cursor = subscriptions.after(made.scope, made.cursor, 10)

    assert [one.job and one.job.token for one in happenings] == ["after"]
    assert subscriptions.owners_since(made.cursor) == (
        {(ANNA.name, ANNA.proof.value), (BORIS.name, BORIS.proof.value)},
        False,
        cursor,
    )


VERBS: list[Callable[[Subscriptions, str, EventService, Principal], object]] = [
    Subscriptions.get,
    lambda subscriptions, id, port, by: subscriptions.renew(id, port, by, 5.0, absolute=True),
    Subscriptions.remove,
]


def intruders(made: Subscription) -> list[tuple[str, EventService, Principal]]:
    """Return all ways to name a subscription of Anna's that are not hers."""
    return [
        (str(uuid.uuid4()), made.port, ANNA),
        (made.id.upper() + " ", made.port, ANNA),
        ("", made.port, ANNA),
        ("x" * 10_000, made.port, ANNA),
        (made.id, EventService.CONFIGURATION, ANNA),
        (made.id, made.port, BORIS),
        (made.id, made.port, Principal(ANNA.name, Proof.CERTIFICATE)),
        (made.id, made.port, ADMIN),
    ]


def test_a_foreign_subscription_is_refused_like_an_unknown_one(subscriptions: Subscriptions) -> None:
    """T-A4: on every verb, with the same words, and without any effect."""
    made = subscribe(subscriptions)
    for id, port, by in intruders(made):
        for verb in VERBS:
            with pytest.raises(SubscriptionNotFound) as refused:
                verb(subscriptions, id, port, by)
            assert refused.value.id == id
            assert str(refused.value) == f"there is no subscription {id[:64]!r} of this caller"

    assert subscriptions.get(made.id, made.port, ANNA) == made


def test_an_expired_subscription_is_an_unknown_one(subscriptions: Subscriptions, clock: FakeClock) -> None:
    """To its owner as well, whether it was forgotten already or not; nothing brings it back."""
    made = subscribe(subscriptions)
    clock.advance(59)
    assert subscriptions.left(subscriptions.get(made.id, made.port, ANNA)) == 1.0
    clock.advance(1)

    for _ in range(2):
        for verb in VERBS:
            with pytest.raises(SubscriptionNotFound):
                verb(subscriptions, made.id, made.port, ANNA)
        assert subscriptions.live() == []
        assert subscriptions.left(made) == 0.0


def test_a_renewed_subscription_lives_on_from_now(subscriptions: Subscriptions, clock: FakeClock) -> None:
    """Longer or shorter than before; where it stands stays as it is."""
    made = subscribe(subscriptions)
    clock.advance(50)

    renewed = subscriptions.renew(made.id, made.port, ANNA, 30.0, absolute=True)

    assert (renewed.until, renewed.absolute, renewed.cursor) == (1080.0, True, made.cursor)
    assert subscriptions.get(made.id, made.port, ANNA) == renewed
    assert subscriptions.left(subscriptions.renew(made.id, made.port, ANNA, 1.0, absolute=False)) == 1.0


@pytest.mark.parametrize(
    ("asked", "granted"), [(None, 3600.0), (86_400.0, 86_400.0), (86_401.0, 86_400.0), (math.inf, 86_400.0), (0.5, 0.5)]
)
def test_nobody_lives_longer_than_a_day(subscriptions: Subscriptions, asked: float | None, granted: float) -> None:
    """T-A3, ruling 20: who asks for more gets a day; who does not say, an hour."""
    made = subscribe(subscriptions, seconds=asked)

    assert subscriptions.left(made) == granted
    assert subscriptions.left(subscriptions.renew(made.id, made.port, ANNA, asked, absolute=False)) == granted


@pytest.mark.parametrize("asked", [0.0, -1.0, -math.inf, math.nan])
def test_a_life_that_is_none_is_refused(subscriptions: Subscriptions, asked: float) -> None:
    """Nothing is stored, and nothing is changed."""
    made = subscribe(subscriptions)
    with pytest.raises(InvalidArgument, match="Expires"):
        subscribe(subscriptions, seconds=asked)
    with pytest.raises(InvalidArgument, match="Expires"):
        subscriptions.renew(made.id, made.port, ANNA, asked, absolute=False)

    assert subscriptions.live() == [made]


def test_a_caller_has_a_share_of_the_places(subscriptions: Subscriptions, clock: FakeClock) -> None:
    """T-A3: three here, on both services together; an expired or removed one leaves its place."""
    first = subscribe(subscriptions, seconds=10)
    subscribe(subscriptions, port=EventService.CONFIGURATION)
    second = subscribe(subscriptions)
    with pytest.raises(Unavailable, match=r"device:192\.0\.2\.7 has 3 subscriptions already"):
        subscribe(subscriptions)
    subscribe(subscriptions, Principal(ANNA.name, Proof.CERTIFICATE))  # another one of the same name

    clock.advance(10)
    subscribe(subscriptions)
    with pytest.raises(Unavailable):
        subscribe(subscriptions)
    subscriptions.remove(second.id, second.port, ANNA)
    subscribe(subscriptions)

    assert {first.id, second.id} & {one.id for one in subscriptions.live()} == set()


def test_the_server_has_so_many_places(subscriptions: Subscriptions) -> None:
    """T-A3: five here, whoever has them."""
    for number in range(5):
        subscribe(subscriptions, Principal(f"device:{number}", Proof.ADDRESS))

    with pytest.raises(Unavailable, match="there are 5 subscriptions already"):
        subscribe(subscriptions)

    assert len(subscriptions.live()) == 5


def test_of_many_at_once_only_the_share_gets_in(subscriptions: Subscriptions, store: Store, clock: FakeClock) -> None:
    """T-A3: the last place is given once, though two servers' worth of callers ask for it together."""
    other = Store(store.url, busy_seconds=PATIENCE)
    barrier = threading.Barrier(8)
    refused: list[Unavailable] = []

    def ask(which: Store) -> None:
        barrier.wait()
        try:
            subscribe(Subscriptions(which, EventSettings(most_per_caller=3), clock))
        except Unavailable as error:
            refused.append(error)

    threads = [threading.Thread(target=ask, args=(which,)) for which in (store, other) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    assert [one for one in refused if isinstance(one, StoreBusy)] == []
    assert (len(refused), len(subscriptions.live())) == (5, 3)


def test_a_subscription_is_dropped_whosever_it_is(subscriptions: Subscriptions) -> None:
    """By the server, when its sink is dead; whoever does it twice is told so."""
    made, kept = subscribe(subscriptions), subscribe(subscriptions)

    assert [subscriptions.drop(made.id) for _ in range(2)] == [True, False]
    assert subscriptions.live() == [kept]


def test_an_administrator_ends_a_subscription_of_anybody(subscriptions: Subscriptions, store: Store) -> None:
    """T-O1: it says who did it, and to whom; what is left of it waits for the server, and for nobody else."""
    made, kept = subscribe(subscriptions, end_to=END), subscribe(subscriptions)

    ended = subscriptions.cancel(made.id, ADMIN)

    assert ended == replace(made, cancelled=True)
    assert {one.id: one for one in subscriptions.live()} == {made.id: ended, kept.id: kept}
    (line,) = store.audit(made.id)
    assert line == AuditLine(
        at=line.at,
        who=ADMIN.name,
        proof="certificate",
        verb="unsubscribe",
        token=made.id,
        outcome="done",
        detail=f"a subscription of {ANNA.name}; its events went to {NOTIFY.url}",
        seq=line.seq,
    )


def test_a_cancelled_subscription_is_an_unknown_one(subscriptions: Subscriptions) -> None:
    """T-A4: to its owner on every verb, and nothing brings it back."""
    made = subscribe(subscriptions)
    ended = subscriptions.cancel(made.id, ADMIN)
    for verb in VERBS:
        with pytest.raises(SubscriptionNotFound):
            verb(subscriptions, made.id, made.port, ANNA)

    assert subscriptions.live() == [ended]


def test_nothing_is_ended_that_is_over_or_by_who_is_no_administrator(
    subscriptions: Subscriptions, store: Store, clock: FakeClock
) -> None:
    """T-A4: not even one's own; and then there is nothing to tell of in the audit trail."""
    made, over, twice = subscribe(subscriptions), subscribe(subscriptions, seconds=1), subscribe(subscriptions)
    subscriptions.cancel(twice.id, ADMIN)
    clock.advance(1)
    for id, by in [(made.id, ANNA), (over.id, ADMIN), (twice.id, ADMIN), (str(uuid.uuid4()), ADMIN), ("", ADMIN)]:
        with pytest.raises(SubscriptionNotFound):
            subscriptions.cancel(id, by)

    assert subscriptions.get(made.id, made.port, ANNA) == made
    assert [line.token for line in store.audit()] == [twice.id]


def test_an_end_without_its_line_in_the_audit_trail_is_none(subscriptions: Subscriptions, store: Store) -> None:
    """Both are stored, or neither is."""
    made = subscribe(subscriptions)
    with store.writing() as db:
        db.exec_driver_sql("drop table audit")
    with pytest.raises((StoreBusy, sa.exc.DBAPIError)):
        subscriptions.cancel(made.id, ADMIN)

    assert subscriptions.live() == [made]


def test_who_is_no_administrator_any_more_hears_no_more(subscriptions: Subscriptions) -> None:
    """T-A4: after a restart with other settings; those of devices, and of who is still listed, stay."""
    lost, kept = (replace(ADMIN, entry=role) for role in ("S-1-5-21-1-2-3-500", "serial=0A;issuer=CN=CA"))
    subscribe(subscriptions, lost, port=EventService.CONFIGURATION)
    stays = [subscribe(subscriptions, kept, port=EventService.CONFIGURATION), subscribe(subscriptions)]

    subscriptions.drop_without(["S-1-5-21-1-2-3-501", "serial=0A;issuer=CN=CA"])

    assert sorted(one.id for one in subscriptions.live()) == sorted(one.id for one in stays)


def test_cursors_move_on_together_and_never_back(subscriptions: Subscriptions) -> None:
    """What is written late, or of one that is gone, does no harm."""
    first, second = sorted((subscribe(subscriptions), subscribe(subscriptions)), key=lambda one: one.id)

    subscriptions.advance({first.id: 7, second.id: 9, "gone": 3})
    subscriptions.advance({first.id: 8, second.id: 4})

    assert [one.cursor for one in subscriptions.live()] == [8, 9]


def test_subscriptions_outlive_the_server(subscriptions: Subscriptions, store: Store, clock: FakeClock) -> None:
    """F-R18: where each of them stands is in the database."""
    made = subscribe(subscriptions)
    subscriptions.advance({made.id: 3})
    reopened = Store(store.url)

    (found,) = Subscriptions(reopened, EventSettings(), clock).live()
    reopened.close()

    assert (found.id, found.cursor, found.until) == (made.id, 3, made.until)


def test_nothing_is_written_while_nothing_happens(core: Engine) -> None:
    """Looking around every second changes nothing in the database."""
    subscriptions = core.subscriptions
    made = subscribe(subscriptions)
    with contextlib.closing(sqlite3.connect(sa.make_url(core.store.url).database or "")) as watcher:

        def version() -> int:
            number: int = watcher.execute("PRAGMA data_version").fetchone()[0]
            return number

        before = version()
        subscriptions.live()
        subscriptions.owners_since(0)
        subscriptions.after(made.scope, 0, 10)
        subscriptions.advance({})
        looked = version()
        subscriptions.advance({made.id: 1})

        assert looked == before
        assert version() != before
