"""A scan that an administrator asks for becomes a job: ESCL-020, ESCL-028, ESCL-034 and what comes before a page."""

from __future__ import annotations

import gzip
import threading

import pytest
from escl_device import UUID, EsclDevice, Exchange, status, zipped
from escl_inlet import StartEscl
from works import until

from postscan.core.filters.source.messages import (
    Destination,
    EndRequest,
    InletBusy,
    OpenRequest,
    PageRequest,
    Reply,
    Request,
    RequestRefused,
)
from postscan.plugins import ScanTicket


def test_the_pages_of_the_feeder_become_one_job(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """Equal to the byte, in their order, each whole by its length; then the job of the device is deleted."""
    job = start().scan()

    assert job.pages == pages
    assert job.whole == [True, True, True]
    assert b"<pwg:InputSource>Feeder</pwg:InputSource>" in device.jobs[0].settings
    until(lambda: device.jobs[0].deleted)


def test_a_device_without_paper_in_its_feeder_scans_its_platen(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """One page, and no second one is asked for."""
    device.feeder = "ScannerAdfEmpty"

    assert start().scan().pages == pages[:1]
    assert b"<pwg:InputSource>Platen</pwg:InputSource>" in device.jobs[0].settings
    assert len(device.asked("NextDocument")) == 1


@pytest.mark.parametrize(("source", "is_duplex"), [("feeder", b"false"), ("duplex", b"true")])
def test_the_settings_may_name_the_input(device: EsclDevice, start: StartEscl, source: str, is_duplex: bytes) -> None:
    """Also one about which the device has said that it is empty: what it says before a scan is not reliable."""
    device.feeder = "ScannerAdfEmpty"
    start(source=source).scan()

    assert b"<pwg:InputSource>Feeder</pwg:InputSource>" in device.jobs[0].settings
    assert b"<scan:Duplex>%b</scan:Duplex>" % is_duplex in device.jobs[0].settings


def test_who_is_proven_is_the_device_by_its_uuid_and_its_address(device: EsclDevice, start: StartEscl) -> None:
    """What people see is its model."""
    request = start().scan().request

    assert request.proof == "device"
    assert request.subject == f"{UUID} at 127.0.0.1"
    assert request.name == "Acme Scan 1"


@pytest.mark.conformance("ESCL-021")
def test_a_scan_is_as_the_ticket_of_its_destination_says(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """What it does not offer is noted with the job; pages beyond the number of the ticket stay in the feeder."""
    wanted = ScanTicket(input_source="ADF", color="Grayscale8", x_resolution=200, images=2)
    inlet = start(about={"destinations": (Destination(id="d1", label="Bills", ticket=wanted),)}, quirks=["no-delete"])
    job = inlet.scan()
    sent = device.jobs[0].settings

    assert job.pages == pages[:2]
    assert b"<scan:ColorMode>Grayscale8<" in sent
    assert b"<scan:XResolution>150<" in sent
    assert any("150 dpi in place of 200 dpi" in one.fields.get("reason", "") for one in inlet.server.log)
    assert [note for note in job.notes if "150 dpi in place of 200 dpi" in note] == job.notes
    until(lambda: device.jobs[0].deleted)  # also where none is sent behind the end: the device has more


def test_each_pull_is_an_origin_of_its_own(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """Two scans of the same paper are two jobs."""
    inlet = start()
    first = inlet.scan()
    device.load(*pages)
    second = inlet.scan()

    assert first.pages == second.pages
    assert first.request.key != second.request.key
    assert first.request.key.startswith(f"{UUID}/")


@pytest.mark.conformance("ESCL-020")
def test_the_job_is_open_before_the_device_is_asked_for_one(device: EsclDevice, start: StartEscl) -> None:
    """So nothing is scanned for which there is no room."""
    inlet = start()
    open_at_post: list[int] = []

    def look(exchange: Exchange) -> None:
        open_at_post.append(len(inlet.server.in_state("Creating")))
        device.usual(exchange)

    device.on("POST", look)
    inlet.scan()

    assert open_at_post == [1]


@pytest.mark.conformance("ESCL-020")
@pytest.mark.parametrize("code", [400, 403, 409, 500])
def test_a_job_that_the_device_does_not_begin_is_cancelled(device: EsclDevice, start: StartEscl, code: int) -> None:
    """With what the device answered as its reason."""
    device.on("POST", status(code))
    job = start().scan()

    assert job.state == "Canceled"
    assert str(code) in job.reason


@pytest.mark.parametrize("kind", [InletBusy, RequestRefused])
def test_a_server_that_takes_no_job_begins_no_scan(
    device: EsclDevice, start: StartEscl, kind: type[InletBusy] | type[RequestRefused]
) -> None:
    """The paper stays in the feeder."""

    def refuse(request: Request) -> Reply | None:
        if not isinstance(request, OpenRequest):
            return None
        if kind is InletBusy:
            return InletBusy(id=request.id, seconds=30.0)
        return RequestRefused(id=request.id, reason="no such destination")

    inlet = start()
    inlet.server.on_request = refuse
    inlet.refused()

    assert not device.asked("POST")


@pytest.mark.conformance("ESCL-028")
def test_a_page_is_stored_before_the_next_one_is_asked_for(device: EsclDevice, start: StartEscl) -> None:
    """While the server stores the first page, the device hears nothing."""
    stored = threading.Event()
    asked_meanwhile: list[int] = []

    def hold(request: Request) -> None:
        if isinstance(request, PageRequest) and not stored.is_set():
            stored.wait(0.3)  # long enough for a request that would come too early
            asked_meanwhile.append(len(device.asked("NextDocument")))
            stored.set()

    inlet = start()
    inlet.server.on_request = hold
    inlet.scan()

    assert asked_meanwhile == [1]


def test_the_device_is_told_when_the_job_is_stored_and_not_before(device: EsclDevice, start: StartEscl) -> None:
    """DELETE is the acknowledgement of the whole scan."""
    deleted_at_end: list[int] = []

    def look(request: Request) -> None:
        if isinstance(request, EndRequest):
            deleted_at_end.append(len(device.asked("DELETE")))

    inlet = start()
    inlet.server.on_request = look
    inlet.scan()

    until(lambda: device.asked("DELETE"))
    assert deleted_at_end == [0]


@pytest.mark.conformance("ESCL-034")
@pytest.mark.parametrize(
    ("feeder", "words"),
    [
        ("ScannerAdfJam", "jammed"),
        ("ScannerAdfDoorOpen", "door"),
        ("ScannerAdfHatchOpen", "door"),
        ("ScannerAdfMispick", "pick"),
        ("ScannerAdfEmpty", "empty"),
    ],
)
def test_the_reason_of_the_job_names_what_is_wrong_with_the_feeder(
    device: EsclDevice, start: StartEscl, feeder: str, words: str
) -> None:
    """The device refuses with 409, and only its status says why."""
    device.feeder = feeder
    device.on("POST", status(409))
    job = start(source="feeder").scan()

    assert job.state == "Canceled"
    assert words in job.reason


@pytest.mark.conformance("ESCL-034")
def test_the_reason_of_the_job_says_that_the_device_is_busy(device: EsclDevice, start: StartEscl) -> None:
    """After ten answers 503."""
    device.on("POST", status(503, Retry_After="0"), always=True)
    job = start().scan()

    assert job.state == "Canceled"
    assert "busy" in job.reason
    assert len(device.asked("POST")) == 10


@pytest.mark.conformance("ESCL-034")
def test_a_device_that_is_stopped_with_a_jam_is_asked_for_nothing(device: EsclDevice, start: StartEscl) -> None:
    """Its health says so as well."""
    device.state, device.feeder = "Stopped", "ScannerAdfJam"
    inlet = start()
    job = inlet.scan()

    assert "jammed" in job.reason
    assert not device.asked("POST")
    assert inlet.server.health[0][0] == "degraded"


def test_a_device_that_is_away_makes_no_job_and_says_so(device: EsclDevice, start: StartEscl) -> None:
    """In the log and in the health."""
    inlet = start(connect_seconds=0.5, status_seconds=0.05)
    device.__exit__()
    inlet.server.wait_for(lambda: inlet.server.health[-1][0] == "away")

    assert str(device.port) in inlet.refused()
    assert not inlet.server.jobs
    device.__enter__()  # for the end of the fixture


@pytest.mark.conformance("ESCL-011")
def test_capabilities_and_status_may_be_packed_and_in_chunks(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """As some devices send them without being asked."""
    device.on("ScannerCapabilities", zipped, always=True)
    device.on("ScannerStatus", zipped, always=True)

    assert start().scan().pages == pages


def test_a_page_may_be_in_chunks(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """The last chunk is the end mark."""

    def chunks(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
        page = device.jobs[0].left.popleft()
        for begin in range(0, len(page), 700):
            piece = page[begin : begin + 700]
            exchange.raw(b"%x\r\n%b\r\n" % (len(piece), piece))
        exchange.raw(b"0\r\n\r\n")
        device.feeder = "ScannerAdfLoaded" if device.jobs[0].left else "ScannerAdfEmpty"

    device.on("NextDocument", chunks, chunks, chunks)
    job = start().scan()

    assert job.pages == pages
    assert job.whole == [True, True, True]


def test_a_packed_page_is_unpacked(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """Its length is that of the packed bytes."""
    device.feeder = "ScannerAdfEmpty"
    device.on(
        "NextDocument", lambda one: one.answer(200, gzip.compress(pages[0]), "image/jpeg", Content_Encoding="gzip")
    )

    assert start().scan().pages == pages[:1]


def test_a_page_that_ends_with_its_connection_is_judged_by_its_content(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """Without a length there is no end mark, so it is not said to be whole."""

    def close(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + pages[0])
        exchange.cut()

    device.feeder = "ScannerAdfEmpty"
    device.on("NextDocument", close)
    job = start().scan()

    assert job.pages == pages[:1]
    assert job.whole == [False]


@pytest.mark.conformance("ESCL-033")
def test_a_jpeg_whose_lines_are_counted_at_its_end_passes(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """Whatever media type the device names; its bytes are not touched, so the true height stays in it."""
    device.pages = [pages[1]]
    device.on("NextDocument", lambda one: one.answer(200, device.jobs[0].left.popleft(), "application/octet-stream"))
    device.feeder = "ScannerAdfLoaded"
    job = start(source="platen").scan()

    assert job.pages == [pages[1]]
    assert job.state == "Pending"


def test_capabilities_are_read_once_for_several_scans(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """A device of today does not become another one in ten minutes, unless something has failed."""
    inlet = start()
    inlet.scan()
    device.load(*pages)
    inlet.scan()

    assert len(device.asked("ScannerCapabilities")) == 1
