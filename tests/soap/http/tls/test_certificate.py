"""Client certificates: what one claims, and those that prove nothing."""

from __future__ import annotations

import logging

import pytest
from callers import ADDRESS, ANNA, BORIS, ROOT, UPN_OF_ANNA, caller
from certificates import SID_EXTENSION, UPN, Credentials, sid_extension, sid_uri, tlv, upn
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from postscan.soap.http.tls import certificate


def test_the_layout_of_the_extension_is_that_of_windows() -> None:
    """[MS-WCCE] 2.2.2.7.7.4, written down byte by byte."""
    sid = b"S-1-5-21-1-2-3-1001"
    value = bytes.fromhex("3025a023060a2b060104018237190201a0150413") + sid
    extension = x509.UnrecognizedExtension(SID_EXTENSION, value)

    assert certificate.read(ROOT.issue(also=[extension]).pem).sid == sid.decode()
    assert sid_extension(sid.decode()).value == value


def raw(oid: x509.ObjectIdentifier, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(oid, value)


SOUND = sid_extension(ANNA).value
BROKEN = {
    "a SID that is none": [sid_extension("anna")],
    "a SID in small letters": [sid_extension(ANNA.lower())],
    "a SID that goes on": [sid_extension(ANNA + " ")],
    "a SID that is not ASCII": [raw(SID_EXTENSION, SOUND[:-1] + b"\xff")],
    "two SIDs": [sid_extension(ANNA, BORIS)],
    "an empty extension": [raw(SID_EXTENSION, b"")],
    "bytes behind the SID": [raw(SID_EXTENSION, SOUND + b"\0")],
    "a SID cut off": [raw(SID_EXTENSION, SOUND[:-1])],
    "a length of the long form": [raw(SID_EXTENSION, b"\x30\x81" + SOUND[1:])],
    "a length without bytes": [raw(SID_EXTENSION, b"\x30\x80" + SOUND[2:])],
    "a length far too long": [raw(SID_EXTENSION, b"\x30\x84\xff\xff\xff\xff" + SOUND[2:])],
    "another tag": [raw(SID_EXTENSION, b"\x31" + SOUND[1:])],
    "names that are no ASN.1": [raw(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"junk")],
}  # fmt: skip
CONTRADICTIONS: dict[str, list[x509.GeneralName]] = {
    "two UPNs": [upn(UPN_OF_ANNA), upn("boris@fabrikam.example")],
    "two SIDs": [sid_uri(ANNA), sid_uri(BORIS)],
    "a UPN that is no text": [x509.OtherName(UPN, tlv(0x0C, b"\xff\xfe"))],
    "a UPN of another type": [x509.OtherName(UPN, tlv(0x16, UPN_OF_ANNA.encode()))],
    "a SID that is none": [sid_uri("anna")],
}


@pytest.mark.parametrize(
    "shown",
    [*(ROOT.issue(also=also) for also in BROKEN.values()), *(ROOT.issue(names=n) for n in CONTRADICTIONS.values())],
    ids=[*BROKEN, *CONTRADICTIONS],
)
def test_a_certificate_that_is_broken_or_contradicts_itself_proves_nothing(
    shown: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    """T-O2: no guess is made, no error is raised, and the log says why."""
    with caplog.at_level(logging.INFO):
        who = caller(shown)

    assert who == ADDRESS
    assert "client certificate not usable" in caplog.text


def test_a_certificate_not_meant_for_clients_proves_nothing() -> None:
    """DSP rule 1: OpenSSL lets pass one without any usage; we do not."""
    assert caller(ROOT.issue(usage=[], also=[sid_extension(ANNA)])) == ADDRESS
    with pytest.raises(certificate.Unusable, match="no extended key usage"):
        certificate.read(ROOT.issue(usage=[]).pem)
    with pytest.raises(certificate.Unusable, match="is not Client Authentication"):
        certificate.read(ROOT.server().pem)
