"""The identities in a client certificate: a SID, a UPN, a public key. OpenSSL has checked chain and dates.

The subject is not one of them: any CA may write any name there, so neither CN nor mail address identifies a user.

Source: ws-dsp.md section 9, rules 1 and 2; [MS-WCCE] 2.2.2.7.7.4 for the layout of the SID extension:

    SEQUENCE { [0] { OBJECT IDENTIFIER 1.3.6.1.4.1.311.25.2.1, [0] { OCTET STRING "S-1-5-21-..." } } }
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postscan.core.model.principal import is_sid

CLIENT_AUTHENTICATION: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")
SMART_CARD_LOGON: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.2")
SID_EXTENSION: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")
UPN: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SID_URI: Final = "tag:microsoft.com,2022-09-14:sid:"

_OBJECT_SID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2.1")


@asn1.sequence
class _OtherName:
    """OtherName of RFC 5280 section 4.2.1.6, without its own tag."""

    type_id: x509.ObjectIdentifier
    value: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class _Extension:
    """A SEQUENCE around the value of the SID extension."""

    names: list[Annotated[_OtherName, asn1.Implicit(0)]]


@asn1.sequence
class _Unread:
    """The same as `_Extension`, with the value as it is."""

    names: asn1.TLV


class Unusable(Exception):
    """The certificate is malformed, contradicts itself, or is not for clients; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The identities in a certificate; `sid` and `upn` are "" if it has none.

    `key` is the SHA-256 of its public key (SubjectPublicKeyInfo) in hex; `names` are the two keys under which the
    settings may list it: fingerprint, and issuer with serial number.
    """

    key: str
    names: tuple[str, str]
    sid: str
    upn: str


def read(pem: str) -> Claims:
    """Return the identities in a certificate in PEM form; raise `Unusable`."""
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
    """Raise `Unusable` if the certificate is not for clients; OpenSSL accepts one without an extended key usage.

    OpenSSL refuses a certificate whose extended key usage lacks Client Authentication, so Smart Card Logon alone is
    not enough in practice.
    """
    try:
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        raise Unusable("it has no extended key usage; expected Client Authentication") from None
    if CLIENT_AUTHENTICATION not in usage and SMART_CARD_LOGON not in usage:
        raise Unusable("its extended key usage is not Client Authentication")


def _sids_in_extension(extensions: x509.Extensions) -> Iterator[str]:
    """Yield the SIDs in the extension that the CA of Windows writes."""
    for extension in extensions:
        if extension.oid == SID_EXTENSION and isinstance(extension.value, x509.UnrecognizedExtension):
            for name in _other_names(extension.value.value):
                if name.type_id == _OBJECT_SID:
                    yield _sid(name.value.parse(bytes).decode("ascii"))


def _other_names(data: bytes) -> list[_OtherName]:
    """Return the names in a SEQUENCE OF; raise `ValueError` if *data* is anything else.

    `decode_der` reads a list only as a field of a class, so the list is put into a SEQUENCE first.
    """
    wrapped = asn1.encode_der(_Unread(names=asn1.decode_der(asn1.TLV, data)))
    return asn1.decode_der(_Extension, wrapped).names


def _sids_in_uris(extensions: x509.Extensions) -> Iterator[str]:
    """Yield the SIDs in the alternative names, where a certificate request to any CA can put them."""
    for uri in _alternative(extensions).get_values_for_type(x509.UniformResourceIdentifier):
        if uri.startswith(SID_URI):
            yield _sid(uri.removeprefix(SID_URI))


def _upns(extensions: x509.Extensions) -> Iterator[str]:
    """Yield the user principal names."""
    for name in _alternative(extensions).get_values_for_type(x509.OtherName):
        if name.type_id == UPN:
            yield asn1.decode_der(str, name.value)


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
    """Return the one value that was found, or "" if there is none; raise `Unusable` if there are several."""
    if len(found) > 1:
        raise Unusable(f"it has more than one {what}: {', '.join(sorted(found))[:255]}")
    return next(iter(found), "")


def _hex(number: int) -> str:
    """Return a serial number as `openssl x509 -serial` prints it: whole bytes, upper case."""
    digits = f"{number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"
