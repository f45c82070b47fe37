"""Who is calling, and who only looks like it."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import databases
import pytest
from certificates import SID_EXTENSION, UPN, Authority, Credentials, sid_extension, sid_uri, tlv, upn
from conftest import AnyProcess
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtensionOID
from works import instructions

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, JobNotFound
from postscan.core.model.principal import Principal, Proof
from postscan.core.settings import Settings
from postscan.core.settings.network import IdentitySettings
from postscan.soap.http.identity import Identities
from postscan.soap.http.tls import certificate

ANNA = "S-1-5-21-1004336348-1177238915-682003330-1001"
BORIS = "S-1-5-21-1004336348-1177238915-682003330-1002"
CLARA = "S-1-5-21-1004336348-1177238915-682003330-1003"
UPN_OF_ANNA = "anna.lopez@fabrikam.example"
MAIL = x509.RFC822Name(UPN_OF_ANNA)
ROOT, OTHER = Authority(), Authority()
LISTED = ROOT.issue("anna")
SERIAL = f"{LISTED.certificate.serial_number:X}"
SERIAL = SERIAL.zfill(len(SERIAL) + len(SERIAL) % 2)
FINGERPRINT = LISTED.certificate.fingerprint(SHA256()).hex()
ADDRESS = Principal("device:192.0.2.7", Proof.ADDRESS)
USERS = {
    ANNA: {"name": "anna@fabrikam.example", "upn": UPN_OF_ANNA},
    BORIS: {"name": "boris@fabrikam.example", "upn": "boris@fabrikam.example"},
    CLARA: {"name": "clara@fabrikam.example"},
}


def settings(**more: Any) -> Settings:
    """Return settings that know three users, one of them without a UPN."""
    return Settings.model_validate({"users": USERS, **more})


def scope(shown: Credentials | None) -> dict[str, Any]:
    """Return the ASGI scope of a request by a device that shows this certificate, or none."""
    chain = (shown.pem,) if shown else ()
    return {"client": ("192.0.2.7", 40000), "extensions": {"tls": {"client_cert_chain": chain}}}


def caller(shown: Credentials | None, **more: Any) -> Principal:
    """Return who that is."""
    return Identities(settings(**more)).caller(scope(shown))


# --- whom a certificate proves -----------------------------------------------------------------------------------


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


def test_the_layout_of_the_extension_is_that_of_windows() -> None:
    """[MS-WCCE] 2.2.2.7.7.4, written down byte by byte."""
    sid = b"S-1-5-21-1-2-3-1001"
    value = bytes.fromhex("3025a023060a2b060104018237190201a0150413") + sid
    extension = x509.UnrecognizedExtension(SID_EXTENSION, value)

    assert certificate.read(ROOT.issue(also=[extension]).pem).sid == sid.decode()
    assert sid_extension(sid.decode()).value == value


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


# --- certificates that prove nothing -----------------------------------------------------------------------------


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


def test_a_certificate_is_read_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not for every request of the device."""
    identities, shown = Identities(settings()), ROOT.issue(also=[sid_extension(ANNA)])
    with caplog.at_level(logging.INFO):
        first, second = (identities.caller(scope(shown)) for _ in range(2))

    assert first == second
    assert [record.user for record in caplog.records] == [f"user:{ANNA}"]  # type: ignore[attr-defined]


# --- administrators ----------------------------------------------------------------------------------------------


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
    assert administrator(shown, BORIS, ANNA) == Principal(name, Proof.CERTIFICATE, admin=True, sid=ANNA, role=ANNA)
    assert administrator(shown, BORIS) is None


@pytest.mark.parametrize(
    "key", [f"sha256:{FINGERPRINT}", f"serial={SERIAL};issuer=CN=Test CA,O=Fabrikam"], ids=["fingerprint", "serial"]
)
def test_a_certificate_may_be_listed_as_an_administrators(key: str) -> None:
    """D3: also one that names no user; whoever has another is none."""
    known = administrator(LISTED, key)

    name = f"device-cert:{certificate.read(LISTED.pem).key}"
    assert known == Principal(name, Proof.CERTIFICATE, admin=True, role=key)
    assert administrator(ROOT.issue("anna"), key) is None


def test_a_listed_certificate_of_a_user_is_an_administrator_by_the_users_sid() -> None:
    """The two lists work together: the certificate stands for Clara, and Clara administers."""
    by = administrator(LISTED, CLARA, certificates={f"sha256:{FINGERPRINT}": CLARA})

    assert by == Principal(f"user:{CLARA}", Proof.CERTIFICATE, admin=True, sid=CLARA, role=CLARA)


def test_without_a_certificate_there_is_no_administrator() -> None:
    """Plain HTTP proves nothing, and an address is no proof (T-O8)."""
    known = Identities(settings(identity={"administrators": [ANNA]}))

    assert known.administrator(scope(None)) is None
    assert known.administrator({"client": ("127.0.0.1", 1), "scheme": "http"}) is None
    assert administrator(ROOT.issue(usage=[], also=[sid_extension(ANNA)]), ANNA) is None


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


# --- look-alikes -------------------------------------------------------------------------------------------------

CONFUSABLE = {"a": "а", "e": "е", "o": "ο", "p": "р", "i": "і", "n": "ո", "l": "ӏ", "m": "ⅿ", "k": "κ", "z": "ʐ"}
INVISIBLE = ("\u200b", "\u200d", "\u00ad", "\u2060", "\ufeff", "\u202e", "\u0301", "\0")
SPACES = (" ", "\t", "\n", "\u00a0", "\u2003", "\u3000")


def wide(letter: str) -> str:
    """Return the letter that NFKC makes *letter* of."""
    found = chr(ord(letter) + 0xFEE0)
    assert unicodedata.normalize("NFKC", found) == letter
    return found


def _each(text: str, change: Callable[[str], str]) -> Iterator[str]:
    """Yield the text with one character changed, for every character that changes."""
    for at, letter in enumerate(text):
        if change(letter) != letter:
            yield text[:at] + change(letter) + text[at + 1 :]


def upns() -> list[str]:
    """Return what looks like Anna's UPN, or is the same to somebody less strict."""
    local, domain = UPN_OF_ANNA.split("@")
    found = [*_each(UPN_OF_ANNA, str.upper), UPN_OF_ANNA.upper(), UPN_OF_ANNA.title()]
    found += _each(UPN_OF_ANNA, lambda letter: CONFUSABLE.get(letter, letter))
    found += _each(UPN_OF_ANNA, wide)
    for thing in (*INVISIBLE, *SPACES):
        found += [UPN_OF_ANNA + thing, thing + UPN_OF_ANNA, f"{local}{thing}@{domain}"]
    found += [f"{UPN_OF_ANNA}.", f".{UPN_OF_ANNA}", local, domain, f"{local}@", f"@{domain}", f"FABRIKAM\\{local}"]
    found += [f"{local}@fabrikam", f"{local}@{domain}.evil.example", f"{local}@evil.example\0@{domain}", "*", "%"]
    return [*found, f"{UPN_OF_ANNA},{UPN_OF_ANNA}", f"{local}@@{domain}", f'"{local}"@{domain}', f"{local}+x@{domain}"]


def sids() -> list[str]:
    """Return what looks like Anna's SID, or is the same number."""
    numbers = ANNA.split("-")
    found = [ANNA.lower(), ANNA[:-1], f"{ANNA}0", f"{ANNA}-", f"{ANNA}-0", f"-{ANNA}", ANNA.replace("-", "‐")]
    found += ["-".join([*numbers[:at], "0" + numbers[at], *numbers[at + 1 :]]) for at in range(1, len(numbers))]
    found += ["-".join([*numbers[:at], "+" + numbers[at], *numbers[at + 1 :]]) for at in range(1, len(numbers))]
    found += [ANNA.replace("S-1-5-", f"S-1-{other}-") for other in ("0x5", "0x000000000005", "05", "4294967301")]
    found += [ANNA.translate({ord(str(digit)): zero + digit for digit in range(10)}) for zero in (0x660, 0xFF10)]
    found += ["ſ" + ANNA[1:], "Ѕ" + ANNA[1:], wide("S") + ANNA[1:], f"{{{ANNA}}}", f'"{ANNA}"', "S-1-1-0", "S-1-5-18"]
    found += [thing + ANNA for thing in (*SPACES, *INVISIBLE)] + [ANNA + thing for thing in (*SPACES, *INVISIBLE)]
    return found + [ANNA.replace("-", f"-{thing}", 1) for thing in (*SPACES, *INVISIBLE)]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine for users with certificates only; nothing runs."""
    home = tmp_path_factory.mktemp("strict")
    made = settings(
        storage={"data_dir": str(home)},
        tls={"certificate": "c.pem", "client_ca": "ca.pem", "mode": "client"},
        limits={"bad_tokens": 10_000},
    )
    databases.migrated(made.storage.url)
    core = Engine(made, AnyProcess())
    yield core
    core.close()


@pytest.fixture(scope="module")
def job(strict: Engine) -> str:
    """A job of Anna's, who was proven by a certificate."""
    by = caller(ROOT.issue(also=[sid_extension(ANNA)]))
    return strict.service.create(by, ANNA, "P", instructions("copy"))


def assert_is_not_anna(strict: Engine, job: str, who: Principal, claimed: str = ANNA) -> None:
    """Fail if this caller can make a job for Anna, or see hers."""
    with pytest.raises(InvalidArgument) as refused:
        strict.service.create(who, claimed, "P", instructions("copy"))
    with pytest.raises(JobNotFound):
        strict.service.job(job, who)

    assert refused.value.argument == "UserIdentifier"
    assert strict.service.active(who) == []


def test_there_are_enough_look_alikes() -> None:
    """T-O2 asks for 200 pairs; each is another text than the one that it looks like."""
    assert len(set(upns())) + len(set(sids())) >= 200
    assert UPN_OF_ANNA not in upns()
    assert ANNA not in sids()


@pytest.mark.parametrize("text", [pytest.param(text, id=ascii(text)) for text in upns()])
def test_a_upn_that_looks_like_annas_is_not_anna(strict: Engine, job: str, text: str) -> None:
    """T-O2: compared exactly, byte for byte, in the certificate."""
    who = Identities(strict.settings).caller(scope(ROOT.issue("anna", names=[upn(text)])))

    assert who.sid == ""
    assert_is_not_anna(strict, job, who)


@pytest.mark.parametrize("text", [pytest.param(text, id=ascii(text)) for text in sids()])
def test_a_sid_that_looks_like_annas_is_not_anna(strict: Engine, job: str, text: str) -> None:
    """T-O2: compared exactly, in the certificate; it is a SID of somebody else, or none at all."""
    who = Identities(strict.settings).caller(scope(ROOT.issue("anna", also=[sid_extension(text)])))

    assert who.sid != ANNA
    assert_is_not_anna(strict, job, who)
    assert_is_not_anna(strict, job, who, text)


@pytest.mark.parametrize("text", [pytest.param(text, id=ascii(text)) for text in sids() if text != "s" + ANNA[1:]])
def test_a_user_identifier_that_looks_like_annas_is_not_annas(strict: Engine, text: str) -> None:
    """T-O3: compared exactly, in the request, but for the first letter."""
    anna = caller(ROOT.issue(also=[sid_extension(ANNA)]))

    with pytest.raises(InvalidArgument, match="UserIdentifier"):
        strict.service.create(anna, text, "P", instructions("copy"))


LOOK_ALIKES: dict[str, Sequence[str]] = {
    "another serial number": (f"serial=00{SERIAL};issuer=CN=Test CA,O=Fabrikam",),
    "another issuer": tuple(
        f"serial={SERIAL};issuer={issuer}"
        for issuer in ("O=Fabrikam,CN=Test CA", "CN=test CA,O=Fabrikam", "CN=Test CA,O=Fabrikam ", "CN=Test CA")
    ),
    "another fingerprint": (f"sha256:{FINGERPRINT[::-1]}",),
}


@pytest.mark.parametrize("keys", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_a_list_is_taken_at_its_word(keys: Sequence[str]) -> None:
    """T-O2: a line that is nearly that of the certificate is the line of another."""
    for key in keys:
        assert caller(LISTED, identity={"certificates": {key: CLARA}}).sid == ""


def test_a_certificate_re_issued_by_another_ca_is_not_the_one_that_is_listed() -> None:
    """T-O2: the same subject, key, and even the same name of the CA."""
    again = OTHER.issue("anna", key=LISTED.key)
    listed = {f"sha256:{FINGERPRINT}": CLARA, f"serial={SERIAL};issuer=CN=Test CA,O=Fabrikam": CLARA}

    assert caller(again, identity={"certificates": listed}).sid == ""


# --- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    ["", "anna", "CN=anna", f"sha256:{FINGERPRINT.upper()}", f"sha256:{FINGERPRINT[:-1]}", f"sha1:{FINGERPRINT[:40]}",
     "serial=1;issuer=CN=x", "serial=0a;issuer=CN=x", "serial=0A;issuer=", "serial=0A; issuer=CN=x"],
    ids=range(10),
)  # fmt: skip
def test_a_line_that_names_no_certificate_is_refused(key: str) -> None:
    """It could never match, so it is a mistake."""
    with pytest.raises(ValueError, match="does not identify a certificate"):
        IdentitySettings(certificates={key: ANNA})


def test_a_certificate_is_listed_for_a_sid() -> None:
    """Not for a name."""
    with pytest.raises(ValueError, match="'anna' is not a SID"):
        IdentitySettings(certificates={f"sha256:{FINGERPRINT}": "anna"})


def test_two_users_cannot_have_one_upn() -> None:
    """Which of them it is could not be told."""
    twins = {sid: {"name": f"{sid}@x", "upn": UPN_OF_ANNA} for sid in (ANNA, BORIS)}

    with pytest.raises(ValueError, match="two users have the upn"):
        Settings.model_validate({"users": twins})
