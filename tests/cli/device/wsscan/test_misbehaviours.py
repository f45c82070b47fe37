"""Each misbehaviour of the simulated scanner happens as its row says, and as often."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from works import until
from wsd_computer import WsdComputer, image_of

from postscan.cli.device.wsscan import WsdScanner
from postscan.cli.device.wsscan.behaviour.misbehaviours import MISBEHAVIOURS, WsdMisbehaviours
from postscan.cli.device.wsscan.jobs.pages import generated
from postscan.core.errors import InvalidArgument

Begin = Callable[..., tuple[WsdScanner, WsdComputer]]
LABELS = {"ctx-1": "Invoices"}
PATIENCE = 10.0
BROKEN = (OSError, http.client.HTTPException)


@pytest.fixture
def playing(begin: Begin) -> Begin:
    """Switch a scanner on with one misbehaviour, given as `play`."""

    def one(play: str, **given: object) -> tuple[WsdScanner, WsdComputer]:
        return begin(misbehaviours=[play], **given)

    return one


def test_late_sends_the_head_after_so_many_seconds(playing: Begin, paper: list[bytes]) -> None:
    """The image is whole then; other operations are not late."""
    _, client = playing("late=0.4")
    created = client.create()
    start = time.monotonic()

    assert image_of(client.retrieve(created)) == paper[0]
    assert time.monotonic() - start >= 0.4


def test_slow_takes_its_time_for_the_bytes(playing: Begin, paper: list[bytes]) -> None:
    """Bytes for each second."""
    _, client = playing(f"slow={len(paper[0]) * 2}")
    created = client.create()
    start = time.monotonic()

    assert image_of(client.retrieve(created)) == paper[0]
    assert time.monotonic() - start >= 0.4


def test_never_answer_lets_the_client_wait(playing: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are answered; a client that leaves is noticed."""
    scanner, client = playing("never-answer=CancelJob")
    created = client.create()
    monkeypatch.setattr("wsd_computer.SECONDS", 0.3)

    with pytest.raises(TimeoutError):
        client.cancel(created)
    assert client.scan("GetActiveJobs").status == 200
    assert scanner.jobs[0].state == "Pending"


@pytest.mark.conformance("WSS-081")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("message", ["Subscribe", "CreateScanJob", "RetrieveImage", "CancelJob", "Renew"])
def test_vanish_cuts_the_power_between_any_two_messages(playing: Begin, message: str, moment: str) -> None:
    """Before the message nothing of it happens; after it the response has arrived. It comes back when switched on."""
    scanner, client = playing(f"vanish={message}:{moment}")
    answered: list[str] = []

    def converse() -> None:
        grant = client.subscribe(LABELS)
        answered.append("Subscribe")
        created = client.create()
        answered.append("CreateScanJob")
        client.retrieve(created)
        answered.append("RetrieveImage")
        client.manage(grant, "Renew")
        answered.append("Renew")
        client.cancel(created)
        answered.append("CancelJob")
        until(lambda: client.scan("GetActiveJobs").status != 200, "for the power to be off")

    with pytest.raises(BROKEN):
        converse()
    assert (message in answered) == (moment == "after")
    until(lambda: not scanner.is_on)
    scanner.power_on()
    assert client.scan("GetActiveJobs").status == 200
    assert scanner.subscriptions == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_vanish_cuts_the_power_around_an_event(playing: Begin, moment: str) -> None:
    """Before it the event is not sent; after it the computer has it."""
    scanner, client = playing(f"vanish=ScanAvailableEvent:{moment}")
    client.subscribe(LABELS)
    scanner.press("Invoices")
    until(lambda: not scanner.is_on)

    assert client.events.qsize() == (moment == "after")


@pytest.mark.conformance("WSS-081")
def test_forget_subscriptions_is_a_restart_in_the_middle(playing: Begin) -> None:
    """Once: the scanner is there again, as another instance, without job and subscription."""
    scanner, client = playing("forget-subscriptions=RetrieveImage")
    client.subscribe(LABELS)
    before, created = scanner.instance, client.create()

    with pytest.raises(BROKEN):
        client.retrieve(created)
    until(lambda: scanner.is_on and scanner.instance > before)
    assert client.retrieve(created).fault == "ClientErrorJobIdNotFound"
    assert scanner.destinations == []


def test_half_image_breaks_the_connection(playing: Begin, paper: list[bytes]) -> None:
    """In that page, once; the job is aborted, since nothing can be fetched twice."""
    scanner, client = playing("half-image=2")
    created = client.create()

    assert image_of(client.retrieve(created)) == paper[0]
    with pytest.raises(BROKEN):
        client.retrieve(created)
    until(lambda: scanner.jobs[0].has_ended)
    assert (scanner.jobs[0].state, scanner.jobs[0].reason) == ("Aborted", "ImageTransferError")
    assert client.create().fault == ""


def test_no_boundary_ends_the_response_in_order(playing: Begin, paper: list[bytes]) -> None:
    """Only the end boundary shows that the page is not whole."""
    _, client = playing("no-boundary")
    reply = client.retrieve(client.create())
    boundary = reply.type.partition('boundary="')[2].partition('"')[0].encode()

    assert reply.status == 200
    assert paper[0][: len(paper[0]) // 2] in reply.data
    assert b"--" + boundary + b"--" not in reply.data


def test_repeat_page_sends_the_one_before(playing: Begin, paper: list[bytes]) -> None:
    """The third page is itself again."""
    _, client = playing("repeat-page=2")
    created = client.create()

    assert [image_of(client.retrieve(created)) for _ in paper] == [paper[0], paper[0], paper[2]]


def test_foreign_image_is_the_page_of_another_job(playing: Begin, paper: list[bytes]) -> None:
    """It is whole, and none of the paper; the response is to another request."""
    scanner, client = playing("foreign-image=1")
    reply = client.retrieve(client.create())

    assert image_of(reply) == generated(8)[-1].data
    assert image_of(reply) not in paper
    (related,) = re.findall(rb"RelatesTo>([^<]+)<", reply.data)
    assert related not in scanner.bodies("RetrieveImage")[0]


def test_jam_stops_at_that_page(playing: Begin) -> None:
    """The pages before it are sent; the scanner is stopped until it is cleared, and does not jam again."""
    scanner, client = playing("jam=2")
    created = client.create()

    assert [client.retrieve(created).fault for _ in range(2)] == ["", "OperationFailed"]
    assert (scanner.jobs[0].state, scanner.jobs[0].whole, scanner.conditions) == ("Aborted", 1, ["MediaJam"])
    scanner.clear()
    again = client.create()
    assert [client.retrieve(again).fault for _ in range(2)] == ["", ""]


def test_wrong_token_refuses_a_good_one(playing: Begin) -> None:
    """So many times."""
    scanner, client = playing("wrong-token=2")
    token = client.subscribe(LABELS).tokens["ctx-1"]
    scanner.press("Invoices")
    event = client.next_event()
    faults = [client.create(press=event, token=token).fault for _ in range(3)]

    assert faults == ["ClientErrorInvalidDestinationToken"] * 2 + [""]


def test_not_accepting_calibrates_so_often(playing: Begin) -> None:
    """The status tells it in the meantime."""
    scanner, client = playing("not-accepting=2")
    faults = []
    for _ in range(3):
        faults.append(client.create().fault)
        faults.extend(scanner.conditions)

    assert faults == ["ServerErrorNotAcceptingJobs", "Calibrating"] * 2 + [""]


def test_temporary_error_passes(playing: Begin) -> None:
    """Once by default."""
    _, client = playing("temporary-error")

    assert [client.create().fault for _ in range(2)] == ["ServerErrorTemporaryError", ""]


def test_no_renew_refuses_each(playing: Begin) -> None:
    """The subscription lives until its time is over."""
    scanner, client = playing("no-renew")
    grant = client.subscribe(LABELS)

    assert [client.manage(grant, "Renew").fault for _ in range(2)] == ["UnableToRenew"] * 2
    assert scanner.destinations == ["Invoices"]


@pytest.mark.parametrize(("play", "tokens"), [("=Archive", {"ctx-1"}), ("=", set()), ("", set())])
def test_no_token_for_destination_leaves_it_out(playing: Begin, play: str, tokens: set[str]) -> None:
    """One label, or all."""
    _, client = playing(f"no-token-for-destination{play}")

    assert client.subscribe({**LABELS, "ctx-2": "Archive"}).tokens.keys() == tokens


def test_dead_event_is_a_press_without_event(playing: Begin) -> None:
    """It is not answered then."""
    scanner, client = playing("dead-event", press_seconds=0.2)
    client.subscribe(LABELS)

    assert scanner.press("Invoices").wait(PATIENCE) == "NotAnswered"
    assert client.events.empty()


def test_early_event_comes_before_the_tokens(playing: Begin) -> None:
    """The event is answered before Subscribe is; its token is in that answer then."""
    scanner, client = playing("early-event")
    heard: list[int] = []
    client.on_event = lambda: heard.append(len(client.replies))
    grant = client.subscribe(LABELS)
    event = client.next_event()

    assert heard == [0]
    assert client.create(press=event, token=grant.tokens["ctx-1"]).fault == ""
    assert len(scanner.jobs) == 1


def test_double_event_is_one_press_twice(playing: Begin) -> None:
    """The same identifier in two messages."""
    scanner, client = playing("double-event")
    client.subscribe(LABELS)
    scanner.press("Invoices")
    path = "w:ScanAvailableEvent/w:ScanIdentifier"

    assert len({client.next_event().text(path) for _ in range(2)}) == 1


def test_deny_cancel_goes_on(playing: Begin, paper: list[bytes]) -> None:
    """The job is not touched."""
    _, client = playing("deny-cancel")
    created = client.create()

    assert client.cancel(created).fault == "OperationFailed"
    assert image_of(client.retrieve(created)) == paper[0]


def test_fault_200_is_a_fault_with_that_status(playing: Begin) -> None:
    """Others are 200 anyway."""
    _, client = playing("fault-200")
    reply = client.scan("CancelJob", "<w:JobId>7</w:JobId>")

    assert (reply.status, reply.fault) == (200, "ClientErrorJobIdNotFound")


@pytest.mark.parametrize(
    ("play", "beginning"), [("html", b"<!DOCTYPE html>"), ("dtd", b"<?xml"), ("deep", b"<e:Envelope")]
)
def test_what_is_no_answer_comes_instead_of_one(playing: Begin, play: str, beginning: bytes) -> None:
    """To one operation only, and it has no effect."""
    scanner, client = playing(f"{play}=CreateScanJob")

    assert client.create().data.startswith(beginning)
    assert scanner.jobs == []
    assert client.scan("GetActiveJobs").status == 200


def test_endless_ends_with_the_client(playing: Begin) -> None:
    """As many bytes as the client reads."""
    scanner, _ = playing("endless=GetActiveJobs")
    connection = http.client.HTTPConnection("127.0.0.1", int(scanner.url.split(":")[2].split("/")[0]), timeout=10)
    body = b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" xmlns:a='
    body += b'"http://schemas.xmlsoap.org/ws/2004/08/addressing"><e:Header><a:Action>x/GetActiveJobs</a:Action>'
    connection.request("POST", "/wsd/scan", body + b"</e:Header><e:Body/></e:Envelope>")
    response = connection.getresponse()

    assert len(response.read(1_000_000)) == 1_000_000
    connection.close()


def test_foreign_service_is_in_the_metadata(playing: Begin) -> None:
    """The host of it is another."""
    scanner, client = playing("foreign-service")
    get = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
    reply = client.call(get, "", url=scanner.url, to=scanner.uuid)

    assert b"http://198.51.100.1:5358/wsd/scan" in reply.data
    assert scanner.service_url.encode() not in reply.data


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_each_row_is_played_by_a_test(name: str) -> None:
    """A test of this file gives it to `playing`, by itself or as a parameter."""
    assert re.search(rf'\(f?"{name}\b(?!-)', Path(__file__).read_text("utf-8"))


@pytest.mark.parametrize(
    "given", ["walk", "late=x", "late=-1", "jam=0", "jam=1.5", "slow=0", "wrong-token=nan", "half-image=1e5"]
)
def test_a_wrong_name_or_value_is_refused(given: str) -> None:
    """With what was expected."""
    with pytest.raises(InvalidArgument, match="--misbehave"):
        WsdMisbehaviours([given])
