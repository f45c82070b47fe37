"""What subscribers can do to one another, and to the server: hear of nothing that is not theirs, and harm nobody."""

from __future__ import annotations

import http.client
import itertools
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest
from acceptance import test_owner_matrix as matrix
from acceptance.scanning import refusal
from acceptance.server import Server, running
from acceptance.test_owner_matrix import comparable
from device import SOAP_TYPE, Answer, Device
from job_states import STATES
from threats import administration, events
from threats.events import ADDRESSES, Subscription, devices, listening, stored
from threats.office import Office, cancelled, open_office, scanned

FLOOD = 2_300
FIRST = 500
"""Requests of the flood before its memory is measured: what a server needs once, it has by then."""


# --- subscriptions of another (T-O1, T-A4) ------------------------------------------------------------------------


def test_a_subscriber_hears_of_its_own_jobs_and_of_no_others(server: Server) -> None:
    """T-O1, T-A4, D23: three devices, all subscribed to everything, a job of each, and then another one."""
    with ExitStack() as stack:
        owners = devices(server)
        listeners = [stack.enter_context(listening(address)) for address in ADDRESSES]
        for owner, listener in zip(owners, listeners, strict=True):
            events.granted(events.subscribe(owner, listener.url))
        tokens: list[set[str]] = [set(), set(), set()]
        for _ in range(2):  # whatever the first round has told anybody has arrived before the end of the second
            made = [scanned(server, owner) for owner in owners]
            for token, mine, listener in zip(made, tokens, listeners, strict=True):
                mine.add(token)
                listener.await_end(token)

        assert [listener.tokens() for listener in listeners] == tokens
        assert len(set().union(*tokens)) == 6


@pytest.fixture(scope="module", params=[matrix.strong, matrix.weak], ids=["strong", "weak"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Three owners and an administrator, in strong and in weak mode."""
    with open_office(tmp_path_factory.mktemp("office"), request.param) as office:
        yield office


@pytest.fixture
def office(opened: Office) -> Office:
    """The same, without any subscription."""
    events.forget_all(opened.server)
    return opened


def test_no_state_of_a_job_is_told_to_strangers_and_each_to_its_owner(office: Office) -> None:
    """T-O1, T-A4, D23: three owners with a job in each of nine states; of all of them an administrator hears."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(listening(one.source_address or ADDRESSES[0])) for one in office.owners]
        everything = stack.enter_context(listening())
        for owner, listener in zip(office.owners, listeners, strict=True):
            events.granted(events.subscribe(owner, listener.url))
        events.granted(events.subscribe(administration.there(office.administrator), everything.url))
        jobs = {state: office.house.jobs(state) for state in STATES}
        last = [cancelled(office.server, owner) for owner in office.owners]
        for token, listener in zip(last, listeners, strict=True):
            listener.await_end(token)  # events come in their order: what came before it has been told
            everything.await_end(token)

        mine = [{*(tokens[number] for tokens in jobs.values()), last[number]} for number in range(3)]
        taken = listeners[0].tokens() - mine[0]
        assert len(taken) == 1  # the job that holds the only slot is the first one's, too
        assert [listener.tokens() for listener in listeners] == [mine[0] | taken, mine[1], mine[2]]
        assert everything.tokens() == set().union(*mine, taken) | {""}  # some of it is about no job
        assert [{*listener.states()} for listener in listeners] == [{*jobs}] * 3


VERBS: dict[str, Callable[[Device, Subscription], Answer]] = {
    "Renew": events.renew,
    "GetStatus": events.get_status,
    "Unsubscribe": events.unsubscribe,
}


def test_a_foreign_subscription_is_an_unknown_one(office: Office) -> None:
    """T-A4, T-O1: byte for byte, for each owner and each stranger, who may be an administrator; and it lives on."""
    made = [events.granted(events.subscribe(one, sink_of(one))) for one in office.owners]
    before = stored(office.server)
    for mine, (number, stranger) in itertools.product(made, enumerate([*office.owners, office.administrator])):
        for verb in VERBS if made.index(mine) != number else ():
            id, unknown = mine.identifier.removeprefix("urn:uuid:"), str(uuid.uuid4())
            nobodys = Subscription(mine.manager.replace(id, unknown), mine.identifier.replace(id, unknown), "")
            foreign = VERBS[verb](stranger, mine)

            assert comparable(foreign, id) == comparable(VERBS[verb](stranger, nobodys), unknown)
            assert refusal(foreign).subcode == ("wse:UnableToRenew" if verb == "Renew" else "wse:InvalidMessage")
    assert (len(before), stored(office.server)) == (3, before)
    for verb in VERBS.values():
        assert [verb(owner, one).status for owner, one in zip(office.owners, made, strict=True)] == [200] * 3
    assert stored(office.server) == []


def sink_of(device: Device) -> str:
    """Return an address of the device's own; nobody listens there."""
    return f"http://{device.source_address or ADDRESSES[0]}:8080/"


def test_who_is_no_administrator_hears_nothing_of_everybodys_jobs(server: Server) -> None:
    """T-O1, T-A4, ruling 9: the configuration service takes no subscription of a device, and does not say of whose."""
    for device in devices(server):
        there = administration.there(device)
        foreign = Subscription(there.url, f"urn:uuid:{uuid.uuid4()}", "")
        told = [
            events.subscribe(there, f"http://{device.source_address}:8080/"),
            *(ask(device, foreign) for ask in VERBS.values()),
        ]

        assert [refusal(one).subcode for one in told] == ["dsc:ClientErrorCurrentUserNotScanAdmin"] * 4
    assert stored(server) == []


# --- too many (T-A3) ---------------------------------------------------------------------------------------------


def test_a_flood_of_subscriptions_takes_eight_places_and_no_memory(server: Server) -> None:
    """T-A3, ruling 20: two thousand of one device; less than 2 KiB stay of each; another device still gets its own."""
    flooder, other, *_ = devices(server)
    body = captured(flooder, f"http://{flooder.source_address}:8080/", expires="P9999Y")
    statuses = flood(server, body, FIRST)
    server.forget_peak_memory()
    before = server.peak_memory()
    statuses += flood(server, body, FLOOD - FIRST)
    grown = server.peak_memory() - before
    refused = refusal(flooder.post(body))

    assert (statuses.count(200), statuses.count(500), len(statuses)) == (8, FLOOD - 8, FLOOD)
    assert refused.subcode == "wse:EventSourceUnableToProcess"
    assert grown < 3 << 20
    assert len(stored(server)) == 8
    assert events.granted(events.subscribe(other, f"http://{other.source_address}:8080/"))


def test_no_subscription_lives_longer_than_a_day_whatever_is_asked_for(server: Server) -> None:
    """T-A3, ruling 20: nor by being renewed, however often; a storm of renewals makes nothing more of it."""
    device, *_ = devices(server)
    made = events.granted(events.subscribe(device, f"http://{device.source_address}:8080/", expires="P9999Y"))
    renewals = {events.renew(device, made).find("Expires") for _ in range(50)}
    long = events.manage(device, "Renew", made, "<wse:Expires>P9999Y</wse:Expires>").find("Expires")

    assert (seconds(made.expires), seconds(long or "")) == (86_400, 86_400)
    assert {seconds(one or "") for one in renewals} == {3600}
    assert len(stored(server)) == 1


def test_all_devices_together_have_a_bound(tmp_path_factory: pytest.TempPathFactory) -> None:
    """T-A3: a device for each address is not hard to come by."""
    with running(tmp_path_factory.mktemp("full"), {"events": {"most": 20, "most_per_caller": 4}}) as server:
        made = []
        for number in range(1, 8):
            device = Device(server.url, source_address=f"127.0.1.{number}")
            made += [events.subscribe(device, f"http://127.0.1.{number}:8080/").status for _ in range(5)]

        assert made == ([200] * 4 + [500]) * 5 + [500] * 10
        assert len(stored(server)) == 20


def captured(device: Device, notify_to: str, **more: str) -> bytes:
    """Return a Subscribe as bytes, to be sent again and again."""
    sent: list[bytes] = []

    class Held(Device):
        def post(self, body: object, *_: object) -> Answer:  # type: ignore[override]  # it sends nothing
            assert isinstance(body, bytes)
            sent.append(body)
            return Answer(0, {}, b"")

    events.subscribe(Held(device.url), notify_to, **more)
    return sent[0]


def flood(server: Server, body: bytes, times: int) -> list[int]:
    """Send the same on one connection; return the statuses."""
    parts = urlsplit(server.url)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=30, source_address=(ADDRESSES[0], 0))) as connection:
        statuses = []
        for _ in range(times):
            connection.request("POST", parts.path, body, {"Content-Type": SOAP_TYPE})
            with connection.getresponse() as response:
                response.read()
                statuses.append(response.status)
        return statuses


def seconds(duration: str) -> int:
    """Return the seconds of a short duration."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration)
    assert found, duration
    days, hours, minutes, rest = (int(one or 0) for one in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
