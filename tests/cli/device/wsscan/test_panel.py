"""The panel of the simulated scanner: presses, the Stop button, paper that jams, an open cover."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Callable

import pytest
from works import until
from wsd_computer import HeardEvent, WsdComputer, WsdGrant, WsdReply, image_of

from postscan.cli.device.wsscan import WsdScanner
from postscan.cli.device.wsscan.panel import PanelError, PanelPress

Begin = Callable[..., tuple[WsdScanner, WsdComputer]]
LABELS = {"ctx-1": "Invoices", "ctx-2": "Archive"}
PATIENCE = 10.0


def pressed(
    scanner: WsdScanner, client: WsdComputer, label: str = "Archive"
) -> tuple[PanelPress, HeardEvent, WsdGrant]:
    """Subscribe and press; return the press, its event and the subscription."""
    grant = client.subscribe(LABELS)
    press = scanner.press(label)
    return press, client.next_event(), grant


def test_a_press_is_one_event_with_context_identifier_and_source(begin: Begin) -> None:
    """No token is in it."""
    scanner, client = begin(source="duplex")
    press, event, grant = pressed(scanner, client)
    body = "w:ScanAvailableEvent/w:"

    assert event.path == "/events"
    assert event.text(f"{body}ClientContext") == "ctx-2"
    assert event.text(f"{body}ScanIdentifier") == press.scan_identifier
    assert event.text(f"{body}InputSource") == "ADFDuplex"
    assert grant.tokens["ctx-2"] not in event.root.xpath("string()")


def test_from_the_press_to_the_pages(begin: Begin, paper: list[bytes]) -> None:
    """The press ends with its job, and each press has another identifier."""
    scanner, client = begin()
    press, event, grant = pressed(scanner, client)
    created = client.create(press=event, token=grant.tokens["ctx-2"])

    assert [image_of(client.retrieve(created)) for _ in paper] == paper
    assert press.state == "Scanning"
    assert client.retrieve(created).fault == "ClientErrorNoImagesAvailable"
    assert press.wait(PATIENCE) == "Completed"
    assert scanner.press("Archive").scan_identifier != press.scan_identifier


@pytest.mark.parametrize("token", ["", "wrong", "of the other destination"])
def test_a_press_needs_the_token_of_its_destination(begin: Begin, token: str) -> None:
    """Without it there is no job."""
    scanner, client = begin()
    _, event, grant = pressed(scanner, client)
    given = grant.tokens["ctx-1"] if token.startswith("of") else token

    assert client.create(press=event, token=given).fault == "ClientErrorInvalidDestinationToken"
    assert scanner.jobs == []


def test_a_press_is_one_job(begin: Begin) -> None:
    """Its identifier is used up, even if the job is cancelled."""
    scanner, client = begin()
    _, event, grant = pressed(scanner, client)
    client.cancel(client.create(press=event, token=grant.tokens["ctx-2"]))

    assert client.create(press=event, token=grant.tokens["ctx-2"]).fault == "ClientErrorInvalidScanIdentifier"
    assert len(scanner.jobs) == 1


def test_a_busy_scanner_takes_no_press(begin: Begin) -> None:
    """Neither while a press waits, nor while a job runs; nor one for a destination that is not there."""
    scanner, client = begin()
    _, event, grant = pressed(scanner, client)

    with pytest.raises(PanelError, match="busy"):
        scanner.press("Invoices")
    client.create(press=event, token=grant.tokens["ctx-2"])
    with pytest.raises(PanelError, match="busy"):
        scanner.press("Invoices")
    with pytest.raises(PanelError, match="no destination 'Nowhere'"):
        scanner.press("Nowhere")


def test_stop_before_the_job_ends_the_press(begin: Begin) -> None:
    """A job for it comes too late."""
    scanner, client = begin()
    press, event, grant = pressed(scanner, client)

    assert scanner.cancel()
    assert press.wait(PATIENCE) == "Canceled"
    assert client.create(press=event, token=grant.tokens["ctx-2"]).fault == "ClientErrorJobCancelled"


def test_stop_between_two_pages_cancels_the_job(begin: Begin) -> None:
    """The next RetrieveImage learns it."""
    scanner, client = begin()
    press, event, grant = pressed(scanner, client)
    created = client.create(press=event, token=grant.tokens["ctx-2"])
    client.retrieve(created)

    assert scanner.cancel()
    assert press.wait(PATIENCE) == "Canceled"
    assert client.retrieve(created).fault == "ClientErrorJobCancelled"
    assert scanner.jobs[0].reason == "JobCanceledAtDevice"


def test_stop_after_the_last_page_and_before_its_acknowledgement_cancels(begin: Begin) -> None:
    """With a feeder the request after the last page acknowledges it."""
    scanner, client = begin()
    press, event, grant = pressed(scanner, client)
    created = client.create(press=event, token=grant.tokens["ctx-2"])
    for _ in scanner.pages:
        client.retrieve(created)

    assert scanner.cancel()
    assert client.retrieve(created).fault == "ClientErrorJobCancelled"
    assert press.state == "Canceled"


def test_stop_after_the_end_is_told_so(begin: Begin) -> None:
    """The panel shows that the scan has ended."""
    lines: list[str] = []
    scanner, client = begin(log=lines.append)
    press, event, grant = pressed(scanner, client)
    created = client.create(press=event, token=grant.tokens["ctx-2"])
    while not client.retrieve(created).fault:
        pass

    assert not scanner.cancel()
    assert press.state == "Completed"
    assert lines[-1] == "the scan has ended"


def test_a_press_that_leads_to_nothing_ends(begin: Begin) -> None:
    """NotAnswered after its time; the identifier is void then."""
    scanner, client = begin(press_seconds=0.2)
    press, event, grant = pressed(scanner, client)

    assert press.wait(PATIENCE) == "NotAnswered"
    assert client.create(press=event, token=grant.tokens["ctx-2"]).fault == "ClientErrorInvalidScanIdentifier"


def test_a_press_that_cannot_be_told_ends_with_the_reason(begin: Begin) -> None:
    """A computer that refuses events is not reached."""
    scanner, client = begin()
    client.subscribe(LABELS)
    client.status = 404
    press = scanner.press("Invoices")

    assert press.wait(PATIENCE) == "NotDelivered"
    assert "HTTP 404" in press.why


@pytest.mark.parametrize(("stop", "mend", "reason"), [("jam", "clear", "MediaJam"), ("open", "close", "CoverOpen")])
def test_a_stopped_scanner_aborts_and_takes_no_job(begin: Begin, stop: str, mend: str, reason: str) -> None:
    """Events name the condition; when it is mended all is well."""
    scanner, client = begin()
    client.subscribe({}, events=("ScannerStatusConditionEvent", "ScannerStatusConditionClearedEvent"))
    press, event, grant = pressed(scanner, client)
    created = client.create(press=event, token=grant.tokens["ctx-2"])
    getattr(scanner, stop)()
    path = "w:ScannerStatusConditionEvent/w:DeviceCondition/w:Name"

    assert client.next_event("ScannerStatusConditionEvent").text(path) == reason
    assert press.wait(PATIENCE) == "Aborted"
    assert client.retrieve(created).fault == "OperationFailed"
    assert client.create().fault == "ServerErrorNotAcceptingJobs"
    status = client.elements("ScannerStatus")
    assert status.root.xpath("string(//*[local-name()='ScannerState'])") == "Stopped"
    assert status.root.xpath("string(//*[local-name()='ScannerStateReason'])") == reason
    assert getattr(scanner, mend)()
    assert client.next_event("ScannerStatusConditionClearedEvent")
    assert client.create().fault == ""


def test_a_restart_ends_the_press_and_the_job(begin: Begin) -> None:
    """The job is unknown afterwards."""
    scanner, client = begin()
    press, event, grant = pressed(scanner, client)
    created = client.create(press=event, token=grant.tokens["ctx-2"])
    scanner.reboot()

    assert press.wait(PATIENCE) == "Aborted"
    assert client.retrieve(created).fault == "ClientErrorJobIdNotFound"
    assert [job.state for job in scanner.jobs] == ["Aborted"]


def test_a_press_from_before_a_restart_gets_no_job(begin: Begin) -> None:
    """The panel has shown that it ended: its pages would come a second time when the person presses again."""
    scanner, client = begin()
    _, event, grant = pressed(scanner, client)
    scanner.reboot(keep_subscriptions=True)

    assert client.create(press=event, token=grant.tokens["ctx-2"]).fault == "ClientErrorInvalidScanIdentifier"
    assert scanner.jobs == []


def test_the_panel_shows_what_comes_and_goes(begin: Begin) -> None:
    """Destinations by number, the press, the pages, the end."""
    lines: list[str] = []
    scanner, client = begin(log=lines.append, source="platen")
    press, event, grant = pressed(scanner, client)
    client.retrieve(client.create(press=event, token=grant.tokens["ctx-2"], source="Platen"))
    press.wait(PATIENCE)
    client.manage(grant, "Unsubscribe")
    until(lambda: lines[-1] == "no destinations")

    assert lines[:2] == ["destinations: 1 Invoices, 2 Archive", "Archive: pressed"]
    assert lines[2] == "Archive: scanning, job 1"
    assert lines[-2] == "Archive: Completed (JobCompletedSuccessfully), 1 page sent"


def test_a_cancel_at_any_moment_is_either_in_time_or_told_to_be_late(begin: Begin, paper: list[bytes]) -> None:
    """In time, the client does not see the end of the pages; late, it has all of them, and the panel shows the end."""
    scanner, client = begin()
    grant = client.subscribe(LABELS)
    generator = random.Random(15)
    seen: set[bool] = set()
    while seen != {True, False} or len(scanner.jobs) < 40:
        press = scanner.press("Archive")
        created = client.create(press=client.next_event(), token=grant.tokens["ctx-2"])
        results: list[bool] = []
        timer = threading.Timer(generator.uniform(0, 0.03), lambda to=results: to.append(scanner.cancel()))
        timer.start()
        pages, fault = fetched(client, created)
        timer.join()
        seen.add(results[0])

        if results[0]:
            assert (fault, press.wait(PATIENCE)) == ("ClientErrorJobCancelled", "Canceled")
        else:
            assert (fault, press.wait(PATIENCE)) == ("ClientErrorNoImagesAvailable", "Completed")
            assert pages == paper


def fetched(client: WsdComputer, created: WsdReply) -> tuple[list[bytes], str]:
    """Fetch pages until a fault; a connection that breaks off counts as no page."""
    pages: list[bytes] = []
    while True:
        try:
            reply = client.retrieve(created)
        except (OSError, http.client.HTTPException):
            continue
        if reply.fault:
            return pages, reply.fault
        pages.append(image_of(reply))
