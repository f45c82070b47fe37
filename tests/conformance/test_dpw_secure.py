"""DPW-016 to DPW-018, DPW-054, DPW-055: a server that speaks TLS, and that is found by its name."""

from __future__ import annotations

import ssl
import urllib.parse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import certificates
import pytest
from acceptance.seeking import NS, ask, directed, discovered, free_ports, message, probe, resolve, text
from acceptance.server import Server, running
from certificates import Authority
from cryptography import x509
from device import Device
from free_ports import free_port
from lxml import etree
from works import until

NAME = "localhost"
"""The fully qualified name of this machine that every machine has."""

GET = message("Get", "").replace(
    b"http://schemas.xmlsoap.org/ws/2005/04/discovery/Get", b"http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
)


@dataclass(frozen=True)
class Secure:
    """A server, how a device trusts it, and the certificate that it shows."""

    server: Server
    trust: ssl.SSLContext
    certificate: x509.Certificate

    @property
    def url(self) -> str:
        """The one URL of the device."""
        return f"https://{NAME}:{self.server.settings.server.port}/ScanServer"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """A server with a certificate for its name, that can be found."""
    folder, ca = tmp_path_factory.mktemp("secure"), Authority()
    shown = ca.issue("scan server", usage=[certificates.SERVER], names=[x509.DNSName(NAME)])
    port = free_port()
    place = {"port": port, "drain_seconds": 1, "public_url": f"https://{NAME}:{port}"}
    tls = {"certificate": str(shown.write(folder, "server"))}
    with running(folder, {"server": place, "tls": tls, **discovered(*free_ports(2))}) as server:
        yield Secure(server, certificates.client(folder, ca), shown.certificate)
    assert server.tracebacks() == []


@pytest.fixture
def matches(secure: Secure) -> list[etree._Element]:
    """What it answers to a Probe by UDP, to one over HTTPS, and to a Resolve."""
    by_udp = ask(probe(), directed(secure.server))
    resolved = ask(resolve(text(by_udp, "wsa:Address")), directed(secure.server))
    by_https = Device(secure.url, tls=secure.trust).post(probe()).body
    return [etree.fromstring(one) for one in (by_udp, resolved, by_https)]


@pytest.mark.conformance("DPW-016")
def test_under_tls_the_endpoint_address_is_the_https_url(secure: Secure, matches: list[etree._Element]) -> None:
    """And the XAddr: there, the device is described under the same name."""
    described = etree.fromstring(Device(secure.url, tls=secure.trust).post(GET).body)
    addresses = [one.findtext(".//wsa:EndpointReference/wsa:Address", None, NS) for one in (*matches, described)]

    assert addresses == [secure.url] * 4
    assert [one.findtext(".//wsd:XAddrs", None, NS) for one in matches] == [secure.url] * 3


@pytest.mark.conformance("DPW-017")
def test_no_address_is_http(secure: Secure, matches: list[etree._Element]) -> None:
    """Neither among those that a match has, nor in the metadata behind them."""
    described = etree.fromstring(Device(secure.url, tls=secure.trust).post(GET).body)
    said = [one.text or "" for answer in (*matches, described) for one in answer.iter("{*}XAddrs", "{*}Address")]

    assert len(said) > 6
    assert {address.partition(":")[0] for one in said for address in one.split()} == {"https"}


@pytest.mark.conformance("DPW-018")
def test_a_match_has_one_address_with_the_name_of_the_server(secure: Secure, matches: list[etree._Element]) -> None:
    """The one from its settings, wherever the question arrived: 127.0.0.1 is not in its certificate."""
    for answer in matches:
        (xaddrs,) = (one.text or "" for one in answer.iter("{*}XAddrs"))

        assert xaddrs.split() == [xaddrs]
        assert urllib.parse.urlsplit(xaddrs).hostname == NAME


@pytest.mark.conformance("DPW-054")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_tls_1_2_and_later_is_offered(secure: Secure, version: ssl.TLSVersion) -> None:
    """To whoever speaks only that."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(secure.trust.get_ca_certs(binary_form=True)[0]))
    context.minimum_version = context.maximum_version = version

    assert Device(secure.url, tls=context).post(GET).status == 200


@pytest.mark.conformance("DPW-054")
def test_what_is_older_than_tls_1_2_is_refused(secure: Secure) -> None:
    """In the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises(ssl.SSLError):
        Device(secure.url, tls=context).post(GET)
    until(lambda: "UNSUPPORTED_PROTOCOL" in secure.server.log(), "for the log")


@pytest.mark.conformance("DPW-055")
def test_the_certificate_has_the_fqdn_as_dns_name(secure: Secure, matches: list[etree._Element]) -> None:
    """A device that checks the name against the address that it was told is content; under another it is not."""
    names = secure.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    xaddr = matches[0].findtext(".//wsd:XAddrs", "", NS)

    assert urllib.parse.urlsplit(xaddr).hostname in names.get_values_for_type(x509.DNSName)
    assert Device(xaddr, tls=secure.trust).post(GET).status == 200
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        Device(xaddr.replace(NAME, "127.0.0.1"), tls=secure.trust).post(GET)
