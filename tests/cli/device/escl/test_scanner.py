"""The simulated eSCL scanner, by a client of a few lines: escl.md sections 2 to 6."""

from __future__ import annotations

import threading
import time

import pytest
from escl_client import EsclTestClient, eventually, jpeg_page

from postscan.cli.device.escl.scanner import SimulatedEsclScanner

PAGES = [jpeg_page(number) for number in range(4)]


def test_a_feeder_job_yields_each_page_as_it_is_and_then_404() -> None:
    """The images are those of the files, to the byte, in their order."""
    with SimulatedEsclScanner(PAGES) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()

        assert client.pages(job) == (PAGES, 404)
        assert client.job_state(job) == ("Completed", "JobCompletedSuccessfully")
        assert client.status().texts("//scan:AdfState") == ["ScannerAdfEmpty"]


def test_a_platen_job_yields_one_page() -> None:
    """The paper in the feeder stays there."""
    with SimulatedEsclScanner(PAGES) as scanner:
        client = EsclTestClient(scanner.url)

        assert client.pages(client.job("Platen")) == (PAGES[:1], 404)
        assert client.status().texts("//scan:AdfState") == ["ScannerAdfLoaded"]


def test_a_duplex_job_yields_both_sides_and_a_simplex_one_the_fronts() -> None:
    """The feeder of a duplex scanner holds sheets."""
    with SimulatedEsclScanner(PAGES, source="duplex") as scanner:
        client = EsclTestClient(scanner.url)

        assert client.pages(client.job(duplex=True)) == (PAGES, 404)
        scanner.load()
        assert client.pages(client.job()) == (PAGES[::2], 404)
        assert client.status().texts("//scan:AdfState") == ["ScannerAdfEmpty"]


def test_capabilities_offer_what_the_pages_are() -> None:
    """Largest size in 1/300 inch, resolution and media type are those of the files."""
    with SimulatedEsclScanner([jpeg_page(1, 100, 50)], source="duplex") as scanner:
        answer = EsclTestClient(scanner.url).call("GET", "ScannerCapabilities")

    assert answer.headers["content-type"].startswith("text/xml")
    assert answer.texts("//scan:AdfDuplexInputCaps/scan:MaxWidth") == ["100"]
    assert answer.texts("//scan:PlatenInputCaps/scan:MaxHeight") == ["50"]
    assert answer.texts("//scan:PlatenInputCaps//scan:XResolution") == ["300"]
    assert answer.texts("//scan:PlatenInputCaps//pwg:DocumentFormat") == ["image/jpeg"]
    assert answer.texts("//scan:AdfOption") == ["DetectPaperLoaded", "Duplex"]


def test_a_second_job_has_to_wait_for_the_first() -> None:
    """One job at a time; 503 is the answer to all others."""
    with SimulatedEsclScanner(PAGES) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()

        assert client.post().status == 503
        assert client.call("DELETE", job).status == 200
        assert client.post().status == 201


@pytest.mark.parametrize(("end", "reason"), [("delete", "JobCanceledByUser"), ("panel", "JobCanceledAtDevice")])
def test_a_cancel_ends_a_request_that_waits_for_its_page(end: str, reason: str) -> None:
    """The client's DELETE comes on a second connection; the waiting request is answered 410 at once."""
    with SimulatedEsclScanner(PAGES, page_seconds=30) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()
        statuses: list[int] = []
        waiting = threading.Thread(target=lambda: statuses.append(client.next(job).status))
        waiting.start()
        eventually(lambda: any(one.path.endswith("NextDocument") for one in scanner.requests))
        began = time.monotonic()
        if end == "panel":
            assert scanner.cancel()
        else:
            assert client.call("DELETE", job).status == 200
        waiting.join(10)

        assert statuses == [410]
        assert time.monotonic() - began < 5
        assert client.job_state(job) == ("Canceled", reason)
        assert client.next(job).status == 410


def test_the_log_has_each_request_with_its_time() -> None:
    """Monotonic seconds, method, path; in order."""
    with SimulatedEsclScanner(PAGES[:1]) as scanner:
        client = EsclTestClient(scanner.url)
        client.status()
        client.call("GET", "nothing")

        assert [(method, path) for _, method, path in scanner.requests] == [
            ("GET", "/eSCL/ScannerStatus"),
            ("GET", "/eSCL/nothing"),
        ]
        assert scanner.requests[0].time <= scanner.requests[1].time <= time.monotonic()
        assert [one.status for one in scanner.exchanges] == [200, 404]
