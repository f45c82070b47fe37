"""Scans of the simulated scanner, which shares no code with the source: each quirk and each misbehaviour."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import source_server
from source_server import BroughtJob
from works import until

from postscan.cli.device.escl.behaviour.misbehaviours import MISBEHAVIOURS
from postscan.cli.device.escl.behaviour.quirks import QUIRKS
from postscan.cli.device.escl.scanner import SimulatedEsclScanner
from postscan.plugins.sources.escl import Escl

ENDED = ("Pending", "Canceled", "Aborted")

SLOW = ("xerox-b205", "xerox-3345", "naps2")
"""Quirks that cost a second or two for each page."""

OVER_HTTPS = ("hp-https", "ricoh-c261")
NO_SCAN = {
    "hp-officejet-6600": "eSCL 1.0",
    "hp-html": "web page",
    "hp-scan-disabled": "allows scans from a computer",
    "naps2-no-images": "without a page",
}
"""Quirks of devices that do not scan, and what is said of them."""

GOOD = ("chunked", "gzip", "late", "slow", "foreign-location", "wrong-type", "deaf", "forget")
"""Misbehaviours that lose nothing."""


@contextlib.contextmanager
def scanned(tmp_path: Path, scanner: SimulatedEsclScanner, **settings: Any) -> Iterator[tuple[BroughtJob | None, str]]:
    """Scan once; yield the job, or why there is none."""
    table = {"device": scanner.url, "answer_seconds": 3.0, "silence_seconds": 2.0, "connect_seconds": 1.0, **settings}
    with source_server.running(Escl(), tmp_path, table, examined=True) as server:
        server.wait_for(lambda: server.health)
        server.pull("d1")
        server.wait_for(lambda: any(one.message.startswith("scan ") and "state" in one.fields for one in server.log)
                        or any(one.message == "scan not fetched" for one in server.log))  # fmt: skip
        line = next(one for one in server.log if one.message in ("scan fetched", "scan not fetched"))
        job = server.jobs[-1] if server.jobs else None
        server.wait_for(lambda: job is None or job.state in ENDED)
        yield job, (job.reason if job is not None else "") or line.fields["reason"]


@pytest.mark.parametrize("source", ["platen", "feeder", "duplex"])
@pytest.mark.parametrize("quirk", [name for name in QUIRKS if name not in NO_SCAN])
def test_a_device_with_a_quirk_is_scanned(tmp_path: Path, pages: list[bytes], quirk: str, source: str) -> None:
    """Both sides of the sheets in the feeder, or one side; one page of the platen; equal to the byte."""
    number = 4 if quirk in SLOW else 10
    with SimulatedEsclScanner([pages[0], pages[2]], source="duplex", number=number, quirks=[quirk]) as scanner:
        more: dict[str, Any] = {"source": source}
        if quirk in OVER_HTTPS:
            more |= {"device": scanner.secure_url, "fingerprint": scanner.fingerprint}
        with scanned(tmp_path, scanner, **more) as (job, reason):
            assert job is not None, reason
            assert job.state == "Pending", reason
            assert all(job.whole)
            expected = {"platen": pages[:1], "feeder": pages[:1] * (number // 2)}
            if quirk != "hp-adf-dnl" or source == "platen":
                assert job.pages == expected.get(source, [pages[0], pages[2]] * (number // 2))
            else:
                assert len(job.pages) == (number // 2 if source == "feeder" else number)
                assert all(b"\xff\xdc\x00\x04" in page for page in job.pages)  # DNL, and passed as it is


@pytest.mark.parametrize("quirk", NO_SCAN)
def test_a_device_that_does_not_scan_is_described(tmp_path: Path, pages: list[bytes], quirk: str) -> None:
    """In the log, or as the reason of the job."""
    with (
        SimulatedEsclScanner(pages[:1], quirks=[quirk]) as scanner,
        scanned(tmp_path, scanner) as (job, reason),
    ):
        assert NO_SCAN[quirk] in reason
        assert job is None or (job.state != "Pending" and not job.pages)


def test_a_redirect_to_https_is_followed_and_its_certificate_is_checked(tmp_path: Path, pages: list[bytes]) -> None:
    """Many HPs; without a setting for the certificate nothing is scanned, and the reason says what to set."""
    with SimulatedEsclScanner(pages[:1], quirks=["hp-https"]) as scanner:
        with scanned(tmp_path, scanner) as (job, reason):
            assert job is None
            assert "fingerprint" in reason
        with scanned(tmp_path, scanner, first_use=True) as (job, _):
            assert job is not None
            assert job.pages == pages[:1]


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_device_that_breaks_the_protocol_loses_or_brings_everything(
    tmp_path: Path, pages: list[bytes], name: str
) -> None:
    """No half is processed: a stored job has all pages, and another one has a reason."""
    scanner = SimulatedEsclScanner(
        [pages[0], pages[2]], number=4, misbehaviours=[name], pause=1.0, foreign_page=pages[1], source="feeder"
    )
    with scanner, scanned(tmp_path, scanner, most_pages=8, most_bytes=1 << 20) as (job, reason):
        if name in GOOD:
            assert job is not None, reason
            assert (job.state, job.pages) == ("Pending", [pages[0], pages[2]] * 2), reason
        elif job is not None and job.state == "Pending":
            assert name in ("repeat-page", "other-job")  # nothing in the protocol tells these
        else:
            assert reason


@pytest.mark.parametrize("quirk", ["kyocera-m2030", "airsane", "brother"])
def test_the_device_has_no_open_job_afterwards(tmp_path: Path, pages: list[bytes], quirk: str) -> None:
    """Kyocera M2030 would keep sending until its job is closed."""
    with SimulatedEsclScanner(pages[:1], quirks=[quirk]) as scanner:
        with scanned(tmp_path, scanner, source="feeder") as (job, reason):
            assert job is not None, reason
        until(lambda: any(one.method == "DELETE" for one in scanner.requests))


@pytest.mark.conformance("ESCL-041")
@pytest.mark.parametrize("quirk", ["airsane", "brother", "hp-deskjet-3520"])
def test_a_cancel_at_the_panel_cancels_the_job(tmp_path: Path, pages: list[bytes], quirk: str) -> None:
    """While the feeder runs; no page is processed."""
    scanner = SimulatedEsclScanner(pages[:1], number=50, quirks=[quirk], page_seconds=0.05, source="feeder")
    with scanner, source_server.running(Escl(), tmp_path, {"device": scanner.url}, examined=True) as server:
        server.wait_for(lambda: server.health)
        server.pull("d1")
        server.wait_for(lambda: server.jobs and len(server.jobs[0].pages) >= 2)
        assert scanner.cancel()
        job = server.wait_for_jobs(1, "Canceled")[0]

    assert "cancelled at the device" in job.reason


@pytest.mark.parametrize("trouble", ["jam", "open_door", "reboot"])
def test_trouble_in_the_middle_fails_the_job(tmp_path: Path, pages: list[bytes], trouble: str) -> None:
    """With its name, where the device still tells it."""
    scanner = SimulatedEsclScanner(pages[:1], number=50, page_seconds=0.05, source="feeder")
    with scanner, source_server.running(Escl(), tmp_path, {"device": scanner.url}, examined=True) as server:
        server.wait_for(lambda: server.health)
        server.pull("d1")
        server.wait_for(lambda: server.jobs and len(server.jobs[0].pages) >= 2)
        getattr(scanner, trouble)()
        job = server.wait_for_jobs(1, "Aborted")[0]

    assert {"jam": "jam", "open_door": "door", "reboot": ""}[trouble] in job.reason
