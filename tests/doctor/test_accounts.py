"""What the doctor finds of accounts."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import databases
import pytest
import sqlalchemy as sa
from findings import bad, made, the
from plugin_names import unused
from typer.testing import Result

from postscan.core.service.accounts.passwords import Passwords
from postscan.core.settings import Settings
from postscan.core.store.store import Store
from postscan.doctor import accounts, machine

SID = "S-1-5-21-1-2-3-1001"
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
WEAK = HASH.replace("t=3", "t=2")
USERS = {SID: {"name": "ann@fabrikam.example"}}
INLETS = {
    "destinations": {"all": {"label": "All", "process": "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"}},
    "sources": {"mail": {"plugin": "smtp"}},
}


def account(hash: str = HASH, **more: Any) -> dict[str, Any]:
    """Return the table of an account."""
    return {"hash": hash, "user": SID, **more}


def fill(settings: Settings, **hashes: str) -> None:
    """Let the database of these settings have accounts with these hashes."""
    databases.migrated(settings.storage.url)
    with contextlib.closing(Store(settings.storage.url)) as store, store.writing() as db:
        for name, hash in hashes.items():
            db.execute(
                sa.text(
                    "insert into account (name, hash, user_sid, inlets, created, changed) values "
                    "(:name, :hash, :sid, '[]', '2026-03-02 09:41:07', '2026-03-02 09:41:07')"
                ),
                {"name": name, "hash": hash, "sid": SID},
            )


def test_without_accounts_all_is_in_order(tmp_path: Path) -> None:
    """Whether there is a database or not, and without the library for them."""
    settings = made(tmp_path)
    without = list(accounts.accounts(settings))
    databases.migrated(settings.storage.url)

    assert [(str(one.severity), one.sentence) for one in without] == [("ok", "there are none")]
    assert list(accounts.accounts(settings)) == without


def test_good_accounts_are_counted(tmp_path: Path) -> None:
    """Those of the settings and those of the database."""
    settings = made(tmp_path, users=USERS, accounts={"ann": account(inlets=["mail", "console"])}, **INLETS)
    fill(settings, bob=HASH)
    (only,) = accounts.accounts(settings)

    assert (str(only.severity), only.sentence) == ("ok", "the users, inlets and hashes of 2 accounts are in order")


@pytest.mark.parametrize(("allowed", "severity"), [(True, "warning"), (False, "problem")])
def test_a_user_that_is_not_known(tmp_path: Path, allowed: bool, severity: str) -> None:
    """A problem where unknown users are refused: no job can be made."""
    settings = made(tmp_path, accounts={"ann": account()}, allow_unknown_users=allowed)
    check, found, sentence = the(accounts.accounts(settings))

    assert (check, found) == ("account ann", severity)
    assert sentence.startswith(f"stands for {SID}, which the settings do not list")


@pytest.mark.parametrize("hash", ["$argon2id$v=19$m=1,t=1,p=1$YQ$YQ", HASH.replace("m=65536", "m=4194304")])
def test_a_hash_that_cannot_be_used(tmp_path: Path, hash: str) -> None:
    """T-O11: one that argon2 cannot read, and one of 4 GiB; in the settings and in the database."""
    settings = made(tmp_path, users=USERS, accounts={"ann": account(hash)})
    fill(settings, bob=hash)
    found = bad(accounts.accounts(settings))

    assert [one[:2] for one in found] == [("account ann", "problem"), ("account bob", "problem")]
    assert {one[2] for one in found} == {
        "the hash of its password cannot be read by argon2, or costs too much memory or time"
    }


def test_a_weak_hash(tmp_path: Path) -> None:
    """T-O11: fewer passes than a new one has; the fix is the command for its place."""
    settings = made(tmp_path, users=USERS, accounts={"ann": account(WEAK)})
    fill(settings, bob=WEAK)
    found = list(accounts.accounts(settings))

    assert [(one.check, str(one.severity), one.fix) for one in found] == [
        ("account ann", "warning", "postscan accounts hash"),
        ("account bob", "warning", "postscan accounts password bob"),
    ]
    assert "weaker" in found[0].sentence


def test_an_inlet_that_is_not_there(tmp_path: Path) -> None:
    """The account can be used at no other."""
    settings = made(tmp_path, users=USERS, accounts={"ann": account(inlets=["mial"])}, **INLETS)

    assert the(accounts.accounts(settings)) == (
        "account ann",
        "warning",
        "may be used at mial, and the settings have no such inlet",
    )


def test_an_account_of_an_inlet_that_is_not_there(tmp_path: Path) -> None:
    """Its user is named at the inlet, and nobody can log in."""
    inlets = {**INLETS, "sources": {"mail": {"plugin": "smtp", "accounts": {"Device": "*"}}}}

    assert the(accounts.accounts(made(tmp_path, **inlets))) == (
        "account device",
        "warning",
        "the inlet mail has a user for it, and there is no such account",
    )


def test_a_row_that_does_not_count(tmp_path: Path) -> None:
    """The settings have its name; nothing else is said of the row."""
    settings = made(tmp_path, users=USERS, accounts={"ann": account()})
    fill(settings, ann=WEAK)
    check, severity, sentence = the(accounts.accounts(settings))

    assert (check, severity) == ("account ann", "warning")
    assert "does not count" in sentence


def test_accounts_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One problem, which names the extra."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "argon2" else find(name, *more)
    )
    (only,) = accounts.accounts(made(tmp_path, accounts={"ann": account(), "bob": account()}))

    assert str(only.severity) == "problem"
    assert only.sentence == "argon2-cffi is not installed, so that none of the 2 accounts can be used"
    assert only.fix == "pip install 'postscan[sources]'"


def test_a_database_that_cannot_be_read_is_the_finding_of_another_check(tmp_path: Path) -> None:
    """The accounts of the settings are checked all the same."""
    settings = made(tmp_path, accounts={"ann": account()}, storage={"database": "sqlite:////proc/nowhere/x"})

    assert the(accounts.accounts(settings))[0] == "account ann"
    assert [one for one in bad(machine.records(settings)) if one[0] == "database"]


def test_settings_with_accounts_are_secret(tmp_path: Path) -> None:
    """T-O11: every user could try passwords against the hashes."""
    path = tmp_path / "postscan.toml"
    path.touch(mode=0o644)

    assert the(machine.settings_file(path, made(tmp_path, accounts={"ann": account()})))[1] == "problem"


def test_the_command_has_the_check_and_prints_no_hash(settings_file: Path, postscan: Callable[..., Result]) -> None:
    """T-O11: whatever is wrong with it."""
    settings_file.write_text(
        f'[storage]\ndata_dir = "data"\n[server]\nport = 0\n[plugins]\ndisabled = {unused()}\n'
        f'[accounts.ann]\nhash = "{WEAK}"\nuser = "{SID}"\n'
    )
    settings_file.chmod(0o600)
    result = postscan("doctor", "--json")
    found = [one for one in json.loads(result.stdout) if one["check"] == "account ann"]

    assert len(found) == 2
    assert "$argon2" not in result.stdout + result.stderr


def test_a_new_hash_is_in_order(tmp_path: Path) -> None:
    """What `postscan accounts hash` prints is neither weak nor costly."""
    hash = Passwords().hash("right horse battery")

    assert bad(accounts.accounts(made(tmp_path, users=USERS, accounts={"ann": account(hash)}))) == []
