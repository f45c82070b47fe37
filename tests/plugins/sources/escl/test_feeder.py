"""What is put into the feeder is scanned by itself, where the settings say so; and how the device is."""

from __future__ import annotations

import itertools
import time

import pytest
from escl_device import EsclDevice, Exchange, status
from escl_inlet import StartEscl
from works import until

from postscan.core.filters.source.messages import InletBusy, OpenRequest, Reply, Request


def test_paper_in_the_feeder_is_scanned_by_itself(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """Once, and again when paper is put in again."""
    inlet = start(interval=0.05)
    first = inlet.server.wait_for_jobs(1)[0]
    device.load(*pages[:1])
    second = inlet.server.wait_for_jobs(2)[1]

    assert first.pages == pages
    assert second.pages == pages[:1]
    assert first.request.proof == "device"
    assert first.request.destination == "d1"


def test_nothing_is_scanned_by_itself_unless_the_settings_say_so(device: EsclDevice, start: StartEscl) -> None:
    """The usual one."""
    inlet = start(status_seconds=0.02)
    until(lambda: len(device.asked("ScannerStatus")) > 5)

    assert not device.asked("POST")
    assert not inlet.server.jobs


def test_the_platen_is_not_scanned_by_itself(device: EsclDevice, start: StartEscl) -> None:
    """Nothing tells whether a sheet lies on it."""
    device.feeder = "ScannerAdfEmpty"
    start(interval=0.02, source="platen")
    until(lambda: len(device.asked("ScannerStatus")) > 5)

    assert not device.asked("POST")


@pytest.mark.parametrize("state", ["Processing", "Stopped", "Testing"])
def test_a_device_that_does_something_else_is_left_alone(device: EsclDevice, start: StartEscl, state: str) -> None:
    """Somebody may be scanning at it."""
    device.state = state
    start(interval=0.02)
    until(lambda: len(device.asked("ScannerStatus")) > 5)

    assert not device.asked("POST")


def test_paper_whose_scan_fails_is_tried_more_and_more_seldom(device: EsclDevice, start: StartEscl) -> None:
    """A jam that nobody clears makes no job in each second."""

    def fail(exchange: Exchange) -> None:
        device.feeder = "ScannerAdfLoaded"
        exchange.answer(500)

    device.on("NextDocument", fail, always=True)
    inlet = start(interval=0.05)
    until(lambda: len(device.asked("POST")) >= 5)
    times = [one.at for one in device.asked("POST")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]

    assert gaps[3] > 2 * gaps[0]
    assert {one.state for one in inlet.server.jobs[:4]} == {"Aborted"}


def test_paper_waits_while_the_server_has_no_room(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """It stays in the feeder, and its turn comes."""
    refusals: list[float] = []

    def busy(request: Request) -> Reply | None:
        if isinstance(request, OpenRequest) and len(refusals) < 2:
            refusals.append(time.monotonic())
            return InletBusy(id=request.id, seconds=0.1)
        return None

    device.feeder = "ScannerAdfEmpty"
    inlet = start(interval=0.05)
    inlet.server.on_request = busy
    device.load(*pages)

    assert inlet.server.wait_for_jobs(1)[0].pages == pages
    assert len(device.asked("POST")) == 1


def test_a_scan_that_is_asked_for_while_the_feeder_is_scanned_waits(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """One after another: a device has one lamp."""

    def slow(exchange: Exchange) -> None:
        time.sleep(0.1)  # the device scans
        device.next(exchange)

    device.on("NextDocument", slow, always=True)
    inlet = start(interval=0.02, source="auto")
    until(lambda: device.asked("NextDocument"))
    inlet.pull()
    until(lambda: len(device.jobs) == 2)

    first_delete, second_post = device.asked("DELETE")[0].at, device.asked("POST")[1].at
    assert first_delete < second_post


@pytest.mark.parametrize(
    ("state", "feeder", "health", "words"),
    [
        ("Idle", "ScannerAdfEmpty", "ready", "Acme Scan 1 at"),
        ("Processing", "ScannerAdfLoaded", "ready", "Acme Scan 1 at"),
        ("Stopped", "ScannerAdfEmpty", "degraded", "stopped"),
        ("Idle", "ScannerAdfJam", "degraded", "jammed"),
        ("Down", "", "degraded", "down"),
    ],
)
def test_the_health_is_that_of_the_device(
    device: EsclDevice, start: StartEscl, state: str, feeder: str, health: str, words: str
) -> None:
    """With a sentence."""
    device.state, device.feeder = state, feeder
    inlet = start()

    assert inlet.server.health[0][0] == health
    assert words in inlet.server.health[0][1]


def test_a_device_that_comes_back_is_ready_again(device: EsclDevice, start: StartEscl) -> None:
    """Within one look at it; its capabilities are read again, since it may be another one."""
    inlet = start(status_seconds=0.05)
    device.on("ScannerStatus", status(500), status(500))
    inlet.server.wait_for(lambda: inlet.server.health[-1][0] == "degraded")
    inlet.server.wait_for(lambda: inlet.server.health[-1][0] == "ready")

    assert len(device.asked("ScannerCapabilities")) >= 2


def test_the_device_is_looked_at_once_a_minute_and_no_more() -> None:
    """A device that sleeps is not kept awake."""
    from postscan.plugins.sources.escl.settings import Settings

    assert Settings().status_seconds == 60.0
    assert Settings().interval == 0.0
