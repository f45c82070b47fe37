"""The checks of `[tls]`: the server's certificate as devices verify it, and the CAs and CRLs for theirs."""

from __future__ import annotations

import itertools
import re
import shlex
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from postscan.core.errors import SettingsError
from postscan.doctor.findings import Finding, ok, problem, warning
from postscan.soap.http import tls

if TYPE_CHECKING:
    from postscan.core.settings import Settings

SOON: Final = timedelta(days=30)
_EVERY_ADDRESS: Final = ("0.0.0.0", "::", "")  # noqa: S104  (compared, not listened on)
_RENEW: Final = "docs/tls.md, Make certificates; then: postscan reload"


def certificates(settings: Settings) -> Iterator[Finding]:
    """Check whether the files of `[tls]` can be used, belong together, and are valid today."""
    name, table = "TLS certificate", settings.tls
    if table.certificate is None or not table.on:
        yield ok(name, "TLS is off: none is needed")
        return
    try:
        tls.context(table)
    except SettingsError as error:
        yield problem(name, str(error), f"[tls] {str(error).partition(':')[0].removeprefix('tls.')} = ...")
        return
    chain = x509.load_pem_x509_certificates(table.certificate.read_bytes())
    yield _permissions(table.key or table.certificate)
    yield _validity(name, f"{table.certificate}", chain[0])
    yield from _chain(table.certificate, chain)
    yield _usage(chain[0])
    yield _names(settings, chain[0])
    if table.client_ca is not None:
        for one in x509.load_pem_x509_certificates(table.client_ca.read_bytes()):
            yield _validity("client CA", one.subject.rfc4514_string(), one)
    if table.crl is not None:
        yield from _revocations(table.crl)


def _permissions(key: Path) -> Finding:
    if key.stat().st_mode & stat.S_IRWXO:
        return problem("TLS key", f"{key} can be read by every user", f"chmod o-rwx {shlex.quote(str(key))}")
    return ok("TLS key", f"{key} belongs to the certificate, and other users cannot read it")


def _validity(name: str, who: str, certificate: x509.Certificate) -> Finding:
    """Check the validity period of a certificate."""
    now, end = datetime.now(UTC), certificate.not_valid_after_utc
    if now > end:
        return problem(name, f"{who} expired on {end:%Y-%m-%d %H:%M} UTC", _RENEW)
    if now < certificate.not_valid_before_utc:
        start = certificate.not_valid_before_utc
        return problem(name, f"{who} is not valid before {start:%Y-%m-%d %H:%M} UTC", "date -u  # or " + _RENEW)
    if end - now < SOON:
        return warning(name, f"{who} expires on {end:%Y-%m-%d}, in {(end - now).days} days", _RENEW)
    return ok(name, f"{who} is valid until {end:%Y-%m-%d}")


def _chain(file: Path, chain: list[x509.Certificate]) -> Iterator[Finding]:
    """Check whether each certificate in the file was issued by the next one, as devices expect."""
    for lower, upper in itertools.pairwise(chain):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature):
            sentence = f"in {file}, {upper.subject.rfc4514_string()} did not issue the certificate before it"
            yield problem("TLS chain", sentence, "cat server.pem intermediate.pem > chain.pem  # in this order")
            return
        finding = _validity("TLS chain", upper.subject.rfc4514_string(), upper)
        if finding.fix:
            yield finding
            return
    yield ok("TLS chain", f"{len(chain) - 1} intermediate certificates, in the right order")


def _usage(certificate: x509.Certificate) -> Finding:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ok("TLS usage", "the certificate has no extended key usage, so it is for all uses")
    if ExtendedKeyUsageOID.SERVER_AUTH in usage:
        return ok("TLS usage", "the certificate is for servers")
    return problem("TLS usage", "the certificate is not for servers: its extended key usage lacks serverAuth", _RENEW)


def _names(settings: Settings, certificate: x509.Certificate) -> Finding:
    """Check whether the certificate has the names of this server in the settings."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return problem("TLS names", "the certificate has no subjectAltName, so clients reject it", _RENEW)
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    addresses = names.get_values_for_type(x509.IPAddress)
    wanted = [name for name in (settings.server.host, *settings.processes.server_names) if name not in _EVERY_ADDRESS]
    missing = [name for name in wanted if not _covers(hosts, addresses, name)]
    if missing:
        return warning("TLS names", f"the certificate is not for {', '.join(missing)}", _RENEW)
    return ok("TLS names", f"the certificate is for {', '.join([*hosts, *map(str, addresses)])}")


def _covers(hosts: Sequence[str], addresses: Sequence[object], name: str) -> bool:
    try:
        return ip_address(name) in addresses
    except ValueError:
        host = name.lower().rstrip(".")
        return host in hosts or f"*.{host.partition('.')[2]}" in hosts


def _revocations(file: Path) -> Iterator[Finding]:
    """Check whether the lists of revoked certificates are valid today: with an expired one, every client is refused."""
    for pem in re.findall(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", file.read_bytes(), re.DOTALL):
        found = x509.load_pem_x509_crl(pem)
        issuer, end = found.issuer.rfc4514_string(), found.next_update_utc
        if end is not None and end < datetime.now(UTC):
            sentence = f"the list of {issuer} in {file} expired on {end:%Y-%m-%d %H:%M} UTC: every client is refused"
            yield problem("revocations", sentence, "docs/tls.md, Revoke; then: postscan reload")
        else:
            yield ok("revocations", f"the list of {issuer} is valid today")
