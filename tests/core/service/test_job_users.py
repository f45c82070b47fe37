"""For whom the job of a source is: the table of what is proven, and what is refused. T-S1."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from postscan.core.errors import OriginRefused
from postscan.core.model.accounts.account import AccountUser
from postscan.core.model.records import OriginProof
from postscan.core.registry.directory.directory import Directories
from postscan.core.registry.directory.users import UserLookup
from postscan.core.service.job_users import Claim, JobUsers
from postscan.core.settings import Settings

ANNA, BORIS, CLARA = (f"S-1-5-21-1-2-3-100{number}" for number in (1, 2, 3))
GUID = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"
ADDRESS = "10.0.0.9"
DEVICE, CLEAR, PASSWORD, CERTIFICATE, LOCAL = OriginProof


class Accounts:
    """Three accounts, one of which is not for the inlet."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = users

    def user_of(self, account: str, inlet: str) -> AccountUser | None:
        """Return the account, in any case."""
        sid = self._users.get(f"{account.lower()}@{inlet}")
        return None if sid is None else AccountUser(account.lower(), sid)


ACCOUNTS = Accounts({"anna@mail": ANNA, "boris@mail": BORIS, "panel@mail": CLARA, "clara@ftp": CLARA})


def job_users(settings: Settings) -> JobUsers:
    """Return the rule of these settings, without a directory."""
    return JobUsers(settings, ACCOUNTS, UserLookup(settings, Directories(settings.directory, (), time.monotonic)))


def user(destination: str, proof: OriginProof, subject: str, settings: Settings | None = None) -> str:
    """Return the SID of the user for whom the job is."""
    settings = settings or tables()
    account = subject if proof.names_account else ""
    claim = Claim(proof, subject, account)
    return job_users(settings).decide("mail", settings.destinations[destination], claim).known.user.sid


def tables(**source: object) -> Settings:
    """Return settings with one inlet, and a destination with and one without a user."""
    return Settings.model_validate(
        {
            "destinations": {
                "anna": {"label": "Invoices (Anna)", "process": GUID, "user": ANNA},
                "own": {"label": "My scans", "process": GUID},
            },
            "sources": {"mail": {"plugin": "smtp", "accounts": {"panel": "*"}, **source}},
            "users": {ANNA: {"name": "anna@fabrikam.example"}, CLARA: {"name": "clara@fabrikam.example"}},
        }
    )


@pytest.mark.parametrize(
    ("destination", "proof", "subject", "expected"),
    [
        ("anna", DEVICE, ADDRESS, ANNA),
        ("anna", LOCAL, "/srv/scans", ANNA),
        ("anna", PASSWORD, "anna", ANNA),
        ("own", PASSWORD, "boris", BORIS),
        ("anna", PASSWORD, "panel", ANNA),
        ("own", PASSWORD, "panel", CLARA),
        ("own", CERTIFICATE, "anna", ANNA),
        ("own", CERTIFICATE, CLARA, CLARA),
        ("anna", CERTIFICATE, ANNA, ANNA),
    ],
)
def test_the_job_is_for_the_user_of_the_table(
    destination: str, proof: OriginProof, subject: str, expected: str
) -> None:
    """D25: a device and a folder have chosen the destination; an account is a user, or a device."""
    assert user(destination, proof, subject) == expected


@pytest.mark.parametrize(
    ("destination", "proof", "subject", "sentence"),
    [
        ("own", DEVICE, ADDRESS, "for senders with an account"),
        ("own", LOCAL, "/srv/scans", "for senders with an account"),
        ("anna", PASSWORD, "boris", "this account may not use this destination"),
        ("anna", CERTIFICATE, CLARA, "this account may not use this destination"),
        ("own", PASSWORD, "clara", "this account is not accepted here"),
        ("own", PASSWORD, "nobody", "this account is not accepted here"),
        ("own", PASSWORD, CLARA, "this account is not accepted here"),
        ("own", CERTIFICATE, "S-1-5-21-9-9-9-9", "this account is not accepted here"),
        ("own", CLEAR, "anna", "over TLS alone"),
    ],
)
def test_no_job_is_made_for_a_false_user(destination: str, proof: OriginProof, subject: str, sentence: str) -> None:
    """T-S1: the sentence, which the origin may show, names no user."""
    with pytest.raises(OriginRefused, match=sentence) as refused:
        user(destination, proof, subject)

    assert "S-1-" not in str(refused.value)


def test_a_password_in_clear_counts_where_the_administrator_allows_it() -> None:
    """With the same rule as one over TLS."""
    allowed = tables(allow_clear=True)

    assert user("own", CLEAR, "anna", allowed) == ANNA
    with pytest.raises(OriginRefused, match="may not use"):
        user("anna", CLEAR, "boris", allowed)


def test_an_account_may_stand_for_another_user_at_one_inlet() -> None:
    """The table of the inlet, in place of the account's own user."""
    changed = tables(accounts={"boris": ANNA})

    assert user("anna", PASSWORD, "boris", changed) == ANNA
    with pytest.raises(OriginRefused):
        user("anna", PASSWORD, "panel", changed)


def test_a_table_of_an_inlet_makes_no_account() -> None:
    """A removed account is refused, whatever the inlet's table says."""
    with pytest.raises(OriginRefused, match="not accepted here"):
        user("anna", PASSWORD, "gone", tables(accounts={"gone": "*"}))


def test_devices_are_listed_or_all_are_taken_at_their_word() -> None:
    """The source has checked that the device has this address; the server has the list."""
    listed = tables(devices=["10.0.0.0/28", GUID])

    assert user("anna", DEVICE, ADDRESS, listed) == ANNA
    assert user("anna", DEVICE, f"urn:uuid:{GUID.lower()}", listed) == ANNA
    for subject in ("10.0.0.99", "urn:uuid:3d5f2a90-6c1e-4b7a-9e42-0a8b6c4d2e11", "front desk", ""):
        with pytest.raises(OriginRefused, match="this device is not accepted here"):
            user("anna", DEVICE, subject, listed)


def test_a_user_is_known_where_the_settings_ask_for_that() -> None:
    """D21."""
    strict = tables().model_copy(update={"allow_unknown_users": False})

    assert user("own", PASSWORD, "boris") == BORIS
    with pytest.raises(OriginRefused, match="not accepted here"):
        user("own", PASSWORD, "boris", strict)


def test_the_name_of_an_account_is_the_one_that_is_compared() -> None:
    """However a client spells it: the owner of its jobs is one."""
    settings = tables()
    found = [
        job_users(settings).decide("mail", settings.destinations["own"], Claim(PASSWORD, spelled, spelled))
        for spelled in ("anna", "Anna")
    ]

    assert [one.account for one in found] == ["anna", "anna"]
