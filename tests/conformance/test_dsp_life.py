"""DSP-070, DSP-071, DSP-084, DSP-085: what becomes of a job."""

from __future__ import annotations

from pathlib import Path

import databases
import pytest
from acceptance.scanning import Scanner, good, refusal
from acceptance.server import Server, running
from conformance.wire import abandoned
from conftest import ANNA, AnyProcess
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound
from postscan.core.settings import Settings
from postscan.plugins.testing.runner import FakeClock

HOUR = 3600.0


GOOD = "CompletedSuccessfully"


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
        token = abandoned(scanner)
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
