"""Events and presses: which ones count, and that each press is one job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import device_events
import panel_inlets
import pytest
from panel_inlets import PanelInlet, counted
from source_server import SourceServer
from works import until

from postscan.cli.device.wsscan.scanner import WsdScanner
from postscan.core.filters.source.messages import InletBusy, OpenRequest, Reply, Request
from postscan.soap.wsscan.devices.press_queue import MOST
from postscan.soap.wsscan.subscriptions.record import StoredPress, StoredSubscription
from postscan.soap.wsscan.subscriptions.store import RecordStore


def subscription(inlet: PanelInlet) -> StoredSubscription:
    """Return the stored subscription for presses."""
    found = inlet.records[0].scans
    assert found is not None
    return found


def send(inlet: PanelInlet, scan: str, *, context: str = "", identifier: str = "", source: str = "") -> int:
    """Send a press as the scanner would, unless it is said otherwise; return the status."""
    stored = subscription(inlet)
    data = device_events.press(
        context or stored.destinations[0].context, scan, identifier or stored.identifier, "Platen"
    )
    return device_events.post(stored.notify_to, data, source=source)[0]


@pytest.mark.conformance("WSS-006", "WSS-070")
def test_a_press_is_a_job_of_its_destination(tmp_path: Path) -> None:
    """The job has the proof, the scanner's UUID and address, and the destination."""
    labels = ("Invoices", "Letters")
    with WsdScanner(count=3) as scanner, panel_inlets.running(tmp_path, scanner, destinations=labels) as inlet:
        inlet.wait_ready()
        press = scanner.press("Letters")
        (job,) = inlet.server.wait_for_jobs(1)
        until(lambda: press.ended.is_set())

    assert job.request.destination == "d2"
    assert job.request.proof == "device"
    assert job.request.subject == f"{scanner.uuid} at 127.0.0.1"
    assert job.request.key.startswith(f"{scanner.uuid}/{press.scan_identifier}")
    assert len(job.pages) == 3


@pytest.mark.conformance("WSS-025")
def test_an_event_is_answered_before_the_scanner_is_called(tmp_path: Path) -> None:
    """The simulated scanner takes no request while it waits for the answer to its event."""
    with WsdScanner() as scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        inlet.server.on_request = _held(threading.Event(), seconds=1.5)
        began = time.monotonic()

        assert send(inlet, "unknown to the scanner") == 202
        assert time.monotonic() - began < 1.0
        assert counted(scanner, "CreateScanJob") == 0


@pytest.mark.conformance("WSS-026")
def test_events_that_are_not_of_the_subscription_start_nothing(tmp_path: Path) -> None:
    """A foreign identifier, a foreign context, a foreign address: no job, and no request to the scanner."""
    with WsdScanner() as scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        before = len(scanner.requests)

        assert send(inlet, "1", identifier="urn:uuid:11111111-2222-4333-8444-555555555555") == 202
        assert send(inlet, "2", context="Invoices") == 202
        assert send(inlet, "3", source="127.0.0.2") == 404
        until(lambda: inlet.logged("press ignored: its destination is not one of the subscription"))

        assert len(inlet.logged("event ignored: its identifier is not the one of its subscription")) == 1
        assert inlet.server.jobs == []
        assert len(scanner.requests) == before


@pytest.mark.conformance("WSS-027")
def test_an_event_that_comes_twice_is_one_press(tmp_path: Path) -> None:
    """One job, and one job of the scanner."""
    scanner = WsdScanner(misbehaviours=["double-event"])
    with scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        scanner.press("Invoices")
        inlet.server.wait_for_jobs(1)
        until(lambda: inlet.logged("press ignored: it was reported before"))

        assert len(inlet.server.jobs) == 1
        assert len(scanner.jobs) == 1


@pytest.mark.conformance("WSS-027")
def test_a_press_is_remembered_across_a_restart(tmp_path: Path) -> None:
    """The subscription is taken up again, and the event comes again."""

    def scan(server: SourceServer) -> None:
        press = scanner.press("Invoices")
        server.wait_for_jobs(1)
        pressed.append(press.scan_identifier)

    pressed: list[str] = []
    with WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, scanner, meanwhile=scan)
        with panel_inlets.running(tmp_path, scanner) as inlet:
            until(lambda: counted(scanner, "Renew") == 1)

            assert send(inlet, pressed[0]) == 202
            until(lambda: inlet.logged("press ignored: it was reported before"))
            assert inlet.server.jobs == []


def test_a_press_before_the_answer_to_subscribe_is_brought(tmp_path: Path) -> None:
    """Its token comes with the answer."""
    scanner = WsdScanner(misbehaviours=["early-event"])
    with scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.server.wait_for_jobs(1)

        assert len(scanner.jobs) == 1
        assert counted(scanner, "Subscribe") == 1


@pytest.mark.conformance("WSS-028")
def test_without_room_nothing_is_started(tmp_path: Path) -> None:
    """The health says so, until a press went well."""
    with WsdScanner() as scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        inlet.server.on_request = _busy
        scanner.press("Invoices")
        inlet.wait_state("degraded", "no room")

        assert counted(scanner, "CreateScanJob") == 0
        inlet.server.on_request = lambda _request: None
        scanner.reboot(keep_subscriptions=True)
        scanner.press("Invoices")
        inlet.server.wait_for_jobs(1)
        inlet.wait_state("ready")


@pytest.mark.conformance("WSS-029")
def test_presses_at_two_scanners_run_side_by_side(tmp_path: Path) -> None:
    """One of them waits for its first image."""
    slow = WsdScanner(misbehaviours=["late=8"])
    with (
        slow,
        WsdScanner() as quick,
        panel_inlets.running(tmp_path / "a", slow) as first,
        panel_inlets.running(tmp_path / "b", quick) as second,
    ):
        first.wait_ready()
        second.wait_ready()
        slow.press("Invoices")
        until(lambda: counted(slow, "RetrieveImage") == 1)
        quick.press("Invoices")
        second.server.wait_for_jobs(1, seconds=5)

        assert not first.server.in_state("Pending")
        slow.cancel()
        first.server.wait_for(lambda: not first.server.in_state("Creating"))


def test_presses_at_one_scanner_wait_for_one_another(tmp_path: Path) -> None:
    """As many as the queue has room for; the next one is refused."""
    go = threading.Event()
    with WsdScanner() as scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        inlet.server.on_request = _held(go)
        assert send(inlet, "first") == 202
        inlet.server.wait_for(lambda: any(isinstance(one, OpenRequest) for one in inlet.server.requests))
        answers = [send(inlet, f"press {number}") for number in range(MOST + 1)]

        assert answers == [202] * MOST + [503]
        assert "as many wait as may" in inlet.wait_state("degraded")
        go.set()


@pytest.mark.conformance("WSS-027")
def test_a_press_whose_job_was_being_opened_when_the_process_was_killed_is_brought(tmp_path: Path) -> None:
    """The scanner was not asked for anything yet."""

    def wait(server: SourceServer) -> None:
        server.on_request = _held(threading.Event())
        scanner.press("Invoices")
        server.wait_for(lambda: any(isinstance(one, OpenRequest) for one in server.requests))

    with WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, scanner, meanwhile=wait)
        with panel_inlets.running(tmp_path, scanner) as inlet:
            inlet.server.wait_for_jobs(1)

            assert len(inlet.server.jobs) == 1
            assert len(scanner.jobs) == 1


@pytest.mark.conformance("WSS-027")
def test_a_press_whose_scan_had_begun_when_the_process_was_killed_is_not_begun_again(tmp_path: Path) -> None:
    """Its job has failed with the process, and the person at the panel scans again."""

    def wait(server: SourceServer) -> None:
        scanner.press("Invoices")
        until(lambda: counted(scanner, "RetrieveImage") == 1)

    with WsdScanner(misbehaviours=["late=3"]) as scanner:
        panel_inlets.killed(tmp_path, scanner, meanwhile=wait)
        with panel_inlets.running(tmp_path, scanner) as inlet:
            until(lambda: counted(scanner, "Renew") == 1)
            inlet.wait_state("ready")

            assert inlet.server.jobs == []
            assert counted(scanner, "CreateScanJob") == 1


def test_a_press_that_waited_too_long_is_dropped(tmp_path: Path) -> None:
    """Its scanner has given up: it would answer that it does not know the press."""

    def wait(server: SourceServer) -> None:
        store = RecordStore(tmp_path / "inlet-folder")
        (record,) = store.load()
        assert record.scans is not None
        old = StoredPress(scan_identifier="old", path=record.scans.path, destination="d1", at=time.time() - 100)
        store.save(record.with_press(old))

    with WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, scanner, meanwhile=wait)
        with panel_inlets.running(tmp_path, scanner) as inlet:
            assert "waited too long" in inlet.wait_state("degraded", "a press was dropped")

            assert inlet.server.jobs == []


def test_a_scan_is_fetched_for_an_administrator(tmp_path: Path) -> None:
    """Without a press, for the destination that is named, or the first one."""
    labels = ("Invoices", "Letters")
    with WsdScanner(count=2) as scanner, panel_inlets.running(tmp_path, scanner, destinations=labels) as inlet:
        inlet.wait_ready()
        inlet.server.pull("d2")
        (job,) = inlet.server.wait_for_jobs(1)
        inlet.server.pull()
        (_, other) = inlet.server.wait_for_jobs(2)

    assert (job.request.destination, other.request.destination) == ("d2", "d1")
    assert len(job.pages) == 2


def test_a_scanner_that_scans_from_its_panel_alone_refuses_an_administrator(tmp_path: Path) -> None:
    """The log says what to do (Kyocera)."""
    scanner = WsdScanner(quirks=["kyocera-panel-only"])
    with scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        inlet.server.pull("d1")
        until(lambda: inlet.logged("scan not fetched"))

        assert "panel" in inlet.logged("scan not fetched")[0]["reason"]


def _busy(request: Request) -> Reply | None:
    return InletBusy(id=request.id, seconds=5.0) if isinstance(request, OpenRequest) else None


def _held(go: threading.Event, seconds: float = 60.0) -> Callable[[Request], Reply | None]:
    """Return an `on_request` that holds each job until *go*."""

    def wait(request: Request) -> Reply | None:
        if isinstance(request, OpenRequest):
            go.wait(seconds)
        return None

    return wait


@pytest.mark.conformance("WSS-062")
def test_a_cancel_at_the_panel_reaches_the_job_by_its_event(tmp_path: Path) -> None:
    """The events of jobs have a subscription of their own; the image itself would come much later."""
    scanner = WsdScanner(misbehaviours=["late=40"])
    with scanner, panel_inlets.running(tmp_path, scanner, job_events=True) as inlet:
        inlet.wait_ready()
        until(lambda: len(scanner.subscriptions) == 2)
        scanner.press("Invoices")
        until(lambda: counted(scanner, "RetrieveImage") == 1)
        began = time.monotonic()
        assert scanner.cancel()
        inlet.server.wait_for_jobs(1, "Canceled")

        assert time.monotonic() - began < 5.0
        assert inlet.server.jobs[0].pages == []
