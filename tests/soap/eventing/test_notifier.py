"""Telling subscribers: what they hear, in which order, how often, and what happens to those who do not listen."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certificates
import pytest
from conftest import ANNA, BORIS
from cryptography import x509
from listeners import Listener, Telling, free_port
from lxml import etree
from schemas import assert_valid
from works import SID, Works, instructions, until

from postscan.core.engine import Engine
from postscan.core.errors import SettingsError, StoreBusy
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.settings import Settings
from postscan.soap.eventing import delivery, notifier

WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
CREATED = ("PostScanJobStatusEvent", "Creating")
CANCELED = [("PostScanJobStatusEvent", "Canceled"), ("PostScanJobEndStateEvent", "Canceled")]
SOURCE_CANCELLING = ("SubscriptionEnd", f"{WSE}/SourceCancelling")
BLOCK = '<a:Ticket xmlns:a="urn:acme">7 &amp; 8</a:Ticket>'
ADMIN = Principal("user:S-1-5-21-1-2-3-500", Proof.CERTIFICATE, admin=True)
DEADLINE = 0.5
"""Seconds for sinks that hang."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Few tries, and much room."""
    return with_events(settings, tries=3, most_per_caller=100)


def with_events(settings: Settings, **events: Any) -> Settings:
    """Return the settings with other values in `[events]`."""
    return settings.model_copy(update={"events": settings.events.model_copy(update=events)})


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A sink in good health."""
    with Listener() as listener:
        yield listener


def subscribe(core: Engine, listener: Listener, by: Principal = ANNA, **more: Any) -> Subscription:
    """Subscribe somebody to the events of the processing service; by default, it wants to know of the end."""
    wanted: dict[str, Any] = {
        "port": EventService.PROCESSING,
        "notify_to": Sink(listener.url, "127.0.0.1", BLOCK),
        "end_to": None,
        "actions": (),
        "seconds": 3600.0,
    }
    return core.subscriptions.add(
        owner=by,
        manager_of=lambda id: f"http://scan7.contoso.example:5362/ScanServer/processing/subscriptions/{id}",
        absolute=False,
        **(wanted | more),
    )


def create(core: Engine, by: Principal = ANNA) -> JobToken:
    """Make a job."""
    return core.service.create(by, SID, "P", instructions("copy"))


def live_and_end(core: Engine, by: Principal = ANNA) -> None:
    """Make a job, and cancel it."""
    core.service.cancel(create(core, by), by)


def tokens(listener: Listener) -> list[str]:
    """Return the JobTokens of what was heard, in order."""
    return re.findall(r"<ds[pc]:JobToken>([^<]+)<", "".join(map(bytes.decode, list(listener.heard))))


def message_ids(listener: Listener) -> list[str]:
    """Return the MessageIDs of what was heard, in order."""
    return re.findall(r"<wsa:MessageID>([^<]+)<", "".join(map(bytes.decode, list(listener.heard))))


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
            time.sleep(4 * notifier.LOOK_SECONDS)
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
        time.sleep(4 * notifier.LOOK_SECONDS)
        second.enter_context(telling.creating(ANNA))
        first.close()
        until(lambda: listener.heard)


def test_who_has_unsubscribed_hears_nothing_more(core: Engine, listener: Listener) -> None:
    """DPW-074: neither events nor an end."""
    made = subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"))
    with Telling(core) as telling:
        create(core)
        until(lambda: listener.heard)
        core.subscriptions.remove(made.id, made.port, ANNA)
        telling.wake()
        live_and_end(core)
        time.sleep(4 * notifier.LOOK_SECONDS)

    assert listener.told == [CREATED]


@pytest.mark.parametrize("how", ["by itself", "by its owner"])
def test_a_subscription_ends_in_the_middle_of_what_waits_for_it(core: Engine, listener: Listener, how: str) -> None:
    """DPW-071, DPW-074: at most the message that is on its way still comes."""
    listener.manner = lambda: time.sleep(0.1) or 202
    made = subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"), seconds=3.0)
    for _ in range(30):
        live_and_end(core)
    with Telling(core) as telling:
        until(lambda: listener.heard)
        if how == "by its owner":
            core.subscriptions.remove(made.id, made.port, ANNA)
            telling.wake()
            time.sleep(0.3)
        else:
            until(lambda: not core.subscriptions.left(made))
        heard = len(listener.heard)
        time.sleep(1.0)

    assert heard <= len(listener.heard) <= heard + 1 < 90
    assert "SubscriptionEnd" not in {name for name, _state in listener.told}


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
        time.sleep(4 * notifier.LOOK_SECONDS)
        assert asked == ["live"]
        subscribe(core, listener)
        telling.wake()
        create(core)
        until(lambda: "advance" in asked)
        quiet = len(asked)
        until(lambda: len(asked) >= quiet + 6)

    assert asked[quiet : quiet + 6].count("owners_since") >= 5


# --- who does not listen ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", [500, 404, 307, "close", "hang"])
def test_a_message_that_was_not_taken_is_sent_again_the_same(core: Engine, manner: Any) -> None:
    """F-R18, I27, T-A6: in its place, before any later one; a redirection is not followed (T-A2)."""
    manners = itertools.chain([202, manner, manner], itertools.repeat(202))
    with Listener(lambda: next(manners)) as listener:
        subscribe(core, listener)
        patience = with_events(core.settings, deadline_seconds=DEADLINE) if manner == "hang" else core.settings
        with Telling(core, patience):
            live_and_end(core)
            until(lambda: CANCELED[1] in listener.told)

    assert listener.told == [CREATED, *[CANCELED[0]] * 3, CANCELED[1]]
    assert listener.heard[1] == listener.heard[2] == listener.heard[3]
    assert {head["path"] for head in listener.heads} == {"/events/3?of=anna"}


@pytest.mark.parametrize("manner", [200, 202, 204, "endless"])
def test_any_status_of_success_will_do(core: Engine, manner: Any) -> None:
    """dpws.md section 8.3, T-A6: also if the answer behind it never ends."""
    with Listener(manner) as listener:
        subscribe(core, listener)
        with Telling(core):
            live_and_end(core)
            until(lambda: len(listener.heard) >= 3)

    assert listener.told == [CREATED, *CANCELED]


@pytest.mark.parametrize("manner", [500, "close", "hang", "nobody"])
def test_who_never_listens_is_given_up(core: Engine, listener: Listener, manner: Any) -> None:
    """DPW-073, DPW-076, F-R18, T-A6: after so many tries; the end is told where it was asked for, and nothing else."""
    with Listener(manner) as deaf:
        to = (
            Sink(f"http://127.0.0.1:{free_port()}/", "127.0.0.1") if manner == "nobody" else Sink(deaf.url, "127.0.0.1")
        )
        made = subscribe(core, listener, notify_to=to, end_to=Sink(listener.url, "127.0.0.1", BLOCK))
        patience = with_events(core.settings, deadline_seconds=DEADLINE) if manner == "hang" else core.settings
        with Telling(core, patience):
            live_and_end(core)
            until(lambda: listener.heard)
            live_and_end(core)
            time.sleep(4 * notifier.LOOK_SECONDS)

    assert listener.told == [("SubscriptionEnd", f"{WSE}/DeliveryFailure")]
    end = assert_valid(listener.heard[0])
    assert end.findtext(f".//{{{WSE}}}Identifier") == f"urn:uuid:{made.id}"
    assert end.findtext(".//{urn:acme}Ticket") == "7 & 8"
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
            until(lambda: ("SubscriptionEnd", f"{WSE}/DeliveryFailure") in deaf.told)

    assert sorted(deaf.told) == [*[CREATED] * 6, ("SubscriptionEnd", f"{WSE}/DeliveryFailure")]


def test_a_success_wipes_the_slate_clean(core: Engine) -> None:
    """Only failures in a row count: two of three, again and again, end nothing."""
    manners = itertools.cycle([500, 500, 202])
    with Listener(lambda: next(manners)) as listener:
        subscribe(core, listener)
        with Telling(core):
            live_and_end(core)
            until(lambda: len(listener.heard) >= 9)

    assert [name for name, _ in itertools.groupby(listener.told)] == [CREATED, *CANCELED]
    assert len(core.subscriptions.live()) == 1


def test_pauses_grow_to_a_minute() -> None:
    """F-R18: a sink that is down is not asked all the time."""
    assert [delivery.backoff(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_those_who_hang_do_not_hold_up_the_others(
    core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-A6, F-R18, T-Q1: three times as many as there is room for, who fail once and then hold on to what they get."""
    monkeypatch.setattr(delivery, "HEALTHY", 4)
    monkeypatch.setattr(delivery, "AILING", 2)
    manners = itertools.chain([500] * 12, itertools.repeat("hang"))
    with Listener(lambda: next(manners)) as hanging:
        for _ in range(12):
            subscribe(core, hanging)
        subscribe(core, listener)
        # With a pause that lets all of them fail before the first is tried again.
        with Telling(core, with_events(core.settings, deadline_seconds=300), pause=3.0):
            create(core)
            until(lambda: len(hanging.heard) == 14)
            for _ in range(5):
                live_and_end(core)
            until(lambda: len(listener.heard) >= 16)

    assert listener.told == [CREATED, *[CREATED, *CANCELED] * 5]
    assert len(hanging.heard) == 14


def test_a_backlog_has_an_end(core: Engine, listener: Listener) -> None:
    """DPW-076: who is slower than the events come is given up, though it never fails; it counts its own events only."""
    listener.manner = lambda: time.sleep(0.2) or 202
    subscribe(core, listener, BORIS)
    subscribe(core, listener, ANNA, end_to=Sink(listener.url, "127.0.0.1"))
    with Telling(core, with_events(core.settings, backlog=20)):
        create(core, BORIS)
        for _ in range(30):
            live_and_end(core, ANNA)
        until(lambda: ("SubscriptionEnd", f"{WSE}/DeliveryFailure") in listener.told)

    assert [one.owner.name for one in core.subscriptions.live()] == [BORIS.name]


# --- stops and starts ------------------------------------------------------------------------------------------------


def test_a_stop_ends_no_subscription_and_the_next_server_goes_on(core: Engine, listener: Listener) -> None:
    """I27, DPW-073 (as we keep it): no word about the stop; nothing is missing afterwards, and nothing comes twice."""
    subscribe(core, listener, end_to=Sink(listener.url, "127.0.0.1"))
    with Telling(core):
        first = create(core)
        until(lambda: listener.heard)
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
        time.sleep(2 * notifier.LOOK_SECONDS)
        busy.clear()
        until(lambda: listener.heard)
        busy.set()
        live_and_end(core)
        time.sleep(1.5)
        busy.clear()
        until(lambda: len(listener.heard) >= 4)

    assert listener.told == [CREATED, CREATED, *CANCELED]


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
        time.sleep(4 * notifier.LOOK_SECONDS)

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
            time.sleep(2 * notifier.LOOK_SECONDS)

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
            time.sleep(4 * notifier.LOOK_SECONDS)
            before = list(listener.told)
            may_go_on.set()
            until(lambda: listener.heard)
            time.sleep(2 * notifier.LOOK_SECONDS)

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
        time.sleep(2 * notifier.LOOK_SECONDS)

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
        time.sleep(2 * notifier.LOOK_SECONDS)

    assert (refused, listener.told) == ([one.id] * 2, [SOURCE_CANCELLING])
    assert core.subscriptions.live() == []


def test_a_renewal_in_the_last_moment_loses_nothing(core: Engine, listener: Listener) -> None:
    """DPW-071: though one look before, it seemed to have expired."""
    with Telling(core) as telling:
        deliver = telling.notifier._delivery.tell
        renewed = subscribe(core, listener)
        live_and_end(core)
        recipient = delivery.SubscriberState(dataclasses.replace(renewed, until=0.0), renewed.cursor)
        telling.run(deliver(recipient))
        before = list(listener.told)
        recipient.follow(renewed)
        telling.run(deliver(recipient))

    assert (before, listener.told) == ([], [CREATED, *CANCELED])


# --- where it goes ---------------------------------------------------------------------------------------------------


def test_it_goes_to_the_address_that_was_pinned_whatever_the_name_is(core: Engine, listener: Listener) -> None:
    """T-A2: the name, which stands for nothing at all by now, is told as Host and asked of nobody."""
    subscribe(core, listener, notify_to=Sink(f"http://gone.invalid:{listener.port}/e", "127.0.0.1"))
    with Telling(core):
        create(core)
        until(lambda: listener.heard)

    assert listener.heads[0]["host"] == f"gone.invalid:{listener.port}"


def test_no_proxy_is_asked(core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """D17: whatever the environment says."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    subscribe(core, listener)
    with Telling(core):
        create(core)
        until(lambda: listener.heard)

    assert listener.told == [CREATED]


def believing(settings: Settings, client_ca: Path) -> Settings:
    """Return the settings with CAs of their own."""
    return settings.model_copy(update={"tls": settings.tls.model_copy(update={"client_ca": client_ca})})


@pytest.fixture
def authority() -> certificates.Authority:
    """A CA that the server believes."""
    return certificates.Authority()


def speaking_tls(authority: certificates.Authority, folder: Path, name: str) -> ssl.SSLContext:
    """Return how a sink speaks TLS that has a certificate for this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown = authority.issue("sink", usage=[certificates.SERVER], names=[x509.DNSName(name)])
    context.load_cert_chain(shown.write(folder, "sink"))
    return context


@pytest.mark.parametrize(
    ("certified", "host", "reached"),
    [
        ("mfp-17.fabrikam.example", "mfp-17.fabrikam.example", True),
        ("mfp-18.fabrikam.example", "mfp-17.fabrikam.example", False),
        ("mfp-17.fabrikam.example", "127.0.0.1", False),
    ],
)
def test_a_sink_with_tls_has_to_be_who_its_address_says(
    core: Engine, authority: certificates.Authority, tmp_path: Path, certified: str, host: str, reached: bool
) -> None:
    """dpws.md section 8.3: by a certificate of the CAs of the settings, for the name and not for the address."""
    with Listener(tls=speaking_tls(authority, tmp_path, certified)) as listener:
        subscribe(core, listener, notify_to=Sink(f"https://{host}:{listener.port}/e", "127.0.0.1"))
        with Telling(core, believing(core.settings, authority.write(tmp_path, "ca"))):
            create(core)
            until(lambda: listener.heard or not core.subscriptions.live())

    assert bool(listener.heard) is reached


def test_a_sink_of_unknown_authority_is_not_reached(
    core: Engine, authority: certificates.Authority, tmp_path: Path
) -> None:
    """Without CAs in the settings, those of the machine count."""
    with Listener(tls=speaking_tls(authority, tmp_path, "localhost")) as listener:
        subscribe(core, listener, notify_to=Sink(f"https://localhost:{listener.port}/e", "127.0.0.1"))
        with Telling(core):
            create(core)
            until(lambda: not core.subscriptions.live())

    assert listener.heard == []


def test_a_file_of_authorities_that_is_not_there_is_an_error_of_the_settings(core: Engine, tmp_path: Path) -> None:
    """It names the key, and the file."""
    with pytest.raises(SettingsError, match=r"tls\.client_ca: .*missing\.pem"):
        Telling(core, believing(core.settings, tmp_path / "missing.pem"))
