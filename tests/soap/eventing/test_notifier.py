"""Notifications to subscribers: their content and order, and a server that stops and starts again."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import ANNA, BORIS
from listeners import Listener, Telling
from lxml import etree
from schemas import assert_valid
from subscribed import CANCELED, CREATED, create, live_and_end, message_ids, subscribe, tokens, with_events
from works import Works, until

from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.subscription import EventService, Sink
from postscan.core.settings import Settings
from postscan.soap.eventing import delivery, notifier

DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
ADMIN = Principal("user:S-1-5-21-1-2-3-500", Proof.CERTIFICATE, admin=True)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Few tries, room for many subscriptions, and patience: a message whose answer is late is sent again."""
    return with_events(settings, tries=3, most_per_caller=100, deadline_seconds=60)


# --- what is heard ---------------------------------------------------------------------------------------------------


def test_a_subscriber_hears_of_its_job_from_the_first_state_to_the_end(core: Engine, listener: Listener) -> None:
    """DSP-002, DSP-063, DSP-065: a status at each change, the last of them before the one end; all are valid."""
    subscribe(core, listener)
    with Telling(core):
        live_and_end(core)
        until(lambda: len(listener.heard) >= 3)

    assert listener.told == [CREATED, *CANCELED]
    assert len(set(message_ids(listener))) == 3
    for message in listener.heard:
        assert_valid(message)


def test_a_job_that_is_processed_is_told_of_step_by_step(works: Works, listener: Listener) -> None:
    """DSP-063 to DSP-067, I27, I28: in the order of the commits, one end, and nothing after it."""
    subscribe(works.core, listener)
    with Telling(works.core):
        job = works.create("copy", "copy")
        works.send(job)
        works.service.end(job, ANNA)
        until(lambda: listener.told and listener.told[-1][0] == "PostScanJobEndStateEvent")

    states = [state for _name, state in listener.told]
    assert [state for state, _ in itertools.groupby(states)] == [
        *("Creating", "Pending", "Started", "Processing", "Completed")
    ]
    assert [name for name, _state in listener.told].count("PostScanJobEndStateEvent") == 1
    finished = [message.count(b">CompletedSuccessfully<") for message in listener.heard[:-1]]
    assert finished == sorted(finished)
    assert finished[-1] == 2


def test_the_request_is_a_post_with_the_blocks_of_the_sink(core: Engine, listener: Listener) -> None:
    """DSP-068, DPW-072 (ws-dsp.md section 13.7): to the very path, and without a word about our version."""
    subscribe(core, listener)
    with Telling(core):
        create(core)
        until(lambda: listener.heard)

    (head,), (message,) = listener.heads, listener.heard
    header = etree.fromstring(message)[0]
    assert head["path"] == "/events/3?of=anna"
    assert head["host"] == f"127.0.0.1:{listener.port}"
    assert head["content-type"] == "application/soap+xml; charset=utf-8"
    assert set(head) == {"path", "host", "content-type", "content-length", "user-agent", "connection"}
    assert head["user-agent"] == "postscan"
    assert [(one.tag, one.text) for one in header][-1] == ("{urn:acme}Ticket", "7 & 8")


def test_a_filter_lets_pass_what_it_names(core: Engine, listener: Listener) -> None:
    """DPW-058."""
    subscribe(core, listener, actions=(f"{DSP}/PostScanJobEndStateEvent",))
    with Telling(core):
        live_and_end(core)
        live_and_end(core)
        until(lambda: len(listener.heard) >= 2)

    assert listener.told == CANCELED[1:] * 2


def test_nobody_hears_of_the_jobs_of_others(core: Engine) -> None:
    """I29, T-A4, D23: not even a device with the same user."""
    with Listener() as annas, Listener() as boriss, Telling(core) as telling:
        subscribe(core, annas, ANNA)
        subscribe(core, boriss, BORIS)
        telling.wake()
        mine, theirs = create(core, ANNA), create(core, BORIS)
        until(lambda: annas.heard and boriss.heard)

    assert (tokens(annas), tokens(boriss)) == ([mine], [theirs])


def test_an_administrator_hears_of_all_jobs_and_of_the_repository(works: Works, listener: Listener) -> None:
    """D23, ws-dsc.md section 3.1: in the words of the configuration service; all are valid."""
    subscribe(works.core, listener, ADMIN, port=EventService.CONFIGURATION)
    with Telling(works.core):
        live_and_end(works.core, BORIS)
        job = works.create("copy")
        works.send(job)
        works.service.end(job, ANNA)
        until(lambda: ("RepositoryStatusSummaryEvent", "Idle") in listener.told)

    told = [name for name, _ in itertools.groupby(listener.told)]
    assert [one for one in told if one[0].startswith("Repository")] == [
        ("RepositoryStatusSummaryEvent", "Processing"),
        ("RepositoryStatusSummaryEvent", "Idle"),
    ]
    assert [one for one in listener.told if one[0] == "PostScanJobEndStateEvent"] == [
        ("PostScanJobEndStateEvent", "Canceled"),
        ("PostScanJobEndStateEvent", "Completed"),
    ]
    for message in listener.heard:
        assert b"<dsc:" in message
        assert_valid(message)


# --- when it is heard ------------------------------------------------------------------------------------------------


def test_no_event_overtakes_the_answer_to_its_create(core: Engine, listener: Listener) -> None:
    """DSP-066, O-26: neither the first one nor those behind it."""
    subscribe(core, listener)
    with Telling(core) as telling:
        with telling.creating(ANNA):
            live_and_end(core)
            time.sleep(4 * notifier.POLL_SECONDS)
            before = list(listener.heard)
        until(lambda: len(listener.heard) == 3)

    assert before == []


def test_only_the_creates_of_the_same_caller_are_waited_for(core: Engine, listener: Listener) -> None:
    """DSP-066: somebody else's may take its time."""
    subscribe(core, listener)
    with Telling(core) as telling, telling.creating(BORIS):
        create(core)
        until(lambda: listener.heard)


def test_a_create_that_came_later_is_not_waited_for(core: Engine, listener: Listener) -> None:
    """DSP-066: or a device that never stops would never hear anything."""
    subscribe(core, listener)
    with Telling(core) as telling, contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(telling.creating(ANNA))
        create(core)
        time.sleep(4 * notifier.POLL_SECONDS)
        second.enter_context(telling.creating(ANNA))
        first.close()
        until(lambda: listener.heard)


def test_a_long_list_of_events_is_told_page_by_page(core: Engine, listener: Listener) -> None:
    """I27: without a gap, and in order, though no more than a page is in memory."""
    subscribe(core, listener)
    for _ in range(delivery.PAGE):
        live_and_end(core)
    with Telling(core):
        until(lambda: len(listener.heard) >= 3 * delivery.PAGE)

    assert listener.told == [CREATED, *CANCELED] * delivery.PAGE
    assert len(set(message_ids(listener))) == 3 * delivery.PAGE


def test_with_nobody_to_tell_the_database_has_peace(core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of it until somebody subscribes and wakes us; then little, for as long as nothing happens."""
    asked: list[str] = []

    def noting(name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: (asked.append(name), ask(*args))[1]

    for name in ("live", "owners_since", "after", "advance"):
        monkeypatch.setattr(core.subscriptions, name, noting(name, getattr(core.subscriptions, name)))
    with Telling(core) as telling, Listener() as listener:
        time.sleep(4 * notifier.POLL_SECONDS)
        assert asked == ["live"]
        subscribe(core, listener)
        telling.wake()
        create(core)
        until(lambda: "advance" in asked and telling.is_idle() and not telling.notifier._delivery.moved)
        quiet = len(asked)
        until(lambda: len(asked) >= quiet + 6)

    assert asked[quiet : quiet + 6].count("owners_since") >= 5


# --- stops and starts ------------------------------------------------------------------------------------------------


def test_a_stop_ends_no_subscription_and_the_next_server_goes_on(core: Engine, listener: Listener) -> None:
    """I27, DPW-073 (as we keep it): no word about the stop; nothing is missing afterwards, and nothing comes twice."""
    subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"))
    with Telling(core) as telling:
        first = create(core)
        until(lambda: listener.heard and telling.is_idle())
    core.service.cancel(first, ANNA)
    with Telling(core):
        until(lambda: len(listener.heard) >= 3)
        live_and_end(core)
        until(lambda: len(listener.heard) >= 6)

    assert listener.told == [CREATED, *CANCELED, CREATED, *CANCELED]


def test_what_was_told_before_a_crash_is_told_again_the_same(
    core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I27, I28: whoever dies before the cursor is written repeats itself to the byte, and then goes on."""
    subscribe(core, listener)
    with monkeypatch.context() as dying, Telling(core):
        dying.setattr(core.subscriptions, "advance", lambda _cursors: None)
        live_and_end(core)
        until(lambda: len(listener.heard) >= 3)
        time.sleep(0.1)
        dying.setattr(notifier.Notifier, "_write_cursors", _nothing)
    with Telling(core):
        create(core)
        until(lambda: len(listener.heard) >= 7)

    assert listener.heard[:3] == listener.heard[3:6]
    assert listener.told == [CREATED, *CANCELED, CREATED, *CANCELED, CREATED]


async def _nothing(_notifier: object) -> None:
    """Be a server that is not there any more."""


def test_cursors_are_written_while_it_runs(core: Engine, listener: Listener) -> None:
    """A crash costs a second of repetitions, and no more."""
    made = subscribe(core, listener)
    with Telling(core):
        live_and_end(core)
        until(lambda: core.subscriptions.live()[0].cursor == core.subscriptions.owners_since(0)[2])

    assert core.subscriptions.live()[0].cursor > made.cursor
    assert len(listener.heard) == 3


def test_a_database_that_is_busy_makes_events_late_and_no_more(
    core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ruling 17: nobody is given up for it, and nothing is lost."""
    busy = threading.Event()

    def sometimes(original: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any) -> Any:
            if busy.is_set():
                raise StoreBusy("locked")
            return original(*args)

        return ask

    subscribe(core, listener)
    for name in ("live", "owners_since", "after", "advance"):
        monkeypatch.setattr(core.subscriptions, name, sometimes(getattr(core.subscriptions, name)))
    busy.set()
    with Telling(core):
        create(core)
        time.sleep(2 * notifier.POLL_SECONDS)
        busy.clear()
        until(lambda: listener.heard)
        busy.set()
        live_and_end(core)
        time.sleep(1.5)
        busy.clear()
        until(lambda: len(listener.heard) >= 4)

    assert listener.told == [CREATED, CREATED, *CANCELED]


def test_a_renewal_in_the_last_moment_loses_nothing(core: Engine, listener: Listener) -> None:
    """DPW-071: though one look before, it seemed to have expired."""
    with Telling(core) as telling:
        deliver = telling.notifier._delivery.deliver
        renewed = subscribe(core, listener)
        live_and_end(core)
        subscriber = delivery.SubscriberState(dataclasses.replace(renewed, until=0.0), renewed.cursor)
        telling.run(deliver(subscriber))
        before = list(listener.told)
        subscriber.update(renewed)
        telling.run(deliver(subscriber))

    assert (before, listener.told) == ([], [CREATED, *CANCELED])
