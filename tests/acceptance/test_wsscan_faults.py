"""A simulated WSD scanner that fails in the middle: state and reason of the job; nothing half is delivered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from acceptance.scanner_inlets import LABEL, ScannerServer, serving, sha256
from sample_files import noise, saved
from works import until

from postscan.cli.device.wsscan import WsdScanner

INLET = "scanner"
PAGES = [saved(noise(size=(300, 200), seed=seed), "JPEG", dpi=(150, 150)) for seed in range(3)]
COMPLETED = "Completed", ["PostScanJobCompletedSuccessfully"]


@pytest.fixture(scope="module")
def scanner() -> Iterator[WsdScanner]:
    """A scanner with three pages in its feeder; it forgets subscriptions within seconds."""
    with WsdScanner(PAGES, longest_grant=6) as scanner:
        yield scanner


@pytest.fixture(scope="module")
def server(scanner: WsdScanner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScannerServer]:
    """A server that is on its panel."""
    with serving(tmp_path_factory.mktemp("faults"), "wsscan", {INLET: {"device": scanner.url}}) as server:
        yield server
    assert server.server.tracebacks() == []


@pytest.fixture
def panel(scanner: WsdScanner, server: ScannerServer) -> Iterator[WsdScanner]:
    """The scanner, behaving well, with the destination on its panel."""
    until(lambda: LABEL in scanner.destinations and scanner.state == "Idle", "for the panel")
    yield scanner
    for name in ("vanish", "half-image", "no-boundary", "jam", "foreign-image", "repeat-page", "late"):
        scanner.misbehaviours.remove(name)
    scanner.clear()
    scanner.power_on()


def pressed(server: ScannerServer, panel: WsdScanner) -> tuple[str, list[str], Counter[str]]:
    """Press; return state and reasons of the job when it has ended, and the files that it has delivered."""
    before, delivered = len(server.jobs()), server.delivered()
    panel.press(LABEL)
    job = server.await_end(before + 1)
    return job.state, list(job.reasons), server.delivered() - delivered


def files(*pages: bytes) -> Counter[str]:
    """Return the hashes of these pages."""
    return Counter(map(sha256, pages))


def reason(server: ScannerServer) -> str:
    """Wait until the server has logged why the last job failed, and return that."""
    token = server.jobs()[-1].token
    found: list[str] = []

    def is_logged() -> bool:
        found[:] = re.findall(rf'job failed at its origin .* job={token} reason="(.*)"', server.server.log())
        return bool(found)

    until(is_logged, f"for the end of {token} to be logged")
    return found[0]


FAULTS = {
    "vanish=RetrieveImage:before": "the answer of the device breaks off",
    "half-image=2": "the scanner ended the job: Aborted (ImageTransferError)",
    "no-boundary=2": "the scanner ended the job: Aborted (ImageTransferError)",
    "jam=2": "the scanner ended the job: Aborted (ScannerStopped)",
    "foreign-image=2": "the answer with an image belongs to another request",
}


@pytest.mark.parametrize("misbehaviour", FAULTS)
def test_a_scan_that_is_not_whole_is_aborted_and_nothing_of_it_delivered(
    server: ScannerServer, panel: WsdScanner, misbehaviour: str
) -> None:
    """WSS-048: a scanner that goes, breaks off, ends an image early, jams, or sends what another request was for."""
    panel.misbehaviours.add(misbehaviour)
    found = pressed(server, panel)

    assert found == ("Aborted", ["SendImageFailed"], files())
    assert FAULTS[misbehaviour] in reason(server)


def test_a_page_that_comes_late_is_waited_for(server: ScannerServer, panel: WsdScanner) -> None:
    """Three seconds for each page."""
    panel.misbehaviours.add("late=3")

    assert pressed(server, panel) == (*COMPLETED, files(*PAGES))


def test_a_page_that_comes_again_is_a_page(server: ScannerServer, panel: WsdScanner) -> None:
    """Blank pages may be equal to the byte, so the page before in the place of the second one stays; it is logged."""
    panel.misbehaviours.add("repeat-page=2")

    assert pressed(server, panel) == (*COMPLETED, files(PAGES[0], PAGES[0], PAGES[2]))
    assert "page has the bytes of the one before" in server.server.log()


def test_what_the_device_does_not_offer_is_shown_with_the_job(server: ScannerServer, panel: WsdScanner) -> None:
    """The scan process asks for both sides and a colour of its own; `postscan jobs show` has what was taken instead."""
    pressed(server, panel)

    notes = server.shown(server.jobs()[-1].token)["notes"]
    for begin in ("input source ADF instead of ADFDuplex", "colour RGB24 instead of acme:Sepia"):
        assert [note for note in notes if note.startswith(begin)], (begin, notes)
