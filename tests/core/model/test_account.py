"""Accounts: which names are the same, and which are none."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postscan.core.model.accounts.account import LONGEST_NAME, Account, canonical_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("front-desk", "front-desk"),
        ("Front-Desk", "front-desk"),
        ("FRONT.DESK@Fabrikam.Example", "front.desk@fabrikam.example"),
        ("Jörg", "jörg"),
        (unicodedata.normalize("NFD", "Jörg"), "jörg"),
        ("ｆｒｏｎｔ－ｄｅｓｋ", "front-desk"),
        ("ｶﾀｶﾅ", "カタカナ"),
        ("Ünïcödé1", "ünïcödé1"),
        ("\u212bngström", "ångström"),
        ("!#$%&'*+/=?^_`{|}~", "!#$%&'*+/=?^_`{|}~"),
        ("x" * LONGEST_NAME, "x" * LONGEST_NAME),
    ],
)
def test_spellings_of_one_name(text: str, name: str) -> None:
    """T-O2: case, width and normal form do not distinguish accounts (RFC 8265 section 3.3)."""
    assert canonical_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "front desk",
        " front-desk",
        "front-desk\n",
        "front\0desk",
        "front\x7fdesk",
        "front\u00a0desk",
        "front\u200bdesk",
        "front\u202edesk",
        "front\ufe0fdesk",
        "front\u034fdesk",
        "\u115f",
        "front\u2019desk",
        "☃",
        "\U0001f5a8",
        "\ue000",
        "\U000e0041",
        "\ud800",
        "\U0003fffd",
        "ﬁle",
        "x²",
        "\u0660",
        "x" * (LONGEST_NAME + 1),
        "x" * 1_000_000,
    ],
)
def test_what_is_no_name(text: str) -> None:
    """T-O2: blanks, what cannot be seen, symbols, look-alikes by compatibility, unassigned characters, long texts."""
    assert canonical_name(text) is None


def test_letters_that_only_look_alike_are_other_names() -> None:
    """Nothing is guessed: Cyrillic а is another letter, ß is not ss, and ı not i."""
    names = {canonical_name(text) for text in ("pass", "p\u0430ss", "paß", "i", "\u0131")}

    assert len(names - {None}) == 5


@given(st.text(max_size=20))
@example("\u0130stanbul")
@example("ΑΣ")
@example("ǅ")
@example("K\u0307")
def test_a_canonical_name_is_its_own(text: str) -> None:
    """What is stored is found by what is stored."""
    name = canonical_name(text)

    if name is not None:
        assert canonical_name(name) == name
        assert canonical_name(unicodedata.normalize("NFD", name)) in (name, None)  # None: it may be too long


def test_a_hash_is_not_shown() -> None:
    """T-O11: an account may stand in a traceback or a log line."""
    account = Account("front-desk", "$argon2id$v=19$secret", "S-1-5-21-1-2-3-1001")

    assert "argon2" not in repr(account) + str(account)
    assert "front-desk" in repr(account)


def test_an_account_counts_where_it_may_be_used() -> None:
    """At all inlets, if none are named."""
    everywhere = Account("a", "", "S-1-5-21-1-2-3-1001")
    mail = Account("a", "", "S-1-5-21-1-2-3-1001", ("mail",))

    assert [one.counts_at(inlet) for one in (everywhere, mail) for inlet in ("mail", "ftp")] == [
        True,
        True,
        True,
        False,
    ]
