"""The accounts of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from postscan.core.errors import SettingsError
from postscan.core.settings import Settings, load

HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
USER = 'user = "S-1-5-21-1-2-3-1001"\n'


def loaded(folder: Path, text: str) -> Settings:
    """Return the settings of a file with this text."""
    path = folder / "postscan.toml"
    path.write_text(text, "utf-8")
    return load(path)


def refusal(folder: Path, text: str) -> str:
    """Return what `load` says of a file that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        loaded(folder, text)
    return str(caught.value).removeprefix(f"{folder}/postscan.toml: ")


def test_an_account_has_a_hash_a_user_and_perhaps_inlets(tmp_path: Path) -> None:
    """It is found by the name that is compared, however it is written."""
    found = loaded(tmp_path, f'[accounts."Front-Desk"]\nhash = "{HASH}"\n{USER}inlets = ["mail"]\n').accounts
    (account,) = found.values()

    assert list(found) == ["front-desk"]
    assert (account.hash, account.user, account.inlets) == (HASH, "S-1-5-21-1-2-3-1001", ("mail",))
    assert "argon2" not in repr(found)


@pytest.mark.parametrize(
    "table",
    [
        'hash = "right horse battery"\n',
        'hash = "right horse battery"\nuser = 1\n',
        'password = "right horse battery"\n',
        'hash = ["right horse battery"]\n',
        f'hash = "{"right horse battery" * 100}"\n',
        f'hash = "{HASH}right horse battery"\n',
        'hash = { password = "right horse battery" }\n',
    ],
)
def test_a_password_in_the_place_of_a_hash_is_not_shown(tmp_path: Path, table: str) -> None:
    """T-O11: the error names the key, and what was expected."""
    said = refusal(tmp_path, f"[accounts.ann]\n{USER if 'user' not in table else ''}{table}")

    assert said.startswith("accounts.ann.")
    assert "horse" not in said
    assert "c2Fsd" not in said


@pytest.mark.parametrize("text", ['accounts.ann = "right horse battery"\n', 'accounts = "right horse battery"\n'])
def test_nor_in_the_place_of_a_table(tmp_path: Path, text: str) -> None:
    """T-O11: the same."""
    said = refusal(tmp_path, text)

    assert said.startswith("accounts")
    assert "horse" not in said


def test_a_hash_that_is_none_says_how_to_make_one(tmp_path: Path) -> None:
    """The command is in the error."""
    said = refusal(tmp_path, f'[accounts.ann]\nhash = "x"\n{USER}')

    assert said == "accounts.ann.hash: expected an argon2 hash, not a password; make one: postscan accounts hash"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[accounts.ann]\nhash = "{HASH}"\nuser = "ann"\n', "accounts.ann.user: 'ann' is not a SID"),
        (f'[accounts."a b"]\nhash = "{HASH}"\n{USER}', "accounts: 'a b' is no name of an account; expected 1 to 128"),
        (
            f'[accounts.ann]\nhash = "{HASH}"\n{USER}[accounts.ANN]\nhash = "{HASH}"\n{USER}',
            "accounts: two accounts have the name 'ann'",
        ),
        (f'[accounts.ann]\nhash = "{HASH}"\n{USER}inlets = [""]\n', "accounts.ann.inlets.0: "),
    ],
)
def test_what_is_no_account(tmp_path: Path, text: str, said: str) -> None:
    """No SID, no name, one name twice, an inlet without a name."""
    assert refusal(tmp_path, text).startswith(said)


def test_the_accounts_of_an_inlet_are_found_by_the_same_names(tmp_path: Path) -> None:
    """Otherwise a user for an account would be overlooked."""
    inlet = f'[sources.mail]\nplugin = "smtp"\n{{}}[destinations.all]\nlabel = "All"\nprocess = "{"0" * 8}-{{}}"\n'
    text = inlet.format('accounts = { "Front-Desk" = "*" }\n', "0000-0000-0000-000000000000")

    assert loaded(tmp_path, text).sources["mail"].accounts == {"front-desk": "*"}
    assert "two accounts have the name" in refusal(tmp_path, text.replace("{ ", '{ "front-desk" = "*", '))
