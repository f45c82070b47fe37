"""Scans from the simulated scanner of the command line, with each quirk and misbehaviour that concerns the transfer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import image_files
import pytest
from scanner_presses import Presses, presses
from works import until

from postscan.cli.device.wsscan.scanner import WsdScanner
from postscan.plugins import ScanTicket

ONE = image_files.baseline()
TWO = image_files.progressive()
SLOW = "slow=2000"
"""So many bytes of an image in a second that a test can act while it comes."""


@contextmanager
def scanning(
    pages: list[bytes],
    *,
    source: str = "feeder",
    quirks: tuple[str, ...] = (),
    misbehaviours: tuple[str, ...] = (),
    known: frozenset[str] = frozenset(),
    **about: Any,
) -> Iterator[tuple[WsdScanner, Presses]]:
    """Run a scanner with this paper, and the source against it."""
    with (
        WsdScanner(pages, source=source, quirks=quirks, misbehaviours=misbehaviours) as scanner,
        presses(scanner.service_url, uuid=scanner.uuid, quirks=known, **about) as panel,
    ):
        yield scanner, panel


@pytest.mark.parametrize(
    ("source", "pages", "brought"),
    [
        ("platen", [ONE, TWO], [ONE]),
        ("feeder", [ONE, TWO] * 5, [ONE, TWO] * 5),
        ("duplex", [ONE, TWO] * 5, [ONE, TWO] * 5),
    ],
)
def test_every_side_arrives_equal_to_the_byte(source: str, pages: list[bytes], brought: list[bytes]) -> None:
    """From the platen, ten from the feeder, ten sides in duplex; and nothing deviates from the protocol."""
    with scanning(pages, source=source) as (scanner, panel):
        panel.pull()
        outcome = panel.outcome()
        (job,) = panel.run.wait_for_jobs(1)

        assert (outcome.kind, job.pages) == ("stored", brought)
        assert scanner.deviations == []


@pytest.mark.conformance("WSS-046")
@pytest.mark.parametrize(
    ("quirk", "source", "known"),
    [
        ("kyocera-swapped-region", "feeder", "swapped-size"),
        ("brother-duplex", "duplex", ""),
        ("ricoh-mp201", "feeder", "broken-zero"),
        ("canon-tr7500", "feeder", ""),
        ("canon-mf410", "feeder", "empty-feeder-busy"),
        ("oki-mc362", "feeder", ""),
        ("lexmark-http200", "feeder", ""),
        ("odd-names", "feeder", ""),
        ("epson-elements", "feeder", ""),
    ],
)
def test_a_device_with_a_quirk_scans(quirk: str, source: str, known: str) -> None:
    """All of its paper."""
    paper = {"feeder": "ADF", "duplex": "ADFDuplex"}[source]
    asked = ScanTicket(input_source=paper, width=8268, height=11693, x_resolution=300)
    rows = frozenset({known} if known else ())
    with scanning([ONE, TWO], source=source, quirks=(quirk,), known=rows, ticket=asked) as (scanner, panel):
        panel.pull()
        outcome = panel.outcome()
        (job,) = panel.run.wait_for_jobs(1)

        assert (outcome.kind, job.pages) == ("stored", [ONE, TWO])
        assert scanner.deviations == []


def test_what_the_device_does_not_offer_is_noted_with_the_job() -> None:
    """The person who gets the pages sees why they are not what the destination asks for."""
    asked = ScanTicket(formats=("xps",), input_source="ADF", x_resolution=1234)
    with scanning([ONE], ticket=asked) as (_, panel):
        panel.pull()
        panel.outcome()
        (job,) = panel.run.wait_for_jobs(1)

    assert job.notes == (
        "resolution 600 x 600 dpi instead of 1234 x 1234 dpi: the device does not offer it",
        "format jfif instead of xps: the device offers none of those",
    )


def test_an_empty_feeder_that_refuses_is_no_paper() -> None:
    """As one Canon."""
    known = frozenset({"empty-feeder-busy"})
    with scanning([ONE], quirks=("canon-mf410",), known=known) as (scanner, panel):
        scanner.load([])
        panel.pull()
        outcome = panel.outcome()

        assert (outcome.kind, panel.states()) == ("cancelled", ["Canceled"])
        assert "no paper" in outcome.reason


@pytest.mark.parametrize("quirk", ["kyocera-panel-only", "oki-mc362"])
def test_a_device_that_does_not_accept_a_job_cancels_ours(quirk: str) -> None:
    """A scan that its panel did not start, or the second one."""
    with scanning([ONE], source="platen", quirks=(quirk,)) as (scanner, panel):
        for number in (1, 2):
            panel.pull()
            outcome = panel.outcome(number)

        assert (outcome.kind, panel.states()[-1]) == ("failed", "Canceled")
        assert "ServerErrorNotAcceptingJobs" in outcome.reason
        assert len(scanner.jobs) == (1 if quirk == "oki-mc362" else 0)


def test_a_device_that_hangs_is_given_up() -> None:
    """As a Xerox; here after less than 75 s."""
    with scanning([ONE], quirks=("xerox-b225",), limits={"head_seconds": 0.4}) as (_scanner, panel):
        panel.pull()
        outcome = panel.outcome()

        assert (outcome.kind, panel.states()) == ("failed", ["Aborted"])


@pytest.mark.conformance("WSS-042", "WSS-047")
@pytest.mark.parametrize(
    ("misbehaviour", "pages"),
    [
        ("late=0.8", [ONE, TWO]),
        ("not-accepting=3", [ONE, TWO]),
        ("temporary-error=2", [ONE, TWO]),
        ("fault-200", [ONE, TWO]),
        ("repeat-page=2", [ONE, ONE]),
    ],
)
def test_what_is_waited_for_or_taken(misbehaviour: str, pages: list[bytes]) -> None:
    """The job has what the device sent."""
    with scanning([ONE, TWO], misbehaviours=(misbehaviour,)) as (_scanner, panel):
        panel.pull()
        outcome = panel.outcome()
        (job,) = panel.run.wait_for_jobs(1)

        assert (outcome.kind, job.pages) == ("stored", pages)


@pytest.mark.conformance("WSS-048", "WSS-072")
@pytest.mark.parametrize(
    ("misbehaviour", "state", "stored"),
    [
        ("half-image=1", "Aborted", 0),
        ("half-image=2", "Aborted", 1),
        ("no-boundary=1", "Aborted", 0),
        ("no-boundary=2", "Aborted", 1),
        ("foreign-image=2", "Aborted", 1),
        ("jam=2", "Aborted", 1),
        ("vanish=RetrieveImage:before", "Aborted", 0),
        ("vanish=RetrieveImage:after", "Aborted", 1),
        ("vanish=CreateScanJob:before", "Canceled", 0),
        ("forget-subscriptions=RetrieveImage:before", "Aborted", 0),
        ("html=CreateScanJob", "Canceled", 0),
        ("dtd=CreateScanJob", "Canceled", 0),
        ("deep=CreateScanJob", "Canceled", 0),
        ("endless=CreateScanJob", "Canceled", 0),
        ("never-answer=CreateScanJob", "Canceled", 0),
        ("html=RetrieveImage", "Aborted", 0),
        ("dtd=RetrieveImage", "Aborted", 0),
        ("endless=RetrieveImage", "Aborted", 0),
    ],
)
def test_nothing_half_is_delivered(misbehaviour: str, state: str, stored: int) -> None:
    """Before there is an image the job is cancelled; then it is aborted, with the pages that were whole."""
    limits = {"answer_seconds": 1.0, "idle_seconds": 5.0, "cancel_seconds": 0.5}
    with scanning([ONE, TWO], misbehaviours=(misbehaviour,), limits=limits) as (_scanner, panel):
        panel.pull()
        outcome = panel.outcome()

        assert (outcome.kind, outcome.pages) == ("failed", stored)
        assert panel.states() == [state]
        assert outcome.reason


def test_a_scanner_that_vanishes_behind_its_answer_leaves_no_job_that_runs() -> None:
    """Whether the answer has arrived decides between Canceled and Aborted; the first page may come before it is off."""
    with scanning([ONE, TWO], misbehaviours=("vanish=CreateScanJob:after",)) as (_scanner, panel):
        panel.pull()
        outcome = panel.outcome()

        assert (outcome.kind, panel.states()) in [("failed", ["Aborted"]), ("failed", ["Canceled"])]
        assert outcome.pages < 2


@pytest.mark.conformance("WSS-060", "WSS-063")
@pytest.mark.parametrize(
    ("misbehaviour", "told", "there"), [("", "stopped", "Canceled"), ("deny-cancel", "refused", None)]
)
def test_a_cancel_reaches_the_scanner(misbehaviour: str, told: str, there: str | None) -> None:
    """While an image comes; its answer is stored."""
    bad = (SLOW, *filter(None, [misbehaviour]))
    with scanning([ONE, TWO], misbehaviours=bad) as (scanner, panel):
        panel.pull()
        until(lambda: scanner.jobs and scanner.jobs[0].taken)
        (job,) = panel.run.jobs
        at = time.monotonic()
        panel.run.cancel(job.id)
        outcome = panel.outcome()
        asked = [request.at for request in scanner.requests if request.what.endswith("/CancelJob")]

        assert (outcome.kind, panel.states(), panel.told()) == ("cancelled", ["Canceled"], told)
        assert len(asked) == 1
        assert asked[0] - at < 1.0
        assert there is None or scanner.jobs[0].state == there


@pytest.mark.conformance("WSS-062")
@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_cancel_at_the_scanner_cancels_the_job(page: int) -> None:
    """In each of its pages, without any event; nothing is delivered."""
    with scanning([ONE, TWO, ONE], misbehaviours=(SLOW,)) as (scanner, panel):
        panel.pull()
        until(lambda: scanner.jobs and scanner.jobs[0].taken == page)
        assert scanner.cancel()
        outcome = panel.outcome()

        assert (outcome.kind, outcome.reason) == ("cancelled", "cancelled at the scanner")
        assert panel.states() == ["Canceled"]
        assert not any(request.what.endswith("/CancelJob") for request in scanner.requests)
