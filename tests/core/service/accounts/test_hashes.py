"""The texts of argon2 hashes, read as argon2 reads them."""

from __future__ import annotations

import random

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from hypothesis import given
from hypothesis import strategies as st

from postscan.core.service.accounts import hashes
from postscan.core.service.accounts.hashes import HashCost

SALT, DIGEST = "c2FsdHNhbHRzYWx0c2Fs", "ZGlnZXN0ZGlnZXN0ZGlnZXN0"
GOOD = f"$argon2id$v=19$m=64,t=2,p=4${SALT}${DIGEST}"


def argon2_reads(hash: str) -> bool:
    """Return whether argon2 itself compares a password with the hash."""
    try:
        PasswordHasher().verify(hash, "password")
    except VerifyMismatchError:
        return True
    except (InvalidHashError, VerificationError):
        return False
    return True


def test_what_a_hash_is_made_of() -> None:
    """As argon2 says it."""
    assert hashes.read(GOOD) == HashCost("argon2id", 19, 64, 2, 4, 15, 18)
    assert argon2_reads(GOOD)


@pytest.mark.parametrize(
    "hash",
    [
        "",
        "password",
        "$2b$12$" + "a" * 53,
        GOOD[1:],
        GOOD + "\n",
        GOOD + "=",
        GOOD + "$",
        GOOD.replace("argon2id", "argon2x"),
        GOOD.replace("m=64", "m=064"),
        GOOD.replace("m=64", "m=-64"),
        GOOD.replace("m=64,t=2", "t=2,m=64"),
        GOOD.replace("t=2", "t=0"),
        GOOD.replace("p=4", "p=0"),
        GOOD.replace("m=64", "m=16"),
        GOOD.replace(SALT, "c2FsdA"),
        GOOD.replace(SALT, SALT + "x"),
        GOOD.replace(SALT, SALT + "B"),
        GOOD.replace(DIGEST, "ZGk"),
        GOOD.replace(DIGEST, ""),
        GOOD.replace(DIGEST, DIGEST[:-1] + "-"),
    ],
)
def test_what_argon2_cannot_read(hash: str) -> None:
    """T-O11: neither is such a hash given to argon2."""
    assert hashes.read(hash) is None
    assert not argon2_reads(hash)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from("$=,+/Aa0129imtpv \x00é"), st.booleans())
def test_argon2_reads_what_is_read_here(position: int, character: str, replaced: bool) -> None:
    """One character other than it was, or one more: a failure of argon2 is then one of the machine, not of the hash."""
    hash = GOOD[:position] + character + GOOD[position + replaced :]
    cost = hashes.read(hash)

    if cost is not None and cost.work <= 1 << 15 and cost.lanes < 64:  # the test waits for argon2
        assert argon2_reads(hash)


def test_a_version_that_is_not_known_is_not_read() -> None:
    """argon2 itself compares with it, by a rule that may be another one."""
    assert hashes.read(GOOD.replace("v=19", "v=20")) is None


@pytest.mark.parametrize(
    ("changed", "acceptable"),
    [
        ("m=64,t=2,p=4", True),
        ("m=262144,t=4,p=4", True),
        ("m=262145,t=1,p=4", False),
        ("m=65536,t=16,p=4", True),
        ("m=65536,t=17,p=4", False),
        ("m=999999999,t=1,p=1", False),
        ("m=64,t=999999999,p=1", False),
        ("m=4096,t=1,p=16", True),
        ("m=4096,t=1,p=17", False),
    ],
)
def test_a_hash_that_costs_too_much(changed: str, acceptable: bool) -> None:
    """T-O11: it can be read, and no password is compared with it."""
    cost = hashes.read(GOOD.replace("m=64,t=2,p=4", changed))

    assert cost is not None
    assert cost.is_acceptable == acceptable


@pytest.mark.parametrize(
    ("other", "weaker"),
    [
        (GOOD, False),
        (GOOD.replace("m=64", "m=128"), False),
        (GOOD.replace("argon2id", "argon2i"), True),
        (GOOD.replace("argon2id", "argon2d"), True),
        (GOOD.replace("v=19", "v=16"), True),
        (GOOD.replace("m=64", "m=32"), True),
        (GOOD.replace("m=64,t=2", "m=128,t=1"), False),
        (GOOD.replace("t=2", "t=1"), True),
        (GOOD.replace("p=4", "p=1"), False),
        (GOOD.replace(SALT, SALT[:12]), True),
        (GOOD.replace(DIGEST, DIGEST[:8]), True),
    ],
)
def test_a_weaker_hash(other: str, weaker: bool) -> None:
    """Another kind, less memory, fewer passes over it, a shorter salt or digest; lanes make no difference."""
    cost, found = hashes.read(GOOD), hashes.read(other)

    assert cost is not None
    assert found is not None
    assert found.is_weaker_than(cost) == weaker


@given(st.binary(max_size=40))
def test_bytes_have_one_text(data: bytes) -> None:
    """Base64 without padding, and back."""
    assert hashes._decoded(hashes.encoded(data)) == data
    if data:
        text = hashes.encoded(data)
        other = text[:-1] + random.Random(data).choice("ABCDEFGHabcdefgh0123")
        assert hashes._decoded(other) in (b"", hashes._decoded(other))
