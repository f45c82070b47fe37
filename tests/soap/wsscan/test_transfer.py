"""A press becomes one job with all pages, or none; against a scripted device at the end of real sockets."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import image_files
import pytest
from scanner_presses import UUID, presses
from scripted_scanner import (
    ScannerRequest,
    ScriptedScanner,
    answer,
    created,
    elements,
    fault,
    http,
    image,
    job_status,
    multipart,
    multipart_type,
    retrieved,
)
from works import until

from postscan.plugins import ScanTicket
from postscan.soap.wsscan.scan_job.creation import CANCELLED_THERE, NO_PAPER
from postscan.soap.wsscan.scan_job.limits import ScanJobLimits

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


# --- the end of the pages ----------------------------------------------------------------------------------------


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


# --- images that are not right -----------------------------------------------------------------------------------


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


# --- faults of CreateScanJob -------------------------------------------------------------------------------------


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


# --- what a device offers ----------------------------------------------------------------------------------------


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
