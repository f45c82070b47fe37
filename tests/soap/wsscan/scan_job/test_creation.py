"""The faults of CreateScanJob: what is asked again, and what ends the press."""

from __future__ import annotations

import image_files
import pytest
from scanner_presses import presses
from scripted_scanner import (
    ScriptedScanner,
    created,
    elements,
    fault,
    image,
)

from postscan.plugins import ScanTicket
from postscan.soap.wsscan.scan_job.creation import CANCELLED_THERE, NO_PAPER

ONE = image_files.baseline()
PLATEN = "<w:InputSource>Platen</w:InputSource>"


@pytest.mark.conformance("WSS-047")
@pytest.mark.parametrize("reason", ["LampWarming", "Calibrating"])
def test_a_device_that_warms_up_is_asked_again(reason: str) -> None:
    """Until it accepts the job."""
    status = elements(
        status="<w:ScannerState>Processing</w:ScannerState><w:ScannerStateReasons>"
        f"<w:ScannerStateReason>{reason}</w:ScannerStateReason></w:ScannerStateReasons>"
    )
    busy = fault("ServerErrorNotAcceptingJobs", status=500)
    with (
        ScriptedScanner([ONE], CreateScanJob=[busy, busy, created()], GetScannerElements=status) as scanner,
        presses(scanner.service) as panel,
    ):
        panel.press()

        assert panel.outcome().kind == "stored"
    assert len(scanner.asked("CreateScanJob")) == 3


@pytest.mark.conformance("WSS-047")
def test_a_device_that_goes_on_warming_up_is_given_up() -> None:
    """After 30 attempts; here 3."""
    status = elements(
        status="<w:ScannerState>Stopped</w:ScannerState><w:ScannerStateReasons>"
        "<w:ScannerStateReason>LampWarming</w:ScannerStateReason></w:ScannerStateReasons>"
    )
    busy = fault("ServerErrorNotAcceptingJobs")
    with (
        ScriptedScanner(CreateScanJob=busy, GetScannerElements=status) as scanner,
        presses(scanner.service, limits={"warm_ups": 3, "warm_up_pause": 0.01}) as panel,
    ):
        panel.press()
        outcome = panel.outcome()
        (job,) = panel.run.jobs

    assert len(scanner.asked("CreateScanJob")) == 4
    assert (outcome.kind, job.state) == ("failed", "Canceled")
    assert "LampWarming" in outcome.reason


@pytest.mark.conformance("WSS-035")
@pytest.mark.parametrize(
    ("subcode", "quirks", "reason"),
    [
        ("ServerErrorNotAcceptingJobs", (), "the scanner is Idle"),
        ("ServerErrorNotAcceptingJobs", ("empty-feeder-busy",), NO_PAPER),
        ("ClientErrorNoImagesAvailable", (), NO_PAPER),
        ("ClientErrorJobCancelled", (), CANCELLED_THERE),
        ("InvalidArgs", (), "InvalidArgs"),
        ("ServerErrorInternalError", (), "ServerErrorInternalError"),
    ],
)
def test_a_job_that_the_device_refuses_is_cancelled(subcode: str, quirks: tuple[str, ...], reason: str) -> None:
    """No page is there, and the reason is known."""
    idle = elements(status="<w:ScannerState>Idle</w:ScannerState>")
    with (
        ScriptedScanner(CreateScanJob=fault(subcode), GetScannerElements=idle) as scanner,
        presses(scanner.service, quirks=frozenset(quirks)) as panel,
    ):
        panel.press()
        outcome = panel.outcome()
        (job,) = panel.run.jobs

    assert (outcome.kind, job.state) == ("cancelled" if reason in (NO_PAPER, CANCELLED_THERE) else "failed", "Canceled")
    assert reason in outcome.reason
    assert "RetrieveImage" not in scanner.operations


def test_a_temporary_error_is_tried_again_a_few_times() -> None:
    """For the job and for each image."""
    temporary = fault("ServerErrorTemporaryError", status=500)
    with ScriptedScanner(CreateScanJob=[temporary, temporary, created(parameters=PLATEN)]) as scanner:
        scanner.replies["RetrieveImage"] = [temporary, lambda request: image(ONE, request)]
        with presses(scanner.service) as panel:
            panel.press()

            assert panel.outcome().kind == "stored"


@pytest.mark.conformance("WSS-017")
@pytest.mark.parametrize(
    "subcode",
    ["ClientErrorInvalidDestinationToken", "ClientErrorInvalidDetinationToken", "ClientErrorInvalidScanIdentifier"],
)
def test_a_stale_token_is_raised(subcode: str) -> None:
    """In each of its spellings; the job of the press is cancelled."""
    with ScriptedScanner(CreateScanJob=fault(subcode)) as scanner, presses(scanner.service) as panel:
        panel.press()
        panel.stale()
        (job,) = panel.run.jobs

    assert job.state == "Canceled"
    assert len(scanner.asked("CreateScanJob")) == 1


def test_the_next_format_follows_one_that_is_refused() -> None:
    """In the order of the destination."""
    ticket = ScanTicket(formats=("png", "jfif"))
    refused = fault("ClientErrorFormatNotSupported")
    with (
        ScriptedScanner([ONE], CreateScanJob=[refused, created()]) as scanner,
        presses(scanner.service, ticket=ticket) as panel,
    ):
        panel.press()
        outcome = panel.outcome()

    assert [request.text("Format") for request in scanner.asked("CreateScanJob")] == ["png", "jfif"]
    assert outcome.kind == "stored"
    assert [str(change) for change in outcome.changes] == ["format jfif instead of png: the device refused the other"]


def test_a_conflict_is_answered_with_the_least_ticket_once() -> None:
    """Format, number and source of the images stay."""
    ticket = ScanTicket(formats=("jfif",), color="RGB48", x_resolution=1200)
    conflict = fault("ClientErrorConflictingRequiredParameters")
    with (
        ScriptedScanner([ONE], CreateScanJob=[conflict, created()]) as scanner,
        presses(scanner.service, ticket=ticket) as panel,
    ):
        panel.press()
        outcome = panel.outcome()

    first, second = scanner.asked("CreateScanJob")
    assert first.names("DocumentParameters")[-1] == "MediaSides"
    assert second.names("DocumentParameters") == ["Format", "ImagesToTransfer", "InputSource"]
    assert outcome.kind == "stored"


def test_what_the_device_substitutes_is_returned() -> None:
    """As its DocumentFinalParameters state it."""
    ticket = ScanTicket(formats=("jfif",), color="RGB24", x_resolution=600)
    final = created(
        parameters="<w:Format>jfif</w:Format><w:MediaSides><w:MediaFront>"
        '<w:ColorProcessing w:Override="true">Grayscale8</w:ColorProcessing><w:Resolution><w:Width>300</w:Width>'
        "<w:Height>300</w:Height></w:Resolution></w:MediaFront></w:MediaSides>"
    )
    with ScriptedScanner([ONE], CreateScanJob=final) as scanner, presses(scanner.service, ticket=ticket) as panel:
        panel.press()
        changes = [str(change) for change in panel.outcome().changes]

    assert changes == [
        "colour Grayscale8 instead of RGB24: the device substituted it",
        "resolution 300 x 300 dpi instead of 600 x 600 dpi: the device substituted it",
    ]
