"""What a client's certificate says of its holder: a SID, a UPN, a key. OpenSSL has checked chain and dates.

The subject is not among them. Anybody's CA may write any name there, so neither CN nor mail name ever identify.

Source: ws-dsp.md section 9, rules 1 and 2; [MS-WCCE] 2.2.2.7.7.4 for the layout of the SID extension:

    SEQUENCE { [0] { OBJECT IDENTIFIER 1.3.6.1.4.1.311.25.2.1, [0] { OCTET STRING "S-1-5-21-..." } } }
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postscan.core.model.principal import is_sid

CLIENT_AUTHENTICATION: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")
SMART_CARD_LOGON: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.2")
SID_EXTENSION: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")
UPN: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SID_URI: Final = "tag:microsoft.com,2022-09-14:sid:"

_OBJECT_SID: Final = bytes.fromhex("2b060104018237190201")  # 1.3.6.1.4.1.311.25.2.1
_OCTETS, _OBJECT, _UTF8, _SEQUENCE, _TAGGED_0 = 0x04, 0x06, 0x0C, 0x30, 0xA0


class Unusable(Exception):
    """The certificate is broken, contradicts itself, or is not meant for clients; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a certificate says; `sid` and `upn` are "" where it says nothing.

    `key` is the SHA-256 of its public key (SubjectPublicKeyInfo) in hex; `names` are the two names under which the
    settings may list it: by fingerprint, and by issuer and serial number.
    """

    key: str
    names: tuple[str, str]
    sid: str
    upn: str


def read(pem: str) -> Claims:
    """Return what the certificate says; raise `Unusable`."""
    try:
        return _claims(x509.load_pem_x509_certificate(pem.encode("ascii")))
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise Unusable(f"it cannot be read: {error}") from None


def _claims(certificate: x509.Certificate) -> Claims:
    extensions = certificate.extensions
    _check_usage(extensions)
    return Claims(
        key=hashlib.sha256(
            certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).hexdigest(),
        names=(
            f"sha256:{certificate.fingerprint(SHA256()).hex()}",
            f"serial={_hex(certificate.serial_number)};issuer={certificate.issuer.rfc4514_string()}",
        ),
        sid=_only("SID", {*_sids_in_extension(extensions), *_sids_in_uris(extensions)}),
        upn=_only("UPN", set(_upns(extensions))),
    )


def _check_usage(extensions: x509.Extensions) -> None:
    """Raise `Unusable` if the certificate does not say that it is for clients; OpenSSL lets pass one that says nothing.

    What says more than nothing must name Client Authentication to get past OpenSSL, so Smart Card Logon alone does not.
    """
    try:
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        raise Unusable("it has no extended key usage; expected Client Authentication") from None
    if CLIENT_AUTHENTICATION not in usage and SMART_CARD_LOGON not in usage:
        raise Unusable("its extended key usage is not Client Authentication")


def _sids_in_extension(extensions: x509.Extensions) -> Iterator[str]:
    """Yield the SIDs that Windows' CA writes into an extension of its own."""
    for extension in extensions:
        if extension.oid == SID_EXTENSION and isinstance(extension.value, x509.UnrecognizedExtension):
            names = _whole(extension.value.value, _SEQUENCE)
            while names:
                name, names = _element(names, _TAGGED_0)
                kind, value = _element(name, _OBJECT)
                if kind == _OBJECT_SID:
                    yield _sid(_whole(_whole(value, _TAGGED_0), _OCTETS).decode("ascii"))


def _sids_in_uris(extensions: x509.Extensions) -> Iterator[str]:
    """Yield the SIDs in the alternative names, where a request to any CA can put them."""
    for uri in _alternative(extensions).get_values_for_type(x509.UniformResourceIdentifier):
        if uri.startswith(SID_URI):
            yield _sid(uri.removeprefix(SID_URI))


def _upns(extensions: x509.Extensions) -> Iterator[str]:
    """Yield the user principal names."""
    for name in _alternative(extensions).get_values_for_type(x509.OtherName):
        if name.type_id == UPN:
            yield _whole(name.value, _UTF8).decode("utf-8")


def _alternative(extensions: x509.Extensions) -> x509.SubjectAlternativeName:
    try:
        return extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _sid(text: str) -> str:
    if not is_sid(text):
        raise Unusable(f"its SID {text[:64]!r} is none; expected S-1-...")
    return text


def _only(what: str, found: set[str]) -> str:
    """Return the one value that was found, or ""; raise `Unusable` if there are two to choose from."""
    if len(found) > 1:
        raise Unusable(f"it has more than one {what}: {', '.join(sorted(found))[:255]}")
    return next(iter(found), "")


def _hex(number: int) -> str:
    """Return a serial number as `openssl x509 -serial` prints it: whole bytes, upper case."""
    digits = f"{number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


def _whole(data: bytes, tag: int) -> bytes:
    """Return the content of the one DER element that *data* is."""
    content, rest = _element(data, tag)
    if rest:
        raise ValueError(f"{len(rest)} bytes too many behind an ASN.1 element")
    return content


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the DER element that *data* begins with, and what follows it; raise `ValueError`."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError(f"expected the ASN.1 tag 0x{tag:02x}")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
        if length < 0x80 or data[2] == 0:
            raise ValueError("an ASN.1 length that is not the shortest")
    end = start + length
    if end > len(data):
        raise ValueError("an ASN.1 element that is cut off")
    return data[start:end], data[end:]
