"""The health of an inlet, and the pace of requests."""

from __future__ import annotations

import pytest

from postscan.soap.wsscan.devices.health import InletHealth
from postscan.soap.wsscan.devices.pace import REQUEST_SECONDS, GrowingPause, RequestPace


@pytest.fixture
def reports() -> list[tuple[str, str]]:
    """What was reported."""
    return []


@pytest.fixture
def health(reports: list[tuple[str, str]]) -> InletHealth:
    """The health of an inlet."""
    return InletHealth(lambda state, text: reports.append((state, text)))


def test_an_inlet_without_a_scanner_is_away(health: InletHealth, reports: list[tuple[str, str]]) -> None:
    """Until one is found."""
    health.begin("the scanner was not found yet")
    health.set("a", "ready", "A offers 1 destination")

    assert reports == [("away", "the scanner was not found yet"), ("ready", "A offers 1 destination")]


def test_the_worst_comes_first(health: InletHealth, reports: list[tuple[str, str]]) -> None:
    """One of several scanners that is away is a degradation; all of them are away."""
    health.set("a", "ready", "A is well")
    health.set("b", "away", "B is off")
    assert reports[-1] == ("degraded", "B is off; A is well")

    health.set("a", "away", "A is off")
    assert reports[-1] == ("away", "A is off; B is off")


def test_a_press_that_failed_is_noted_until_one_went_well(health: InletHealth, reports: list[tuple[str, str]]) -> None:
    """Before the states."""
    health.set("a", "ready", "A is well")
    health.note("a", "A: no room")
    health.note("a", "A: no room")
    health.note("a", "")

    assert reports == [("ready", "A is well"), ("degraded", "A: no room; A is well"), ("ready", "A is well")]


def test_nothing_is_reported_twice(health: InletHealth, reports: list[tuple[str, str]]) -> None:
    """A loop sets the same state again and again."""
    for _ in range(3):
        health.set("a", "ready", "A is well")

    assert len(reports) == 1


@pytest.mark.conformance("WSS-020")
def test_requests_of_several_threads_have_a_second_between_them() -> None:
    """The first goes at once, and a bounded wait is no longer than that."""
    slept: list[float] = []
    pace = RequestPace()
    pace.wait(slept.append)
    pace.wait(slept.append)
    pace.wait(slept.append)
    pace.wait(slept.append, 0.5)

    assert len(slept) == 3
    assert slept[0] == pytest.approx(REQUEST_SECONDS, abs=0.1)
    assert slept[1] == pytest.approx(2 * REQUEST_SECONDS, abs=0.1)
    assert slept[2] == pytest.approx(0.5, abs=0.01)


@pytest.mark.conformance("WSS-017")
def test_pauses_grow_to_a_minute() -> None:
    """And begin anew after a success."""
    pause = GrowingPause()

    assert [pause.next() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    pause.reset()
    assert pause.next() == 1
