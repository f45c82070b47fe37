"""Names, SIDs and certificates that look like those of a user, and are not."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence

import databases
import pytest
from callers import ANNA, CLARA, FINGERPRINT, LISTED, OTHER, ROOT, SERIAL, UPN_OF_ANNA, caller, scope, settings
from certificates import sid_extension, upn
from conftest import AnyProcess
from works import instructions

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, JobNotFound
from postscan.core.model.principal import Principal
from postscan.soap.http.identity import Identities

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
