"""Scanners that are announced by mDNS: ESCL-002 to ESCL-004. Real packets, on loopback alone."""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import source_server
from escl_device import UUID, EsclDevice

from postscan.plugins.sources.escl import Escl
from postscan.plugins.sources.escl.device import finding
from postscan.plugins.sources.escl.device.finding import FoundScanner
from postscan.plugins.sources.escl.device.scanner import EsclAddress
from postscan.plugins.sources.escl.errors import DeviceRefused, ScannerAway

zeroconf = pytest.importorskip("zeroconf", reason="finding scanners needs the extra [sources]")

Announce = Callable[..., tuple[str, str, int, dict[str, str]]]

LOOPBACK = ("127.0.0.1",)
SECONDS = 20.0
"""For announcements that come; tests that run beside this one announce others on the same loopback."""

OTHER = "11111111-2222-3333-4444-555555555555"


@contextlib.contextmanager
def announced(*services: tuple[str, str, int, dict[str, str]], address: str = "127.0.0.1") -> Iterator[None]:
    """Announce services: type, name, port and TXT."""
    with zeroconf.Zeroconf(interfaces=list(LOOPBACK)) as network:
        for kind, name, port, texts in services:
            info = zeroconf.ServiceInfo(
                f"{kind}.local.",
                f"{name}.{kind}.local.",
                addresses=[socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)],
                port=port,
                properties=texts,
                server=f"{uuid.uuid4()}.local.",
            )
            network.register_service(info)
        yield
        network.unregister_all_services()


@pytest.fixture
def name() -> str:
    """A name that no other test announces."""
    return f"Acme {uuid.uuid4()}"


def http(name: str, own: str, port: int = 8080, **texts: str) -> tuple[str, str, int, dict[str, str]]:
    """Return an announcement over HTTP of a device with a UUID."""
    return "_uscan._tcp", name, port, {"txtvers": "1", "rs": "eSCL", "ty": "Acme 1", "uuid": own, **texts}


def https(name: str, own: str, port: int = 8443) -> tuple[str, str, int, dict[str, str]]:
    """Return an announcement over HTTPS."""
    return "_uscans._tcp", name, port, http(name, own)[3]


@pytest.mark.conformance("ESCL-002")
@pytest.mark.parametrize("first", [http, https])
def test_a_device_that_is_announced_twice_is_called_over_https(name: str, first: Announce) -> None:
    """It has one UUID; which announcement comes first says nothing."""
    own = str(uuid.uuid4())
    second = https if first is http else http
    with announced(first(name, own), second(f"{name} too", own)):
        found = finding.find(own, LOOPBACK, SECONDS)

    assert found.address.url == "https://127.0.0.1:8443/eSCL"
    assert (found.uuid, found.model) == (own, "Acme 1")


@pytest.mark.conformance("ESCL-003")
@pytest.mark.parametrize(("rs", "end"), [("eSCL", "/eSCL"), ("/eSCL/", "/eSCL"), ("", "")])
def test_the_resources_are_where_rs_says(name: str, rs: str, end: str) -> None:
    """Also if it is empty."""
    with announced(http(name, str(uuid.uuid4()), rs=rs)):
        assert finding.find(name, LOOPBACK, SECONDS).address.url == f"http://127.0.0.1:8080{end}"


@pytest.mark.parametrize("address", ["224.0.0.1", "0.0.0.0", "fe80::1"])
def test_an_address_that_is_that_of_no_device_is_not_called(name: str, address: str) -> None:
    """Anything on the link may announce anything."""
    with announced(http(name, str(uuid.uuid4())), address=address), pytest.raises(ScannerAway):
        finding.find(name, LOOPBACK, 2.0)


@pytest.mark.conformance("ESCL-002", "ESCL-004")
def test_an_inlet_without_an_address_finds_its_device(tmp_path: Path, pages: list[bytes], name: str) -> None:
    """And scans."""
    with EsclDevice(list(pages)) as device, announced(http(name, UUID, device.port)):
        settings = {"interfaces": list(LOOPBACK), "name": name}
        with source_server.running(Escl(), tmp_path, settings, examined=True) as server:
            server.wait_for(lambda: server.health)
            server.pull("d1")
            job = server.wait_for_jobs(1)[0]

    assert job.pages == pages
    assert job.request.subject.startswith(UUID)


# --- what is done with what was found --------------------------------------------------------------------------------


def scanner(name: str = "Acme Scan", own: str = UUID, model: str = "Acme 1", host: str = "10.0.0.9") -> FoundScanner:
    """Return a device that was found."""
    return FoundScanner(EsclAddress("http", host, "/eSCL"), own, name, model)


@pytest.mark.parametrize("name", ["Acme Scan", "acme scan", "Acme 1", UUID.upper(), f"urn:uuid:{UUID}"])
def test_one_of_several_is_taken_by_name_model_or_uuid(name: str) -> None:
    """Whatever the case."""
    assert finding.choose([scanner("Other", OTHER, "Other 2"), scanner()], name) == scanner()


def test_the_only_one_needs_no_name() -> None:
    """It is the device that is meant."""
    assert finding.choose([scanner()], "") == scanner()


def test_which_of_several_is_asked_and_not_guessed() -> None:
    """The error names them; also if two have one name."""
    with pytest.raises(DeviceRefused, match=r"Acme Scan.*Other"):
        finding.choose([scanner(), scanner("Other", OTHER)], "")
    with pytest.raises(DeviceRefused, match=r"10\.0\.0\.9.*10\.0\.0\.8"):
        finding.choose([scanner(), scanner(own=OTHER, host="10.0.0.8")], "Acme Scan")


def test_a_name_that_is_not_announced_is_away() -> None:
    """The error says what is there."""
    with pytest.raises(ScannerAway, match="Acme Scan"):
        finding.choose([scanner()], "Other")
    with pytest.raises(ScannerAway, match="announced"):
        finding.choose([], "")


def test_an_announcement_does_not_lead_to_this_machine() -> None:
    """Unless mDNS is asked on loopback alone, where a simulator is."""
    assert not finding.may_be_called("127.0.0.1", allow_loopback=False)
    assert not finding.may_be_called("::1", allow_loopback=False)
    assert not finding.may_be_called("::ffff:127.0.0.1", allow_loopback=False)
    assert finding.may_be_called("10.0.0.9", allow_loopback=False)
