"""Where the pages of a job end, and which images are lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import image_files
import pytest
from scanner_presses import presses
from scripted_scanner import (
    ScannerRequest,
    ScriptedScanner,
    created,
    fault,
    http,
    image,
    multipart,
    multipart_type,
    retrieved,
)

from postscan.soap.wsscan.scan_job.limits import ScanJobLimits

ONE = image_files.baseline()
TWO = image_files.progressive()
PLATEN = "<w:InputSource>Platen</w:InputSource>"


@pytest.mark.conformance("WSS-045")
def test_platen_is_one_image() -> None:
    """A second one is not asked for."""
    with ScriptedScanner([ONE, TWO]) as scanner, presses(scanner.service) as panel:
        panel.press(source="Platen")
        outcome = panel.outcome()

    assert (outcome.kind, outcome.pages, len(scanner.asked("RetrieveImage"))) == ("stored", 1, 1)


@pytest.mark.conformance("WSS-045")
def test_the_count_of_the_final_parameters_is_the_end() -> None:
    """No request follows the last image."""
    final = created(parameters="<w:ImagesToTransfer> 2 </w:ImagesToTransfer>")
    with ScriptedScanner([ONE, TWO, ONE], CreateScanJob=final) as scanner, presses(scanner.service) as panel:
        panel.press()
        outcome = panel.outcome()

    assert (outcome.kind, outcome.pages, len(scanner.asked("RetrieveImage"))) == ("stored", 2, 2)


def test_a_count_that_is_too_high_ends_at_the_empty_feeder() -> None:
    """What the device counts is an upper bound."""
    final = created(parameters="<w:ImagesToTransfer>5</w:ImagesToTransfer>")
    with ScriptedScanner([ONE, TWO], CreateScanJob=final) as scanner, presses(scanner.service) as panel:
        panel.press()

        assert panel.outcome().pages == 2


def test_a_device_that_forgets_its_job_has_ended_it_if_it_is_known_for_that() -> None:
    """Otherwise its pages are lost, since a job that was cancelled is forgotten as well."""
    last = fault("ClientErrorJobIdNotFound")

    def run(quirks: frozenset[str]) -> str:
        with ScriptedScanner() as scanner:
            scanner.replies["RetrieveImage"] = [lambda request: image(ONE, request), last]
            scanner.replies["GetJobElements"] = last
            with presses(scanner.service, quirks=quirks) as panel:
                panel.press()
                outcome = panel.outcome()
                (job,) = panel.run.jobs
                return f"{outcome.kind} {job.state}"

    assert run(frozenset({"broken-zero"})) == "stored Pending"
    assert run(frozenset()) == "failed Aborted"


def test_an_empty_feeder_cancels_the_job() -> None:
    """There is no page to store."""
    with ScriptedScanner() as scanner, presses(scanner.service) as panel:
        panel.press()
        outcome = panel.outcome()
        (job,) = panel.run.jobs

    assert (outcome.kind, job.state) == ("cancelled", "Canceled")
    assert "no paper" in outcome.reason


@pytest.mark.conformance("WSS-048")
@pytest.mark.parametrize("page", [1, 2])
def test_an_image_without_its_end_is_lost(page: int) -> None:
    """The job is Aborted with the reason of the protocol, the page is not stored, and the device is told."""

    def cut(request: ScannerRequest) -> bytes:
        whole = multipart(retrieved(relates_to=request.message_id), ONE)
        return http(whole[: len(whole) - 20], kind=multipart_type())

    good = [lambda request: image(TWO, request)] * (page - 1)
    with ScriptedScanner(RetrieveImage=[*good, cut]) as scanner, presses(scanner.service) as panel:
        panel.press()
        outcome = panel.outcome()
        (job,) = panel.run.jobs

    assert (outcome.kind, outcome.pages) == ("failed", page - 1)
    assert (job.state, job.reasons) == ("Aborted", ("SendImageFailed",))
    assert job.pages == [TWO] * (page - 1)
    assert scanner.operations[-1] == "CancelJob"


@pytest.mark.conformance("WSS-048")
def test_a_picture_that_is_cut_inside_of_a_whole_message_is_lost() -> None:
    """The end mark of the message says nothing about the picture."""
    with ScriptedScanner([ONE[:-40]]) as scanner, presses(scanner.service) as panel:
        panel.press()
        outcome = panel.outcome()
        (job,) = panel.run.jobs

    assert (outcome.kind, job.state, job.pages) == ("failed", "Aborted", [])


@pytest.mark.conformance("WSS-048")
def test_a_device_that_vanishes_in_an_image_leaves_no_job_behind() -> None:
    """The connection breaks, and nothing answers any more."""
    with ScriptedScanner() as scanner:

        def vanish(request: ScannerRequest) -> Iterator[bytes]:
            yield image(ONE, request)[:200]
            scanner.vanish()

        scanner.replies["RetrieveImage"] = vanish
        with presses(scanner.service) as panel:
            panel.press()
            outcome = panel.outcome()
            (job,) = panel.run.jobs

    assert (outcome.kind, job.state, job.reasons) == ("failed", "Aborted", ("SendImageFailed",))


def test_an_image_of_another_request_is_not_taken() -> None:
    """Its RelatesTo names another message."""
    other = "urn:uuid:9b0d7c1e-53a4-4b64-9b1e-55e1a3f0c001"
    foreign = http(multipart(retrieved(relates_to=other), ONE), kind=multipart_type())
    with ScriptedScanner(RetrieveImage=foreign) as scanner, presses(scanner.service) as panel:
        panel.press()
        outcome = panel.outcome()
        (job,) = panel.run.jobs

    assert (outcome.kind, job.state, job.pages) == ("failed", "Aborted", [])
    assert "another request" in outcome.reason


def test_equal_images_are_pages_all_the_same() -> None:
    """Two blank sides may be equal to the byte."""
    with ScriptedScanner([ONE, ONE]) as scanner, presses(scanner.service) as panel:
        panel.press()
        panel.outcome()
        (job,) = panel.run.wait_for_jobs(1)

    assert job.pages == [ONE, ONE]


@pytest.mark.conformance("WSS-049")
def test_the_format_is_that_of_the_bytes(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever ticket and headers say; a difference is a warning."""
    final = created(parameters="<w:Format>png</w:Format>")
    with ScriptedScanner([ONE], CreateScanJob=final) as scanner, presses(scanner.service) as panel:
        panel.press()
        panel.outcome()
        (job,) = panel.run.wait_for_jobs(1)

    assert job.formats == ["jfif"]
    assert "format of a page is not the given one" in caplog.messages


@pytest.mark.conformance("WSS-042")
def test_a_late_head_and_slow_pieces_are_waited_for() -> None:
    """As long as the limits say: here a second each, instead of 75 and 60."""

    def slowly(request: ScannerRequest) -> Iterator[bytes]:
        whole = image(ONE, request)
        scanner.stopped.wait(0.5)
        for at in range(0, len(whole), len(whole) // 4):
            yield whole[at : at + len(whole) // 4]
            scanner.stopped.wait(0.4)

    with (
        ScriptedScanner(RetrieveImage=slowly, CreateScanJob=created(parameters=PLATEN)) as scanner,
        presses(scanner.service, limits={"head_seconds": 1.0, "idle_seconds": 1.0}) as panel,
    ):
        panel.press()

        assert panel.outcome().kind == "stored"


@pytest.mark.conformance("WSS-042", "WSS-047")
def test_the_limits_are_those_of_the_protocol() -> None:
    """An answer after 59 s is in time, a minute may pass in an image, and a device may warm up for 30 attempts."""
    limits = ScanJobLimits()

    assert limits.head_seconds > 60.0
    assert limits.idle_seconds == 60.0
    assert (limits.warm_ups, limits.warm_up_pause) == (30, 1.0)


@pytest.mark.conformance("WSS-042")
def test_silence_in_an_image_ends_the_scan() -> None:
    """After the seconds of the limits."""

    def silent(request: ScannerRequest) -> Iterator[bytes]:
        yield image(ONE, request)[:300]
        scanner.stopped.wait(30)

    with (
        ScriptedScanner(RetrieveImage=silent) as scanner,
        presses(scanner.service, limits={"idle_seconds": 0.3}) as panel,
    ):
        panel.press()
        outcome = panel.outcome()
        (job,) = panel.run.jobs

    assert (outcome.kind, job.state) == ("failed", "Aborted")
    assert "did not answer in time" in outcome.reason


@pytest.mark.conformance("WSS-041")
def test_nothing_slow_happens_between_two_pages() -> None:
    """Five seconds are allowed; the device gives up after sixty."""
    with ScriptedScanner([ONE] * 4) as scanner, presses(scanner.service) as panel:
        panel.press()
        panel.outcome()
        at = [request.at for request in scanner.requests if request.operation != "GetScannerElements"]

    assert max(later - earlier for earlier, later in itertools.pairwise(at)) < 5.0
