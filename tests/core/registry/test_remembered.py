"""A catalogue is read once for all who ask, and again only where that is asked for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from works import PATIENCE, until

from postscan.core.errors import Unavailable
from postscan.core.registry.catalogue import Catalogue, Plugin, PluginState
from postscan.core.registry.remembered import AFTER_FAILURE, RememberedCatalogue
from postscan.plugins.testing.runner import FakeClock


class Readings:
    """Reads the n-th catalogue when it may; counts."""

    def __init__(self) -> None:
        self.count = 0
        self.may = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> Catalogue:
        self.count += 1
        assert self.may.wait(PATIENCE)
        if self.error:
            raise self.error
        return Catalogue((Plugin(f"number {self.count}", "d", "1", PluginState.READY),))


def names(remembered: RememberedCatalogue, seconds: float = PATIENCE) -> list[str]:
    """Return the names of the plugins of the newest reading."""
    return [plugin.name for plugin in remembered.current(seconds).catalogue.plugins]


@pytest.fixture
def readings() -> Readings:
    """Readings that wait until they may."""
    return Readings()


def test_many_who_ask_at_once_wait_for_one_reading(readings: Readings, clock: FakeClock) -> None:
    """And it is remembered, with its time."""
    remembered = RememberedCatalogue(readings, clock)
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(names, remembered) for _ in range(20)]
        readings.may.set()
        found = [one.result(PATIENCE) for one in asked]

    assert found == [["number 1"]] * 20
    assert (names(remembered), remembered.current(0).at, readings.count) == (["number 1"], clock.now(), 1)


def test_who_cannot_wait_is_told_so(readings: Readings, clock: FakeClock) -> None:
    """The reading goes on, for those who ask later."""
    remembered = RememberedCatalogue(readings, clock)
    with pytest.raises(Unavailable, match="are being loaded"):
        names(remembered, 0)
    assert remembered.is_under_way

    readings.may.set()
    assert (names(remembered), readings.count) == (["number 1"], 1)


def test_the_old_reading_stays_until_a_new_one_is_done(readings: Readings, clock: FakeClock) -> None:
    """However often a new one is asked for meanwhile."""
    remembered = RememberedCatalogue(readings, clock)
    readings.may.set()
    names(remembered)
    readings.may.clear()
    for _ in range(5):
        remembered.begin()
    before = names(remembered, 0)
    readings.may.set()
    until(lambda: not remembered.is_under_way)

    assert (before, names(remembered, 0), readings.count) == (["number 1"], ["number 2"], 2)


def test_a_reading_that_fails_is_not_repeated_at_once(readings: Readings, clock: FakeClock) -> None:
    """Who asks gets the reason; some seconds later the next one tries again."""
    remembered = RememberedCatalogue(readings, clock)
    readings.error = OSError(28, "No space left on device")
    readings.may.set()
    for _ in range(3):
        with pytest.raises(Unavailable, match="No space left"):
            names(remembered)
    assert readings.count == 1

    readings.error = None
    clock.advance(AFTER_FAILURE)
    assert names(remembered) == ["number 2"]
