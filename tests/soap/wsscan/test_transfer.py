"""A press becomes one job with all pages, or none; against a scripted device at the end of real sockets."""

from __future__ import annotations

import threading

import image_files
import pytest
from scanner_presses import UUID, presses
from scripted_scanner import (
    ScannerRequest,
    ScriptedScanner,
    created,
    image,
)
from works import until

from postscan.plugins import ScanTicket

ONE = image_files.baseline()
TWO = image_files.progressive()
PLATEN = "<w:InputSource>Platen</w:InputSource>"


@pytest.mark.conformance("WSS-035", "WSS-045", "WSS-050", "WSS-070")
def test_a_press_becomes_a_job_with_every_page_of_the_feeder() -> None:
    """The pages are equal to the byte, the end is the fault of an empty feeder, and the device is the owner."""
    with ScriptedScanner([ONE, TWO, ONE]) as scanner, presses(scanner.service) as panel:
        panel.press()
        (job,) = panel.run.wait_for_jobs(1)
        outcome = panel.outcome()
        origin = panel.origin()

    assert (origin.proof, origin.subject, origin.destination) == ("device", f"{UUID} at 127.0.0.1", "d1")
    assert job.pages == [ONE, TWO, ONE]
    assert job.owner == f"source:under-test:{UUID} at 127.0.0.1"
    assert (outcome.kind, outcome.pages, outcome.job) == ("stored", 3, job.id)
    assert scanner.operations == ["GetScannerElements", "CreateScanJob", *["RetrieveImage"] * 4]


@pytest.mark.conformance("WSS-036")
def test_the_request_has_the_press_and_all_of_the_description() -> None:
    """In the order of the schema."""
    ticket = ScanTicket(formats=("jfif",), color="RGB24", x_resolution=300, content_type="Text", width=100, height=200)
    with ScriptedScanner([ONE]) as scanner, presses(scanner.service, ticket=ticket) as panel:
        panel.press(identifier="press <1>", token="a & b")
        panel.outcome()
        (request,) = scanner.asked("CreateScanJob")

    assert request.names("CreateScanJobRequest") == ["ScanIdentifier", "DestinationToken", "ScanTicket"]
    assert request.text("ScanIdentifier") == "press <1>"
    assert request.text("DestinationToken") == "a & b"
    assert request.names("JobDescription") == ["JobName", "JobOriginatingUserName", "JobInformation"]
    assert [request.text("JobDescription", name) for name in request.names("JobDescription")] == [
        "Scans",
        "postscan",
        "postscan",
    ]
    assert request.names("DocumentParameters") == [
        "Format",
        "ImagesToTransfer",
        "InputSource",
        "ContentType",
        "MediaSides",
    ]
    assert request.names("MediaFront") == ["ScanRegion", "ColorProcessing", "Resolution"]


def test_a_pull_has_neither_identifier_nor_token() -> None:
    """The scan is ours, and each pull is a job of its own."""
    with ScriptedScanner([ONE, ONE], RetrieveImage=lambda request: image(ONE, request)) as scanner:
        scanner.replies["CreateScanJob"] = created(parameters=PLATEN)
        with presses(scanner.service) as panel:
            panel.pull()
            panel.outcome(1)
            panel.pull()
            panel.outcome(2)
            jobs = panel.run.wait_for_jobs(2)

    assert scanner.asked("CreateScanJob")[0].names("CreateScanJobRequest") == ["ScanTicket"]
    assert len(jobs) == 2


@pytest.mark.conformance("WSS-027")
def test_a_repeated_press_is_one_job() -> None:
    """The second finds its key taken, and asks the device for nothing."""
    with ScriptedScanner([ONE, TWO]) as scanner, presses(scanner.service) as panel:
        panel.press(identifier="same")
        first = panel.outcome(1)
        panel.press(identifier="same")
        second = panel.outcome(2)
        jobs = panel.run.jobs

    assert (first.kind, second.kind, second.job) == ("stored", "taken", first.job)
    assert len(jobs) == 1
    assert len(scanner.asked("CreateScanJob")) == 1


def test_an_identifier_of_another_subscription_is_another_press() -> None:
    """A device that was switched off may count its presses from 1 again."""
    with ScriptedScanner(RetrieveImage=lambda request: image(ONE, request)) as scanner:
        scanner.replies["CreateScanJob"] = created(parameters=PLATEN)
        with presses(scanner.service) as panel:
            panel.press(identifier="1", token="before")
            panel.outcome(1)
            panel.press(identifier="1", token="after")
            panel.outcome(2)

            assert len(panel.run.wait_for_jobs(2)) == 2


@pytest.mark.conformance("WSS-028", "WSS-035")
def test_without_room_no_scan_is_started() -> None:
    """The device is asked for nothing."""
    release = threading.Event()

    def slowly(request: ScannerRequest) -> bytes:
        release.wait(30)
        return image(ONE, request)

    with (
        ScriptedScanner(RetrieveImage=slowly, CreateScanJob=created(parameters=PLATEN)) as scanner,
        presses(scanner.service, open_jobs=1) as panel,
    ):
        panel.press()
        until(lambda: "RetrieveImage" in scanner.operations)
        before = len(scanner.requests)
        panel.press()
        busy = panel.outcome(1)
        asked = len(scanner.requests)
        release.set()
        stored = panel.outcome(2)

    assert (busy.kind, busy.job, asked) == ("busy", "", before)
    assert stored.kind == "stored"


@pytest.mark.parametrize("listed", [UUID, "127.0.0.0/8"])
def test_a_device_is_listed_by_uuid_or_address(listed: str) -> None:
    """Its subject has both."""
    with ScriptedScanner([ONE]) as scanner, presses(scanner.service, devices=(listed,)) as panel:
        panel.press()

        assert panel.outcome().kind == "stored"


def test_a_device_that_is_not_listed_gets_no_job() -> None:
    """And is asked for no scan."""
    with ScriptedScanner([ONE]) as scanner, presses(scanner.service, devices=("192.0.2.0/24",)) as panel:
        panel.press()
        outcome = panel.outcome()

    assert (outcome.kind, scanner.requests) == ("refused", [])
