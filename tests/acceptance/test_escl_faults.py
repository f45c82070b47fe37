"""A simulated eSCL scanner that fails in the middle: state and reason of the job; nothing half is delivered."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import pytest
from acceptance.scanner_inlets import ScannerServer, serving, sha256
from sample_files import noise, saved
from works import until

from postscan.cli.device.escl.scanner import SimulatedEsclScanner

INLET = "scanner"
SECONDS = {"status_seconds": 0.5, "connect_seconds": 2, "silence_seconds": 4}
PAGES = [saved(noise(size=(300, 200), seed=seed), "JPEG", dpi=(150, 150)) for seed in range(3)]
FOREIGN = saved(noise(size=(300, 200), seed=9), "JPEG", dpi=(150, 150))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ScannerServer, int]]:
    """A server with an inlet for a scanner at a port at which each test puts its own."""
    with SimulatedEsclScanner(PAGES) as first:
        address = int(first.url.split(":")[2].split("/")[0])
    table = {
        "device": f"http://127.0.0.1:{address}/eSCL",
        "status_seconds": 0.5,
        "connect_seconds": 2,
        "silence_seconds": 4,
    }
    with serving(tmp_path_factory.mktemp("faults"), "escl", {INLET: table}) as server:
        yield server, address
    assert server.server.tracebacks() == []


@contextlib.contextmanager
def scanner(port: tuple[ScannerServer, int], *misbehaviours: str, **more: float) -> Iterator[SimulatedEsclScanner]:
    """Run a scanner with three pages in its feeder, which the inlet has seen."""
    with SimulatedEsclScanner(
        PAGES, misbehaviours=misbehaviours, listen=("127.0.0.1", port[1]), foreign_page=FOREIGN, **more
    ) as device:
        port[0].await_ready(INLET)
        yield device


def scanned(server: ScannerServer) -> tuple[str, list[str], Counter[str]]:
    """Order a scan; return state and reasons of its job when it has ended, and the files that it has delivered."""
    before, delivered = len(server.jobs()), server.delivered()
    server.pull(INLET)
    job = server.await_end(before + 1)
    return job.state, list(job.reasons), server.delivered() - delivered


def files(*pages: bytes) -> Counter[str]:
    """Return the hashes of these pages."""
    return Counter(map(sha256, pages))


LOST = "Aborted", ["SendImageFailed"], files()


@pytest.mark.parametrize("name", ["vanish", "half-page", "short-image", "hang", "other-job"])
def test_a_scan_that_is_not_whole_is_aborted_and_nothing_of_it_delivered(
    port: tuple[ScannerServer, int], name: str
) -> None:
    """A device that goes, breaks off, sends a part as a whole, sends nothing, or sends a page of another job."""
    with scanner(port, name):
        assert scanned(port[0]) == LOST


@pytest.mark.parametrize(("trouble", "sentence"), [("jam", "jam"), ("open_door", "open")])
def test_trouble_in_the_feeder_aborts_the_scan_and_is_named(
    port: tuple[ScannerServer, int], trouble: str, sentence: str
) -> None:
    """ESCL-034: at the second page; the first one is not delivered."""
    server = port[0]
    with scanner(port, page_seconds=0.5) as device:
        before = len(server.jobs())
        server.pull(INLET)
        until(lambda: len(server.jobs()) > before and server.jobs()[before].documents, "for the first page")
        delivered = server.delivered()
        getattr(device, trouble)()
        job = server.await_end(before + 1)

    assert (job.state, list(job.reasons), server.delivered() - delivered) == LOST
    lines = [one for one in server.server.log().splitlines() if job.token in one and "state=aborted" in one]
    assert [sentence in line for line in lines] == [True], lines


def test_a_page_that_comes_late_is_waited_for(port: tuple[ScannerServer, int]) -> None:
    """Three seconds of the four that a page may be silent; in reality 59 of 60."""
    with scanner(port, "late", pause=3.0):
        assert scanned(port[0]) == ("Completed", ["PostScanJobCompletedSuccessfully"], files(*PAGES))


def test_a_page_that_comes_again_is_a_page_of_its_own(port: tuple[ScannerServer, int]) -> None:
    """The device says that it has made four; blank pages may be equal to the byte."""
    with scanner(port, "repeat-page") as device:
        found = scanned(port[0])

    assert found == ("Completed", ["PostScanJobCompletedSuccessfully"], files(*PAGES, PAGES[-1]))
    assert device.jobs[-1].images == 4


def test_what_the_device_does_not_offer_is_shown_with_the_job(port: tuple[ScannerServer, int]) -> None:
    """The scan process asks for both sides, a colour of its own, 300 dpi, and more; `postscan jobs show` has each."""
    with scanner(port):
        scanned(port[0])
    notes = port[0].shown(port[0].jobs()[-1].token)["notes"]

    for begin in (
        "the input feeder in place of duplex",
        "the color mode RGB24 in place of acme:Sepia",
        "the format image/jpeg in place of ",
        "150 dpi in place of 300 dpi",
        "a region of ",
    ):
        assert [note for note in notes if note.startswith(begin)], (begin, notes)
