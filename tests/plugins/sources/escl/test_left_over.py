"""Jobs that a killed source has left at the device are tidied up at the next start, and no others (decision 85)."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from pathlib import Path

import pytest
from escl_device import DeviceJob, EsclDevice, status
from escl_inlet import EsclInletRun, StartEscl
from works import until

from postscan.core.filters.source.messages import Reply, Request, StateReply, StateRequest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the inlet."""
    folder = tmp_path / "inlet-folder"
    folder.mkdir()
    return folder


def leave(folder: Path, device: EsclDevice, state: str = "Processing", **changed: str) -> Path:
    """Leave a record of a job that the device has in this state."""
    device.jobs.append(DeviceJob(len(device.jobs) + 1, deque(), b"", state))
    record = {"job": "job-of-before", "url": device.url, "path": device.job_path(len(device.jobs)), **changed}
    file = folder / f"device-job-{len(device.jobs)}.json"
    file.write_text(json.dumps(record))
    return file


def tidied(
    device: EsclDevice, start: StartEscl, folder: Path, there: str, here: str, age: float = 0.0, **changed: str
) -> EsclInletRun:
    """Let an inlet find a record of a job in these states at the device and at the server, and wait until it is gone.

    It looks for records when it starts, and behind each scan that was not stored; here it is the second.
    """

    def answer(request: Request) -> Reply | None:
        return StateReply(id=request.id, state=here) if isinstance(request, StateRequest) else None

    inlet = start(status_seconds=0.05)
    inlet.server.on_request = answer
    file = leave(folder, device, there, **changed)
    os.utime(file, (time.time() - age, time.time() - age))
    device.on("POST", status(400))
    inlet.scan()
    inlet.server.wait_for(lambda: not file.exists())
    return inlet


@pytest.mark.parametrize("state", ["Processing", "Completed"])
def test_the_job_of_stored_pages_is_deleted(device: EsclDevice, start: StartEscl, folder: Path, state: str) -> None:
    """That is its acknowledgement, which the killed process did not send."""
    tidied(device, start, folder, state, "Pending")

    assert device.jobs[0].deleted


def test_a_job_that_the_device_still_works_on_is_cancelled_there(
    device: EsclDevice, start: StartEscl, folder: Path
) -> None:
    """Its pages would go nowhere; Kyocera M2030 would wait for them."""
    tidied(device, start, folder, "Processing", "Aborted")

    assert device.jobs[0].deleted


@pytest.mark.parametrize("state", ["Completed", "Canceled", "Aborted"])
def test_a_job_that_has_ended_there_and_is_not_stored_here_is_left(
    device: EsclDevice, start: StartEscl, folder: Path, state: str
) -> None:
    """A DELETE would say that it arrived."""
    tidied(device, start, folder, state, "Aborted")

    assert not device.asked("DELETE")


def test_an_old_record_says_nothing(device: EsclDevice, start: StartEscl, folder: Path) -> None:
    """The device may have given its path to a job of another client."""
    tidied(device, start, folder, "Processing", "Pending", age=400.0)

    assert not device.asked("DELETE")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"job": 1, "url": "", "path": ""}', "\0" * 100])
def test_a_record_that_was_damaged_is_removed(device: EsclDevice, start: StartEscl, folder: Path, content: str) -> None:
    """And ends nothing."""
    file = leave(folder, device)
    file.write_text(content)
    inlet = start()
    inlet.server.wait_for(lambda: not file.exists())

    assert inlet.server.health[-1][0] == "ready"
    assert not device.asked("DELETE")


def test_what_is_left_is_found_at_the_start(device: EsclDevice, start: StartEscl, folder: Path) -> None:
    """The server does not know the job any more: the device is only told to end what it still does."""
    file = leave(folder, device, "Processing")
    inlet = start()
    inlet.server.wait_for(lambda: not file.exists())

    assert device.jobs[0].deleted


def test_a_record_of_another_device_is_removed(device: EsclDevice, start: StartEscl, folder: Path) -> None:
    """The settings name another one now."""
    tidied(device, start, folder, "Processing", "Pending", url="http://10.0.0.9/eSCL")

    assert not device.asked("DELETE")


def test_a_scan_leaves_no_record(device: EsclDevice, start: StartEscl, folder: Path) -> None:
    """Whatever became of it."""
    inlet = start()
    inlet.scan()
    until(lambda: device.asked("DELETE"))
    device.load(b"no image")
    inlet.scan()

    inlet.server.wait_for(lambda: not list(folder.glob("device-job-*")))
