"""The commands of the simulated scanner's panel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from escl_client import EsclTestClient, eventually, jpeg_page

from postscan.cli.device.escl.panel import HELP, EsclPanel
from postscan.cli.device.escl.scanner import SimulatedEsclScanner

PAGES = [jpeg_page(number) for number in range(3)]


@pytest.fixture
def scanner() -> Iterator[SimulatedEsclScanner]:
    """An HP device with a feeder, at which one name is registered."""
    with SimulatedEsclScanner(PAGES, hp="comp") as scanner:
        assert scanner.walkup is not None
        scanner.walkup.register("Invoices of May", "scan01")
        yield scanner


@pytest.fixture
def panel(scanner: SimulatedEsclScanner) -> EsclPanel:
    """Its panel."""
    return EsclPanel(scanner)


def test_each_command_of_the_help_is_known(panel: EsclPanel) -> None:
    """`quit` alone is carried out elsewhere."""
    shown = panel.run("help")

    for command, title in HELP:
        assert f"{command:24}{title}" in shown
        word = command.split()[0]
        assert word == "quit" or "unknown" not in panel.run(word)


def test_a_name_with_spaces_is_quoted(scanner: SimulatedEsclScanner, panel: EsclPanel) -> None:
    """`names` shows what there is to choose; the shortcut is the second word."""
    assert scanner.walkup is not None
    assert panel.run("names") == "Invoices of May"
    assert panel.run("press Invoices of May") == "expected: press NAME [SHORTCUT]"
    assert panel.run("press Letters") == "no destination is called 'Letters'; registered: Invoices of May"
    assert panel.run("press 'Invoices of May' SaveJPEG") == "event 1-2"
    assert (scanner.walkup.destinations[0].shortcut, scanner.walkup.state) == ("SaveJPEG", "ScanRequested")


def test_a_press_goes_on_by_commands(scanner: SimulatedEsclScanner, panel: EsclPanel) -> None:
    """select, start, next-page, done."""
    assert scanner.walkup is not None
    states = []
    for command in ("select 'Invoices of May'", "start", "next-page", "done"):
        panel.run(command)
        states.append(scanner.walkup.state.value)

    assert states == ["HostSelected", "ScanRequested", "ScanNewPageRequested", "ScanPagesComplete"]


def test_what_needs_a_press_says_so(panel: EsclPanel) -> None:
    """Before the first one."""
    for command in ("start", "next-page", "done"):
        assert panel.run(command) == "there is no press that could go on"
    assert panel.run("") == ""


def test_paper_trouble_and_jobs_are_shown(scanner: SimulatedEsclScanner, panel: EsclPanel) -> None:
    """State, feeder, and a line for each job."""
    client = EsclTestClient(scanner.url)
    client.next(client.job())
    eventually(lambda: scanner.jobs[0].images == 1)

    assert panel.run("status") == "Processing ScannerAdfLoaded\njob 1: Processing JobScanning, 1 images"
    assert panel.run("door") == "open, job aborted"
    assert panel.run("status") == "Idle ScannerAdfDoorOpen\njob 1: Aborted AbortedBySystem, 1 images"
    assert panel.run("clear") == "cleared"
    assert panel.run("empty") == "empty"
    assert panel.run("status").startswith("Idle ScannerAdfEmpty")
    assert panel.run("load") == "loaded"
    assert client.pages(client.job()) == (PAGES, 404)
    assert panel.run("cancel") == "no job"
