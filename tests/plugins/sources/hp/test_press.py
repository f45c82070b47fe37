"""A press at the panel becomes a job: ESCL-053 to ESCL-055, and ESCL-057."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from escl_device import UUID, status
from hp_device import HpDevice
from hp_inlet import StartHp
from source_server import SourceServer
from works import until

from postscan.core.filters.source.messages import InletBusy, OpenRequest, Reply, Request
from postscan.core.model.states import JobState
from postscan.plugins import ScanTicket
from postscan.plugins.sources.hp import HpWalkup
from postscan.plugins.testing import run_source


@pytest.fixture
def older(pages: list[bytes]) -> Iterator[HpDevice]:
    """A device of the older interface."""
    with HpDevice(pages[:1], kind="WalkupScan") as device:
        yield device


def opened(server: SourceServer) -> list[str]:
    """Return the AgingStamps in the keys of the jobs that were asked for."""
    return [one.key.split("/")[1] for one in server.requests if isinstance(one, OpenRequest)]


def test_a_press_becomes_a_job_of_the_destination_that_was_chosen(
    device: HpDevice, start: StartHp, pages: list[bytes]
) -> None:
    """Equal to the byte. Its key has the device, the AgingStamp and the registration; the device is who is proven."""
    server = start("Invoices", "Letters")
    stamp = device.scan("Letters")
    (job,) = server.wait_for_jobs(1)

    assert job.pages == pages[:1]
    assert job.request.destination == "d2"
    assert job.request.key == f"{UUID}/{stamp}/{device.pressed.rpartition('/')[2]}"
    assert (job.request.proof, job.request.subject) == ("device", f"{UUID} at 127.0.0.1")


def test_a_press_of_the_older_interface_becomes_a_job(older: HpDevice, start: StartHp, pages: list[bytes]) -> None:
    """It has no states: the event is the press."""
    server = start(of=older)
    older.press("Invoices")
    (job,) = server.wait_for_jobs(1)

    assert job.pages == pages[:1]
    assert not older.asked("WalkupScanToCompEvent")


@pytest.mark.conformance("ESCL-053")
def test_what_was_in_the_table_before_is_no_press(device: HpDevice, start: StartHp) -> None:
    """It was for a process that is gone: the person has gone as well."""
    device.registered["/WalkupScanToComp/WalkupScanToCompDestinations/1"] = ("Invoices", "scan7")
    device.pressed = "/WalkupScanToComp/WalkupScanToCompDestinations/1"
    device.ask("ScanRequested")
    server = start()
    new = device.scan("Invoices")
    server.wait_for_jobs(1)

    assert opened(server) == [new]


@pytest.mark.conformance("ESCL-053")
def test_each_press_is_one_job_however_often_the_table_shows_it(device: HpDevice, start: StartHp) -> None:
    """Other events give the table a new ETag, and old presses stay in it."""
    server = start("Invoices", "Letters")
    first = device.scan("Invoices")
    server.wait_for_jobs(1)
    until(lambda: device.waiting)
    for _ in range(3):
        before = len(device.asked("EventTable?timeout=50"))
        device.note("AlertTableChanged")
        until(lambda: len(device.asked("EventTable?timeout=50")) > before and device.waiting)  # noqa: B023
    second = device.scan("Letters")
    server.wait_for_jobs(2)

    assert opened(server) == [first, second]


def test_a_press_for_another_computer_is_no_job(device: HpDevice, start: StartHp) -> None:
    """Its events are in the same table."""
    device.registered["/WalkupScanToComp/WalkupScanToCompDestinations/other"] = ("Desk", "desk")
    server = start()
    device.press("Desk")
    until(lambda: device.waiting and len(device.asked("EventTable?timeout=50")) > 1)
    ours = device.scan("Invoices")
    server.wait_for_jobs(1)

    assert opened(server) == [ours]


@pytest.mark.conformance("ESCL-054")
def test_no_scan_begins_before_the_person_starts_it(device: HpDevice, start: StartHp) -> None:
    """A name that was chosen is not a scan yet."""
    server = start()
    stamp = device.press("Invoices", "HostSelected")
    until(lambda: len(device.asked("WalkupScanToCompEvent")) > 1)
    before = (len(device.asked("POST")), opened(server))
    device.ask("ScanRequested")
    until(lambda: device.jobs)
    device.ask("ScanPagesComplete")
    server.wait_for_jobs(1)

    assert before == (1, [])  # the registration
    assert opened(server) == [stamp]


@pytest.mark.conformance("ESCL-054")
def test_a_person_who_goes_away_gets_no_scan(device: HpDevice, start: StartHp) -> None:
    """After UserActionTimeout; the next press is served."""
    device.action_seconds = 1.0
    server = start()
    device.press("Invoices", "HostSelected")
    until(lambda: len(device.asked("WalkupScanToCompEvent")) > 1)
    until(lambda: device.waiting)
    stamp = device.scan("Invoices")
    server.wait_for_jobs(1)

    assert opened(server) == [stamp]


@pytest.mark.conformance("ESCL-055")
def test_the_sheets_of_one_press_are_one_job(device: HpDevice, start: StartHp, pages: list[bytes]) -> None:
    """One scan of the device for each sheet, asked for by the person, until they have finished."""
    server = start()
    device.press("Invoices")
    for number, page in enumerate(pages[1:], start=1):
        until(lambda: len(server.jobs) == 1 and len(server.jobs[0].pages) == number)  # noqa: B023
        device.pages = [page]
        device.ask("ScanNewPageRequested")
    until(lambda: len(server.jobs[0].pages) == len(pages))
    device.ask("ScanPagesComplete")
    (job,) = server.wait_for_jobs(1)

    assert job.pages == pages
    assert len(device.jobs) == len(pages)
    until(lambda: all(one.deleted for one in device.jobs))


@pytest.mark.conformance("ESCL-055")
def test_a_sheet_is_scanned_once_for_each_time_that_it_is_asked_for(
    device: HpDevice, start: StartHp, pages: list[bytes]
) -> None:
    """The state that asks for a further sheet stays when that was scanned."""
    server = start()
    device.press("Invoices")
    until(lambda: len(server.jobs) == 1 and len(server.jobs[0].pages) == 1)
    device.ask("ScanNewPageRequested")
    until(lambda: len(server.jobs[0].pages) == 2)
    looks = len(device.asked("WalkupScanToCompEvent"))
    until(lambda: len(device.asked("WalkupScanToCompEvent")) >= looks + 2)
    device.ask("ScanPagesComplete")
    (job,) = server.wait_for_jobs(1)

    assert job.pages == [pages[0]] * 2


@pytest.mark.conformance("ESCL-055")
def test_a_person_who_does_not_say_that_they_have_finished_gets_their_pages(
    device: HpDevice, start: StartHp, pages: list[bytes]
) -> None:
    """UserActionTimeout is the longest pause."""
    device.action_seconds = 1.0
    server = start()
    device.press("Invoices")
    (job,) = server.wait_for_jobs(1)

    assert job.pages == pages[:1]


def test_a_device_that_takes_one_sheet_is_not_asked_for_more(device: HpDevice, start: StartHp) -> None:
    """It says so in its capabilities."""
    device.several_sheets = False
    server = start()
    device.press("Invoices")
    server.wait_for_jobs(1)

    assert len(device.asked("WalkupScanToCompEvent")) == 1


def test_a_device_that_goes_away_between_sheets_leaves_no_half(device: HpDevice, start: StartHp) -> None:
    """The person may have laid further sheets: the job fails."""
    device.action_seconds = 1.0
    server = start()
    device.press("Invoices")
    until(lambda: len(server.jobs) == 1 and server.jobs[0].pages)
    device.on("WalkupScanToCompEvent", lambda exchange: exchange.cut(), always=True)
    server.wait_for(lambda: any(one.message == "scan not fetched" for one in server.log))

    assert server.jobs[0].state is JobState.ABORTED
    assert "broke off its answer" in server.log[-1].fields["reason"]


def test_a_job_that_is_cancelled_between_sheets_takes_no_further_one(device: HpDevice, start: StartHp) -> None:
    """The next press is a new job."""
    server = start()
    device.press("Invoices")
    until(lambda: len(server.jobs) == 1 and server.jobs[0].pages)
    server.cancel(server.jobs[0])
    until(lambda: device.waiting)
    device.ask("ScanPagesComplete")
    device.scan("Invoices")
    server.wait_for_jobs(1)

    assert [one.state for one in server.jobs] == [JobState.CANCELED, JobState.PENDING]
    assert len(device.jobs) == 2


def test_without_room_at_the_server_no_scan_begins_and_it_is_tried_again(device: HpDevice, start: StartHp) -> None:
    """The person waits at the panel meanwhile."""
    server = start()
    busy = [InletBusy(id=0, seconds=0.1)]
    seen: list[int] = []

    def first_busy(request: Request) -> Reply | None:
        if isinstance(request, OpenRequest) and busy:
            seen.append(len(device.jobs))
            return busy.pop().model_copy(update={"id": request.id})
        return None

    server.on_request = first_busy
    device.press("Invoices")
    until(lambda: device.jobs)
    device.ask("ScanPagesComplete")
    server.wait_for_jobs(1)

    assert seen == [0]
    assert len(set(opened(server))) == 1


def test_a_person_who_gives_up_while_the_server_has_no_room_gets_no_scan(device: HpDevice, start: StartHp) -> None:
    """What lies on the platen then may be of someone else."""
    server = start()

    def always_busy(request: Request) -> Reply | None:
        if isinstance(request, OpenRequest):
            device.ask("ScanPagesComplete")
            return InletBusy(id=request.id, seconds=0.1)
        return None

    server.on_request = always_busy
    device.press("Invoices")
    server.wait_for(lambda: any(one.message == "scan not fetched" for one in server.log))

    assert len(opened(server)) == 1
    assert device.jobs == []


def test_what_was_chosen_at_the_panel_is_the_format_unless_the_ticket_has_one(device: HpDevice, start: StartHp) -> None:
    """SavePDF is a PDF."""
    device.shortcut = "SaveJPEG"
    server = start()
    device.scan("Invoices")
    server.wait_for_jobs(1)
    device.shortcut = "SavePDF"
    device.scan("Invoices")
    server.wait_for_jobs(2)

    assert b">image/jpeg<" in device.jobs[0].settings
    assert b">application/pdf<" in device.jobs[1].settings


def test_both_sides_that_were_chosen_at_the_panel_are_scanned(
    device: HpDevice, start: StartHp, pages: list[bytes]
) -> None:
    """If paper is in the feeder."""
    device.plex = "Duplex"
    device.load(*pages)
    server = start()
    device.press("Invoices")
    (job,) = server.wait_for_jobs(1)

    assert job.pages == pages
    assert b"<scan:Duplex>true</scan:Duplex>" in device.jobs[0].settings


def test_the_older_interface_waits_for_what_the_person_chooses(older: HpDevice, start: StartHp) -> None:
    """Its event comes when the name was chosen."""
    older.shortcut = ""
    server = start(of=older)
    older.press("Invoices")
    path = older.pressed
    until(lambda: len(older.asked(path)) > 1)
    before = len(older.jobs)
    older.shortcut = "SaveDocument1"
    server.wait_for_jobs(1)

    assert before == 0


@pytest.mark.conformance("ESCL-057")
def test_at_most_one_request_waits_at_a_device(device: HpDevice, start: StartHp) -> None:
    """Through presses, scans and further sheets."""
    server = start("Invoices", "Letters")
    for number, name in enumerate(("Invoices", "Letters", "Invoices"), start=1):
        device.scan(name)
        server.wait_for_jobs(number)

    assert device.most_waiting == 1


def test_a_press_that_the_device_does_not_carry_out_is_in_the_log(device: HpDevice, start: StartHp) -> None:
    """With its destination and the reason; the source goes on."""
    server = start()
    until(lambda: device.waiting)
    device.on("ScanJobs", status(409))
    device.press("Invoices")
    server.wait_for(lambda: any(one.message == "scan not fetched" for one in server.log))
    device.scan("Invoices")
    server.wait_for_jobs(1)

    line = next(one for one in server.log if one.message == "scan not fetched")
    assert line.fields["destination"] == "Invoices"
    assert "409" in line.fields["reason"]


def test_events_while_a_scan_runs_belong_to_it(device: HpDevice, start: StartHp) -> None:
    """A panel serves one person at a time."""
    server = start()
    go_on = threading.Event()

    def hold(request: Request) -> Reply | None:
        if isinstance(request, OpenRequest):
            assert go_on.wait(30)
        return None

    server.on_request = hold
    device.press("Invoices")
    server.wait_for(lambda: opened(server))
    device.ask("ScanRequested")
    go_on.set()
    until(lambda: device.jobs)
    device.ask("ScanPagesComplete")
    server.wait_for_jobs(1)
    until(lambda: device.waiting)

    assert len(opened(server)) == 1


def test_a_device_that_counts_its_events_from_the_beginning_again_has_new_presses(
    device: HpDevice, start: StartHp
) -> None:
    """As after it was set to its factory state: its next press is not the one of last week."""
    server = start(wait_seconds=0.5)
    first = device.scan("Invoices")
    server.wait_for_jobs(1)
    with device.lock:
        device.starts = 0
        device.reboot()
    second = device.scan("Invoices")
    server.wait_for_jobs(2)

    assert first == second


def test_the_ticket_of_the_destination_is_asked_for(device: HpDevice) -> None:
    """At a real server: colour and resolution of its scan process."""
    ticket = ScanTicket(formats=("jfif",), color="Grayscale8", x_resolution=150, y_resolution=150)
    settings = {"device": device.url, "hostname": "scan7"}
    with run_source(HpWalkup(), settings=settings, destinations={"Letters": ScanTicket(), "Invoices": ticket}) as run:
        device.scan("Invoices")
        (job,) = run.wait_for_jobs(1)

    assert job.owner == f"source:under-test:{UUID} at 127.0.0.1"
    assert b">Grayscale8<" in device.jobs[0].settings
    assert b">150<" in device.jobs[0].settings


@pytest.mark.parametrize(("listed", "expected"), [("127.0.0.0/8", "stored"), (UUID, "stored"), ("10.0.0.9", "refused")])
def test_devices_of_the_inlet_are_listed_by_address_or_uuid(device: HpDevice, listed: str, expected: str) -> None:
    """At a real server; without room in the list no scan begins."""
    settings = {"device": device.url, "hostname": "scan7"}
    with run_source(HpWalkup(), settings=settings, destinations=("Invoices",), devices=(listed,)) as run:
        if expected == "stored":
            device.scan("Invoices")
            run.wait_for_jobs(1)
        else:
            device.press("Invoices")
            run.wait_for(lambda: device.asked("WalkupScanToCompEvent") and device.waiting)

    assert len(device.jobs) == (expected == "stored")
