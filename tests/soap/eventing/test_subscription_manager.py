"""Subscribe, Renew, GetStatus and Unsubscribe, against real subscriptions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from conftest import ANNA, BORIS
from lxml import etree
from messages import MESSAGE_ID
from schemas import assert_valid
from subscriptions import (
    HERE,
    PEER,
    SERVICE,
    SINK,
    WSA,
    WSE,
    Subscriber,
    delivery,
    endpoint,
    envelope,
    filter_,
    identifier,
    subscribe,
)

from postscan.core.engine import Engine
from postscan.core.errors import PostscanError, StoreBusy
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.subscription import EventService, Subscription
from postscan.core.settings import Settings
from postscan.plugins.testing.runner import FakeClock
from postscan.soap.eventing.subscription_manager import SubscriptionManager
from postscan.soap.message import faults
from postscan.soap.message.faults import Fault

NOW = datetime(2026, 3, 2, 9, 41, 7, 125_000, tzinfo=UTC)
NOBODY = "urn:uuid:00000000-0000-4000-8000-000000000000"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """At most three subscriptions of one caller."""
    return settings.model_copy(update={"events": settings.events.model_copy(update={"most_per_caller": 3, "most": 5})})


@pytest.fixture
def subscriber(core: Engine) -> Subscriber:
    """Anna's device, at 192.0.2.7; it is a quarter to ten."""
    return Subscriber(core, now=lambda: NOW)


def live(core: Engine) -> list[Subscription]:
    """Return all subscriptions."""
    return core.subscriptions.live()


def fault(subscriber: Subscriber, action: str, body: str, header: str = "", **more: str) -> Fault:
    """Return the fault that a request gets; fail if our schemas do not take it."""
    with pytest.raises((Fault, PostscanError)) as caught:
        subscriber.ask(action, body, header, **more)
    found = faults.from_error(caught.value)
    assert_valid(faults.write(found, MESSAGE_ID))
    return found


def granted(subscriber: Subscriber, expires: str, action: str = "Subscribe", header: str = "") -> str | None:
    """Return the Expires of the answer to a request that wants this one."""
    asked = f"<wse:Expires>{expires}</wse:Expires>" if expires else ""
    body = subscribe(delivery(), asked) if action == "Subscribe" else f"<wse:{action}>{asked}</wse:{action}>"
    return subscriber.ask(action, body, header).findtext(f".//{{{WSE}}}{action}Response/{{{WSE}}}Expires")


# --- Subscribe -------------------------------------------------------------------------------------------------------


def test_a_subscription_is_made_as_it_was_asked_for(core: Engine, subscriber: Subscriber) -> None:
    """DPW-056, DPW-065, DPW-067: the sink with its blocks, the actions, the manager below the service."""
    data = subscriber.bytes(envelope("Subscribe", subscribe()))
    answer = assert_valid(data)
    (made,) = live(core)

    assert answer.findtext(f".//{{{WSA}}}Action") == f"{WSE}/SubscribeResponse"
    assert answer.findtext(f".//{{{WSA}}}RelatesTo") == MESSAGE_ID
    assert answer.findtext(f".//{{{WSE}}}Identifier") == f"urn:uuid:{made.id}"
    assert answer.findtext(f".//{{{WSE}}}SubscriptionManager/{{{WSA}}}Address") == made.manager
    assert made.manager == f"{SERVICE}/subscriptions/{made.id}"
    assert (made.owner.name, made.owner.proof, made.port) == (ANNA.name, ANNA.proof, EventService.PROCESSING)
    assert (made.notify_to.url, made.notify_to.address) == (SINK, PEER)
    assert "1c4b7a90-6c02-4cf5-9c0d-7e8f90a1b213" in made.notify_to.parameters
    assert made.end_to is not None
    assert (made.end_to.url, made.end_to.address) == (f"{SINK}/end", PEER)
    assert len(made.actions) == 2


def test_events_from_then_on_are_meant(core: Engine, subscriber: Subscriber) -> None:
    """Nobody hears of what was before."""
    core.store.record_filters(("urn:acme:copy",), NOW)
    subscriber.subscribe()

    assert live(core)[0].cursor == 1


@pytest.mark.parametrize(
    ("asked", "answered", "seconds"),
    [
        ("PT60M", "PT60M", 3600),
        ("PT1H", "PT1H", 3600),
        ("P0Y0M0DT0H30M0.000S", "P0Y0M0DT0H30M0.000S", 1800),
        ("P1D", "P1D", 86_400),
        ("PT30H", "P1D", 86_400),
        ("P9Y", "P1D", 86_400),
        ("", "PT1H", 3600),
        ("2026-03-02T11:41:07.125+01:00", "2026-03-02T11:41:07.125+01:00", 3600),
        ("2026-03-09T00:00:00Z", "2026-03-03T09:41:07Z", 86_400),
        ("9998-01-01T00:00:00", "2026-03-03T09:41:07Z", 86_400),
    ],
)
def test_the_end_is_granted_in_the_words_of_the_request(
    core: Engine, subscriber: Subscriber, asked: str, answered: str, seconds: float
) -> None:
    """DPW-063, DPW-064, T-A3: unless it is too far away; a duration for a duration, a date for a date."""
    assert granted(subscriber, asked) == answered

    (made,) = live(core)
    assert core.subscriptions.left(made) == pytest.approx(seconds, abs=10)
    assert made.absolute is asked.startswith(("2", "9"))


@pytest.mark.parametrize("expires", ["PT0S", "-PT1H", "P0D", "2026-03-02T09:41:07Z", "1999-01-01T00:00:00Z", "soon"])
def test_an_end_that_is_past_is_refused(core: Engine, subscriber: Subscriber, expires: str) -> None:
    """DPW-066: nothing is made, and nothing renewed."""
    made = subscriber.subscribe()
    asked = f"<wse:Expires>{expires}</wse:Expires>"
    refusals = [
        fault(subscriber, "Subscribe", subscribe(delivery(), asked)),
        fault(subscriber, "Renew", f"<wse:Renew>{asked}</wse:Renew>", identifier(made)),
    ]

    assert [one.subcode for one in refusals] == ["wse:InvalidExpirationTime"] * 2
    assert refusals[0].detail == (f"{{{WSE}}}Expires", expires)
    assert len(live(core)) == 1


@pytest.mark.parametrize(
    "children",
    [
        (delivery(endpoint("NotifyTo", "http://203.0.113.5/")),),
        (endpoint("EndTo", "http://203.0.113.5/"), delivery()),
        (delivery(endpoint("NotifyTo", f"http://{HERE[0]}:{HERE[1]}/")),),
        (delivery(endpoint("NotifyTo", "mailto:anna@contoso.example")),),
    ],
)
def test_a_subscription_whose_sink_is_elsewhere_is_not_made(
    core: Engine, subscriber: Subscriber, children: tuple[str, ...]
) -> None:
    """T-A2, DPW-077, DPW-078 (R3017, R3018): be it NotifyTo or EndTo."""
    assert fault(subscriber, "Subscribe", subscribe(*children)).subcode == "wsa:DestinationUnreachable"
    assert live(core) == []


def test_no_name_is_looked_up_for_a_request_that_is_wrong_anyway(core: Engine) -> None:
    """T-A1: the look-up comes last, and once if both sinks have the same address."""
    asked: list[str] = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return [PEER]

    subscriber, url = Subscriber(core, resolve=resolve), "http://mfp-17.fabrikam.example/"
    fault(subscriber, "Subscribe", subscribe(delivery(endpoint("NotifyTo", url)), filter_("urn:x")))
    fault(subscriber, "Subscribe", subscribe(delivery(endpoint("NotifyTo", url)), "<wse:Expires>PT0S</wse:Expires>"))
    assert asked == []

    subscriber.subscribe(endpoint("EndTo", url, ""), delivery(endpoint("NotifyTo", url)))
    assert asked == ["mfp-17.fabrikam.example"]
    assert [(one.end_to.address, one.end_to.parameters) for one in live(core) if one.end_to] == [(PEER, "")]


def test_one_caller_gets_so_many_and_all_together_so_many(core: Engine, subscriber: Subscriber) -> None:
    """T-A3, DPW-076: at the limit and one more; the fault is the receiver's, and others still get theirs."""
    boris = Subscriber(core, BORIS)
    for _ in range(3):
        subscriber.subscribe()
    assert fault(subscriber, "Subscribe", subscribe()).subcode == "wse:EventSourceUnableToProcess"
    for _ in range(2):
        boris.subscribe()
    refusal = fault(boris, "Subscribe", subscribe())

    assert (refusal.code, refusal.subcode) == ("Receiver", "wse:EventSourceUnableToProcess")
    assert len(live(core)) == 5


def test_a_flood_of_subscribes_leaves_no_more_than_that(core: Engine, subscriber: Subscriber) -> None:
    """T-A3."""
    for _ in range(50):
        try:
            subscriber.subscribe()
        except Fault:
            continue

    assert len(live(core)) == 3


# --- the manager -----------------------------------------------------------------------------------------------------


def test_a_renew_begins_anew(core: Engine, clock: FakeClock, settings: Settings) -> None:
    """DPW-068: for as long as it says, or as long as is usual."""
    subscriber = Subscriber(core, now=lambda: NOW)
    id = identifier(subscriber.subscribe(delivery(), "<wse:Expires>PT5M</wse:Expires>"))

    assert granted(subscriber, "PT2H", "Renew", id) == "PT2H"
    assert core.subscriptions.left(live(core)[0]) == pytest.approx(7200, abs=10)
    assert granted(subscriber, "P2D", "Renew", id) == "P1D"
    assert granted(subscriber, "", "Renew", id) == "PT1H"
    assert core.subscriptions.left(live(core)[0]) == pytest.approx(3600, abs=10)


def test_the_status_is_what_is_left(core: Engine, subscriber: Subscriber) -> None:
    """DPW-068: as a duration, or as a date if the end was asked for as one."""
    one = identifier(subscriber.subscribe(delivery(), "<wse:Expires>PT2H</wse:Expires>"))
    until = identifier(subscriber.subscribe(delivery(), "<wse:Expires>2026-03-02T11:41:07.125Z</wse:Expires>"))

    assert (granted(subscriber, "", "GetStatus", one) or "").startswith(("PT2H", "PT1H59M"))
    ends = datetime.fromisoformat(granted(subscriber, "", "GetStatus", until) or "")
    assert NOW + timedelta(hours=2, minutes=-1) < ends <= NOW + timedelta(hours=2)


def test_who_unsubscribes_is_gone_without_a_word(core: Engine, subscriber: Subscriber) -> None:
    """DPW-069, DPW-074: the answer has an empty body."""
    made = subscriber.subscribe()
    answer = assert_valid(subscriber.bytes(envelope("Unsubscribe", "<wse:Unsubscribe/>", identifier(made))))

    assert answer.findtext(f".//{{{WSA}}}Action") == f"{WSE}/UnsubscribeResponse"
    assert len(answer[1]) == 0
    assert live(core) == []
    again = fault(subscriber, "Unsubscribe", "<wse:Unsubscribe/>", identifier(made))
    assert again.subcode == "wse:InvalidMessage"


def test_the_identifier_may_stand_in_three_places(subscriber: Subscriber) -> None:
    """dpws.md section 8.2: header, body, end of the path."""
    made = subscriber.subscribe()
    bare = made.removeprefix("urn:uuid:")
    in_body = f"<wse:GetStatus><wse:Identifier>{made}</wse:Identifier></wse:GetStatus>"

    for header, body, path in (
        (identifier(made), "<wse:GetStatus/>", "/x"),
        ("", in_body, "/x"),
        ("", "<wse:GetStatus/>", f"/ScanServer/processing/subscriptions/{bare.upper()}"),
        (identifier(made), in_body.replace(made, NOBODY), f"/subscriptions/{NOBODY[9:]}"),
    ):
        answer = subscriber.ask("GetStatus", body, header, path)
        assert answer.findtext(f".//{{{WSE}}}Expires")


EXPECTED = {
    "Renew": ("Receiver", "wse:UnableToRenew"),
    "GetStatus": ("Sender", "wse:InvalidMessage"),
    "Unsubscribe": ("Sender", "wse:InvalidMessage"),
}


@pytest.mark.parametrize("action", EXPECTED)
def test_nobody_can_tell_a_foreign_subscription_from_one_that_never_was(core: Engine, action: str) -> None:
    """T-A4, DPW-070: unknown, foreign, of the other service, proven otherwise, or no identifier at all: one fault."""
    anna = Subscriber(core, ANNA)
    made = anna.subscribe()
    others = [
        (Subscriber(core, BORIS), made),
        (Subscriber(core, replace(ANNA, proof=Proof.CERTIFICATE)), made),
        (Subscriber(core, ANNA, EventService.CONFIGURATION), made),
        (Subscriber(core, Principal("device:192.0.2.70", Proof.ADDRESS)), made),
        (anna, NOBODY),
    ]
    refusals = [fault(one, action, f"<wse:{action}/>", identifier(named)) for one, named in others]
    unnamed = fault(anna, action, f"<wse:{action}/>")

    said = {(one.code, one.subcode, one.reason, one.action) for one in (*refusals, unnamed)}
    assert said == {(*EXPECTED[action], refusals[0].reason, f"{WSE}/fault")}
    assert {one.detail for one in refusals} == {
        (f"{{{WSE}}}Identifier", id.removeprefix("urn:uuid:")) for id in (made, NOBODY)
    }
    assert len(live(core)) == 1


@pytest.mark.parametrize("action", EXPECTED)
def test_one_that_has_expired_was_never_there(core: Engine, action: str) -> None:
    """DPW-070, DPW-071."""
    subscriber = Subscriber(core)
    made = subscriber.subscribe(delivery(), "<wse:Expires>PT0.001S</wse:Expires>")

    assert fault(subscriber, action, f"<wse:{action}/>", identifier(made)).subcode == EXPECTED[action][1]


def test_another_action_is_not_supported(subscriber: Subscriber) -> None:
    """R2045 for whoever asks the wrong door."""
    assert fault(subscriber, "Pull", "<wse:Pull/>").subcode == "wsa:ActionNotSupported"


def test_a_database_that_is_busy_is_a_full_server(core: Engine, settings: Settings) -> None:
    """Ruling 17: the subscriber may try again later."""

    class Busy:
        def add(self, *_: object) -> None:
            raise StoreBusy("locked")

    subscriber = Subscriber(core)
    subscriber._subscribing = SubscriptionManager(Busy(), settings)  # type: ignore[arg-type]

    assert fault(subscriber, "Subscribe", subscribe()).subcode == "wse:EventSourceUnableToProcess"


def test_an_administrator_subscribes_to_the_configuration_service(core: Engine) -> None:
    """D23: all jobs, and the repository; its events are others."""
    dsc = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/configuration"
    admin = Subscriber(core, replace(BORIS, admin=True), EventService.CONFIGURATION)
    admin.subscribe(delivery(), filter_(f"{dsc}/RepositoryStatusSummaryEvent"))
    (made,) = live(core)

    assert (made.port, made.scope) == (EventService.CONFIGURATION, None)
    assert made.actions == (f"{dsc}/RepositoryStatusSummaryEvent",)
    assert fault(admin, "Subscribe", subscribe()).subcode == "wsdp:FilterActionNotSupported"


def test_answers_are_read_by_a_plain_parser(subscriber: Subscriber) -> None:
    """DPW-083: soap and wsa are spelled like that."""
    data = subscriber.bytes(envelope("Subscribe", subscribe()))

    assert data.startswith(b"<soap:Envelope ")
    assert etree.fromstring(data).nsmap["wsa"] == WSA
