"""Passwords: how they are prepared, hashed and compared."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from argon2 import extract_parameters
from argon2.profiles import get_default_parameters
from hashers import RecordingHasher

from postscan.core.errors import InvalidArgument, NotInstalled
from postscan.core.service.accounts.passwords import MOST_BYTES, MOST_CHARACTERS, SHORTEST, Passwords

PASSWORD = "right horse battery"


@pytest.fixture
def passwords(hasher: RecordingHasher) -> Passwords:
    """Passwords with a cheap argon2."""
    return Passwords(hasher)


def test_a_new_hash_is_one_of_argon2id_with_the_parameters_of_the_library() -> None:
    """T-O11: 64 MiB, three passes, a salt of its own (RFC 9106 section 4)."""
    hash = Passwords().hash(PASSWORD)
    parameters = extract_parameters(hash)

    assert parameters == get_default_parameters()
    assert (parameters.type.name, parameters.memory_cost, parameters.time_cost) == ("ID", 65536, 3)
    assert (parameters.salt_len, parameters.hash_len) == (16, 32)
    assert Passwords().matches(PASSWORD, hash)
    assert not Passwords().matches(PASSWORD + "!", hash)


def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    """T-O11: a stolen table does not show who has the same password."""
    assert passwords.hash(PASSWORD) != passwords.hash(PASSWORD)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Jörgs Drückerei", unicodedata.normalize("NFD", "Jörgs Drückerei")),
        (unicodedata.normalize("NFD", "Jörgs Drückerei"), "Jörgs Drückerei"),
        ("three\u00a0small\u2003words", "three small words"),
        ("\U0001f5a8" * 12, "\U0001f5a8" * 12),
    ],
)
def test_a_password_is_the_same_in_each_spelling(passwords: Passwords, typed: str, stored: str) -> None:
    """Keyboards differ in how they compose letters, and in their spaces (RFC 8265 section 4.2)."""
    assert passwords.matches(typed, passwords.hash(stored))


@pytest.mark.parametrize("other", [PASSWORD.upper(), PASSWORD + " ", "right  horse battery", "ｒight horse battery"])
def test_case_width_and_number_of_spaces_count(passwords: Passwords, other: str) -> None:
    """Otherwise fewer guesses would do."""
    assert not passwords.matches(other, passwords.hash(PASSWORD))


@pytest.mark.parametrize(
    "password",
    [
        "",
        "x" * (SHORTEST - 1),
        "x" * (MOST_CHARACTERS + 1),
        "\U0001f5a8" * (MOST_BYTES // 4 + 1),
        "right\0horse battery",
        "right\thorse battery",
        "right horse battery\n",
        "right horse\u202e battery",
        "right horse\u2028 battery",
        "right horse \ud800battery",
        "right horse \ue000battery",
        "right horse \U0003fffdbattery",
    ],
)
def test_a_new_password_that_is_refused(passwords: Passwords, hasher: RecordingHasher, password: str) -> None:
    """T-O11: too short, too long, or with what cannot be typed again. No error shows it, and it is never right."""
    with pytest.raises(InvalidArgument, match=r"^password") as error:
        passwords.hash(password)
    said = str(error.value) + repr(error.value.__dict__)

    assert not password or password not in said
    assert not passwords.matches(password, passwords.hash(PASSWORD))
    assert all(len(given) <= MOST_BYTES for _, given in hasher.compared)


def test_an_empty_password_is_wrong_even_where_its_hash_is_stored(
    passwords: Passwords, hasher: RecordingHasher
) -> None:
    """An administrator may have put it into the settings; so may one that is too long."""
    for password in ("", "x" * (MOST_CHARACTERS + 1)):
        assert not passwords.matches(password, hasher.hash(password))
        assert not passwords.matches(password, hasher.hash(""))


def test_without_an_account_the_same_work_is_done(passwords: Passwords, hasher: RecordingHasher) -> None:
    """T-O10: one comparison with the parameters of a new hash, whatever the password; nothing is right."""
    hash = passwords.hash(PASSWORD)
    for password in (PASSWORD, "", "x" * 100_000, "\ud800"):
        assert not passwords.matches(password, None)
        assert not passwords.matches(password + "!", hash)
    parameters = [parameters for parameters, _ in hasher.compared]

    assert parameters == [extract_parameters(hash)] * 8


@pytest.mark.parametrize(
    "hash",
    ["", "right horse battery", "$2b$12$" + "a" * 53, "$argon2id$v=19$m=136,t=1,p=17$c2FsdHNhbHQ$aGFzaGhhc2g"],
)
def test_a_hash_that_cannot_be_used_matches_nothing(passwords: Passwords, hasher: RecordingHasher, hash: str) -> None:
    """T-O11: argon2 gets neither one that it cannot read nor one that costs too much, and the same work is done."""
    assert not passwords.matches(PASSWORD, hash)
    assert not passwords.matches(hash, hash)
    assert [parameters for parameters, _ in hasher.compared] == [extract_parameters(passwords.hash(PASSWORD))] * 2


def test_a_hash_with_other_parameters_is_renewed(passwords: Passwords) -> None:
    """When the password is known; also one that is too short today."""
    older = Passwords(RecordingHasher(time_cost=2))
    hash = older.hash(PASSWORD)
    renewed = passwords.renewed(PASSWORD, hash)
    short = passwords.renewed("short", RecordingHasher(time_cost=2).hash("short"))

    assert renewed is not None
    assert passwords.matches(PASSWORD, renewed)
    assert passwords.renewed(PASSWORD, renewed) is None
    assert short is not None
    assert passwords.matches("short", short)


def test_weak_is_what_costs_less_than_a_new_hash() -> None:
    """With the parameters of the library."""
    weak = "$argon2id$v=19$m=65536,t=2,p=4$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

    assert Passwords().is_weak(weak)
    assert not Passwords().is_weak(weak.replace("t=2", "t=3"))


_WITHOUT_MEMORY = """
import resource
from postscan.core.errors import Unavailable
from postscan.core.service.accounts.passwords import Passwords

passwords = Passwords()
passwords.matches("x", None)  # everything is loaded
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), -1))
try:
    print(passwords.matches("right horse battery", None))
except Unavailable as error:
    print("unavailable:", error)
"""


def test_lack_of_memory_is_not_a_wrong_password() -> None:
    """T-O11: in a process that has no room for 64 MiB."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT_MEMORY], capture_output=True, text=True, timeout=120)

    assert done.stdout.startswith("unavailable: a password could not be compared: "), done.stderr


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else needs argon2-cffi."""
    monkeypatch.setitem(sys.modules, "argon2", None)
    with pytest.raises(NotInstalled, match=r"argon2-cffi, which is not installed: pip install 'postscan\[sources\]'"):
        Passwords().hash(PASSWORD)
    with pytest.raises(NotInstalled, match=r"postscan\[sources\]"):
        Passwords().matches(PASSWORD, None)
