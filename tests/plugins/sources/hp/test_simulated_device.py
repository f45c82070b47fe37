"""The source at `postscan device --escl --hp`: the simulator shares no code with the source and with its double."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import source_server
from source_server import BroughtJob, SourceServer
from works import until

from postscan.cli.device.escl.scanner import SimulatedEsclScanner
from postscan.core.filters.source.messages import OpenRequest
from postscan.core.model.states import JobState
from postscan.plugins.sources.hp import HpWalkup
from postscan.plugins.testing.sources.process import SourceProcess
from postscan.plugins.testing.sources.server import JobTable

ENDED = (JobState.PENDING, JobState.CANCELED, JobState.ABORTED)


@pytest.fixture
def scanner(pages: list[bytes]) -> Iterator[SimulatedEsclScanner]:
    """A device of the newer interface with a platen alone, on which three sheets are laid one after another."""
    with SimulatedEsclScanner(pages, source="platen", hp="comp") as scanner:
        yield scanner


@pytest.fixture
def duplex(pages: list[bytes]) -> Iterator[SimulatedEsclScanner]:
    """A device of the older interface with a feeder for both sides, and ten sides of paper in it."""
    with SimulatedEsclScanner(pages, number=10, source="duplex", hp="old") as scanner:
        yield scanner


def about(scanner: SimulatedEsclScanner) -> dict[str, Any]:
    """Return the settings of an inlet for it."""
    return {"device": scanner.url, "hostname": "scan7", "wait_seconds": 5.0, "away_seconds": 0.2}


@pytest.fixture
def server(scanner: SimulatedEsclScanner, tmp_path: Path) -> Iterator[SourceServer]:
    """A running inlet at the first of the two."""
    with source_server.running(HpWalkup(), tmp_path, about(scanner), examined=True) as server:
        until(lambda: waits(scanner))
        yield server


def names(scanner: SimulatedEsclScanner) -> list[str]:
    """Return the names at the panel."""
    assert scanner.walkup
    return [one.name for one in scanner.walkup.destinations]


def waits(scanner: SimulatedEsclScanner) -> bool:
    """Return whether the source waits for a press."""
    assert scanner.walkup
    return bool(scanner.walkup._waiting and names(scanner))


def ended(server: SourceServer, number: int) -> BroughtJob:
    """Wait until so many jobs have ended, and return the last one."""
    server.wait_for(lambda: len([one for one in server.jobs if one.state in ENDED]) >= number)
    return server.jobs[number - 1]


def test_sheets_of_the_platen_are_one_job(
    scanner: SimulatedEsclScanner, server: SourceServer, pages: list[bytes]
) -> None:
    """Equal to the byte; each job of the device is deleted."""
    scanner.press("Invoices")
    for number in (1, 2):
        until(lambda: server.jobs and len(server.jobs[0].pages) == number)  # noqa: B023
        scanner.next_page()
    until(lambda: len(server.jobs[0].pages) == 3)
    scanner.done()

    assert ended(server, 1).pages == pages
    until(lambda: len([one for one in scanner.requests if one.method == "DELETE"]) == 3)


def test_a_feeder_of_the_older_interface_is_one_job(
    duplex: SimulatedEsclScanner, tmp_path: Path, pages: list[bytes]
) -> None:
    """Both sides, chosen at the panel."""
    with source_server.running(HpWalkup(), tmp_path, about(duplex), examined=True) as server:
        until(lambda: waits(duplex))
        duplex.press("Invoices", duplex=True)

        assert ended(server, 1).pages == [pages[number % 3] for number in range(10)]
    assert names(duplex) == []


def test_a_person_who_cancels_at_the_panel_has_a_cancelled_job(pages: list[bytes], tmp_path: Path) -> None:
    """No filter runs."""
    with (
        SimulatedEsclScanner(pages, number=10, source="duplex", hp="comp", page_seconds=0.3) as scanner,
        source_server.running(HpWalkup(), tmp_path, about(scanner), examined=True) as server,
    ):
        until(lambda: waits(scanner))
        scanner.press("Invoices")
        until(lambda: server.jobs and server.jobs[0].pages)
        scanner.cancel()

        assert ended(server, 1).state is JobState.CANCELED
        until(lambda: waits(scanner))


def test_a_job_that_is_cancelled_here_is_deleted_at_the_device(pages: list[bytes], tmp_path: Path) -> None:
    """Its answer is recorded, and the source waits for the next press."""
    with (
        SimulatedEsclScanner(pages, number=10, source="duplex", hp="comp", page_seconds=0.3) as scanner,
        source_server.running(HpWalkup(), tmp_path, about(scanner), examined=True) as server,
    ):
        until(lambda: waits(scanner))
        scanner.press("Invoices")
        until(lambda: server.jobs and server.jobs[0].pages)
        server.cancel(server.jobs[0])
        server.wait_for(lambda: server.jobs[0].told)
        until(lambda: waits(scanner))

        assert server.jobs[0].told == ["stopped"]
        assert any(one.method == "DELETE" and "ScanJobs" in one.path for one in scanner.requests)


@pytest.mark.conformance("ESCL-052")
def test_a_device_that_restarts_has_its_destinations_again(scanner: SimulatedEsclScanner, server: SourceServer) -> None:
    """Registrations do not survive a restart; neither do presses."""
    for number in range(1, 4):
        scanner.reboot()
        until(lambda: waits(scanner))
        scanner.press("Invoices")
        until(lambda: len(scanner.jobs) >= number)  # noqa: B023
        scanner.done()
        ended(server, number)

    assert names(scanner) == ["Invoices"]
    assert [len(one.pages) for one in server.jobs] == [1, 1, 1]


@pytest.mark.conformance("ESCL-056")
def test_a_device_at_which_each_answer_is_a_web_page_is_tried_again(pages: list[bytes], tmp_path: Path) -> None:
    """The source does not end."""
    with (
        SimulatedEsclScanner(pages, hp="comp", misbehaviours=["html"]) as scanner,
        source_server.running(HpWalkup(), tmp_path, about(scanner)) as server,
    ):
        server.wait_for(lambda: server.health and server.health[-1][0] == "degraded")

        assert "web page" in server.health[-1][1]
        assert server.end is None


@pytest.mark.conformance("ESCL-057", "ESCL-058")
def test_presses_while_either_side_restarts_are_one_job_each(pages: list[bytes], tmp_path: Path) -> None:
    """Kills of the source and restarts of the device at random; a press is made when the source waits."""
    chance = random.Random(15)
    table = JobTable(examined=True)
    with SimulatedEsclScanner(pages, source="platen", hp="comp", multi_page=False) as scanner:
        stamps = []
        process = SourceProcess(HpWalkup(), table, tmp_path, about(scanner), {})
        try:
            for number in range(1, 21):
                event = chance.choice(["none", "kill", "reboot", "both"])
                least = _tables(scanner) + (0 if event == "none" else 2)  # the table as it is, and the wait
                if event in ("kill", "both"):
                    process.__exit__(None, None, None)
                    process = SourceProcess(HpWalkup(), table, tmp_path, about(scanner), {})
                if event in ("reboot", "both"):
                    scanner.reboot()
                until(lambda: waits(scanner) and _tables(scanner) >= least)  # noqa: B023
                stamps.append(scanner.press("Scans"))
                process.server.wait_for(lambda: len(table.in_state(JobState.PENDING)) == number)  # noqa: B023
                assert names(scanner) == ["Scans"]
                assert scanner.walkup
                assert scanner.walkup.most_waiting <= 2  # one, and that of a process that was killed just now
        finally:
            process.__exit__(None, None, None)

    keys = [one.request.key for one in table.jobs if isinstance(one.request, OpenRequest)]
    assert [one.split("/")[1] for one in keys] == stamps
    assert [one.state for one in table.jobs] == [JobState.PENDING] * 20


def _tables(scanner: SimulatedEsclScanner) -> int:
    """Return how often the table of events was asked for."""
    return len([one for one in scanner.requests if one.path == "/EventMgmt/EventTable"])
