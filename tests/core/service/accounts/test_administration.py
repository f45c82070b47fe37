"""What administrators do with accounts: list, add, change and remove them."""

from __future__ import annotations

import pytest
from conftest import ANNA
from hashers import RecordingHasher
from known_accounts import ADMIN, OTHER_PASSWORD, OTHER_SID, PASSWORD, SID, Made, tries

from postscan.core.errors import AccountNotFound, InvalidArgument, NotAdministrator
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock


def test_accounts_are_listed_with_those_of_the_settings_first(
    made: Made, accounts: Accounts, hasher: RecordingHasher, clock: FakeClock
) -> None:
    """Each by name."""
    accounts.add("Device", PASSWORD, OTHER_SID, ("ftp", "mail", "ftp"), ADMIN)
    listed = made(accounts={name: {"hash": hasher.hash(PASSWORD), "user": SID} for name in ("zoe", "Carl")})
    found = listed.all(ADMIN)

    assert [(one.name, one.in_settings) for one in found] == [
        ("carl", True),
        ("zoe", True),
        ("ann", False),
        ("device", False),
    ]
    assert found[-1].inlets == ("ftp", "mail")
    assert found[-1].created == found[-1].changed == clock.now()


@pytest.mark.parametrize(
    ("name", "password", "sid", "inlets", "argument"),
    [
        ("no name", PASSWORD, SID, (), "name"),
        ("", PASSWORD, SID, (), "name"),
        ("ANN", PASSWORD, SID, (), "name"),
        ("Carl", PASSWORD, SID, (), "name"),
        ("bob", "short", SID, (), "password"),
        ("bob", "", SID, (), "password"),
        ("robert.bob@fabrikam", "Robert.Bob@Fabrikam", SID, (), "password"),
        ("bob", PASSWORD, "bob", (), "user"),
        ("bob", PASSWORD, "", (), "user"),
        ("bob", PASSWORD, SID, ("mail", "nowhere"), "inlet"),
    ],
)
def test_what_is_not_added(
    made: Made,
    accounts: Accounts,
    hasher: RecordingHasher,
    name: str,
    password: str,
    sid: str,
    inlets: tuple[str, ...],
    argument: str,
) -> None:
    """No name, a name that is taken or in the settings, a bad password, no SID, an unknown inlet; nothing is stored."""
    listed = made(accounts={"carl": {"hash": hasher.hash(PASSWORD), "user": SID}})
    with pytest.raises(InvalidArgument) as error:
        listed.add(name, password, sid, inlets, ADMIN)

    assert error.value.argument == argument
    assert not password or password == PASSWORD or password not in str(error.value)
    assert [one.name for one in accounts.all(ADMIN)] == ["ann"]
    assert tries(accounts, PASSWORD) == SID


def test_a_user_that_is_not_known_is_refused_where_all_users_are_listed(made: Made) -> None:
    """As it is at Create (D21)."""
    strict = made(allow_unknown_users=False, users={SID: {"name": "ann@fabrikam.example"}})
    strict.add("ann", PASSWORD, SID, (), ADMIN)

    with pytest.raises(InvalidArgument, match="allow_unknown_users"):
        strict.add("bob", PASSWORD, OTHER_SID, (), ADMIN)


def test_an_account_of_the_settings_is_changed_there(made: Made, accounts: Accounts, hasher: RecordingHasher) -> None:
    """A row of the same name can be removed, since it does nothing."""
    listed = made(accounts={name: {"hash": hasher.hash(PASSWORD), "user": SID} for name in ("ann", "carl")})
    with pytest.raises(InvalidArgument, match="not in the settings"):
        listed.change_password("Ann", OTHER_PASSWORD, ADMIN)
    with pytest.raises(InvalidArgument, match="not in the settings"):
        listed.remove("carl", ADMIN)
    listed.remove("ann", ADMIN)

    assert [one.name for one in listed.all(ADMIN) if not one.in_settings] == []


@pytest.mark.parametrize("name", ["bob", "no name", ""])
def test_an_account_that_is_not_there(accounts: Accounts, name: str) -> None:
    """It can be neither changed nor removed."""
    with pytest.raises(AccountNotFound):
        accounts.change_password(name, OTHER_PASSWORD, ADMIN)
    with pytest.raises(AccountNotFound):
        accounts.remove(name, ADMIN)


def test_only_administrators_see_and_change_accounts(accounts: Accounts, store: Store) -> None:
    """T-O8: whatever front end asks."""
    for call in (
        lambda: accounts.all(ANNA),
        lambda: accounts.add("bob", PASSWORD, SID, (), ANNA),
        lambda: accounts.change_password("ann", OTHER_PASSWORD, ANNA),
        lambda: accounts.remove("ann", ANNA),
    ):
        with pytest.raises(NotAdministrator):
            call()

    assert tries(accounts, PASSWORD) == SID
    assert [one.verb for one in store.audit()] == ["add-account"]
