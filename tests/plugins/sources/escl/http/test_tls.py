"""Whose certificate a device may show: ESCL-012."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import source_server
from certificates import SERVER, Authority
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from escl_device import EsclDevice
from source_server import SourceServer

from postscan.plugins.sources.escl import Escl
from postscan.plugins.sources.escl.http.tls import canonical_fingerprint
from postscan.plugins.sources.escl.settings import PINNED


@dataclass(frozen=True)
class SecureDevice:
    """A device over HTTPS, the fingerprint of its certificate, and the file of the CA that has issued it."""

    device: EsclDevice
    fingerprint: str
    ca_file: str


def issued(folder: Path, address: str = "127.0.0.1") -> tuple[ssl.SSLContext, str, str]:
    """Return a context for a server at this address, its fingerprint, and the file of its CA."""
    folder.mkdir(exist_ok=True)
    authority = Authority()
    credentials = authority.issue("scanner", usage=(SERVER,), names=[x509.IPAddress(ip_address(address))])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials.write(folder, "device"))
    certificate = x509.load_pem_x509_certificate((folder / "device.pem").read_bytes())
    der = certificate.public_bytes(Encoding.DER)
    return context, hashlib.sha256(der).hexdigest(), str(authority.write(folder, "ca"))


@pytest.fixture
def secure(tmp_path: Path, pages: list[bytes]) -> Iterator[SecureDevice]:
    """A device with a certificate for its address."""
    context, fingerprint, ca_file = issued(tmp_path / "tls")
    with EsclDevice(list(pages), tls=context) as device:
        yield SecureDevice(device, fingerprint, ca_file)


def health(tmp_path: Path, device: EsclDevice, **settings: Any) -> tuple[tuple[str, str], SourceServer]:
    """Start an inlet, and return its first health and the server's side."""
    with source_server.running(Escl(), tmp_path, {"device": device.url, **settings}) as server:
        server.wait_for(lambda: server.health)
        return server.health[0], server


@pytest.mark.conformance("ESCL-012")
def test_a_certificate_that_nothing_vouches_for_is_refused(tmp_path: Path, secure: SecureDevice) -> None:
    """The sentence says what may be set; nothing was sent."""
    (state, text), _ = health(tmp_path, secure.device)

    assert state == "degraded"
    assert "fingerprint, ca_file or first_use" in text
    assert not secure.device.requests


@pytest.mark.conformance("ESCL-012")
@pytest.mark.parametrize("form", ["plain", "colons", "capitals"])
def test_a_pinned_fingerprint_is_enough(tmp_path: Path, secure: SecureDevice, form: str) -> None:
    """In any spelling."""
    text = secure.fingerprint.upper() if form == "capitals" else secure.fingerprint
    if form == "colons":
        text = ":".join(text[n : n + 2] for n in range(0, 64, 2))

    assert health(tmp_path, secure.device, fingerprint=text)[0][0] == "ready"


@pytest.mark.conformance("ESCL-012")
def test_another_fingerprint_is_refused_before_anything_is_sent(tmp_path: Path, secure: SecureDevice) -> None:
    """Neither a request nor a password."""
    (state, text), _ = health(tmp_path, secure.device, fingerprint="0" * 64, user="anna", password="secret")

    assert state == "degraded"
    assert secure.fingerprint in text
    assert not secure.device.requests


@pytest.mark.conformance("ESCL-012")
def test_a_ca_of_ones_own_will_do(tmp_path: Path, secure: SecureDevice) -> None:
    """The certificate has the address of the device."""
    assert health(tmp_path, secure.device, ca_file=secure.ca_file)[0][0] == "ready"


@pytest.mark.conformance("ESCL-012")
def test_a_ca_vouches_for_no_other_host(tmp_path: Path) -> None:
    """A certificate of another address is not that of the device."""
    context, _, ca_file = issued(tmp_path / "tls", "10.0.0.9")
    with EsclDevice(tls=context) as device:
        (state, _), _ = health(tmp_path, device, ca_file=ca_file)

        assert state == "degraded"
        assert not device.requests


def test_a_file_of_cas_that_is_none_is_one_sentence(tmp_path: Path, secure: SecureDevice) -> None:
    """And no end of the source."""
    (state, text), _ = health(tmp_path, secure.device, ca_file=str(tmp_path / "none.pem"))

    assert state == "degraded"
    assert "none.pem" in text


@pytest.mark.conformance("ESCL-012")
def test_the_certificate_of_the_first_connection_is_pinned_and_reported(tmp_path: Path, secure: SecureDevice) -> None:
    """In the folder of the inlet, which is kept, and in the log."""
    (state, _), server = health(tmp_path, secure.device, first_use=True)

    assert state == "ready"
    assert (tmp_path / "inlet-folder" / PINNED).read_text() == secure.fingerprint
    line = next(one for one in server.log if one.message == "certificate of the device pinned")
    assert line.fields["fingerprint"] == secure.fingerprint


@pytest.mark.conformance("ESCL-012")
def test_another_certificate_than_the_first_one_is_refused(tmp_path: Path, secure: SecureDevice) -> None:
    """Also after a restart."""
    (tmp_path / "inlet-folder").mkdir()
    (tmp_path / "inlet-folder" / PINNED).write_text("0" * 64)
    (state, text), _ = health(tmp_path, secure.device, first_use=True)

    assert state == "degraded"
    assert "first connection" in text
    assert not secure.device.requests


@pytest.mark.parametrize("content", ["", "nonsense", "\0"])
def test_a_pin_that_was_damaged_is_no_leave_to_take_any(tmp_path: Path, secure: SecureDevice, content: str) -> None:
    """The file has to be removed by a person."""
    (tmp_path / "inlet-folder").mkdir()
    (tmp_path / "inlet-folder" / PINNED).write_text(content)
    (state, _), _ = health(tmp_path, secure.device, first_use=True)

    assert state == "degraded"
    assert not secure.device.requests


@pytest.mark.conformance("ESCL-012")
def test_checking_is_off_only_where_the_settings_say_so(tmp_path: Path, secure: SecureDevice) -> None:
    """By verify = false."""
    assert health(tmp_path, secure.device, verify=False)[0][0] == "ready"


def test_a_password_is_sent_over_https(tmp_path: Path, secure: SecureDevice) -> None:
    """Section 11 of escl.md: to a configured host."""
    health(tmp_path, secure.device, fingerprint=secure.fingerprint, user="anna", password="secret")

    assert secure.device.requests[0].headers["authorization"] == "Basic YW5uYTpzZWNyZXQ="


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 63, "0" * 65])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    """When the settings are read."""
    with pytest.raises(ValueError):
        canonical_fingerprint(text)
