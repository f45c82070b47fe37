"""Several servers, one notifier: the leader sends the events of all, and the next leader goes on behind it."""

from __future__ import annotations

import pytest
from listeners import Listener, Telling
from shared_lead import Member
from subscribed import CANCELED, CREATED, create, live_and_end, message_ids, subscribe, with_events
from works import until

from postscan.core.engine import Engine
from postscan.core.settings import Settings
from postscan.core.store.schema import SUBSCRIPTION
from postscan.soap.eventing import notifier


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Patience: a message whose answer is late is sent again."""
    return with_events(settings, tries=3, most_per_caller=100, deadline_seconds=60)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server looks often whether it leads."""
    monkeypatch.setattr(notifier, "SHARED_SECONDS", 0.05)


def test_the_leader_alone_sends_and_the_next_one_goes_on_behind_it(core: Engine, listener: Listener) -> None:
    """No event is lost, and none is sent by two that lead one after another."""
    first, second = Member(leads=True), Member(leads=False)
    with Telling(core, leadership=first), Telling(core, leadership=second):
        subscribe(core, listener)  # at another server: nobody wakes them
        token = create(core)
        until(lambda: len(listener.heard) == 1, "for the leader to send")
        first.is_leader = False
        until(lambda: core.subscriptions.live()[0].cursor > 0, "for the cursor")
        core.service.cancel(token, core.store.load(token).owner)
        second.is_leader = True
        until(lambda: len(listener.heard) == 3, "for the next leader to send")

    assert listener.told == [CREATED, *CANCELED]
    assert len(set(message_ids(listener))) == 3


def test_a_server_that_does_not_lead_sends_nothing(core: Engine, listener: Listener) -> None:
    """Its subscribers are those of the leader."""
    subscribe(core, listener)
    with Telling(core, leadership=Member(leads=False)) as telling:
        live_and_end(core)
        telling.run(telling.notifier._poll_once())
        assert telling.is_idle()
        assert listener.heard == []


def test_a_former_leader_repeats_the_same_messages(core: Engine, listener: Listener) -> None:
    """I29: two that lead for a moment send messages that are equal to the byte, so a subscriber knows them again."""
    subscribe(core, listener)
    live_and_end(core)
    for _ in range(2):
        with Telling(core, leadership=Member(leads=True)) as telling:
            telling.notifier._delivery.moved.clear()
            until(lambda: telling.is_idle() and len(listener.heard) >= 3, "for the messages")
        with core.store.writing() as db:
            db.execute(SUBSCRIPTION.update().values(cursor=0))

    until(lambda: len(listener.heard) == 6, "for the repetition")
    assert listener.heard[:3] == listener.heard[3:]
