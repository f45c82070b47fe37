"""Requests to one device: ESCL-005, ESCL-006, ESCL-023, ESCL-024, ESCL-026."""

from __future__ import annotations

import pytest
from escl_device import EsclDevice, Exchange, Script, capabilities, status
from escl_inlet import StartEscl

from postscan.plugins.sources.escl.device.scanner import EsclScanner, address
from postscan.plugins.sources.escl.device.session import EsclSession, job_path
from postscan.plugins.sources.escl.errors import DeviceBusy, DeviceRefused


@pytest.mark.conformance("ESCL-023")
@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("http://10.0.0.9/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
        ("http://HPDESKJET.home:8080/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
        ("https://evil.example/eSCL/ScanJobs/1/", "/eSCL/ScanJobs/1"),
        ("/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
        ("ScanJobs/1", "/eSCL/ScanJobs/1"),
        ("//evil.example/1", "/1"),
        ("http://[fe80::9eae:d3ff:fe/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
        ("http://fe80::9eae:d3ff:fe12:3456/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
        ("  /eSCL/ScanJobs/1?a=b#c ", "/eSCL/ScanJobs/1"),
    ],
)
def test_only_the_path_of_location_is_taken(location: str, path: str) -> None:
    """HP DeskJet 3520 names a host of its own, Xerox B205 a part of an IPv6 address, AirSane none."""
    assert job_path(location, "/eSCL/ScanJobs") == path


@pytest.mark.parametrize(
    "location", ["", "/", "http://10.0.0.9", "/a b", "/a\r\nX: y", "/é", "/" + "a" * 2000, "http://["]
)
def test_a_location_without_a_path_of_a_job_is_refused(location: str) -> None:
    """Nothing of it goes into a request."""
    with pytest.raises(DeviceRefused, match="did not say where"):
        job_path(location, "/eSCL/ScanJobs")


@pytest.mark.conformance("ESCL-023")
def test_a_wrong_host_in_location_is_not_called(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """The pages come from the device that was asked."""

    def elsewhere(exchange: Exchange) -> None:
        device._create(Exchange(device, exchange.request, _Swallowing()))  # type: ignore[arg-type]
        exchange.answer(201, Location=f"http://192.0.2.1:80{device.job_path()}")

    device.on("POST", elsewhere)

    assert start().scan().pages == pages


class _Swallowing:
    """Takes an answer that no client gets."""

    def __init__(self) -> None:
        self.wfile = self

    def __getattr__(self, _name: str) -> object:
        return lambda *_: None


@pytest.mark.conformance("ESCL-024")
@pytest.mark.parametrize("reset", [False, True])
def test_the_body_of_201_is_not_needed(device: EsclDevice, start: StartEscl, pages: list[bytes], reset: bool) -> None:
    """Kyocera M6526cdn breaks the connection before it ends."""

    def without_body(exchange: Exchange) -> None:
        device._create(Exchange(device, exchange.request, _Swallowing()))  # type: ignore[arg-type]
        exchange.raw(
            f"HTTP/1.1 201 Created\r\nLocation: {device.job_path()}\r\nContent-Length: 900\r\n\r\n<html>".encode()
        )
        exchange.cut(reset=reset)

    device.on("POST", without_body)

    assert start().scan().pages == pages


def test_a_201_without_location_cancels_the_job(device: EsclDevice, start: StartEscl) -> None:
    """Nothing can be fetched."""
    device.on("POST", status(201))
    job = start().scan()

    assert job.state == "Canceled"
    assert "Location" in job.reason


@pytest.mark.conformance("ESCL-026")
def test_a_busy_device_is_asked_ten_times(device: EsclDevice) -> None:
    """For anything but a page."""
    device.on("ScannerStatus", status(503, Retry_After="0"), always=True)
    with EsclSession(EsclScanner(address(device.url))) as session, pytest.raises(DeviceBusy):
        session.status()

    assert len(device.asked("ScannerStatus")) == 10


def test_a_device_that_is_ready_the_tenth_time_is_used(device: EsclDevice) -> None:
    """The last answer counts."""
    device.on("ScannerStatus", *[status(503, Retry_After="0")] * 9)
    with EsclSession(EsclScanner(address(device.url))) as session:
        assert session.status().state == "Idle"


@pytest.mark.conformance("ESCL-005")
def test_an_old_device_is_refused_by_its_name(device: EsclDevice, start: StartEscl) -> None:
    """In the health, and when a scan is asked for."""
    device.capabilities = capabilities("HP Officejet 6600", version="1.0")
    inlet = start()

    assert "HP Officejet 6600" in inlet.refused()
    assert "eSCL 1.0" in inlet.server.health[-1][1]
    assert inlet.server.health[-1][0] == "degraded"


@pytest.mark.conformance("ESCL-006")
@pytest.mark.parametrize("end", ["ScannerCapabilities", "ScannerStatus"])
def test_a_web_page_in_place_of_xml_is_quoted(device: EsclDevice, start: StartEscl, end: str) -> None:
    """HP 9012e and Brother L2750DW."""
    device.on(end, lambda one: one.answer(200, b"<!DOCTYPE html><title>Sign in</title>", "text/html"), always=True)
    inlet = start()

    assert "Sign in" in inlet.server.health[-1][1]


def spoiled(body: bytes, coding: str = "") -> Script:
    """Return a script that answers with this body in this coding."""
    return lambda exchange: exchange.answer(200, body, "text/xml", **({"Content_Encoding": coding} if coding else {}))


@pytest.mark.conformance("ESCL-014")
@pytest.mark.parametrize(
    "script",
    [
        spoiled(b"<a>" + b" " * (1 << 20) + b"</a>"),
        spoiled(b"\x1f\x8b" + b"nonsense", "gzip"),
        spoiled(b"x", "br"),
        spoiled(b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"),
        lambda exchange: exchange.raw(b"SSH-2.0-OpenSSH\r\n" * 100),
        lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n"),
        lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n"),
        lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        lambda exchange: exchange.cut(),
    ],
)
def test_a_lying_device_is_one_sentence_in_the_health(device: EsclDevice, start: StartEscl, script: Script) -> None:
    """The source goes on, and no scan begins."""
    device.on("ScannerCapabilities", script, always=True)
    inlet = start(answer_seconds=0.5)

    assert inlet.server.health[-1][0] in ("away", "degraded")
    assert inlet.refused()
    assert not inlet.server.jobs


@pytest.mark.conformance("ESCL-014")
def test_a_packed_bomb_is_refused_while_it_is_unpacked(device: EsclDevice, start: StartEscl) -> None:
    """A hundred MiB in a hundred KiB."""
    import gzip

    device.on("ScannerCapabilities", spoiled(gzip.compress(b" " * (100 << 20)), "gzip"), always=True)

    assert "more than 1048576 bytes" in start().server.health[-1][1]
