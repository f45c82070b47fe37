"""The end of a subscription: by its owner, by an administrator, by expiry, and after failed deliveries."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import Any

import pytest
from conftest import ANNA, BORIS
from free_ports import free_port
from listeners import Listener, Telling
from schemas import assert_valid
from subscribed import BLOCK, CANCELED, CREATED, create, live_and_end, subscribe, with_events
from works import until

from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.subscription import Sink
from postscan.core.settings import Settings
from postscan.soap.eventing import notifier

WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
SOURCE_CANCELLING = ("SubscriptionEnd", f"{WSE}/SourceCancelling")
ADMIN = Principal("user:S-1-5-21-1-2-3-500", Proof.CERTIFICATE, admin=True)
DEADLINE = 1.0
"""Seconds for sinks that hang; on a busy machine a message may not even be sent by then."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Few tries, room for many subscriptions, and patience: an event whose answer is late is sent again."""
    return with_events(settings, tries=3, most_per_caller=100, deadline_seconds=60)


# --- by its owner, or by itself --------------------------------------------------------------------------------------


def test_who_has_unsubscribed_hears_nothing_more(core: Engine, listener: Listener) -> None:
    """DPW-074: neither events nor an end."""
    made = subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"))
    with Telling(core) as telling:
        create(core)
        until(lambda: listener.heard and telling.is_idle())
        core.subscriptions.remove(made.id, made.port, ANNA)
        telling.wake()
        until(lambda: telling.read(made.id) is None)
        live_and_end(core)
        time.sleep(4 * notifier.POLL_SECONDS)

    assert listener.told == [CREATED]


@pytest.mark.parametrize("how", ["by itself", "by its owner"])
def test_a_subscription_ends_in_the_middle_of_what_waits_for_it(core: Engine, listener: Listener, how: str) -> None:
    """DPW-071, DPW-074: at most the message that is on its way still comes."""
    may_go_on = threading.Event()
    listener.manner = lambda: 202 if may_go_on.wait(60) else 500
    made = subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"))
    live_and_end(core)
    with Telling(core) as telling:
        until(lambda: listener.heard)
        if how == "by its owner":
            core.subscriptions.remove(made.id, made.port, ANNA)
            telling.wake()
            until(lambda: telling.read(made.id) is None)
        else:
            short = core.subscriptions.renew(made.id, made.port, ANNA, 0.5, False)
            telling.wake()
            until(lambda: (known := telling.read(made.id)) is None or known.until == short.until)
            until(lambda: not core.subscriptions.left(short))
        may_go_on.set()
        until(telling.is_idle)
        time.sleep(4 * notifier.POLL_SECONDS)

    assert listener.told == [CREATED]


# --- after failures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", [500, "close", "hang", "nobody"])
def test_who_never_listens_is_given_up(core: Engine, listener: Listener, manner: Any) -> None:
    """DPW-073, DPW-076, F-R18, T-A6: after so many tries; the end is told where it was asked for, and nothing else."""
    with Listener(manner) as deaf:
        to = (
            Sink(f"http://127.0.0.1:{free_port()}/", "127.0.0.1") if manner == "nobody" else Sink(deaf.url, "127.0.0.1")
        )
        made = subscribe(core, listener, notify_to=to, end_to=Sink(listener.url, "127.0.0.1", BLOCK))
        hasty = with_events(core.settings, deadline_seconds=DEADLINE)
        with Telling(core, hasty if manner == "hang" else core.settings):
            live_and_end(core)
            until(lambda: listener.heard)
            live_and_end(core)
            time.sleep(4 * notifier.POLL_SECONDS)

    assert {*listener.told} == {("SubscriptionEnd", f"{WSE}/DeliveryFailure")}
    assert len(listener.heard) == 1 or manner == "hang"
    end = assert_valid(listener.heard[0])
    assert end.findtext(f".//{{{WSE}}}Identifier") == f"urn:uuid:{made.id}"
    assert end.findtext(".//{urn:acme}Ticket") == "7 & 8"
    if manner == "hang":
        assert deaf.told in ([CREATED], [CREATED] * 2, [CREATED] * 3)
    else:
        assert deaf.told == ([] if manner == "nobody" else [CREATED] * 3)
    assert core.subscriptions.live() == []


def test_who_does_not_want_to_know_of_the_end_is_not_told(core: Engine) -> None:
    """DPW-073: without EndTo, and even if that does not listen either."""
    with Listener(500) as deaf:
        subscribe(core, deaf)
        subscribe(core, deaf, BORIS, end_to=Sink(deaf.url, "127.0.0.1"))
        with Telling(core):
            create(core, ANNA)
            create(core, BORIS)
            until(lambda: not core.subscriptions.live())
            until(lambda: deaf.told.count(("SubscriptionEnd", f"{WSE}/DeliveryFailure")) == 3)

    assert sorted(deaf.told) == [*[CREATED] * 6, *[("SubscriptionEnd", f"{WSE}/DeliveryFailure")] * 3]


def test_an_end_that_is_not_accepted_is_sent_again_as_often_as_an_event(core: Engine) -> None:
    """DPW-073, F-R18: the same message, until it is accepted or its tries are over."""
    manners = itertools.chain([500, "close"], itertools.repeat(202))
    with Listener(500) as deaf, Listener(lambda: next(manners)) as reached, Listener(500) as lost:
        subscribe(core, deaf, ANNA, end_to=Sink(reached.url, "127.0.0.1"))
        subscribe(core, deaf, BORIS, end_to=Sink(lost.url, "127.0.0.1"))
        with Telling(core):
            create(core, ANNA)
            create(core, BORIS)
            until(lambda: len(reached.heard) == len(lost.heard) == 3)
            time.sleep(4 * notifier.POLL_SECONDS)

    assert len(reached.heard) == len(lost.heard) == 3
    assert len(set(reached.heard)) == len(set(lost.heard)) == 1


@pytest.mark.parametrize("limits", [{"most_per_caller": 2, "most": 100}, {"most_per_caller": 100, "most": 2}])
def test_no_more_ends_are_repeated_than_there_may_be_subscriptions(
    core: Engine, caplog: pytest.LogCaptureFixture, limits: dict[str, int]
) -> None:
    """T-A3: or a sink that never answers would collect them; the third one is not sent."""
    caplog.set_level(logging.INFO)
    with Listener("hang") as hanging:
        made = [subscribe(core, hanging, end_to=Sink(hanging.url, "127.0.0.1")) for _ in range(3)]
        for one in made:
            core.subscriptions.cancel(one.id, ADMIN)
        with Telling(core, with_events(core.settings, deadline_seconds=300, **limits)):
            until(lambda: not core.subscriptions.live() and len(hanging.heard) == 2)

    assert len(hanging.heard) == 2
    assert [one.message for one in caplog.records].count("subscription end not sent") == 1


def test_a_backlog_has_an_end(core: Engine, listener: Listener) -> None:
    """DPW-076: who is slower than the events come is given up, though it never fails; it counts its own events only."""
    may_go_on = threading.Event()
    listener.manner = lambda: 202 if may_go_on.wait(60) else 500
    subscribe(core, listener, BORIS)
    subscribe(core, listener, ANNA, end_to=Sink(listener.url, "127.0.0.1"))
    with Telling(core, with_events(core.settings, backlog=20)) as telling:
        create(core, BORIS)
        for _ in range(30):
            live_and_end(core, ANNA)
        _, _, newest = core.subscriptions.owners_since(0)
        until(lambda: telling.notifier._delivery.newest == newest)
        may_go_on.set()
        until(lambda: ("SubscriptionEnd", f"{WSE}/DeliveryFailure") in listener.told)

    assert [one.owner.name for one in core.subscriptions.live()] == [BORIS.name]


# --- what administrators end ------------------------------------------------------------------------------------------


def test_an_administrator_ends_a_subscription(core: Engine, listener: Listener) -> None:
    """dpws.md section 8.3: its subscriber is told why, once, and hears nothing more; the others go on."""
    one, _ = (
        subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1", BLOCK)),
        subscribe(core, listener, BORIS, end_to=Sink(listener.url, "127.0.0.1")),
    )
    with Telling(core) as telling:
        create(core)
        until(lambda: listener.heard)
        core.subscriptions.cancel(one.id, ADMIN)
        telling.wake()
        until(lambda: len(listener.heard) >= 2)
        live_and_end(core, ANNA)
        live_and_end(core, BORIS)
        telling.wake()
        until(lambda: len(listener.heard) >= 5)
        time.sleep(4 * notifier.POLL_SECONDS)

    assert listener.told == [CREATED, SOURCE_CANCELLING, CREATED, *CANCELED]
    end = assert_valid(listener.heard[1])
    assert end.findtext(f".//{{{WSE}}}Identifier") == f"urn:uuid:{one.id}"
    assert end.findtext(".//{urn:acme}Ticket") == "7 & 8"
    assert [left.owner.name for left in core.subscriptions.live()] == [BORIS.name]


def test_a_running_server_sees_it_by_itself(core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wakes it: it looks at the list now and then."""
    monkeypatch.setattr(notifier, "LIST_SECONDS", 0.5)
    one = subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"))
    with Telling(core):
        create(core)
        until(lambda: listener.heard)
        core.subscriptions.cancel(one.id, ADMIN)
        until(lambda: len(listener.heard) >= 2)

    assert listener.told == [CREATED, SOURCE_CANCELLING]


def test_if_no_server_runs_the_next_one_tells_it(core: Engine, listener: Listener) -> None:
    """And nothing of what has waited."""
    one = subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"))
    live_and_end(core)
    core.subscriptions.cancel(one.id, ADMIN)
    for _ in range(2):
        with Telling(core):
            until(lambda: listener.heard and not core.subscriptions.live())
            time.sleep(2 * notifier.POLL_SECONDS)

    assert listener.told == [SOURCE_CANCELLING]


def test_the_end_comes_behind_the_event_that_is_on_its_way(core: Engine, listener: Listener) -> None:
    """In the middle of what waits for it: that one message, and then the end."""
    may_go_on = threading.Event()

    def slow() -> int:
        may_go_on.wait(60)
        return 202

    with Listener(slow) as events:
        one = subscribe(core, events, end_to=Sink(listener.url, "127.0.0.1"))
        live_and_end(core)
        with Telling(core, with_events(core.settings, deadline_seconds=60)) as telling:
            until(lambda: events.heard)
            core.subscriptions.cancel(one.id, ADMIN)
            telling.wake()
            until(lambda: (known := telling.read(one.id)) and known.cancelled)
            time.sleep(2 * notifier.POLL_SECONDS)
            before = list(listener.told)
            may_go_on.set()
            until(lambda: listener.heard)
            time.sleep(2 * notifier.POLL_SECONDS)

    assert (before, listener.told, events.told) == ([], [SOURCE_CANCELLING], [CREATED])


def test_who_does_not_listen_is_told_of_the_end_without_another_try(
    core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-A6: though its next try was a minute away."""
    with Listener(500) as deaf:
        one = subscribe(core, deaf, end_to=Sink(listener.url, "127.0.0.1"))
        with Telling(core) as telling:
            monkeypatch.setattr(telling.notifier._delivery, "_pause", lambda _failures: 60.0)
            live_and_end(core)
            until(lambda: deaf.heard)
            core.subscriptions.cancel(one.id, ADMIN)
            telling.wake()
            until(lambda: listener.heard)

    assert (listener.told, deaf.told) == ([SOURCE_CANCELLING], [CREATED])


def test_who_does_not_want_to_know_of_a_cancelled_subscription_is_not_told(core: Engine, listener: Listener) -> None:
    """Without EndTo it is forgotten, and that is all."""
    core.subscriptions.cancel(subscribe(core, listener).id, ADMIN)
    with Telling(core):
        create(core)
        until(lambda: not core.subscriptions.live())
        time.sleep(2 * notifier.POLL_SECONDS)

    assert listener.heard == []


def test_an_end_waits_for_a_database_that_is_busy(
    core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ruling 17: it is told once the subscription is forgotten, and not before."""
    refused: list[str] = []
    drop = core.subscriptions.drop

    def busy_at_first(id: str) -> bool:
        if len(refused) < 2:
            refused.append(id)
            raise StoreBusy("locked")
        return drop(id)

    monkeypatch.setattr(core.subscriptions, "drop", busy_at_first)
    one = subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"))
    core.subscriptions.cancel(one.id, ADMIN)
    with Telling(core):
        until(lambda: listener.heard)
        time.sleep(2 * notifier.POLL_SECONDS)

    assert (refused, listener.told) == ([one.id] * 2, [SOURCE_CANCELLING])
    assert core.subscriptions.live() == []
