"""The simulated eSCL scanner, by a client of a few lines: escl.md sections 2 to 6."""

from __future__ import annotations

import hashlib
import http.client
import io
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

import pytest
from escl_client import PWG, SCAN, SETTINGS, EsclTestClient, eventually, jpeg_page
from PIL import Image

from postscan.cli.device.escl.machine.sides import ScannedSide
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


def test_a_cancel_during_a_late_answer_is_answered_as_one() -> None:
    """Not by a page whose connection is closed."""
    with SimulatedEsclScanner(PAGES, misbehaviours=("late",), pause=30) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()
        statuses: list[int] = []
        waiting = threading.Thread(target=lambda: statuses.append(client.next(job).status))
        waiting.start()
        eventually(lambda: scanner.jobs[0].sending)
        client.call("DELETE", job)
        waiting.join(10)

        assert statuses == [410]


def test_a_cancel_at_the_panel_cuts_a_page_that_is_being_sent() -> None:
    """The client sees less than Content-Length, and then the state of the job."""
    with SimulatedEsclScanner(PAGES, misbehaviours=("slow",), pause=30) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()
        connection = client.connection()
        connection.request("GET", f"{job}/NextDocument")
        answer = connection.getresponse()
        answer.read(1)
        scanner.cancel()

        with pytest.raises(http.client.IncompleteRead):
            answer.read()
        connection.close()
        assert client.job_state(job) == ("Canceled", "JobCanceledAtDevice")
        assert client.status().texts("//pwg:ImagesCompleted") == ["0"]


@pytest.mark.parametrize(("trouble", "state"), [("jam", "ScannerAdfJam"), ("open_door", "ScannerAdfDoorOpen")])
def test_trouble_with_the_feeder_aborts_its_job_and_leaves_the_rest_of_the_paper(trouble: str, state: str) -> None:
    """409 and AdfState; after it is cleared the next job goes on with the next sheet."""
    with SimulatedEsclScanner(PAGES) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()
        client.next(job)
        assert getattr(scanner, trouble)()

        assert client.next(job).status == 409
        assert client.status().texts("//scan:AdfState") == [state]
        assert client.job_state(job) == ("Aborted", "AbortedBySystem")
        assert client.next(client.job()).status == 409
        scanner.clear()
        assert client.pages(client.job()) == (PAGES[1:], 404)


def test_a_job_that_the_device_gave_up_is_answered_500_once_the_trouble_is_over() -> None:
    """It was not cancelled: 410 would say so."""
    with SimulatedEsclScanner(PAGES) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()
        client.next(job)
        scanner.jam()
        scanner.clear()

        assert client.next(job).status == 500
        assert client.job_state(job) == ("Aborted", "AbortedBySystem")


@pytest.mark.parametrize(
    ("option", "status", "state"),
    [("jam_after", 409, "Aborted"), ("cancel_after", 410, "Canceled")],
)
def test_trouble_and_cancel_can_come_after_a_number_of_pages(option: str, status: int, state: str) -> None:
    """Between two pages; after the last page the job has ended, and neither comes."""
    with SimulatedEsclScanner(PAGES, **{option: 2}) as scanner:  # type: ignore[arg-type]
        client = EsclTestClient(scanner.url)
        job = client.job()

        assert client.pages(job) == (PAGES[:2], status)
        assert client.job_state(job)[0] == state
        scanner.clear()
        scanner.load(PAGES[:2])
        assert client.pages(client.job()) == (PAGES[:2], 404)


def test_an_empty_feeder_yields_409_and_its_state() -> None:
    """The job is made, and Aborted as soon as a page is asked for."""
    with SimulatedEsclScanner(PAGES) as scanner:
        scanner.load([])
        client = EsclTestClient(scanner.url)
        job = client.job()

        assert client.next(job).status == 409
        assert client.status().texts("//scan:AdfState") == ["ScannerAdfEmpty"]
        assert client.job_state(job) == ("Aborted", "ResourcesAreNotReady")
        assert client.next(job).status == 409


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("Feeder", "Tray"), 400),
        (("<pwg:Version>", "<pwg:Vers"), 400),
        (("<scan:ScanSettings", '<!DOCTYPE a [<!ENTITY b "c">]><scan:ScanSettings'), 400),
        (("scan:ScanSettings", "scan:ScannerStatus"), 400),
        (("<scan:XResolution>300", "<scan:XResolution>400"), 400),
        (("300", "1200"), 409),
        (("RGB24", "RGB48"), 409),
        (("image/jpeg", "image/tiff"), 409),
        (("false</scan:Duplex>", "true</scan:Duplex>"), 409),
    ],
)
def test_settings_that_are_not_understood_or_offered_are_refused(change: tuple[str, str], status: int) -> None:
    """400 for the former, 409 for the latter (escl.md section 2); there is no job."""
    with SimulatedEsclScanner(PAGES) as scanner:
        body = SETTINGS.format(source="Feeder", dots=300, duplex="<scan:Duplex>false</scan:Duplex>")
        answer = EsclTestClient(scanner.url).call("POST", "ScanJobs", body.replace(*change).encode())

        assert answer.status == status
        assert scanner.jobs == []


def test_any_prefix_and_any_order_of_settings_is_read() -> None:
    """As node-hp-scan-to writes them: default namespaces, and the log has the order in which they came."""
    body = (
        f'<ScanSettings xmlns="{SCAN}"><Version xmlns="{PWG}">2.62</Version><DocumentFormatExt>image/jpeg'
        f'</DocumentFormatExt><InputSource xmlns="{PWG}">Feeder</InputSource><ColorMode>Grayscale8</ColorMode>'
        "</ScanSettings>"
    )
    with SimulatedEsclScanner(PAGES) as scanner:
        assert EsclTestClient(scanner.url).call("POST", "ScanJobs", body.encode()).status == 201
        settings = scanner.jobs[0].settings

        assert (settings.source, settings.color, settings.media_type) == ("Feeder", "Grayscale8", "image/jpeg")
        assert settings.elements == ("Version", "DocumentFormatExt", "InputSource", "ColorMode")


@pytest.mark.parametrize("root", ["", "eSCL", "/eSCL/", "a/b"])
def test_the_root_may_be_anywhere(root: str) -> None:
    """Empty, bare, with slashes (escl.md section 1)."""
    with SimulatedEsclScanner(PAGES[:1], root=root) as scanner:
        client = EsclTestClient(scanner.url)

        assert not scanner.url.endswith("/")
        assert client.pages(client.job()) == (PAGES[:1], 404)
        assert client.call("GET", f"/{root.strip('/')}x/ScannerStatus").status == 404


def test_wrong_methods_and_sizes_are_refused() -> None:
    """405, 413; the device goes on."""
    with SimulatedEsclScanner(PAGES) as scanner:
        client = EsclTestClient(scanner.url)

        assert client.call("POST", "ScannerStatus").status == 405
        assert client.call("GET", "ScanJobs").status == 405
        assert client.call("PUT", client.job()).status == 405
        assert client.call("POST", "ScanJobs", b" " * 70_000).status == 413
        assert client.call("POST", "ScanJobs", b"", **{"Content-Length": "-1"}).status == 413
        assert client.call("POST", "ScanJobs", b"ffff0\r\n", **{"Transfer-Encoding": "chunked"}).status == 413
        assert client.status().status == 200


def test_connections_have_a_limit_and_a_place_that_is_free_again_is_used() -> None:
    """48 for one client: more are closed without an answer."""
    with SimulatedEsclScanner(PAGES) as scanner:
        client = EsclTestClient(scanner.url)
        parts = urlsplit(scanner.url)
        idle = [socket.create_connection((parts.hostname, parts.port)) for _ in range(48)]

        def refused() -> bool:
            try:
                client.status()
            except (OSError, http.client.HTTPException):
                return True
            return False

        eventually(refused)
        idle.pop().close()
        eventually(lambda: not refused())
        for one in idle:
            one.close()


def test_a_scanner_on_all_addresses_names_one_that_can_be_reached() -> None:
    """Its URL, and the Location of its jobs."""
    with SimulatedEsclScanner(PAGES[:1], listen=("0.0.0.0", 0)) as scanner:
        client = EsclTestClient(scanner.url)

        assert "0.0.0.0" not in scanner.url
        assert client.post().headers["location"] == f"{scanner.url}/ScanJobs/1"


def test_a_scanner_that_was_never_started_can_be_stopped() -> None:
    """At once."""
    scanner = SimulatedEsclScanner(PAGES)
    stopping = threading.Thread(target=scanner.stop, daemon=True)
    stopping.start()
    stopping.join(5)

    assert not stopping.is_alive()


def test_https_serves_the_same_with_a_certificate_of_its_own() -> None:
    """A client that trusts the certificate needs nothing else; the fingerprint is that of it."""
    with SimulatedEsclScanner(PAGES, tls=True) as scanner:
        context = ssl.create_default_context(cadata=scanner.certificate)
        parts = urlsplit(scanner.secure_url)
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=10)
        connection.request("GET", "/eSCL/ScannerStatus")

        assert connection.getresponse().status == 200
        assert connection.sock is not None
        der = connection.sock.getpeercert(binary_form=True)
        assert hashlib.sha256(der or b"").digest().hex(":") == scanner.fingerprint
        connection.close()
        client = EsclTestClient(scanner.secure_url)
        assert client.pages(client.job()) == (PAGES, 404)
        assert {one.secure for one in scanner.exchanges} == {True}


def test_the_size_and_resolution_of_each_kind_of_file_is_read() -> None:
    """JPEG with and without a resolution, PNG with pHYs and without; a PDF counts as A4."""
    image = Image.new("L", (30, 60))

    def file(kind: str, **options: object) -> bytes:
        data = io.BytesIO()
        image.save(data, kind, **options)
        return data.getvalue()

    sides = [
        ScannedSide.of(one)
        for one in (
            *(file("JPEG", dpi=(150, 150)), file("JPEG"), file("JPEG", progressive=True, dpi=(600, 600))),
            *(file("PNG", dpi=(75, 75)), file("PNG"), b"%PDF-1.7"),
        )
    ]

    assert [one.density for one in sides] == [150, 300, 600, 75, 300, 300]
    assert {(one.width, one.height) for one in sides[:5]} == {(30, 60)}
    assert sides[0].region == (60, 120)
    assert sides[5].region == (2480, 3508)
