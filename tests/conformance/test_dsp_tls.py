"""DSP-077 to DSP-079: certificates, and which devices may connect."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import certificates
import pytest
from acceptance.scanning import good, instructions
from acceptance.server import Server, Tables, running
from certificates import Authority, Credentials, sid_extension
from conformance.wire import STRANGER, invalid
from device import Answer, Device
from works import until

ANNA = "S-1-5-21-1-2-3-1001"
BORIS = "S-1-5-21-1-2-3-1002"
PLAIN = instructions("copy")


@dataclass(frozen=True)
class Site:
    """A server that speaks TLS, and the CA that it and its devices believe."""

    server: Server
    ca: Authority

    def context(self, shows: Credentials | None = None) -> ssl.SSLContext:
        """Return how a device speaks TLS that shows this certificate, or none."""
        return certificates.client(self.server.home, self.ca, shows)

    def device(self, shows: Credentials | None = None, address: str | None = None) -> Device:
        """Return a device where Anna is signed in."""
        return Device(self.server.url, ANNA, address, tls=self.context(shows))

    def create(self, device: Device) -> Answer:
        """Create a job for Anna."""
        return device.create(self.server.store(PLAIN), PLAIN)

    def of(self, user: str) -> Credentials:
        """Issue a user's certificate."""
        return self.ca.issue(user, also=[sid_extension(user)])

    def refuses(self, device: Device, because: str) -> bool:
        """Return whether this device gets no answer at all, and the log says why."""
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            self.create(device)
        until(lambda: because in self.server.log(), f"for {because} in the log")
        return True


def site(folder: Path, mode: str) -> Iterator[Site]:
    """Run a server in this mode that knows Anna and Boris."""
    ca = Authority()
    tables: Tables = {
        "tls": certificates.server_table(folder, ca, mode=mode),
        f'users."{ANNA}"': {"name": "anna@fabrikam.example"},
        f'users."{BORIS}"': {"name": "boris@fabrikam.example"},
    }
    with running(folder, tables) as server:
        yield Site(server, ca)
    assert server.tracebacks() == []


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for users with certificates only."""
    yield from site(tmp_path_factory.mktemp("strong"), "client")


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server where a certificate may be shown, and need not."""
    yield from site(tmp_path_factory.mktemp("weak"), "server")


@pytest.mark.conformance("DSP-077")
def test_strong_mode_takes_the_certificate_of_its_user(strong: Site) -> None:
    """The job is the user's whom the certificate names."""
    token = good(strong.create(strong.device(strong.of(ANNA)))).find("JobToken")

    assert strong.server.works.core.store.load(token or "").owner.name == f"user:{ANNA}"


@pytest.mark.conformance("DSP-077")
def test_strong_mode_refuses_the_certificate_of_somebody_else(strong: Site) -> None:
    """UserIdentifier must be what the certificate maps to; one that maps to no user is refused below SOAP."""
    before = strong.server.everything()

    assert invalid(strong.create(strong.device(strong.of(BORIS)))) == ("UserIdentifier", ANNA)
    assert strong.create(strong.device(strong.ca.issue(ANNA))).status == 403
    assert strong.server.everything() == before


@pytest.mark.conformance("DSP-077")
def test_strong_mode_lets_nobody_in_without_a_certificate(strong: Site) -> None:
    """Not even as far as a word of HTTP."""
    assert strong.refuses(strong.device(), "PEER_DID_NOT_RETURN_A_CERTIFICATE")


@pytest.mark.conformance("DSP-078")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_the_port_of_the_service_speaks_tls_1_2_and_later(weak: Site, version: ssl.TLSVersion) -> None:
    """A device that speaks this version only is served."""
    device = weak.device()
    assert device.tls
    device.tls.minimum_version = device.tls.maximum_version = version

    assert good(weak.create(device)).find("JobToken")


@pytest.mark.conformance("DSP-078")
def test_the_port_of_the_service_speaks_nothing_older(weak: Site) -> None:
    """A device of TLS 1.1 gets no answer, however weak the suites are that it takes."""
    device = weak.device()
    assert device.tls
    device.tls.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        device.tls.minimum_version = device.tls.maximum_version = ssl.TLSVersion.TLSv1_1

    assert weak.refuses(device, "UNSUPPORTED_PROTOCOL")


@pytest.mark.conformance("DSP-079")
def test_weak_mode_lets_in_the_devices_of_the_networks_that_are_listed(tmp_path: Path) -> None:
    """Others are turned away before a word of their request is read; the list is empty at first, and lets in all."""
    with running(tmp_path, {"identity": {"devices": ["127.0.0.0/31"]}}) as server:
        listed, stranger = Device(server.url), Device(server.url, source_address=STRANGER)
        stored = server.store(PLAIN)

        assert good(listed.create(stored, PLAIN)).find("JobToken")
        assert (stranger.create(stored, PLAIN).status, stranger.create(stored, PLAIN).body) == (403, b"")


@pytest.mark.conformance("DSP-079")
def test_weak_mode_lets_in_no_certificate_of_a_strange_ca(weak: Site) -> None:
    """A certificate that is shown must be of a CA that the settings name."""
    stranger = weak.device(Authority("Other CA").issue("printer"))

    assert weak.refuses(stranger, "unable to get local issuer certificate")
