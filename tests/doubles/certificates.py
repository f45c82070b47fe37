"""Certificate authorities for tests, and every kind of certificate that a client may come with."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
LOGON = ExtendedKeyUsageOID.SMARTCARD_LOGON
NOW = datetime.now(UTC)
DAY = timedelta(days=1)

UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SID_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")
_OBJECT_SID = "060a2b060104018237190201"


@dataclass(frozen=True)
class Credentials:
    """A certificate, its key, and the intermediate certificates that its holder sends along."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def write(self, folder: Path, name: str) -> Path:
        """Write all of it to one PEM file, the key first, and return its path."""
        path = folder / f"{name}.pem"
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + b"".join(one.public_bytes(Encoding.PEM) for one in (self.certificate, *self.chain)))
        return path


class Authority:
    """A CA called *name*: a root, or one that *parent* vouches for."""

    def __init__(self, name: str = "Test CA", parent: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = named(name)
        self.parent = parent
        signer = parent or self
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = _builder(self.name, signer.name, self.key, NOW - DAY, NOW + DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.add_extension(usage, critical=True).sign(signer.key, SHA256())

    def issue(
        self,
        name: str = "somebody",
        *,
        usage: Sequence[x509.ObjectIdentifier] = (CLIENT,),
        names: Sequence[x509.GeneralName] = (),
        also: Sequence[x509.ExtensionType] = (),
        key: ec.EllipticCurvePrivateKey | None = None,
        start: datetime = NOW - DAY,
        end: datetime = NOW + DAY,
    ) -> Credentials:
        """Issue a certificate with this common name, these alternative names, and what else it should say."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(named(name), self.name, key, start, end)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        for extension in also:
            builder = builder.add_extension(extension, critical=False)
        return Credentials(builder.sign(self.key, SHA256()), key, (self.certificate,) if self.parent else ())

    def server(self) -> Credentials:
        """Issue the certificate of a server at 127.0.0.1."""
        return self.issue("scan server", usage=[SERVER], names=[x509.IPAddress(ip_address("127.0.0.1"))])

    def revoke(self, *revoked: Credentials, end: datetime = NOW + DAY) -> bytes:
        """Return a list of revoked certificates in PEM form."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(NOW - DAY).next_update(end)
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(NOW - DAY).build())
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def write(self, folder: Path, name: str, *others: Self) -> Path:
        """Write the certificate of this CA, and of others, to one PEM file."""
        path = folder / f"{name}.pem"
        path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (self, *others)))
        return path


def named(name: str) -> x509.Name:
    """Return the distinguished name `CN=<name>,O=Fabrikam`."""
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fabrikam")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def upn(text: str) -> x509.OtherName:
    """Return an alternative name that is a user principal name."""
    return x509.OtherName(UPN, tlv(0x0C, text.encode()))


def sid_uri(sid: str) -> x509.UniformResourceIdentifier:
    """Return an alternative name that carries a SID."""
    return x509.UniformResourceIdentifier(f"tag:microsoft.com,2022-09-14:sid:{sid}")


def sid_extension(*sids: str) -> x509.UnrecognizedExtension:
    """Return the extension that Windows' CA writes: the SID as text, wrapped four times."""
    wrapped = (tlv(0xA0, tlv(0x04, sid.encode())) for sid in sids)
    names = b"".join(tlv(0xA0, bytes.fromhex(_OBJECT_SID) + one) for one in wrapped)
    return x509.UnrecognizedExtension(SID_EXTENSION, tlv(0x30, names))


def tlv(tag: int, content: bytes) -> bytes:
    """Return an ASN.1 element in DER."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def client(folder: Path, server_ca: Authority, shows: Credentials | None = None) -> ssl.SSLContext:
    """Return how a device speaks TLS that trusts this CA, and shows a certificate if it has one."""
    made = ssl.create_default_context(cafile=server_ca.write(folder, "trusted"))
    if shows is not None:
        made.load_cert_chain(shows.write(folder, f"shown-{shows.certificate.serial_number}"))
    return made


def server_table(folder: Path, ca: Authority, **more: object) -> dict[str, object]:
    """Return the table `[tls]` of a server that this CA vouches for, and that believes its clients' certificates."""
    certificate, client_ca = ca.server().write(folder, "server"), ca.write(folder, "client-ca")
    return {"certificate": str(certificate), "client_ca": str(client_ca), **more}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
