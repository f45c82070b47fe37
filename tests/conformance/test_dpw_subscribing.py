"""DPW-056 to DPW-070, DPW-077, DPW-078: making a subscription, and managing it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import subscriptions as said
from acceptance.scanning import Scanner, good
from acceptance.server import Server
from conformance import events
from conformance.desk import DSC
from conformance.events import ACTIONS, END, STATUS, WSDP, WSE, ask, expires, granted, only, subscribed, told, wish
from conformance.wire import STRANGER, header
from device import DSP, SOAP, WSA, Device
from listeners import Listener
from works import until

PUSH = f"{WSE}/DeliveryModes/Push"
FAULT = f"{WSE}/fault"
WSCN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
NOBODY = "urn:uuid:00000000-0000-4000-8000-000000000000"
HOUR = timedelta(hours=1)


@pytest.fixture
def device(scanner: Scanner) -> Device:
    """The device of that scanner."""
    return scanner.device


@pytest.fixture
def sink() -> Iterator[Listener]:
    """A sink that nobody has subscribed yet."""
    with Listener() as sink:
        yield sink


def live(server: Server) -> int:
    """Return how many subscriptions there are."""
    return len(server.works.core.subscriptions.live())


def given_up(scanner: Scanner) -> str:
    """Make a job and cancel it: a status at the beginning, and a status and an end."""
    token = scanner.create("copy")
    good(scanner.device.cancel(token))
    return token


# --- delivery --------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-056")
@pytest.mark.parametrize("mode", ["", f' Mode="{PUSH}"', f' Mode="&#10; {PUSH} "'])
def test_events_are_pushed_to_the_sink(scanner: Scanner, device: Device, sink: Listener, mode: str) -> None:
    """As a POST of SOAP 1.2 to the very address; push is what is meant if no mode is named."""
    with subscribed(device, sink, mode=mode):
        token = given_up(scanner)
        until(lambda: len(told(sink, token)) == 3)
        (head, *_) = sink.heads

    assert [one.name for one in told(sink, token)] == [STATUS, STATUS, END]
    assert head["path"] == urlsplit(sink.url).path + "?" + urlsplit(sink.url).query
    assert head["content-type"] == "application/soap+xml; charset=utf-8"
    assert head["host"] == urlsplit(sink.url).netloc


@pytest.mark.conformance("DPW-057")
@pytest.mark.parametrize(
    "mode", [f"{WSE}/DeliveryModes/Pull", "http://schemas.dmtf.org/wbem/wsman/1/wsman/Events", "x"]
)
def test_another_mode_of_delivery_is_refused(server: Server, device: Device, sink: Listener, mode: str) -> None:
    """The fault names the one that there is, and nothing is made."""
    before = live(server)
    answer = ask(device, "Subscribe", wish(sink, mode=f' Mode="{mode}"'))

    assert events.fault(answer) == (
        *(400, "soap:Sender", "wse:DeliveryModeRequestedUnavailable"),
        ("SupportedDeliveryMode", PUSH),
    )
    assert header(answer, "Action") == FAULT
    assert live(server) == before


# --- filters ---------------------------------------------------------------------------------------------------------

FILTERS = {
    ACTIONS["dsp"][0]: [STATUS, STATUS],
    ACTIONS["dsp"][1]: [END],
    DSP: [STATUS, STATUS, END],
    f"{DSP}/": [STATUS, STATUS, END],
    "http://schemas.microsoft.com/windows/2008/12": [STATUS, STATUS, END],
    f"{WSCN}/{END}": [END],
    STATUS: [STATUS, STATUS],
    f"{ACTIONS['dsp'][0]}\n\t{ACTIONS['dsp'][1]}": [STATUS, STATUS, END],
    f"  {ACTIONS['dsp'][1]} urn:unknown {ACTIONS['dsp'][1]}\r\n": [END],
    f"{DSC}/RepositoryStatusSummaryEvent {ACTIONS['dsp'][0]}": [STATUS, STATUS],
}
"""The content of a filter, and the events of a job that it lets pass, one by one."""


@pytest.mark.conformance("DPW-058", "DPW-059")
@pytest.mark.parametrize("listed", FILTERS)
def test_a_filter_lets_the_listed_actions_pass(scanner: Scanner, device: Device, sink: Listener, listed: str) -> None:
    """One action, or several between blanks of any kind; what lies above them is all of them, the unknown is none."""
    with Listener() as other, subscribed(device, other), subscribed(device, sink, said.filter_(listed)):
        first, second = given_up(scanner), given_up(scanner)
        until(lambda: len(told(other, second)) == 3)
        until(lambda: len(told(sink, second)) == len(FILTERS[listed]))

        assert [one.name for one in told(sink, first)] == FILTERS[listed]
        assert [one.name for one in told(other, first)] == [STATUS, STATUS, END]


@pytest.mark.conformance("DPW-060")
@pytest.mark.parametrize(
    ("listed", "subcode"),
    [
        (ACTIONS["dsp"][0], ""),
        (f"{ACTIONS['dsp'][0]} urn:unknown", ""),
        (DSP, ""),
        ("urn:unknown", "wsdp:FilterActionNotSupported"),
        ("", "wsdp:FilterActionNotSupported"),
    ],
)
def test_the_action_dialect_itself_is_never_refused(device: Device, sink: Listener, listed: str, subcode: str) -> None:
    """Whatever it lists: that nothing would come of it is another fault."""
    answer = ask(device, "Subscribe", wish(sink, said.filter_(listed)))

    assert (answer.fault() or ("", ""))[1] == subcode


@pytest.mark.conformance("DPW-061")
@pytest.mark.parametrize("listed", ["urn:unknown", f"{DSP}/PostScanJob", f"{DSC}/RepositoryStatusSummaryEvent", ""])
def test_a_filter_that_lets_nothing_pass_is_refused(
    server: Server, device: Device, sink: Listener, listed: str
) -> None:
    """Half a name is none, and events of the other service do not come from here. Nothing is made."""
    before = live(server)
    answer = ask(device, "Subscribe", wish(sink, only(listed)))

    assert events.fault(answer) == (400, "soap:Sender", "wsdp:FilterActionNotSupported", None)
    assert header(answer, "Action") == f"{WSDP}/fault"
    assert live(server) == before


@pytest.mark.conformance("DPW-062")
@pytest.mark.parametrize("dialect", ["http://www.w3.org/TR/1999/REC-xpath-19991116", "urn:unknown", f"{WSDP}/action"])
def test_an_unknown_dialect_is_refused(server: Server, device: Device, sink: Listener, dialect: str) -> None:
    """Even if what it lists could be understood; the fault names the dialect that there is."""
    before = live(server)
    answer = ask(device, "Subscribe", wish(sink, said.filter_(said.LISTED, dialect)))

    assert events.fault(answer) == (
        *(400, "soap:Sender", "wse:FilteringRequestedUnavailable"),
        ("SupportedDialect", f"{WSDP}/Action"),
    )
    assert header(answer, "Action") == FAULT
    assert live(server) == before


# --- how long --------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-063", "DPW-065")
@pytest.mark.parametrize(
    ("asked", "answered"),
    [("PT60M", "PT60M"), ("P0Y0M0DT0H30M0.5S", "P0Y0M0DT0H30M0.5S"), ("PT30H", "P1D"), ("P1Y2M3DT4H5M6S", "P1D")],
)
def test_a_duration_is_answered_by_a_duration(device: Device, sink: Listener, asked: str, answered: str) -> None:
    """The one that was asked for, or the longest that there is; after a Renew as well, and what is left is one, too."""
    with subscribed(device, sink, expires(asked)) as subscription:
        renewed = good(subscription.renew(asked)).find("Expires")
        left = good(subscription.status()).find("Expires")

    assert (subscription.expires, renewed) == (answered, answered)
    assert left
    assert left.startswith("P")


@pytest.mark.conformance("DPW-064", "DPW-065")
def test_a_date_is_accepted_and_answered_by_a_date(device: Device, sink: Listener) -> None:
    """After a Renew as well, and what is left is one, too; a date that is too far away comes nearer."""
    now = datetime.now(UTC)
    one, two = ((now + hours * HOUR).isoformat() for hours in (1, 2))
    with subscribed(device, sink, expires(one)) as subscription:
        left = good(subscription.status()).find("Expires")
        renewed = good(subscription.renew(two)).find("Expires")
    with subscribed(device, sink, expires("9998-01-01T00:00:00Z")) as endless:
        shortened = datetime.fromisoformat(endless.expires)

    assert (subscription.expires, renewed) == (one, two)
    assert left
    assert abs(datetime.fromisoformat(left) - now - HOUR) < timedelta(minutes=1)
    assert abs(shortened - now - 24 * HOUR) < timedelta(minutes=1)


@pytest.mark.conformance("DPW-065")
def test_the_answer_says_how_long_also_if_nothing_was_asked_for(device: Device, sink: Listener) -> None:
    """An hour, as the settings have it; one Expires, beside the manager."""
    with subscribed(device, sink) as subscription:
        renewed = good(subscription.renew("")).find_all("Expires")

    assert (subscription.expires, renewed) == ("PT1H", ["PT1H"])


@pytest.mark.conformance("DPW-066")
@pytest.mark.parametrize("asked", ["PT0S", "P0D", "-PT1H", "1999-01-01T00:00:00Z", "2026-01-01T00:00:00", "soon"])
def test_an_end_that_is_not_to_come_is_refused(server: Server, device: Device, sink: Listener, asked: str) -> None:
    """Nothing is made, and what is there keeps its end; so it is with a text that is neither duration nor date."""
    refused = (400, "soap:Sender", "wse:InvalidExpirationTime", ("Expires", asked))
    with subscribed(device, sink) as subscription:
        before = live(server)

        assert events.fault(ask(device, "Subscribe", wish(sink, expires(asked)))) == refused
        assert events.fault(subscription.renew(asked)) == refused
        assert subscription.alive
        assert live(server) == before


# --- managing --------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-067")
def test_the_manager_has_an_identifier_as_reference_parameter(device: Device, sink: Listener) -> None:
    """One of its own for each subscription, at an address of HTTP that is the server's; each manages its own."""
    with subscribed(device, sink) as one, subscribed(device, sink) as other:
        answer = good(ask(device, "Subscribe", wish(sink)))
        (manager,) = ET.fromstring(answer.body).iter(events.wse("SubscriptionManager"))
        third = manager.findtext(f"{{{WSA}}}ReferenceParameters/{events.wse('Identifier')}", "")
        good(ask(device, "Unsubscribe", "<wse:Unsubscribe/>", said.identifier(third)))

        assert len({one.identifier, other.identifier, third}) == 3
        assert all(name.startswith("urn:uuid:") for name in (one.identifier, other.identifier, third))
        assert {urlsplit(each.manager)[:2] for each in (one, other)} == {urlsplit(device.url)[:2]}
        assert (one.alive, other.alive) == (True, True)
        good(one.end())
        assert (one.alive, other.alive) == (False, True)


@pytest.mark.conformance("DPW-068")
def test_a_subscription_is_renewed_asked_about_and_ended(device: Device, sink: Listener) -> None:
    """Each answer says which it is; a Renew is seen in what is left."""
    with subscribed(device, sink, expires("PT5M")) as subscription:
        first = good(subscription.status())
        renewed = good(subscription.renew("PT2H"))
        second = good(subscription.status())
        ended = good(subscription.end())
        after = subscription.status()

    assert [header(one, "Action") for one in (first, renewed, ended)] == [
        f"{WSE}/{verb}Response" for verb in ("GetStatus", "Renew", "Unsubscribe")
    ]
    assert (first.find("Expires") or "")[:3] in ("PT4", "PT5")
    assert (second.find("Expires") or "")[:4] in ("PT1H", "PT2H")
    assert renewed.find("Expires") == "PT2H"
    assert after.fault()


@pytest.mark.conformance("DPW-069")
def test_the_answer_to_unsubscribe_has_an_empty_body(device: Device, sink: Listener) -> None:
    """Not an empty element in it: nothing."""
    with subscribed(device, sink) as subscription:
        answer = good(subscription.end())
        (body,) = ET.fromstring(answer.body).iterfind(f"{{{SOAP}}}Body")

    assert (len(body), body.text) == (0, None)
    assert header(answer, "Action") == f"{WSE}/UnsubscribeResponse"


@pytest.mark.conformance("DPW-070")
@pytest.mark.parametrize("whose", ["nobody's", "ended", "a stranger's", "none", "no identifier"])
def test_an_unknown_subscription_is_refused(server: Server, device: Device, sink: Listener, whose: str) -> None:
    """One that never was, one that has ended, somebody else's: a fault for each verb, and the same for all of them."""
    with subscribed(device, sink) as mine, Listener(address=STRANGER) as other:
        ended = granted(device, wish(sink))
        good(ended.end())
        stranger = Device(server.url, source_address=STRANGER)
        with subscribed(stranger, other) as theirs:
            name = {"nobody's": NOBODY, "ended": ended.identifier, "a stranger's": theirs.identifier}.get(whose, whose)
            block = "" if whose == "none" else said.identifier(name)
            refused = {
                verb: events.fault(ask(device, verb, f"<wse:{verb}/>", block))[:3]
                for verb in ("Renew", "GetStatus", "Unsubscribe")
            }

            assert refused == {
                "Renew": (500, "soap:Receiver", "wse:UnableToRenew"),
                "GetStatus": (400, "soap:Sender", "wse:InvalidMessage"),
                "Unsubscribe": (400, "soap:Sender", "wse:InvalidMessage"),
            }
            assert mine.alive
            assert theirs.alive


# --- where to --------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DPW-077", "DPW-078")
@pytest.mark.parametrize("elsewhere", [f"http://{STRANGER}:5357/events", "http://192.0.2.7/", "http://[::1]:5357/x"])
def test_events_go_to_the_host_that_asked(server: Server, device: Device, sink: Listener, elsewhere: str) -> None:
    """D17, T-A2: be it NotifyTo or EndTo; nothing is made. The requester's own address, and its name, are good."""
    before = live(server)
    refused = (400, "soap:Sender", "wsa:DestinationUnreachable", ("Address", elsewhere))
    own_name = sink.url.replace("127.0.0.1", "localhost")

    assert events.fault(ask(device, "Subscribe", wish(elsewhere))) == refused
    assert events.fault(ask(device, "Subscribe", wish(sink, events.end_to(elsewhere)))) == refused
    assert live(server) == before
    for good_one in (sink.url, own_name):
        with subscribed(device, sink, events.end_to(good_one)) as one:
            assert one.alive


@pytest.mark.conformance("DPW-078")
@pytest.mark.parametrize(
    "address",
    [
        *("mailto:anna@contoso.example", "ftp://127.0.0.1/events", "urn:uuid:1c4b7a90-6c02-4cf5-9c0d-7e8f90a1b213"),
        *("soap.udp://127.0.0.1:5357", "file:///etc/passwd", "/events", "http://", "http:events", "127.0.0.1:5357"),
        f"{WSA}/role/anonymous",
    ],
)
def test_a_sink_that_is_not_reached_by_http_is_refused(
    server: Server, device: Device, sink: Listener, address: str
) -> None:
    """Whatever else it is; nothing is made, and nothing is sent to the others."""
    before = live(server)
    refused = (400, "soap:Sender", "wsa:DestinationUnreachable", ("Address", address))

    assert events.fault(ask(device, "Subscribe", wish(address))) == refused
    assert events.fault(ask(device, "Subscribe", wish(sink, events.end_to(address)))) == refused
    assert live(server) == before
