"""The simulated device hears events, and keeps its subscription alive."""

from __future__ import annotations

import re
import socket
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hosted import (
    DSP,
    MANAGED,
    NAMESPACES,
    TOKEN,
    WSA,
    WSE,
    Asked,
    Hosted,
    end_event,
    envelope,
    fault,
    hosting,
    letter,
    post,
    status_event,
    subscription_end,
)
from works import until

from postscan.cli.device.client import ReportedFilter, ReportedJob
from postscan.cli.device.eventing import subscription as subscriptions
from postscan.cli.device.eventing.event_listener import EventListener, ListenerMode, local_address_for
from postscan.cli.device.eventing.events import EndStateEvent, StatusEvent, SubscriptionEnd
from postscan.cli.device.eventing.subscription import DeviceSubscription, duration
from postscan.cli.device.transport import BadAnswer, HttpReply, HttpTransport, OutgoingRequest, SoapFault, Unreachable

PATIENCE = 60.0


@pytest.fixture
def host() -> Iterator[Hosted]:
    """A server that can be subscribed to."""
    with hosting() as host:
        yield host


@pytest.fixture
def listener() -> Iterator[EventListener]:
    """An listener on loopback."""
    with EventListener("127.0.0.1") as listener:
        yield listener


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    """The honest transport."""
    with HttpTransport() as transport:
        yield transport


# --- the listener -----------------------------------------------------------------------------------------------------


def test_events_are_answered_and_handed_on_in_order(listener: EventListener) -> None:
    """DPW-079: each with 202; what they say, as values."""
    for content in (status_event("Creating", "Pending"), status_event("Processing"), end_event("Canceled", "Why")):
        assert post(listener.notify_to, letter(content, listener.identifier)) == 202
    told = [listener.next(PATIENCE).content for _ in range(3)]

    pending, working = (ReportedFilter("urn:example:stamp", state, ()) for state in ("Pending", "Processing"))
    done = ReportedFilter("urn:example:stamp", "CompletedSuccessfully", ())
    assert told == [
        StatusEvent(TOKEN, ReportedJob("Creating", (), (pending,), 1)),
        StatusEvent(TOKEN, ReportedJob("Processing", (), (working,), 1)),
        EndStateEvent(TOKEN, ReportedJob("Canceled", ("Why",), (done,), 1)),
    ]
    assert listener.next(0) is None


def test_a_message_that_comes_again_is_answered_and_heard_once(listener: EventListener) -> None:
    """A server repeats what it got no answer to."""
    one, other = (
        letter(status_event("Creating"), listener.identifier),
        letter(status_event("Creating"), listener.identifier),
    )

    assert [post(listener.notify_to, data) for data in (one, one, other)] == [202, 202, 202]
    assert [listener.next(0) is None for _ in range(3)] == [False, False, True]


def test_what_does_not_carry_the_identifier_is_not_ours(listener: EventListener) -> None:
    """DPW-072: the reference parameters come as headers; without them it is refused, and told."""
    assert post(listener.notify_to, letter(status_event("Creating"), "")) == 400
    assert post(listener.notify_to, letter(status_event("Creating"), "urn:uuid:somebody-elses")) == 400
    assert listener.next(0) is None
    assert ["(none)" in listener.refused[0], "urn:uuid:somebody-elses" in listener.refused[1]] == [True, True]


def test_what_is_no_event_is_refused(listener: EventListener) -> None:
    """DPW-084: no XML, a DTD, another Action, a Body that holds something else, a number that is none."""
    good = letter(status_event("Creating"), listener.identifier)
    bad = (
        b"<html>",
        b"<!DOCTYPE e>" + good,
        letter(status_event("Creating"), listener.identifier, action="urn:x:Event"),
        letter(status_event("Creating"), listener.identifier, action=f"{DSP}/PostScanJobEndStateEvent"),
        good.replace(b"ImagesReceived>1", b"ImagesReceived>many"),
        re.sub(rb"<wsa:MessageID>.*?</wsa:MessageID>", b"", good),
    )

    assert [post(listener.notify_to, data) for data in bad] == [400] * len(bad)
    assert listener.next(0) is None
    assert len(listener.refused) == len(bad)


def test_the_end_of_a_subscription_comes_to_its_own_address(listener: EventListener) -> None:
    """dpws.md section 8.3: to EndTo, and nowhere else."""
    data = letter(subscription_end("SourceShuttingDown"), listener.identifier)

    assert post(listener.notify_to, data) == 404
    assert post(listener.end_to, data) == 202
    assert listener.next(0).content == SubscriptionEnd("SourceShuttingDown", "The scan server is being stopped.")


def test_chunks_are_read_and_giants_are_not(listener: EventListener) -> None:
    """dpws.md section 5: chunked bodies have to be accepted; 64 KiB is more than any event."""
    good = letter(status_event("Creating"), listener.identifier)

    assert post(listener.notify_to, good, chunked=True) == 202
    assert post(listener.notify_to, good + b" " * 65_536) == 413
    assert post(listener.notify_to, good + b" " * 65_536, chunked=True) == 413
    assert listener.next(0) is not None
    assert listener.next(0) is None


def test_a_server_that_breaks_off_does_no_harm(listener: EventListener, capfd: pytest.CaptureFixture[str]) -> None:
    """The next message is heard, and nothing is printed."""
    parts = urlsplit(listener.notify_to)
    with socket.create_connection((parts.hostname, parts.port)) as broken:
        broken.sendall(b"POST /events HTTP/1.1\r\nContent-Length: 100\r\n\r\n<half")

    assert post(listener.notify_to, letter(status_event("Creating"), listener.identifier)) == 202
    assert capfd.readouterr().err == ""


def test_an_ear_can_refuse_and_be_deaf() -> None:
    """The two ways in which it misbehaves: 500, and no answer at all."""
    with (
        EventListener("127.0.0.1", ListenerMode.REFUSING) as refusing,
        EventListener("127.0.0.1", ListenerMode.SILENT) as deaf,
    ):
        assert post(refusing.notify_to, letter(status_event("Creating"), refusing.identifier)) == 500
        with pytest.raises(TimeoutError):
            post(deaf.notify_to, letter(status_event("Creating"), deaf.identifier), timeout=0.3)

        until(lambda: deaf.requests, "for the message to be read")
        assert (refusing.requests, deaf.requests) == (1, 1)
        assert refusing.next(0) is deaf.next(0) is None


def test_the_ear_is_where_the_server_finds_it() -> None:
    """At the address from which this machine reaches the server."""
    assert local_address_for("http://127.0.0.1:5362/ScanServer/processing") == "127.0.0.1"


# --- the subscription --------------------------------------------------------------------------------------------


def test_subscribe_says_all_that_a_subscription_needs(
    host: Hosted, listener: EventListener, transport: HttpTransport
) -> None:
    """dpws.md section 11.5, element by element; to the address of the service."""
    with DeviceSubscription(transport, host.url, listener, 3600) as subscription:
        subscription.mark_ended()
    (asked,) = host.asked
    subscribe = ET.fromstring(asked.data).find("soap:Body/wse:Subscribe", NAMESPACES)

    def endpoint(path: str) -> tuple[str | None, str | None]:
        reference = f"{path}/wsa:ReferenceParameters/wse:Identifier"
        return subscribe.findtext(f"{path}/wsa:Address", None, NAMESPACES), subscribe.findtext(
            reference, None, NAMESPACES
        )

    assert asked.way == "/service"
    assert [one.tag for one in subscribe] == [f"{{{WSE}}}{name}" for name in ("EndTo", "Delivery", "Expires", "Filter")]
    assert endpoint("wse:EndTo") == (listener.end_to, listener.identifier)
    assert endpoint("wse:Delivery/wse:NotifyTo") == (listener.notify_to, listener.identifier)
    assert subscribe.find("wse:Delivery", NAMESPACES).attrib == {"Mode": f"{WSE}/DeliveryModes/Push"}
    assert subscribe.findtext("wse:Expires", None, NAMESPACES) == "PT3600S"
    assert subscribe.find("wse:Filter", NAMESPACES).get("Dialect") == NAMESPACES["wsdp"] + "/Action"
    assert subscribe.findtext("wse:Filter", "", NAMESPACES).split() == [
        f"{DSP}/PostScanJobStatusEvent",
        f"{DSP}/PostScanJobEndStateEvent",
    ]


def test_whoever_manages_it_gets_back_what_refers_to_it(
    host: Hosted, listener: EventListener, transport: HttpTransport
) -> None:
    """DPW-080: each reference parameter as a header of its own, at the manager's address."""
    with DeviceSubscription(transport, host.url, listener, 60) as subscription:
        assert subscription.granted == 3600
        assert subscription.renew() == 3600
        assert subscription.status() == 60
        subscription.unsubscribe()

    assert host.operations() == ["Subscribe", "Renew", "GetStatus", "Unsubscribe"]
    for asked in host.asked[1:]:
        header = ET.fromstring(asked.data).find("soap:Header", NAMESPACES)
        assert asked.way == "/manager"
        assert header.findtext(f"{{{WSA}}}To") == f"{host.origin}/manager"
        assert header.findtext(f"{{{WSE}}}Identifier") == MANAGED
        assert (header.find("{urn:k}Key").text, header.find("{urn:k}Key").attrib) == ("a&b", {"{urn:k}n": "1"})


def test_it_is_renewed_before_half_of_its_time_has_passed(
    host: Hosted, listener: EventListener, transport: HttpTransport
) -> None:
    """DPW-081: again and again, for as long as it is needed, and not once it is taken back."""
    host.says["Subscribe"] = lambda asked: host.subscribe(asked, "PT0.2S")
    host.says["Renew"] = lambda _: "<wse:RenewResponse><wse:Expires>PT0.2S</wse:Expires></wse:RenewResponse>"
    with DeviceSubscription(transport, host.url, listener, 60) as subscription:
        until(lambda: subscription.renewals >= 3)

    assert subscriptions.RENEW_AT < 0.5
    assert host.operations()[-1] == "Unsubscribe"
    assert b"<wse:Expires>PT60S</wse:Expires>" in host.asked[1].data


def test_a_renewal_that_is_refused_is_told(host: Hosted, listener: EventListener, transport: HttpTransport) -> None:
    """Whoever waits for events has to know that there will be none."""
    host.says["Subscribe"] = lambda asked: host.subscribe(asked, "PT0.1S")
    host.says["Renew"] = lambda _: fault("wse:UnableToRenew", 500, "soap:Receiver")
    with DeviceSubscription(transport, host.url, listener, 60) as subscription:
        until(lambda: subscription.renew_error)

    assert "wse:UnableToRenew" in subscription.renew_error


def test_it_is_taken_back_whatever_happens_meanwhile(
    host: Hosted, listener: EventListener, transport: HttpTransport
) -> None:
    """A device that breaks down leaves no subscription behind; the first error is the news."""
    host.says["Unsubscribe"] = lambda _: fault("wse:InvalidMessage")
    with pytest.raises(ZeroDivisionError), DeviceSubscription(transport, host.url, listener, 60):
        raise ZeroDivisionError

    assert host.operations() == ["Subscribe", "Unsubscribe"]


def test_a_refused_unsubscribe_is_told_to_who_asked_for_it(
    host: Hosted, listener: EventListener, transport: HttpTransport
) -> None:
    """DPW-070 from the other side."""
    host.says["Unsubscribe"] = lambda _: fault("wse:InvalidMessage")
    with (
        DeviceSubscription(transport, host.url, listener, 60) as subscription,
        pytest.raises(SoapFault, match="InvalidMessage"),
    ):
        subscription.unsubscribe()


@pytest.mark.parametrize(
    ("response", "wrong"),
    [
        ("", "no wse:SubscribeResponse"),
        ("<wse:SubscribeResponse><wse:Expires>PT1H</wse:Expires></wse:SubscribeResponse>", "no wse:SubscriptionMan"),
        (
            "<wse:SubscribeResponse><wse:SubscriptionManager><wsa:Address>http://127.0.0.1:1/m</wsa:Address>"
            "</wse:SubscriptionManager><wse:Expires>2030-01-01T00:00:00Z</wse:Expires></wse:SubscribeResponse>",
            "expected a duration",
        ),
    ],
)
def test_an_answer_that_is_no_subscription_is_named(
    host: Hosted, listener: EventListener, transport: HttpTransport, response: str, wrong: str
) -> None:
    """DPW-063, DPW-065, DPW-067 from the other side: a manager, and a time of the kind that was asked for."""
    host.says["Subscribe"] = lambda _: response
    with pytest.raises(BadAnswer, match=wrong):
        DeviceSubscription(transport, host.url, listener, 60)


def test_a_subscription_under_tls_is_managed_under_tls(listener: EventListener) -> None:
    """Whoever reads the identifier could take the subscription back."""
    host = Hosted()

    def carry(request: OutgoingRequest) -> HttpReply:
        data = b"".join(request.content())
        asked = Asked("Subscribe", "", data)
        return HttpReply(request.url, 200, envelope("urn:x", host.subscribe(asked), asked.message_id))

    with pytest.raises(BadAnswer, match="expected an https address"):
        DeviceSubscription(carry, "https://127.0.0.1/service", listener, 60)


def test_a_server_that_is_away_for_a_while_is_asked_again(
    host: Hosted, listener: EventListener, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be starting anew, and its subscriptions may outlive that."""
    monkeypatch.setattr(subscriptions, "_RETRY_SECONDS", 0.01)
    away = [True, True, False]

    def carry(request: OutgoingRequest) -> HttpReply:
        if request.action.endswith("/Renew") and (away.pop(0) if away else False):
            raise Unreachable("nobody is there")
        return transport(request)

    host.says["Subscribe"] = lambda asked: host.subscribe(asked, "PT0.1S")
    with DeviceSubscription(carry, host.url, listener, 60) as subscription:
        until(lambda: subscription.renewals)

    assert subscription.renew_error == ""


def test_unsubscribe_is_answered_by_an_empty_body(
    host: Hosted, listener: EventListener, transport: HttpTransport
) -> None:
    """DPW-069 from the other side."""
    host.says["Unsubscribe"] = lambda _: "<wse:UnsubscribeResponse/>"
    with (
        DeviceSubscription(transport, host.url, listener, 60) as subscription,
        pytest.raises(BadAnswer, match="expected none"),
    ):
        subscription.unsubscribe()


def test_one_at_a_time_is_heard_even_if_many_call_at_once(listener: EventListener) -> None:
    """Each of them is answered, and none is lost."""
    letters = [letter(status_event("Creating"), listener.identifier) for _ in range(20)]
    threads = [threading.Thread(target=post, args=(listener.notify_to, data)) for data in letters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(listener.next(0) for _ in letters)
    assert listener.next(0) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT1H", 3600), ("PT1H57M12S", 7032), ("P1DT0.5S", 86400.5), ("P0Y0M0DT30H0M0S", 108_000), (" PT60M ", 3600)],
)
def test_a_duration_is_read_with_all_its_fields(text: str, seconds: float) -> None:
    """dpws.md section 8.1."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "1H", "PT1", "-PT1H", "P1M", "PT1H ago", "2030-01-01T00:00:00Z"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A month has no length in seconds."""
    with pytest.raises(BadAnswer, match="expected a duration"):
        duration(text)
