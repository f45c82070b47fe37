"""A cancel goes both ways: to the device within 100 ms, and from its panel before any filter runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import image_files
import pytest
from scanner_presses import Presses, presses
from scripted_scanner import (
    ScannerRequest,
    ScriptedScanner,
    answer,
    created,
    elements,
    fault,
    image,
    job_status,
)
from works import until

ONE = image_files.baseline()
CANCELLED = answer("<w:CancelJobResponse/>")


def hanging(scanner: ScriptedScanner) -> Callable[[ScannerRequest], Iterator[bytes]]:
    """Return a reply that sends half an image, and then nothing until the scanner is off."""

    def reply(request: ScannerRequest) -> Iterator[bytes]:
        yield image(ONE, request)[:400]
        scanner.stopped.wait(30)

    return reply


def silent(scanner: ScriptedScanner) -> Callable[[ScannerRequest], Iterator[bytes]]:
    """Return a reply that never comes."""

    def reply(_request: ScannerRequest) -> Iterator[bytes]:
        scanner.stopped.wait(30)
        yield b""

    return reply


def cancel(panel: Presses) -> float:
    """Cancel the only job as an administrator does; return when (monotonic)."""
    (job,) = panel.run.jobs
    at = time.monotonic()
    panel.run.cancel(job.id)
    return at


# --- from us to the device ---------------------------------------------------------------------------------------


@pytest.mark.conformance("WSS-060", "WSS-063", "WSS-064")
@pytest.mark.parametrize("reply", [hanging, silent], ids=["in an image", "before its head"])
def test_the_device_is_told_within_100_ms(reply: Callable[[ScriptedScanner], Callable[..., Iterator[bytes]]]) -> None:
    """By CancelJob with the JobId alone, on a connection of its own; then the image is given up.

    The best of three counts, since other tests run on this machine.
    """
    best = 60.0
    for _ in range(3):
        with ScriptedScanner() as scanner:
            scanner.replies["RetrieveImage"] = reply(scanner)
            with presses(scanner.service) as panel:
                panel.press()
                until(lambda: "RetrieveImage" in scanner.operations)
                at = cancel(panel)
                states = panel.states()
                outcome = panel.outcome()
                ended = time.monotonic()
                (request,) = scanner.asked("CancelJob")
                told = panel.told()

        assert (states, told) == (["Canceled"], "stopped")
        assert request.names("CancelJobRequest") == ["JobId"]
        assert request.text("CancelJobRequest", "JobId") == "7"
        assert (outcome.kind, ended - at < 2.0) == ("cancelled", True)
        best = min(best, request.at - at)

    assert best < 0.1


@pytest.mark.conformance("WSS-061", "WSS-063")
@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (CANCELLED, "stopped"),
        (fault("ClientErrorJobIdNotFound"), "stopped"),
        (fault("ClientErrorJobIdNotFound", status=200), "stopped"),
        (fault("OperationFailed", status=500), "refused"),
        (b"", "away"),
        (answer("<w:CancelJobResponse/>")[:60], "away"),
    ],
    ids=["stopped", "over", "over in 200", "refused", "closed", "half"],
)
def test_what_the_device_says_is_stored(reply: bytes, told: str) -> None:
    """A job that it does not know is one that runs no more."""
    with ScriptedScanner(CancelJob=reply) as scanner:
        scanner.replies["RetrieveImage"] = hanging(scanner)
        with presses(scanner.service) as panel:
            panel.press()
            until(lambda: "RetrieveImage" in scanner.operations)
            cancel(panel)
            panel.outcome()

            assert panel.told() == told
            assert panel.run.jobs[0].state == "Canceled"


@pytest.mark.conformance("WSS-064")
def test_a_device_that_does_not_answer_the_cancel_delays_nothing() -> None:
    """The job is Canceled at once, and the wait for the answer has an end."""
    with ScriptedScanner() as scanner:
        scanner.replies.update(RetrieveImage=hanging(scanner), CancelJob=silent(scanner))
        with presses(scanner.service, limits={"cancel_seconds": 0.5}) as panel:
            panel.press()
            until(lambda: "RetrieveImage" in scanner.operations)
            cancel(panel)
            state = panel.run.jobs[0].state
            panel.outcome()

            assert state == "Canceled"
            assert panel.told() == "away"


@pytest.mark.conformance("WSS-060")
def test_a_cancel_while_the_job_is_created_follows_its_answer() -> None:
    """Without the JobId nothing can be cancelled; then it is, and no image is asked for."""
    release = threading.Event()

    def late(_request: ScannerRequest) -> bytes:
        release.wait(30)
        return created()

    with ScriptedScanner([ONE], CreateScanJob=late) as scanner, presses(scanner.service) as panel:
        panel.press()
        until(lambda: "CreateScanJob" in scanner.operations)
        cancel(panel)
        release.set()
        outcome = panel.outcome()
        told = panel.told()

    assert (outcome.kind, told) == ("cancelled", "stopped")
    assert scanner.operations[-1] == "CancelJob"
    assert "RetrieveImage" not in scanner.operations


@pytest.mark.parametrize("operation", ["GetScannerElements", "CreateScanJob"])
def test_a_cancel_before_there_is_a_job_at_the_device_ends_the_press(operation: str) -> None:
    """While it is asked for its configuration, and while it warms up."""
    warming = elements(
        status="<w:ScannerState>Stopped</w:ScannerState><w:ScannerStateReasons>"
        "<w:ScannerStateReason>LampWarming</w:ScannerStateReason></w:ScannerStateReasons>"
    )
    with ScriptedScanner(GetScannerElements=warming, CreateScanJob=fault("ServerErrorNotAcceptingJobs")) as scanner:
        if operation == "GetScannerElements":
            scanner.replies[operation] = silent(scanner)
        with presses(scanner.service, limits={"warm_up_pause": 20.0}) as panel:
            panel.press()
            until(lambda: operation in scanner.operations)
            at = cancel(panel)
            outcome = panel.outcome()
            ended = time.monotonic()

    assert outcome.kind == "cancelled"
    assert ended - at < 5.0
    assert "CancelJob" not in scanner.operations


def test_a_job_that_fails_here_is_cancelled_at_the_device() -> None:
    """A page that is no picture is refused, and the rest of the paper need not be scanned."""
    with ScriptedScanner([b"no picture at all"]) as scanner, presses(scanner.service) as panel:
        scanner.pages[0] = ONE[:-30]
        panel.press()
        outcome = panel.outcome()
        (job,) = panel.run.jobs

    assert (outcome.kind, job.state) == ("failed", "Aborted")
    assert scanner.operations[-1] == "CancelJob"


def test_a_stop_of_the_source_ends_a_scan_that_does_not_end() -> None:
    """After its seconds; the device is told, and the job has failed."""
    with ScriptedScanner() as scanner:
        scanner.replies["RetrieveImage"] = hanging(scanner)
        with presses(scanner.service, limits={"stop_seconds": 0.3}) as panel:
            panel.press()
            until(lambda: "RetrieveImage" in scanner.operations)
        outcome = panel.outcome()

    assert (outcome.kind, outcome.reason) == ("failed", "the source was stopped")
    assert scanner.operations[-1] == "CancelJob"


def test_a_scan_that_ends_soon_after_the_stop_is_stored() -> None:
    """It was begun before."""
    stopped = threading.Event()

    def soon(request: ScannerRequest) -> Iterator[bytes]:
        whole = image(ONE, request)
        yield whole[:300]
        stopped.wait(30)
        yield whole[300:]

    final = created(parameters="<w:InputSource>Platen</w:InputSource>")
    with ScriptedScanner(RetrieveImage=soon, CreateScanJob=final) as scanner:
        with presses(scanner.service, limits={"stop_seconds": 20.0}) as panel:
            panel.press()
            until(lambda: "RetrieveImage" in scanner.operations)
            threading.Timer(0.3, stopped.set).start()
        outcome = panel.outcome()

    assert outcome.kind == "stored"


# --- from the device to us ---------------------------------------------------------------------------------------


@pytest.mark.conformance("WSS-062")
def test_the_fault_of_a_cancelled_job_cancels_ours() -> None:
    """Pages that came before do not make it a job for filters."""
    cancelled = fault("ClientErrorJobCancelled")
    with ScriptedScanner() as scanner:
        scanner.replies["RetrieveImage"] = [lambda request: image(ONE, request), cancelled]
        with presses(scanner.service) as panel:
            panel.press()
            outcome = panel.outcome()
            states = panel.states()

    assert (outcome.kind, outcome.pages, states) == ("cancelled", 1, ["Canceled"])
    assert "CancelJob" not in scanner.operations


@pytest.mark.conformance("WSS-062")
def test_a_broken_image_of_a_cancelled_job_cancels_ours() -> None:
    """The device is asked what has become of its job."""
    with ScriptedScanner(GetJobElements=job_status("Canceled", "JobCanceledAtDevice")) as scanner:
        scanner.replies["RetrieveImage"] = lambda request: image(ONE, request)[:300]
        with presses(scanner.service) as panel:
            panel.press()
            outcome = panel.outcome()

            assert (outcome.kind, panel.run.jobs[0].state) == ("cancelled", "Canceled")


@pytest.mark.conformance("WSS-062")
@pytest.mark.parametrize(
    ("state", "reasons", "kind", "ours"),
    [
        ("Canceled", ("JobCanceledAtDevice",), "cancelled", "Canceled"),
        ("Canceled", (), "cancelled", "Canceled"),
        ("Aborted", ("JobCanceledAtDevice",), "cancelled", "Canceled"),
        ("Aborted", ("ScannerStopped",), "failed", "Aborted"),
    ],
)
def test_the_event_of_the_end_ends_an_image_that_hangs(
    state: str, reasons: tuple[str, ...], kind: str, ours: str
) -> None:
    """At once, with the state and the reason that it has."""
    with ScriptedScanner() as scanner:
        scanner.replies["RetrieveImage"] = hanging(scanner)
        with presses(scanner.service) as panel:
            panel.press()
            until(lambda: "RetrieveImage" in scanner.operations)
            at = time.monotonic()
            panel.source.jobs.ended(7, state, reasons)
            outcome = panel.outcome()
            ended = time.monotonic()

            assert (outcome.kind, panel.run.jobs[0].state) == (kind, ours)
            assert ended - at < 2.0


@pytest.mark.parametrize(("job_id", "state"), [(8, "Canceled"), (7, "Completed"), (7, "Processing")])
def test_other_events_change_nothing(job_id: int, state: str) -> None:
    """Of another job, or of an end with all images."""
    release = threading.Event()

    def late(request: ScannerRequest) -> bytes:
        release.wait(30)
        return image(ONE, request)

    final = created(parameters="<w:InputSource>Platen</w:InputSource>")
    with ScriptedScanner(RetrieveImage=late, CreateScanJob=final) as scanner, presses(scanner.service) as panel:
        panel.press()
        until(lambda: "RetrieveImage" in scanner.operations)
        panel.source.jobs.ended(job_id, state)
        release.set()

        assert panel.outcome().kind == "stored"


@pytest.mark.conformance("WSS-062")
def test_an_event_that_is_faster_than_the_answer_is_not_lost() -> None:
    """The device was cancelled while it answered CreateScanJob."""

    def cancelled(_request: ScannerRequest) -> bytes:
        panel.source.jobs.ended(7, "Canceled", ("JobCanceledAtDevice",))
        return created(7)

    with ScriptedScanner([ONE], CreateScanJob=cancelled) as scanner, presses(scanner.service) as panel:
        panel.press()

        assert panel.outcome().kind == "cancelled"


def test_an_event_of_a_job_that_is_over_does_not_cancel_the_next_one_of_its_number() -> None:
    """A JobId is unique only for a while."""
    final = created(parameters="<w:InputSource>Platen</w:InputSource>")
    with (
        ScriptedScanner(RetrieveImage=lambda request: image(ONE, request), CreateScanJob=final) as scanner,
        presses(scanner.service) as panel,
    ):
        panel.press()
        panel.outcome(1)
        panel.source.jobs.ended(7, "Canceled")
        panel.press()

        assert panel.outcome(2).kind == "stored"
