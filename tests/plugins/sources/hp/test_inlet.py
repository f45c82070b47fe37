"""A device that is away, or no device of this kind, and how the inlet ends: ESCL-050 and ESCL-056."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import source_server
from escl_device import Exchange, capabilities, status
from hp_device import HpDevice
from hp_inlet import StartHp
from works import until

from postscan.plugins import Source
from postscan.plugins.sources.hp import HpWalkup
from postscan.plugins.sources.hp import inlet as hp_inlet

WAIT = "EventTable?timeout=50"


def at_panel(device: HpDevice, name: str = "Invoices") -> bool:
    """Return whether the source waits for a press of this name."""
    return bool(device.waiting) and name in device.names


@pytest.mark.conformance("ESCL-050")
@pytest.mark.parametrize("kind", ["WalkupScanToComp", "WalkupScan"])
@pytest.mark.parametrize("has_tree", [True, False])
def test_the_interface_is_found(start: StartHp, pages: list[bytes], kind: str, has_tree: bool) -> None:
    """By the DiscoveryTree, else by asking for the capabilities of the newer one."""
    with HpDevice(pages[:1], kind=kind) as device:
        device.has_tree = has_tree
        start(of=device)
        until(lambda: at_panel(device))

        asked = [one.path for one in device.asked("GET")]
        assert ("/WalkupScanToComp/WalkupScanToCompCaps" in asked) == (kind == "WalkupScanToComp" or not has_tree)


@pytest.mark.conformance("ESCL-050")
@pytest.mark.parametrize("tree", [b"<html><body>Not found</body></html>", b"<x/>", b"", b"<!DOCTYPE a []><a/>"])
def test_a_tree_that_is_none_is_passed_over(device: HpDevice, start: StartHp, tree: bytes) -> None:
    """The capabilities tell as well."""
    device.on("DiscoveryTree.xml", lambda exchange: exchange.answer(200, tree), always=True)
    start()

    until(lambda: at_panel(device))


def test_a_device_without_walkup_scanning_is_said_to_have_none(device: HpDevice, start: StartHp) -> None:
    """Newer models have eSCL alone."""
    device.has_tree = False
    device.on("WalkupScanToCompCaps", status(404), always=True)
    server = start()

    server.wait_for(lambda: ("degraded", "the device has no walk-up scanning (Scan to Computer)") in server.health)


def test_a_device_with_an_older_escl_is_not_offered_at_its_panel(device: HpDevice, start: StartHp) -> None:
    """A press could not be served."""
    device.capabilities = capabilities(version="1.0")
    server = start()
    server.wait_for(lambda: server.health and server.health[-1][0] == "degraded")

    assert device.names == []


@pytest.mark.conformance("ESCL-056")
def test_a_device_that_was_away_is_served_again(device: HpDevice, start: StartHp) -> None:
    """It is `away` meanwhile, and its registrations are made anew."""
    server = start()
    until(lambda: at_panel(device))
    device.switch(on=False)
    server.wait_for(lambda: server.health[-1][0] == "away")
    device.switch(on=True)
    until(lambda: at_panel(device))
    device.scan("Invoices")
    server.wait_for_jobs(1)

    assert [state for state, _ in server.health] == ["ready", "away", "ready"]


@pytest.mark.conformance("ESCL-056")
def test_the_pauses_between_two_tries_grow_to_a_minute(tmp_path: Path) -> None:
    """At a device that is off for days: 1, 2, 4 ... 60 s, and 60 s from then on."""
    token = _Token(tries=12)
    inlet = _inlet(tmp_path, device="http://127.0.0.1:9", away_seconds=60.0)
    hp_inlet.HpInlet(inlet).run(token)

    assert token.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0]
    assert {state for state, _ in inlet.states} == {"away"}


class _Token:
    """A token of which the waits take no time; it is set after so many tries."""

    def __init__(self, tries: int) -> None:
        self.tries = tries
        self.pauses: list[float] = []

    def wait(self, seconds: float) -> bool:
        if seconds:
            self.pauses.append(seconds)
        return len(self.pauses) >= self.tries

    def calling(self, _stop: object) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def _inlet(tmp_path: Path, **settings: Any) -> Any:
    class Inlet:
        folder = tmp_path
        destinations = ()
        states: list[tuple[str, str]] = []

        def __init__(self) -> None:
            self.settings = HpWalkup.Settings(**settings)

        def health(self, state: str, text: str) -> None:
            self.states.append((state, text))

    return Inlet()


def test_a_device_that_does_not_wait_is_not_asked_without_a_pause(device: HpDevice, start: StartHp) -> None:
    """One that answers 304 at once, or an event table that changes all the time."""
    device.on(WAIT, lambda exchange: exchange.answer(304), always=True)
    start()
    until(lambda: device.asked(WAIT))
    began = time.monotonic()
    until(lambda: len(device.asked(WAIT)) >= 3)

    assert time.monotonic() - began >= 1.5


@pytest.mark.parametrize(
    "answer",
    [
        lambda exchange: exchange.answer(200, b"<x/>", ETag="1"),
        lambda exchange: exchange.answer(200, b"x" * (1 << 20) + b"x", ETag="1"),
        lambda exchange: exchange.answer(200, exchange.device.table()),  # without ETag
        lambda exchange: exchange.answer(200, exchange.device.table(), ETag="x" * 1000),
        lambda exchange: exchange.answer(304),  # to a request without one
        lambda exchange: exchange.answer(500),
        lambda exchange: exchange.answer(302, Location="http://192.0.2.1/"),
        lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<"),
        lambda exchange: exchange.cut(reset=True),
    ],
)
def test_an_answer_that_is_no_event_table_is_reported_and_tried_again(
    device: HpDevice, start: StartHp, answer: Callable[[Exchange], object]
) -> None:
    """The inlet goes on when the device answers as it should."""

    def and_close(exchange: Exchange) -> None:
        answer(exchange)
        exchange.cut()

    device.on("/EventMgmt/EventTable", and_close)
    server = start()
    server.wait_for(lambda: server.health)
    first = server.health[0][0]
    until(lambda: at_panel(device))
    device.scan("Invoices")

    server.wait_for_jobs(1)
    assert first in ("away", "degraded")


def test_the_stop_ends_a_wait_at_once(device: HpDevice, start: StartHp) -> None:
    """A device waits two minutes."""
    server = start(wait_seconds=120.0)
    until(lambda: at_panel(device))
    began = time.monotonic()
    server.stop()
    server.wait_for(lambda: server.end)

    assert time.monotonic() - began < 5.0


def test_a_device_that_hangs_does_not_keep_the_source_from_stopping(device: HpDevice, start: StartHp) -> None:
    """Its registrations stay, and the next process finds them."""
    server = start()
    until(lambda: at_panel(device))
    device.on("DELETE", lambda exchange: exchange.cut(), always=True)
    server.stop()
    server.wait_for(lambda: server.end, HpWalkup.grace)

    assert device.names == ["Invoices"]


def test_the_walkup_resources_may_be_at_another_port(device: HpDevice, start: StartHp, pages: list[bytes]) -> None:
    """Some devices have them at 8080 and eSCL at 80."""
    with HpDevice(pages[1:2]) as other:
        server = start(of=other, walkup=f"http://127.0.0.1:{device.port}")
        stamp_of = device.press
        stamp_of("Invoices")
        until(lambda: other.jobs)
        device.ask("ScanPagesComplete")
        (job,) = server.wait_for_jobs(1)

    assert job.pages == pages[1:2]
    assert not device.jobs


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"walkup": "ftp://x"}, "expected a host"),
        ({"wait_seconds": 121}, "120 or less"),
        ({"wait_seconds": 0}, "above 0"),
        ({"away_seconds": -1}, "above 0"),
        ({"hostname": "a\nb"}, "one line"),
        ({"hostname": "x" * 64}, "at most 63"),
        ({"source": "tray"}, "source"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], problem: str) -> None:
    """The server shows the text."""
    with pytest.raises(ValueError, match=problem):
        HpWalkup.Settings(**settings)


def test_a_panel_may_show_the_label_as_the_name_of_the_computer() -> None:
    """Which of both a panel shows differs."""
    assert HpWalkup.Settings(hostname="{label}").host("Invoices") == "Invoices"
    assert HpWalkup.Settings(hostname="scan7 {label}").host("A" * 80) == ("scan7 " + "A" * 80)[:63]
    assert HpWalkup.Settings().host("Invoices")


def diagnosed(tmp_path: Path, *destinations: str, **settings: Any) -> list[str]:
    """Return what the source finds wrong."""
    found: list[str] = []

    class Asked(Source):
        """Asks the source."""

        title = "Asked"
        proofs = ("device",)
        Settings = HpWalkup.Settings

        def run(self, inlet: Any, token: Any) -> None:
            found.extend(HpWalkup().diagnose(inlet))
            inlet.health("ready", "asked")
            token.wait(60)

    with source_server.running(Asked(), tmp_path, settings, destinations=destinations) as server:
        server.wait_for(lambda: server.health)
    return found


def test_doctor_says_what_keeps_presses_from_coming(device: HpDevice, tmp_path: Path) -> None:
    """Nothing is registered for that."""
    well = diagnosed(tmp_path, "Invoices", device=device.url)
    device.most = 1
    many = diagnosed(tmp_path, "Invoices", "Letters", device=device.url)
    none = diagnosed(tmp_path, device=device.url)
    (away,) = diagnosed(tmp_path, "Invoices", device="http://127.0.0.1:9")

    assert well == []
    assert many == ["the device takes 1 destinations, and the inlet has 2"]
    assert none == ["the panel can show nothing: the inlet has no destination"]
    assert "127.0.0.1:9" in away
    assert device.names == []
