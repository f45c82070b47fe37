"""What a device states of itself is asked once, and is not needed; what it answers is bounded."""

from __future__ import annotations

import image_files
import pytest
from scanner_presses import presses
from scripted_scanner import (
    ScriptedScanner,
    answer,
    created,
    elements,
    fault,
    http,
    image,
    job_status,
)

ONE = image_files.baseline()
PLATEN = "<w:InputSource>Platen</w:InputSource>"


def test_the_configuration_is_asked_once() -> None:
    """And again after an event says that it has changed."""
    formats = "<w:DeviceSettings><w:FormatsSupported><w:FormatValue>jfif</w:FormatValue></w:FormatsSupported>"
    offered = elements(f"{formats}</w:DeviceSettings>")
    with ScriptedScanner(RetrieveImage=lambda request: image(ONE, request), GetScannerElements=offered) as scanner:
        scanner.replies["CreateScanJob"] = created(parameters=PLATEN)
        with presses(scanner.service) as panel:
            for number in (1, 2):
                panel.press()
                panel.outcome(number)
            once = len(scanner.asked("GetScannerElements"))
            panel.source.elements.clear()
            panel.press()
            panel.outcome(3)

    assert (once, len(scanner.asked("GetScannerElements"))) == (1, 2)


def test_a_device_that_refuses_the_pair_is_asked_for_the_configuration_alone() -> None:
    """As one Epson."""
    offered = elements(
        "<w:DeviceSettings><w:FormatsSupported><w:FormatValue>png</w:FormatValue></w:FormatsSupported>"
        "</w:DeviceSettings>"
    )
    with (
        ScriptedScanner([ONE], GetScannerElements=[fault("InvalidArgs"), offered]) as scanner,
        presses(scanner.service) as panel,
    ):
        panel.press()
        panel.outcome()

    assert [request.names("RequestedElements") for request in scanner.asked("GetScannerElements")] == [
        ["Name", "Name"],
        ["Name"],
    ]
    assert scanner.asked("CreateScanJob")[0].text("Format") == "png"


@pytest.mark.parametrize(
    "bad",
    [
        fault("OperationFailed", status=500),
        http(b"<html>404</html>", 404, "text/html"),
        http(b"not xml"),
        http(b""),
        http(b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'),
        answer("<w:Other/>"),
        b"",
        b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["fault", "html", "text", "empty", "dtd", "other", "closed", "redirect"],
)
def test_a_configuration_is_not_needed(bad: bytes) -> None:
    """A device that cannot state it scans all the same."""
    with ScriptedScanner([ONE], GetScannerElements=bad) as scanner, presses(scanner.service) as panel:
        panel.press()

        assert panel.outcome().kind == "stored"


@pytest.mark.conformance("WSS-072")
@pytest.mark.parametrize(
    "bad",
    [
        http(b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'),
        http(b"<a>" * 100_000),
        http(b"<a>" + b" " * (2 << 20) + b"</a>"),
        http(b"<html/>", 200, "text/html"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<a",
        b"HTTP/1.1 307 Temporary\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        answer("<w:CreateScanJobResponse><w:JobId>-1</w:JobId></w:CreateScanJobResponse>"),
        answer("<w:CreateScanJobResponse><w:JobId>99999999999999999999</w:JobId></w:CreateScanJobResponse>"),
    ],
    ids=["dtd", "deep", "large", "html", "short", "redirect", "negative", "huge id"],
)
def test_an_answer_that_cannot_be_read_cancels_the_job(bad: bytes) -> None:
    """The press has failed; the source goes on."""
    with ScriptedScanner([ONE], CreateScanJob=[bad, created()]) as scanner, presses(scanner.service) as panel:
        panel.press()
        bad_outcome = panel.outcome(1)
        panel.press()
        good_outcome = panel.outcome(2)
        states = [job.state for job in panel.run.jobs]

    assert (bad_outcome.kind, good_outcome.kind) == ("failed", "stored")
    assert states == ["Canceled", "Pending"]


def test_a_broken_connection_of_a_job_that_the_device_aborted_has_its_reason() -> None:
    """It is asked for."""
    with ScriptedScanner() as scanner:
        scanner.replies["RetrieveImage"] = lambda request: image(ONE, request)[:200]
        scanner.replies["GetJobElements"] = job_status("Aborted", "ScannerStopped")
        with presses(scanner.service) as panel:
            panel.press()
            outcome = panel.outcome()

    assert outcome.reason == "the scanner ended the job: Aborted (ScannerStopped)"
    assert "CancelJob" not in scanner.operations
