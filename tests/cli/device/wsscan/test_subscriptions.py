"""Subscriptions of the simulated scanner: destinations and tokens, Renew, expiry, and the end in both directions."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
from works import until
from wsd_computer import WSE, WsdComputer

from postscan.cli.device.wsscan import WsdScanner
from postscan.cli.device.wsscan.jobs.pages import generated
from postscan.cli.device.wsscan.protocol.request_log import RequestLog

Begin = Callable[..., tuple[WsdScanner, WsdComputer]]
LABELS = {"ctx-1": "Invoices (Ann)", "ctx-2": "Archive"}


def test_each_destination_gets_a_token_of_its_own(begin: Begin) -> None:
    """By its ClientContext; the panel shows the labels."""
    scanner, client = begin()
    grant = client.subscribe(LABELS)

    assert grant.tokens.keys() == LABELS.keys()
    assert len(set(grant.tokens.values())) == 2
    assert scanner.destinations == list(LABELS.values())
    assert grant.manager == scanner.manager_url


def test_only_the_first_list_of_destinations_counts(begin: Begin) -> None:
    """ws-scan.md section 4."""
    scanner, client = begin()
    one = "<w:ScanDestinations><w:ScanDestination><w:ClientDisplayName>%s</w:ClientDisplayName><w:ClientContext>%s"
    end = "</w:ClientContext></w:ScanDestination></w:ScanDestinations>"
    body = f"<e:Subscribe><e:Delivery><e:NotifyTo><a:Address>{client.sink}/events</a:Address></e:NotifyTo></e:Delivery>"
    client.call(f"{WSE}/Subscribe", body + one % ("A", "1") + end + one % ("B", "2") + end + "</e:Subscribe>")

    assert scanner.destinations == ["A"]


@pytest.mark.parametrize(("asked", "granted"), [("PT10M", "PT600S"), ("P1D", "PT3600S"), ("PT0.5S", "PT0.5S")])
def test_at_most_an_hour_is_granted(begin: Begin, asked: str, granted: str) -> None:
    """As devices do."""
    assert begin()[1].subscribe(LABELS, asked).expires == granted


@pytest.mark.parametrize(
    ("asked", "fault"), [("PT0S", "InvalidExpirationTime"), ("2030-01-01T00:00:00Z", "UnsupportedExpirationType")]
)
def test_a_time_that_cannot_be_granted_is_a_fault(begin: Begin, asked: str, fault: str) -> None:
    """dpws.md section 8.2."""
    assert begin()[1].ask_subscribe(LABELS, asked, ("ScanAvailableEvent",)).fault == fault


def test_an_event_that_does_not_exist_is_a_fault(begin: Begin) -> None:
    """FilterActionNotSupported."""
    assert begin()[1].ask_subscribe(LABELS, "PT1H", ("TonerEvent",)).fault == "FilterActionNotSupported"


@pytest.mark.parametrize("labels", [{"c": ""}, {"c": "x" * 128}, {"y" * 256: "A"}])
def test_a_destination_of_a_wrong_length_is_a_fault(begin: Begin, labels: dict[str, str]) -> None:
    """127 characters of a name, 255 of a context."""
    scanner, client = begin()

    assert client.ask_subscribe(labels, "PT1H", ("ScanAvailableEvent",)).fault == "InvalidArgs"
    assert scanner.subscriptions == []


def test_renew_needs_the_manager_and_the_identifier(begin: Begin) -> None:
    """At the service there is no such role; without the identifier no subscription."""
    scanner, client = begin()
    grant = client.subscribe(LABELS, "PT1M")
    at_service = client.call(f"{WSE}/Renew", "<e:Renew/>", headers=f"<e:Identifier>{grant.identifier}</e:Identifier>")
    without = client.call(f"{WSE}/Renew", "<e:Renew/>", url=grant.manager)
    renewed = client.manage(grant, "Renew", "<e:Expires>PT30M</e:Expires>")

    assert at_service.fault == "DestinationUnreachable"
    assert without.fault == "UnableToRenew"
    assert renewed.text("s:Body/e:RenewResponse/e:Expires") == "PT1800S"
    assert scanner.subscriptions[0].granted == 1800


def test_status_is_the_time_that_is_left(begin: Begin) -> None:
    """It shrinks."""
    _, client = begin()
    grant = client.subscribe(LABELS, "PT1M")
    left = client.manage(grant, "GetStatus").text("s:Body/e:GetStatusResponse/e:Expires")

    assert 50 < float(left.removeprefix("PT").removesuffix("S")) <= 60


def test_a_subscription_expires_and_leaves_the_panel(begin: Begin) -> None:
    """Without a SubscriptionEnd; Renew is too late then."""
    scanner, client = begin()
    grant = client.subscribe(LABELS, "PT0.3S")
    until(lambda: not scanner.destinations)

    assert client.manage(grant, "Renew").fault == "UnableToRenew"
    assert client.events.empty()


def test_unsubscribe_ends_it_without_a_word(begin: Begin) -> None:
    """An empty body, and no second time."""
    scanner, client = begin()
    grant = client.subscribe(LABELS)
    reply = client.manage(grant, "Unsubscribe")

    assert reply.status == 200
    assert len(reply.root.find(f"{{{reply.root.nsmap['soap']}}}Body")) == 0  # type: ignore[arg-type]  # it is there
    assert (scanner.destinations, scanner.subscriptions) == ([], [])
    assert client.manage(grant, "Unsubscribe").fault == "InvalidMessage"
    assert client.events.empty()


def test_a_scanner_that_stops_ends_its_subscriptions(begin: Begin) -> None:
    """SubscriptionEnd at EndTo, with the status."""
    scanner, client = begin()
    client.subscribe(LABELS)
    scanner.stop()
    heard = client.next_event("SubscriptionEnd")

    assert heard.path == "/end"
    assert heard.text("e:SubscriptionEnd/e:Status") == f"{WSE}/SourceShuttingDown"


def test_a_restart_forgets_subscriptions_and_is_another_instance(begin: Begin) -> None:
    """At the same address."""
    scanner, client = begin()
    grant, before = client.subscribe(LABELS), scanner.instance
    scanner.reboot()

    assert scanner.instance > before
    assert scanner.destinations == []
    assert client.manage(grant, "Renew").fault == "UnableToRenew"


def test_a_restart_can_keep_them(begin: Begin) -> None:
    """As devices do that store them."""
    scanner, client = begin()
    grant = client.subscribe(LABELS)
    scanner.reboot(keep_subscriptions=True)

    assert scanner.destinations == list(LABELS.values())
    assert client.manage(grant, "Renew").fault == ""


def test_there_is_a_limit_of_subscriptions(begin: Begin) -> None:
    """A client that subscribes without an end gets a fault."""
    _, client = begin()
    replies = [client.ask_subscribe({}, "PT1H", ("JobStatusEvent",)).fault for _ in range(33)]

    assert replies == [""] * 32 + ["EventSourceUnableToProcess"]


def test_other_paper_is_told_if_it_has_other_formats(begin: Begin, paper: list[bytes]) -> None:
    """ScannerElementsChangeEvent has the new configuration."""
    scanner, client = begin()
    client.subscribe({}, events=("ScannerElementsChangeEvent",))
    scanner.load(paper[:1])
    scanner.load([generated(1)[0].data])
    event = client.next_event("ScannerElementsChangeEvent")
    values = event.root.xpath("//*[local-name()='FormatValue']/text()")

    assert values == ["png"]
    assert client.events.empty()


def test_events_come_in_their_order_with_the_identifier(begin: Begin) -> None:
    """JobStatusEvent and JobEndStateEvent of one job, and the states of the scanner."""
    scanner, client = begin()
    names = ("JobStatusEvent", "JobEndStateEvent", "ScannerStatusSummaryEvent")
    client.subscribe({}, events=names)
    created = client.create()
    client.retrieve(created)
    client.cancel(created)
    heard = [client.events.get(timeout=10) for _ in range(7)]

    assert [one.name for one in heard] == [
        *("JobStatusEvent", "ScannerStatusSummaryEvent", "JobStatusEvent", "JobStatusEvent"),
        *("JobStatusEvent", "JobEndStateEvent", "ScannerStatusSummaryEvent"),
    ]
    assert {one.root.findtext(f".//{{{WSE}}}Identifier") for one in heard} == {"mine"}
    assert heard[5].text("w:JobEndStateEvent/w:JobEndState/w:JobCompletedState") == "Canceled"
    assert heard[6].text("w:ScannerStatusSummaryEvent/w:StatusSummary/w:ScannerState") == "Idle"
    assert scanner.events[0].at <= time.monotonic()


def test_a_computer_that_does_not_answer_does_not_hold_up_the_stop(begin: Begin) -> None:
    """All SubscriptionEnd messages together have two seconds."""
    scanner, client = begin()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client.sink = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for _ in range(3):
            client.ask_subscribe({}, "PT1H", ("JobStatusEvent",))
        start = time.monotonic()
        scanner.stop()

    assert time.monotonic() - start < 8  # one after the other they would take thirty


def test_the_log_of_requests_does_not_grow_with_what_clients_invent() -> None:
    """Bodies are kept of some operations, and some of each."""
    log = RequestLog()
    for number in range(300):
        log.add_request("POST", f"urn:x/{number % 150}", b"%d" % number)
        log.add_request("POST", "urn:x/0", b"")

    assert sum(bool(log.bodies(str(number))) for number in range(150)) == 50
    assert len(log.bodies("0")) == 100
    assert len(log.requests) == 600
