"""DSP-069 to DSP-071, DSP-084, DSP-085, DSP-089, DSP-090: what becomes of a job."""

from __future__ import annotations

from pathlib import Path

import databases
import pytest
from acceptance.scanning import Scanner, good, refusal
from acceptance.server import Server, digest, none_alive, running
from conformance.wire import hashes
from conftest import ANNA, AnyProcess
from works import Works, until

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound
from postscan.core.settings import Settings
from postscan.plugins.testing.runner import FakeClock

HOUR = 3600.0


@pytest.mark.conformance("DSP-069")
@pytest.mark.parametrize(("go_on", "runs"), [("", 0), ("false", 0), ("true", 1)], ids=["absent", "false", "true"])
def test_the_first_error_stops_the_job_unless_it_is_to_go_on(
    server: Server, scanner: Scanner, go_on: str, runs: int
) -> None:
    """The filter behind the one that fails runs only with ContinueOnError."""
    token = scanner.start("fail OutOfDiskSpace", "copy", go_on=go_on)
    scanner.ended(token)

    assert [line[0] for line in server.works.trace(token)] == ["copy"] * runs


GOOD, BAD, WARNED = "CompletedSuccessfully", "CompletedWithErrors", "CompletedWithWarnings"
FAIL = "fail FileShareAccessDenied"
OUTCOMES = {
    "success": ("", ("copy", "copy"), "Completed", f"PostScanJob{GOOD}", (GOOD, GOOD)),
    "warnings only": ("", ("copy", "warn"), "Completed", f"PostScanJob{WARNED}", (GOOD, WARNED)),
    "error, go on": ("true", (FAIL, "copy"), "Completed", f"PostScanJob{BAD}", (BAD, GOOD)),
    "error, stop": ("", ("copy", FAIL, "copy"), "Aborted", "PostScanJobProcessingFailed", (GOOD, BAD, "Canceled")),
    "no dialect known": ("", ("nobody", "none"), "Aborted", "NoValidPostScanInstructionsFound", ("Canceled",) * 2),
}


@pytest.mark.conformance("DSP-070")
@pytest.mark.parametrize(("go_on", "filters", "state", "reason", "steps"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_job_ends_as_the_outcome_table_says(
    scanner: Scanner, go_on: str, filters: tuple[str, ...], state: str, reason: str, steps: tuple[str, ...]
) -> None:
    """State, reason, and the state of each filter, row by row of ws-dsp.md section 8."""
    end = scanner.ended(scanner.start(*filters, go_on=go_on))

    assert (end.state, end.reasons, end.filters) == (state, (reason,), steps)
    assert end.why == (("FileShareAccessDenied",) if FAIL in filters else ())


@pytest.mark.conformance("DSP-070")
def test_a_cancelled_job_ends_as_the_outcome_table_says(scanner: Scanner) -> None:
    """Finished filters keep their state, the rest are Canceled."""
    token = scanner.start("copy", "sleep 60", "copy")
    scanner.server.works.await_trace(token, "sleep")
    good(scanner.device.cancel(token))
    end = scanner.ended(token)

    assert (end.state, end.reasons, end.why) == ("Canceled", ("PostScanJobCanceled",), ())
    assert end.filters == (GOOD, "Canceled", "Canceled")


@pytest.mark.conformance("DSP-070")
def test_a_job_does_not_end_because_an_image_could_not_be_stored(tmp_path: Path) -> None:
    """The deviation: here the disk is never free enough. The device is told to try again, and the job waits for it."""
    with running(tmp_path, {"storage": {"reserve_bytes": 1 << 60}}) as server:
        scanner = Scanner(server)
        token = scanner.create("copy")
        fault = refusal(scanner.device.send_image(token, 1, b"a page"))
        status = scanner.status(token)

    assert fault.subcode == "dsp:ServerErrorTemporaryError"
    assert (status.state, status.reasons, status.images) == ("Creating", (), 0)


@pytest.mark.conformance("DSP-071")
def test_a_job_that_is_abandoned_times_out(tmp_path: Path) -> None:
    """After ten minutes, or what the settings say: here, after a second. No filter has run."""
    with running(tmp_path, {"limits": {"silence_seconds": 1}}) as server:
        scanner = Scanner(server)
        token = scanner.create("copy")
        scanner.send(token)
        end = scanner.ended(token)

        assert (end.state, end.reasons, end.filters) == ("Aborted", ("PostScanJobTimedOut",), ("Canceled",))
        assert server.works.trace(token) == []
    assert Settings().limits.silence_seconds == 600


@pytest.mark.conformance("DSP-084")
def test_jobs_of_one_device_are_processed_at_the_same_time(server: Server, scanner: Scanner) -> None:
    """Two are Processing while a third still takes images."""
    tokens = [scanner.start("sleep 60") for _ in range(2)]
    for token in tokens:
        server.works.await_trace(token, "sleep")
    third = scanner.create("copy")
    scanner.send(third, 1)
    states = [scanner.status(token).state for token in tokens]
    for token in tokens:
        good(scanner.device.cancel(token))

    assert states == ["Processing", "Processing"]
    assert scanner.status(third).images == 1


@pytest.mark.conformance("DSP-085")
def test_a_finished_job_can_still_be_asked_for_after_a_restart(own_server: Server) -> None:
    """All that it said before."""
    token = Scanner(own_server).start("copy", "warn")
    before = Scanner(own_server).ended(token)
    own_server.stop()
    own_server.start()

    assert Scanner(own_server).status(token) == before


@pytest.mark.conformance("DSP-085")
def test_a_finished_job_can_be_asked_for_a_day(settings: Settings) -> None:
    """By the settings as they come; and nothing else may keep it, neither its images nor that it is the newest."""
    retention = settings.retention.model_copy(update={"jobs": 0, "image_hours": 0.0})
    databases.migrated(settings.storage.url)
    core = Engine(settings.model_copy(update={"retention": retention}), AnyProcess(), clock := FakeClock())
    token = Works(core, ANNA).create("copy")
    core.service.cancel(token, ANNA)
    for hours in (0, 23.9):
        clock.advance(hours * HOUR)
        core.retention.sweep()
        assert core.service.job(token, ANNA).state.ended
    clock.advance(0.2 * HOUR)
    core.retention.sweep()

    with pytest.raises(JobNotFound):
        core.service.job(token, ANNA)
    core.close()


@pytest.mark.conformance("DSP-089")
def test_a_job_needs_no_subscriber(own_server: Server) -> None:
    """Nobody has ever subscribed at this server, and a whole job goes through it."""
    scanner = Scanner(own_server)

    assert scanner.ended(scanner.start("copy")).state == "Completed"


@pytest.mark.conformance("DSP-090")
def test_acknowledged_images_survive_a_kill(own_server: Server) -> None:
    """Byte for byte, and the job goes on where it was."""
    scanner = Scanner(own_server)
    token = scanner.create("copy")
    images = scanner.send(token, 1, 2, size=300_000)
    family = own_server.family()
    own_server.kill()
    until(lambda: none_alive(family), f"for {family} to be gone")
    own_server.start()
    again = Scanner(own_server)

    assert (again.status(token).state, own_server.images(token)) == ("Creating", hashes(images))
    images += again.send(token, 3)
    good(again.device.end(token))
    assert again.ended(token).images == 3
    assert sorted(map(digest, own_server.out.glob("*.png"))) == hashes(images)
