"""DPW-071 to DPW-076: how subscribers are told, and how a subscription ends."""

from __future__ import annotations

import contextlib
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import Server, running
from conformance import events
from conformance.events import (
    BLOCKS,
    END,
    STATUS,
    WSE,
    Told,
    ask,
    canonical,
    end_to,
    granted,
    subscribed,
    to_the_end,
    told,
    wish,
    wse,
)
from device import WSA
from listeners import Listener
from works import until

MOST = 3
IMPATIENT = {"events": {"tries": 1, "deadline_seconds": 6.0, "most_per_caller": MOST}}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives a sink up at the first failure, waits six seconds for it, and grants few subscriptions."""
    with running(tmp_path_factory.mktemp("impatient"), IMPATIENT) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def sink() -> Iterator[Listener]:
    """A sink that nobody has subscribed yet."""
    with Listener() as sink:
        yield sink


@pytest.fixture
def end() -> Iterator[Listener]:
    """Where somebody wants to hear of the end of a subscription."""
    with Listener() as end:
        yield end


def given_up(scanner: Scanner) -> str:
    """Make a job and cancel it: a status at the beginning, and a status and an end."""
    token = scanner.create("copy")
    good(scanner.device.cancel(token))
    return token


def summary(one: Told) -> tuple[str, str, str, list[str]]:
    """Return what a message says, without what differs from subscriber to subscriber."""
    return one.name, one.token, one.state, one.filters


# --- the end of a subscription ---------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-071")
def test_nobody_is_told_when_a_subscription_has_expired(scanner: Scanner, sink: Listener) -> None:
    """What happened before is told, and nothing of what comes after; another subscriber hears both."""
    with Listener() as other, subscribed(scanner.device, other):
        subscription = granted(scanner.device, wish(sink))
        before = given_up(scanner)
        to_the_end(sink, before)
        good(subscription.renew("PT1S"))
        until(lambda: not subscription.alive, "for the subscription to expire")
        after = [given_up(scanner), given_up(scanner)]  # whoever is told of the first has been told with the second
        for token in (before, *after):
            to_the_end(other, token)

    assert {one.token for one in told(sink)} == {before}


@pytest.mark.conformance("DPW-074")
@pytest.mark.parametrize("how", ["unsubscribed", "expired"])
def test_there_is_no_subscription_end_after_unsubscribe_or_expiry(
    own_server: Server, sink: Listener, end: Listener, how: str
) -> None:
    """Not at once, not with later events, and not when the server stops."""
    scanner = Scanner(own_server)
    with Listener() as other:
        granted(scanner.device, wish(other))
        subscription = granted(scanner.device, wish(sink, end_to(end)))
        to_the_end(sink, given_up(scanner))
        good(subscription.end() if how == "unsubscribed" else subscription.renew("PT1S"))
        until(lambda: not subscription.alive)
        granted(scanner.device, wish(other))  # at each Subscribe the server looks for those that are over
        to_the_end(other, given_up(scanner))
        own_server.stop()

    assert [one.name for one in told(sink)] == [STATUS, STATUS, END]
    assert end.heard == []


@pytest.mark.conformance("DPW-073")
def test_a_stop_ends_no_subscription_and_the_next_server_goes_on(
    own_server: Server, sink: Listener, end: Listener
) -> None:
    """The deviation: nobody hears of a stop. The next server tells what has happened since, to the same sink."""
    scanner = Scanner(own_server)
    granted(scanner.device, wish(sink, end_to(end)))
    token = scanner.create("copy")
    until(lambda: told(sink, token))
    own_server.stop()
    heard = [one.name for one in told(sink)]
    own_server.start()
    good(Scanner(own_server).device.cancel(token))
    to_the_end(sink, token)

    assert heard == [STATUS]
    assert [(one.name, one.state) for one in told(sink)] == [
        (STATUS, "Creating"),
        (STATUS, "Canceled"),
        (END, "Canceled"),
    ]
    assert end.heard == []


@pytest.mark.conformance("DPW-073")
@pytest.mark.parametrize("manner", [500, 302, "close", "hang"])
def test_a_sink_that_does_not_take_events_hears_of_the_end(
    impatient: Server, sink: Listener, end: Listener, manner: int | str
) -> None:
    """Where it wanted to: with the manager as it was given out, and why; then the subscription is gone."""
    scanner = Scanner(impatient)
    sink.manner = manner
    subscription = granted(scanner.device, wish(sink, end_to(end)))
    given_up(scanner)
    until(lambda: end.heard, "to be told of the end")
    (message,) = told(end)
    (manager,) = message.event.iterfind(wse("SubscriptionManager"))

    assert message.action == f"{WSE}/SubscriptionEnd"
    assert message.event.tag == wse("SubscriptionEnd")
    assert message.event.findtext(wse("Status")) == f"{WSE}/DeliveryFailure"
    assert message.event.findtext(wse("Reason"))
    assert manager.findtext(f"{{{WSA}}}Address") == subscription.manager
    assert manager.findtext(f"{{{WSA}}}ReferenceParameters/{wse('Identifier')}") == subscription.identifier
    assert not subscription.alive
    assert len(sink.heard) == 1


@pytest.mark.conformance("DPW-073")
def test_who_loses_a_subscription_to_an_administrator_hears_of_the_end(
    impatient: Server, sink: Listener, end: Listener
) -> None:
    """`postscan subscriptions end`: what has happened is told before, and nothing behind it."""
    scanner = Scanner(impatient)
    subscription = granted(scanner.device, wish(sink, end_to(end)))
    to_the_end(sink, given_up(scanner))
    config, id = str(impatient.home / "postscan.toml"), subscription.identifier.removeprefix("urn:uuid:")
    commands.run(["--config", config, "subscriptions", "end", id], check=True)
    until(lambda: end.heard, "to be told of the end")
    with Listener() as other, subscribed(scanner.device, other):
        for _ in range(2):
            to_the_end(other, given_up(scanner))

    assert [one.event.findtext(wse("Status")) for one in told(end)] == [f"{WSE}/SourceCancelling"]
    assert [one.name for one in told(sink)] == [STATUS, STATUS, END]
    assert not subscription.alive


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-072")
def test_each_sink_gets_its_own_reference_parameters_as_headers(
    impatient: Server, sink: Listener, end: Listener
) -> None:
    """Those of NotifyTo come with events, those of EndTo with the end, as they were given; To is the address."""
    scanner = Scanner(impatient)
    other = '<wse:Identifier>urn:uuid:7</wse:Identifier><c:Gate xmlns:c="urn:c">c:x</c:Gate>'
    granted(scanner.device, wish(sink, end_to(end, other), blocks=BLOCKS))
    to_the_end(sink, given_up(scanner))
    sink.manner = 500
    scanner.create("copy")
    until(lambda: end.heard, "to be told of the end")
    for listener, blocks in ((sink, BLOCKS), (end, other)):
        wanted = [canonical(block) for block in ET.fromstring(f'<x xmlns:wse="{WSE}">{blocks}</x>')]
        heard = told(listener)

        assert [one.blocks() for one in heard] == [wanted] * len(heard)
        assert {one.header.findtext(f"{{{WSA}}}To") for one in heard} == {listener.url}


@pytest.mark.conformance("DPW-075")
def test_a_subscriber_hears_everything_in_order_also_what_it_refused_at_first(scanner: Scanner, sink: Listener) -> None:
    """Of jobs side by side. A message that is refused comes again, and the next one not before it is taken."""
    answers = itertools.chain([202, 500, 202, 202, 500, 500], itertools.repeat(202))
    with Listener(lambda: next(answers)) as moody, subscribed(scanner.device, sink), subscribed(scanner.device, moody):
        tokens = [scanner.start("copy", "copy") for _ in range(3)]
        for token in tokens:
            to_the_end(sink, token)
            to_the_end(moody, token)
        arrived = [body for body, _ in itertools.groupby(moody.heard)]

        assert [summary(one) for one in told(moody)] == [summary(one) for one in told(sink)]
        assert len(moody.heard) == len(arrived) + 3
        assert len(arrived) == len(set(arrived)) == len(told(moody))


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-076")
def test_subscriptions_are_bounded(impatient: Server, sink: Listener) -> None:
    """At the limit and one more; whoever ends one has room again."""
    device = Scanner(impatient, "127.0.0.3").device
    with Listener(address="127.0.0.3") as here, contextlib.ExitStack() as stack:
        first, *_ = [stack.enter_context(subscribed(device, here)) for _ in range(MOST)]
        refused = events.fault(ask(device, "Subscribe", wish(here)))
        good(first.end())
        stack.enter_context(subscribed(device, here))

    assert refused == (500, "soap:Receiver", "wse:EventSourceUnableToProcess", None)


@pytest.mark.conformance("DPW-076")
def test_the_time_of_a_delivery_is_bounded(impatient: Server, sink: Listener) -> None:
    """A sink that never answers is given up after six seconds; one that never ends its answer has taken the event."""
    scanner = Scanner(impatient)
    sink.manner = "hang"
    with Listener("endless") as endless:
        hanging, talking = granted(scanner.device, wish(sink)), granted(scanner.device, wish(endless))
        token = given_up(scanner)
        until(lambda: not hanging.alive, "for the sink to be given up")
        to_the_end(endless, token)

        assert len(sink.heard) == 1
        assert "no response within 6 s" in impatient.log()
        good(talking.end())


@pytest.mark.conformance("DPW-076")
def test_what_waits_for_a_subscriber_is_bounded(tmp_path: Path, sink: Listener, end: Listener) -> None:
    """Who is five events behind is given up, however many tries it has left."""
    with running(tmp_path, {"events": {"backlog": 5, "tries": 1000}}) as server:
        scanner = Scanner(server)
        sink.manner = 500
        subscription = granted(scanner.device, wish(sink, end_to(end)))
        for _ in range(4):
            given_up(scanner)
        until(lambda: end.heard, "to be given up")

        assert not subscription.alive
        assert len(set(sink.heard)) == 1
