"""The check of directories: what a plugin of hooks finds wrong, and what the settings make of it."""

from __future__ import annotations

from typing import Any

import pytest
import staff

from postscan.core.settings import Settings
from postscan.doctor.directories import directories
from postscan.doctor.examination import secrets


def settings(**changes: Any) -> Settings:
    """Return settings that use one plugin."""
    return Settings.model_validate({"plugins": {"staff": {"file": "x.json", "password": "swordfish"}}, **changes})


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory of the tests is installed."""
    monkeypatch.syspath_prepend(str(staff.OUTSIDE))


def test_a_directory_that_answers_is_well() -> None:
    """With one line."""
    (found,) = directories(settings(allow_unknown_users=False), lambda _name: ())

    assert (found.check, found.sentence) == ("directory staff", "its plugin is ready, and its own checks passed")


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"allow_unknown_users": False}, ["no connection"]),
        ({}, ["no connection", "a SID that no directory has is accepted, and is its own user name"]),
        (
            {"allow_unknown_users": False, "plugins": {"staff": {}, "disabled": ["staff"]}},
            ["its plugin is disabled: users of it are refused"],
        ),
        (
            {"allow_unknown_users": False, "plugins": {"ldap": {}}},
            ["no plugin of hooks named 'ldap' is installed"],
        ),
    ],
    ids=["away", "unknown users", "disabled", "not installed"],
)
def test_what_keeps_users_away_is_found(changes: dict[str, Any], sentences: list[str]) -> None:
    """Each with its remedy."""
    found = list(directories(settings(**changes), lambda _name: ["no connection"]))

    assert [one.sentence for one in found] == sentences
    assert all(one.fix for one in found)


def test_the_password_of_a_directory_is_shown_by_no_finding() -> None:
    """As those of filters and inlets."""
    assert "swordfish" in secrets(settings())


def test_without_a_table_there_is_no_finding() -> None:
    """Most installations have no directory."""
    assert list(directories(Settings(), lambda _name: ["never asked"])) == []
