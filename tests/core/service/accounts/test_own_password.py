"""The password that a person changes: of the own account, by the old one, and not beside another change."""

from __future__ import annotations

import pytest
from known_accounts import ADMIN, OTHER_PASSWORD, PASSWORD, SID, WRONG

from postscan.core.errors import AccountNotFound, InvalidArgument
from postscan.core.model.principal import Principal, Proof, Role, at_console
from postscan.core.service.accounts.accounts import Accounts
from postscan.plugins.testing.runner import FakeClock

ANN = at_console("account:ann", Proof.ACCOUNT, Role.OWNER, SID)
NEW = "a third horse battery"


def test_the_new_password_counts_from_then_on(accounts: Accounts) -> None:
    """The account that is returned begins the next session."""
    changed = accounts.change_own_password(ANN, PASSWORD, NEW, "192.0.2.7")

    assert changed.person == ANN
    assert accounts.sign_in("ann", PASSWORD, "192.0.2.7") is None
    assert accounts.sign_in("ann", NEW, "192.0.2.7") == changed


@pytest.mark.parametrize(
    ("old", "new", "argument"), [(WRONG, NEW, "old"), (PASSWORD, "short", "password"), (PASSWORD, "ann", "password")]
)
def test_a_wrong_password_changes_nothing(accounts: Accounts, old: str, new: str, argument: str) -> None:
    """The error has neither of them."""
    with pytest.raises(InvalidArgument) as refused:
        accounts.change_own_password(ANN, old, new, "192.0.2.7")

    assert refused.value.argument == argument
    assert old not in str(refused.value)
    assert accounts.sign_in("ann", PASSWORD, "192.0.2.7") is not None


@pytest.mark.parametrize(
    "person",
    [ADMIN, at_console("account:bob", Proof.ACCOUNT, Role.OWNER), at_console("account:ann", Proof.API, Role.OWNER)],
)
def test_who_did_not_sign_in_with_an_account_has_no_password(accounts: Accounts, person: Principal) -> None:
    """Nor a removed one, nor an API token of the same name."""
    with pytest.raises((AccountNotFound, InvalidArgument)):
        accounts.change_own_password(person, PASSWORD, NEW, "192.0.2.7")

    assert accounts.sign_in("ann", PASSWORD, "192.0.2.7") is not None


def test_a_change_of_the_administrator_meanwhile_is_not_overwritten(
    accounts: Accounts, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between the comparison of the old password and the storing of the new one."""
    hashed = accounts._hash

    def meanwhile(name: str, password: str) -> str:
        monkeypatch.setattr(accounts, "_hash", hashed)
        clock.advance(1)
        accounts.change_password("ann", OTHER_PASSWORD, ADMIN)
        return hashed(name, password)

    monkeypatch.setattr(accounts, "_hash", meanwhile)
    with pytest.raises(AccountNotFound):
        accounts.change_own_password(ANN, PASSWORD, NEW, "192.0.2.7")

    assert accounts.sign_in("ann", OTHER_PASSWORD, "192.0.2.7") is not None
