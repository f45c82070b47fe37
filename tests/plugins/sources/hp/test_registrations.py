"""One destination of the inlet is one at the panel: ESCL-051, ESCL-052 and ESCL-058."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from escl_device import Exchange
from hp_device import HpDevice
from hp_inlet import HOST, StartHp
from works import PATIENCE, until

from postscan.core.filters.source.messages import Destination
from postscan.plugins.sources.hp import HpWalkup
from postscan.plugins.sources.hp.registrations import FILE
from postscan.plugins.testing.sources.process import SourceProcess
from postscan.plugins.testing.sources.server import JobTable

PATH = "/WalkupScanToComp/WalkupScanToCompDestinations"


def posts(device: HpDevice) -> int:
    """Return how many registrations were asked for."""
    return len([one for one in device.asked("POST") if one.path == PATH])


@pytest.mark.conformance("ESCL-051")
def test_each_destination_is_at_the_panel_and_is_removed_at_a_clean_stop(device: HpDevice, start: StartHp) -> None:
    """Under its label, with the name of this computer."""
    server = start("Invoices", "Letters <A&B>")
    until(lambda: device.waiting)
    shown = dict(device.registered)
    server.stop()
    server.wait_for(lambda: server.end)

    assert sorted(shown.values()) == [("Invoices", HOST), ("Letters &lt;A&amp;B&gt;", HOST)]
    assert device.registered == {}


@pytest.mark.conformance("ESCL-051")
def test_destinations_that_the_device_has_already_are_not_registered_again(device: HpDevice, start: StartHp) -> None:
    """They are known by name and host; a second one of the same is removed."""
    for number in (1, 2):
        device.registered[f"{PATH}/{number}"] = ("Invoices", HOST)
    start()
    until(lambda: device.waiting)

    assert list(device.registered) == [f"{PATH}/1"]
    assert posts(device) == 0


@pytest.mark.conformance("ESCL-051")
def test_no_two_of_one_name_are_at_the_panel(device: HpDevice, start: StartHp) -> None:
    """If another computer has the name, ours has its host behind it, and theirs stays."""
    device.registered[f"{PATH}/1"] = ("Invoices", "another")
    server = start()
    until(lambda: device.waiting)
    names = device.names
    server.stop()
    server.wait_for(lambda: server.end)

    assert names == ["Invoices", f"Invoices ({HOST})"]
    assert device.names == ["Invoices"]


@pytest.mark.conformance("ESCL-051")
def test_no_more_are_registered_than_the_device_takes(device: HpDevice, start: StartHp) -> None:
    """Its state says so; those of other computers count as well."""
    device.most = 3
    device.registered[f"{PATH}/1"] = ("Desk", "desk")
    server = start("A", "B", "C", "D")
    until(lambda: device.waiting)

    assert device.names == ["A", "B", "Desk"]
    assert posts(device) == 2
    state, text = server.health[-1]
    assert state == "degraded"
    assert "takes 3 destinations of 4" in text
    assert "no room for 'C'" in text


def test_no_more_than_fifteen_are_registered(device: HpDevice, start: StartHp) -> None:
    """Whatever a device says that it takes."""
    device.most = 99
    start(*(f"D{number:02}" for number in range(20)))
    until(lambda: device.waiting)

    assert len(device.registered) == 15


@pytest.mark.conformance("ESCL-052")
def test_a_registration_that_has_vanished_is_made_again_before_the_next_wait(device: HpDevice, start: StartHp) -> None:
    """After a restart of the device, or since another has removed it."""
    server = start(wait_seconds=0.2)
    until(lambda: device.waiting)
    device.reboot()
    until(lambda: device.names == ["Invoices"])
    device.scan("Invoices")

    server.wait_for_jobs(1)


@pytest.mark.conformance("ESCL-052")
def test_the_registrations_are_looked_at_before_each_wait(device: HpDevice, start: StartHp) -> None:
    """One look for each request that waits."""
    start(wait_seconds=0.2)
    until(lambda: len(device.asked("EventTable?timeout=2")) >= 3)
    order = [one.path.rpartition("/")[2] for one in list(device.requests)]
    waits = [number for number, name in enumerate(order) if name == "EventTable?timeout=2"]

    assert all("WalkupScanToCompDestinations" in order[waits[n] + 1 : waits[n + 1]] for n in range(len(waits) - 1))


def test_a_device_that_cuts_names_gets_no_second_destination(device: HpDevice, start: StartHp) -> None:
    """Ours is known by the path that we were told."""
    device.longest_name = 4
    start(wait_seconds=0.1)
    until(lambda: len(device.asked("EventTable?timeout=1")) >= 3)

    assert device.names == ["Invo"]
    assert posts(device) == 1


def test_a_device_that_does_not_list_what_it_takes_is_not_filled(device: HpDevice, start: StartHp) -> None:
    """After three tries the state says so."""
    device.on(PATH.rpartition("/")[2], answered_with_none(), always=True)
    server = start(wait_seconds=0.1)
    server.wait_for(lambda: any("however often" in text for _, text in server.health))

    assert posts(device) == 3


def answered_with_none() -> Callable[[Exchange], None]:
    """Return a script that lists no destination, and takes new ones."""

    def script(exchange: Exchange) -> None:
        device = exchange.device
        assert isinstance(device, HpDevice)
        if exchange.request.method == "GET":
            exchange.answer(200, device._walkup("WalkupScanToCompDestinations", ""))
        else:
            device.usual(exchange)

    return script


def test_a_destination_that_is_not_wanted_any_more_is_removed(device: HpDevice, start: StartHp, tmp_path: Path) -> None:
    """What an earlier process has recorded as its own."""
    device.registered |= {f"{PATH}/1": ("Old", HOST), f"{PATH}/2": ("Old", "another"), f"{PATH}/3": ("Mine", HOST)}
    folder = tmp_path / "inlet-folder"
    folder.mkdir()
    (folder / FILE).write_text(json.dumps([{"path": f"{PATH}/1", "name": "Old", "host": HOST}]))
    start()
    until(lambda: device.waiting)

    assert sorted(device.registered.values()) == [("Invoices", HOST), ("Mine", HOST), ("Old", "another")]


@pytest.mark.parametrize("content", ["", "[", "{}", '[1, {"path": 1}]', "[" * 100_000])
def test_a_broken_record_is_none(device: HpDevice, start: StartHp, tmp_path: Path, content: str) -> None:
    """What is at the device counts."""
    folder = tmp_path / "inlet-folder"
    folder.mkdir()
    (folder / FILE).write_text(content)
    device.registered[f"{PATH}/1"] = ("Invoices", HOST)
    start()
    until(lambda: device.waiting)

    assert list(device.registered) == [f"{PATH}/1"]


def process(device: HpDevice, home: Path, label: str = "Invoices") -> SourceProcess:
    """Return a process of the source, which can be killed."""
    settings = {"device": device.url, "hostname": HOST, "wait_seconds": 5.0}
    about = {"destinations": (Destination(id="d1", label=label),)}
    return SourceProcess(HpWalkup(), JobTable(), home, settings, about)


@pytest.mark.conformance("ESCL-058")
def test_after_a_kill_there_is_one_destination(device: HpDevice, tmp_path: Path) -> None:
    """Ten times."""
    for _ in range(10):
        before = len(device.asked("EventTable?timeout=50"))
        with process(device, tmp_path):
            until(lambda: len(device.asked("EventTable?timeout=50")) > before)  # noqa: B023

    assert list(device.registered.values()) == [("Invoices", HOST)]
    assert posts(device) == 1


@pytest.mark.conformance("ESCL-058")
def test_after_a_kill_before_the_answer_there_is_one_destination(device: HpDevice, tmp_path: Path) -> None:
    """The device has it, and the process that asked for it never heard of it; the label is another one meanwhile."""
    asked, over = threading.Event(), threading.Event()

    def take_and_be_silent(exchange: Exchange) -> None:
        body = exchange.request.body.decode()
        device.registered[f"{PATH}/1"] = ("Invoices", HOST)
        assert "Invoices" in body
        asked.set()
        over.wait(PATIENCE)

    device.on("POST", take_and_be_silent)
    with process(device, tmp_path):
        assert asked.wait(PATIENCE)
    over.set()
    with process(device, tmp_path, "Letters"):
        until(lambda: device.waiting)
        names = device.names

    assert names == ["Letters"]


@pytest.mark.conformance("ESCL-058")
def test_a_press_is_one_job_although_the_process_is_killed_behind_it(
    device: HpDevice, tmp_path: Path, pages: list[bytes]
) -> None:
    """The next process takes what is in the table for old."""
    table = JobTable()
    settings = {"device": device.url, "hostname": HOST, "wait_seconds": 5.0}
    with SourceProcess(HpWalkup(), table, tmp_path, settings, {}) as first:
        device.scan("Scans")
        first.server.wait_for_jobs(1)
    before = len(device.asked("EventTable?timeout=50"))
    with SourceProcess(HpWalkup(), table, tmp_path, settings, {}) as second:
        until(lambda: len(device.asked("EventTable?timeout=50")) > before)
        device.scan("Scans")
        second.server.wait_for_jobs(2)

    assert [one.pages for one in table.jobs] == [pages[:1]] * 2


def test_a_device_that_does_not_say_where_it_has_put_a_destination_is_looked_at(
    device: HpDevice, start: StartHp
) -> None:
    """Its list has the path."""

    def take(exchange: Exchange) -> None:
        device.registered[f"{PATH}/1"] = ("Invoices", HOST)
        exchange.answer(201)

    device.on("POST", take)
    server = start()
    device.scan("Invoices")

    server.wait_for_jobs(1)
    assert posts(device) == 1


def test_a_device_may_lose_its_registrations_as_often_as_it_likes(device: HpDevice, start: StartHp) -> None:
    """Each time they are made again: it lists what it takes."""
    start(wait_seconds=0.1)
    for number in range(1, 7):
        until(lambda: device.names == ["Invoices"] and posts(device) == number)  # noqa: B023
        device.registered.clear()

    until(lambda: device.names == ["Invoices"])
