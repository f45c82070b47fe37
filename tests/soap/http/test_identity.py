"""Who is calling, and who is an administrator."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from callers import (
    ADDRESS,
    ANNA,
    BORIS,
    CLARA,
    FINGERPRINT,
    LISTED,
    OTHER,
    ROOT,
    SERIAL,
    UPN_OF_ANNA,
    caller,
    scope,
    settings,
)
from certificates import Credentials, sid_extension, sid_uri, upn
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from postscan.core.model.principal import Principal, Proof
from postscan.soap.http.identity import Identities
from postscan.soap.http.tls import certificate

MAIL = x509.RFC822Name(UPN_OF_ANNA)


# --- callers ---------------------------------------------------------------------------------------------------------


def test_without_a_certificate_the_caller_is_the_device_at_its_address() -> None:
    """D1, weak mode; with or without TLS."""
    assert caller(None) == ADDRESS
    assert Identities(settings()).caller({"client": ("192.0.2.7", 1)}) == ADDRESS


@pytest.mark.parametrize(
    "shown",
    [
        ROOT.issue(also=[sid_extension(ANNA)]),
        ROOT.issue(also=[sid_extension(ANNA, ANNA)]),
        ROOT.issue(names=[sid_uri(ANNA)]),
        ROOT.issue(names=[sid_uri(ANNA)], also=[sid_extension(ANNA)]),
        ROOT.issue(names=[upn(UPN_OF_ANNA)]),
        ROOT.issue(names=[upn("boris@fabrikam.example")], also=[sid_extension(ANNA)]),
        ROOT.issue(CLARA, names=[MAIL, upn(UPN_OF_ANNA)]),
        LISTED,
    ],
    ids=["extension", "twice", "URI", "both", "UPN", "SID before UPN", "UPN, not CN", "listed"],
)
def test_a_user_is_known_by_sid_then_upn_then_the_list(shown: Credentials) -> None:
    """ws-dsp.md section 9, rule 2."""
    listed = {"identity": {"certificates": {f"sha256:{FINGERPRINT}": ANNA}}}

    assert caller(shown, **listed) == Principal(f"user:{ANNA}", Proof.CERTIFICATE, sid=ANNA)


@pytest.mark.parametrize(
    "key",
    [f"sha256:{FINGERPRINT}", f"serial={SERIAL};issuer=CN=Test CA,O=Fabrikam"],
    ids=["fingerprint", "issuer and serial"],
)
def test_a_certificate_that_names_nobody_may_be_listed(key: str) -> None:
    """By its fingerprint, or by issuer and serial number."""
    assert caller(LISTED, identity={"certificates": {key: CLARA}}).sid == CLARA


def test_a_listed_certificate_that_names_somebody_is_that_user() -> None:
    """First hit wins; the list comes last."""
    shown = ROOT.issue(names=[upn(UPN_OF_ANNA)])
    key = f"sha256:{shown.certificate.fingerprint(SHA256()).hex()}"

    assert caller(shown, identity={"certificates": {key: CLARA}}).sid == ANNA


@pytest.mark.parametrize(
    "names", [[MAIL], [], [x509.DNSName(UPN_OF_ANNA)], [x509.UniformResourceIdentifier(f"sid:{ANNA}")], [upn("")]]
)
@pytest.mark.parametrize("cn", [ANNA, UPN_OF_ANNA, "anna", f"CN={ANNA}"])
def test_mail_and_common_name_prove_no_user(cn: str, names: list[x509.GeneralName]) -> None:
    """T-H11: never, whatever is written there; it is a device. An empty UPN is not that of a user without one."""
    who = caller(ROOT.issue(cn, names=names))

    assert (who.sid, who.proof) == ("", Proof.CERTIFICATE)
    assert who.name.startswith("device-cert:")


def test_a_device_is_its_public_key() -> None:
    """Renewed with the same key it is the same; the same subject with another key is not, whoever issued it."""
    printer = ROOT.issue("printer-7")
    renewed = caller(OTHER.issue("printer-7", key=printer.key))

    assert renewed == caller(printer)
    assert caller(OTHER.issue("printer-7")) != renewed
    assert caller(ROOT.issue("printer-7")) != renewed


def test_a_certificate_is_read_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not for every request of the device."""
    identities, shown = Identities(settings()), ROOT.issue(also=[sid_extension(ANNA)])
    with caplog.at_level(logging.INFO):
        first, second = (identities.caller(scope(shown)) for _ in range(2))

    assert first == second
    assert [record.user for record in caplog.records] == [f"user:{ANNA}"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("address", "welcome"),
    [("10.2.255.1", True), ("::ffff:10.2.0.9", True), ("fe80::1%eth0", True), ("10.3.0.1", False), ("::1", False)],
)
def test_devices_may_be_let_in_by_their_networks(address: str, welcome: bool) -> None:
    """DSP-079: whoever shows a good certificate is welcome from everywhere."""
    known = Identities(settings(identity={"devices": ["10.2.0.0/16", "fe80::/10"]}))

    assert known.may_connect({"client": (address, 1)}) is welcome
    assert known.may_connect(scope(LISTED))
    assert Identities(settings()).may_connect({"client": (address, 1)})


# --- administrators --------------------------------------------------------------------------------------------------


def administrator(shown: Credentials | None, *listed: str, **more: Any) -> Principal | None:
    """Return who that is for the configuration service, when these are its administrators."""
    identity = {"administrators": listed, **more}
    return Identities(settings(identity=identity)).administrator(scope(shown))


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (ROOT.issue(also=[sid_extension(ANNA)]), f"user:{ANNA}"),
        (ROOT.issue(names=[upn(UPN_OF_ANNA)]), f"user:{ANNA}"),
    ],
    ids=["SID", "UPN"],
)
def test_a_user_whose_sid_is_listed_is_an_administrator(shown: Credentials, name: str) -> None:
    """D3: proven by a certificate, in whichever way; under the same name as everywhere."""
    assert administrator(shown, BORIS, ANNA) == Principal(name, Proof.CERTIFICATE, admin=True, sid=ANNA, entry=ANNA)
    assert administrator(shown, BORIS) is None


@pytest.mark.parametrize(
    "key", [f"sha256:{FINGERPRINT}", f"serial={SERIAL};issuer=CN=Test CA,O=Fabrikam"], ids=["fingerprint", "serial"]
)
def test_a_certificate_may_be_listed_as_an_administrators(key: str) -> None:
    """D3: also one that names no user; whoever has another is none."""
    known = administrator(LISTED, key)

    name = f"device-cert:{certificate.read(LISTED.pem).key}"
    assert known == Principal(name, Proof.CERTIFICATE, admin=True, entry=key)
    assert administrator(ROOT.issue("anna"), key) is None


def test_a_listed_certificate_of_a_user_is_an_administrator_by_the_users_sid() -> None:
    """The two lists work together: the certificate stands for Clara, and Clara administers."""
    by = administrator(LISTED, CLARA, certificates={f"sha256:{FINGERPRINT}": CLARA})

    assert by == Principal(f"user:{CLARA}", Proof.CERTIFICATE, admin=True, sid=CLARA, entry=CLARA)


def test_without_a_certificate_there_is_no_administrator() -> None:
    """Plain HTTP proves nothing, and an address is no proof (T-O8)."""
    known = Identities(settings(identity={"administrators": [ANNA]}))

    assert known.administrator(scope(None)) is None
    assert known.administrator({"client": ("127.0.0.1", 1), "scheme": "http"}) is None
    assert administrator(ROOT.issue(usage=[], also=[sid_extension(ANNA)]), ANNA) is None


def test_nobody_is_an_administrator_unless_somebody_said_so() -> None:
    """Neither a user nor a device, with the list as it is at first: empty."""
    for shown in (ROOT.issue(also=[sid_extension(ANNA)]), LISTED, ROOT.issue("printer-7")):
        assert administrator(shown) is None


@pytest.mark.parametrize("listed", [ANNA.lower(), f"{ANNA} ", f"{ANNA}0", ANNA[:-1]])
def test_a_line_that_looks_like_annas_makes_nobody_an_administrator(listed: str) -> None:
    """T-O2: compared exactly, if the settings take it at all."""
    shown = ROOT.issue(also=[sid_extension(ANNA)])
    made = settings().identity.model_copy(update={"administrators": (listed,)})

    assert Identities(settings().model_copy(update={"identity": made})).administrator(scope(shown)) is None


def test_an_administrator_is_a_caller_like_any_other_for_devices() -> None:
    """T-O8: on WS-DSP nobody has an administrator's rights."""
    known = Identities(settings(identity={"administrators": [ANNA]}))
    shown = scope(ROOT.issue(also=[sid_extension(ANNA)]))

    assert known.administrator(shown)
    assert known.caller(shown) == Principal(f"user:{ANNA}", Proof.CERTIFICATE, sid=ANNA)


def test_callers_are_identified_by_the_last_settings() -> None:
    """After a reload, also those whose certificates were read before: on an open connection, with the next request."""
    known = Identities(settings(identity={"administrators": [ANNA], "devices": ["10.2.0.0/16"]}))
    shown = ROOT.issue(names=[upn(UPN_OF_ANNA)])
    assert known.administrator(scope(shown))
    assert known.may_use_tls(shown.pem)
    assert not known.may_connect(scope(None))

    known.use(settings(users={}))

    assert known.caller(scope(shown)).sid == ""
    assert known.administrator(scope(shown)) is None
    assert not known.may_use_tls(shown.pem)
    assert known.may_connect(scope(None))
