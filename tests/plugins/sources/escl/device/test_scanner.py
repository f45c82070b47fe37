"""Where a device is, and what it is called: ESCL-001, ESCL-003, ESCL-004, ESCL-010, ESCL-013."""

from __future__ import annotations

import pytest
from escl_device import UUID, EsclDevice, Exchange, capabilities, status
from escl_inlet import StartEscl

from postscan.plugins.sources.escl.device import scanner as scanners
from postscan.plugins.sources.escl.device.quirks import DeviceQuirk
from postscan.plugins.sources.escl.device.scanner import EsclScanner, address, root_of
from postscan.plugins.sources.escl.device.session import EsclSession
from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.escl.messages import capabilities as messages


@pytest.mark.conformance("ESCL-001")
@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://10.0.0.9/eSCL", "http://10.0.0.9/eSCL"),
        ("http://10.0.0.9:8080/eSCL/", "http://10.0.0.9:8080/eSCL"),
        ("https://Printer.local/eSCL", "https://printer.local/eSCL"),
        ("10.0.0.9", "http://10.0.0.9/eSCL"),
        ("10.0.0.9:8080", "http://10.0.0.9:8080/eSCL"),
        ("https://10.0.0.9", "https://10.0.0.9/eSCL"),
        ("http://10.0.0.9/", "http://10.0.0.9"),
        ("http://[fe80::1]:80/eSCL", "http://[fe80::1]:80/eSCL"),
    ],
)
def test_a_device_is_configured_by_its_base_url_or_its_host(text: str, url: str) -> None:
    """A host has the usual path; a URL that ends with its host and a slash has none."""
    assert address(text).url == url


@pytest.mark.parametrize(
    "text",
    ["ftp://10.0.0.9/", "http://", "http://u:p@h/eSCL", "http://h/?q", "http://h:99999/", "http://a b/", "http://["],
)
def test_what_is_no_base_url_is_refused(text: str) -> None:
    """At the start, and not at the first scan."""
    with pytest.raises(ValueError):
        address(text)


@pytest.mark.conformance("ESCL-003")
@pytest.mark.parametrize(
    ("rs", "root"), [("eSCL", "/eSCL"), ("/eSCL", "/eSCL"), ("/eSCL/", "/eSCL"), ("", ""), ("/", ""), ("a/b", "/a/b")]
)
def test_rs_may_be_bare_empty_or_have_slashes(rs: str, root: str) -> None:
    """The resources are below it."""
    assert root_of(rs) == root


@pytest.mark.conformance("ESCL-003")
def test_a_device_whose_resources_have_no_folder_is_scanned(pages: list[bytes], tmp_path: object) -> None:
    """Its base URL is its host."""
    with EsclDevice(list(pages), root="") as device:
        scanner = EsclScanner(address(f"{device.url}/"))
        with EsclSession(scanner) as session:
            assert session.capabilities().model == "Acme Scan 1"
        assert [one.path for one in device.requests] == ["/ScannerCapabilities"]


@pytest.mark.conformance("ESCL-004")
def test_a_device_is_named_by_its_uuid_else_by_that_of_mdns_else_by_its_url() -> None:
    """In this order."""
    there = address("http://10.0.0.9/eSCL")
    unnamed = EsclScanner(there)
    announced = EsclScanner(there, uuid="from-txt")
    stated = EsclScanner(there, uuid="from-txt")
    unnamed.learn(messages.read(capabilities(uuid="")))
    announced.learn(messages.read(capabilities(uuid="")))
    stated.learn(messages.read(capabilities()))

    assert (unnamed.id, announced.id, stated.id) == ("http://10.0.0.9/eSCL", "from-txt", UUID)


@pytest.mark.conformance("ESCL-010")
@pytest.mark.parametrize(
    ("url", "quirk", "host"),
    [
        ("http://10.0.0.9/eSCL", DeviceQuirk.HOST_LOCALHOST, "localhost"),
        ("http://127.0.0.1:80/eSCL", DeviceQuirk.HOST_LOCALHOST, ""),
        ("http://localhost/eSCL", DeviceQuirk.HOST_WITH_PORT, ""),
        ("http://10.0.0.9/eSCL", DeviceQuirk.HOST_WITH_PORT, "10.0.0.9:80"),
        ("https://[fd00::9]/eSCL", DeviceQuirk.HOST_WITH_PORT, "[fd00::9]:443"),
        ("http://10.0.0.9:8080/eSCL", DeviceQuirk.NO_DELETE, ""),
    ],
)
def test_some_devices_want_another_host_field(url: str, quirk: DeviceQuirk, host: str) -> None:
    """Not on loopback, where a simulator is."""
    assert EsclScanner(address(url), named_quirks=[quirk]).host == host


@pytest.mark.conformance("ESCL-010")
def test_the_host_field_is_sent_as_soon_as_the_device_is_known(
    device: EsclDevice, start: StartEscl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HP_Compact_Server is named by the response to the first request."""
    monkeypatch.setattr(scanners, "is_loopback", lambda _host: False)
    device.server = "HP_Compact_Server"
    start().scan()
    hosts = [one.headers["host"] for one in device.requests]

    assert hosts[0] == f"127.0.0.1:{device.port}"
    assert set(hosts[1:]) == {"localhost"}


@pytest.mark.conformance("ESCL-013")
def test_a_redirect_to_another_host_is_not_followed(device: EsclDevice, start: StartEscl) -> None:
    """Nothing else is called."""
    device.on("ScannerCapabilities", status(302, Location="http://localhost:9/eSCL/ScannerCapabilities"), always=True)

    assert "redirects" in start().refused()


@pytest.mark.conformance("ESCL-013")
def test_a_redirect_of_the_same_host_moves_the_base_url(pages: list[bytes], device: EsclDevice) -> None:
    """To another port, or from http to https."""
    with EsclDevice(list(pages), model="The other one") as other:
        device.on("ScannerCapabilities", status(301, Location=f"{other.url}/ScannerCapabilities"))
        scanner = EsclScanner(address(device.url))
        with EsclSession(scanner) as session:
            assert session.capabilities().model == "The other one"
        assert scanner.address.url == other.url


@pytest.mark.conformance("ESCL-013")
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("end", ["ScannerStatus", "POST", "NextDocument"])
def test_no_other_redirect_is_followed(
    device: EsclDevice, start: StartEscl, pages: list[bytes], end: str, code: int
) -> None:
    """Not even to the same host: the base URL is that of the capabilities."""
    with EsclDevice(list(pages)) as other:
        location = f"{other.url}/ScanJobs/1/NextDocument"
        inlet = start()
        device.on(end, status(code, Location=location), always=True)
        job = inlet.scan()

        assert job.state in ("Canceled", "Aborted")
        assert not other.requests


@pytest.mark.parametrize("location", ["http://127.0.0.1/x", "", "http://[", "ftp://127.0.0.1/"])
def test_a_redirect_from_https_to_http_is_not_followed(location: str) -> None:
    """Nor one to what is no URL."""
    with pytest.raises(DeviceRefused, match="not followed"):
        EsclScanner(address("https://127.0.0.1/eSCL")).redirected(location)


def test_redirects_in_a_circle_end(device: EsclDevice, start: StartEscl) -> None:
    """After three."""

    def around(exchange: Exchange) -> None:
        root = "/a" if exchange.request.path.startswith("/b") else "/b"
        exchange.answer(302, Location=f"http://127.0.0.1:{device.port}{root}/ScannerCapabilities")

    device.on("ScannerCapabilities", around, always=True)

    assert "302" in start().refused()
    assert len(device.asked("ScannerCapabilities")) <= 2 * 3
