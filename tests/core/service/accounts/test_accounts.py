"""Who is let in: the right password of an account that counts at the inlet, as it is stored at that moment."""

from __future__ import annotations

import threading

import pytest
from hashers import RecordingHasher
from known_accounts import ADMIN, OTHER_PASSWORD, OTHER_SID, PASSWORD, SID, WRONG, Made, busy, tries

from postscan.core.errors import StoreBusy
from postscan.core.model.accounts.account import AccountUser
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.service.accounts.attempts import FRESH_SECONDS
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock


def test_the_right_password_stands_for_the_user(accounts: Accounts) -> None:
    """The account's name is the one that is compared, however it was sent."""
    assert accounts.verify("ann", PASSWORD, "mail", "192.0.2.7") == AccountUser("ann", SID)
    assert accounts.verify("ＡNN", PASSWORD, "ftp") == AccountUser("ann", SID)
    assert accounts.user_of("Ann", "ftp") == AccountUser("ann", SID)


@pytest.mark.parametrize("account", ["ann", "bob", "", "ann ", "x" * 100_000, "\ud800"])
@pytest.mark.parametrize("password", [WRONG, "", PASSWORD + "\0", "x" * 100_000])
def test_a_wrong_one_for_nobody(accounts: Accounts, account: str, password: str) -> None:
    """T-O10: nor the right one for another name; a text of any length or kind is only wrong."""
    assert accounts.verify(account, password, "mail") is None
    assert account == "ann" or accounts.verify(account, PASSWORD, "mail") is None
    assert account == "ann" or accounts.user_of(account, "mail") is None


def test_an_account_may_be_limited_to_inlets(accounts: Accounts) -> None:
    """T-O10: elsewhere its right password is as wrong as any other, and counts as one."""
    accounts.add("device", PASSWORD, OTHER_SID, ("ftp",), ADMIN)

    assert accounts.verify("device", PASSWORD, "ftp") == AccountUser("device", OTHER_SID)
    assert accounts.verify("device", PASSWORD, "mail") is None
    assert accounts.user_of("device", "ftp") == AccountUser("device", OTHER_SID)
    assert accounts.user_of("device", "mail") is None


def test_an_account_of_the_settings_counts_before_a_row(
    made: Made, accounts: Accounts, hasher: RecordingHasher
) -> None:
    """The row has no effect, not even where that of the settings may not be used."""
    listed = {"hash": hasher.hash(OTHER_PASSWORD), "user": OTHER_SID, "inlets": ["mail"]}
    restarted = made(accounts={"ANN": listed})

    assert restarted.verify("ann", OTHER_PASSWORD, "mail") == AccountUser("ann", OTHER_SID)
    assert restarted.verify("ann", PASSWORD, "mail") is None
    assert restarted.verify("ann", PASSWORD, "ftp") is None
    assert restarted.user_of("ann", "ftp") is None


@pytest.mark.parametrize("method", ["reading", "record"])
def test_a_busy_database_is_not_a_wrong_password(
    accounts: Accounts, store: Store, method: str, hasher: RecordingHasher
) -> None:
    """The caller learns that it may come again, and a device is not counted as one that guesses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, method, busy)
        for _ in range(5):
            assert tries(accounts, WRONG) is StoreBusy
        if method == "reading":
            for _ in range(30):
                assert tries(accounts, PASSWORD) is StoreBusy
            assert not hasher.compared
            with pytest.raises(StoreBusy):
                accounts.user_of("ann", "mail")

    assert tries(accounts, PASSWORD) == SID


# --- what is right, stays right for a moment ---------------------------------------------------------------------


def test_a_password_that_was_right_a_moment_ago_is_not_compared_again(
    accounts: Accounts, hasher: RecordingHasher, clock: FakeClock
) -> None:
    """A client of HTTP sends it with each request. Another one, from elsewhere, or a wrong one is compared."""
    compared = []
    for password, address in (
        (PASSWORD, "192.0.2.7"),
        (PASSWORD, "192.0.2.7"),
        (WRONG, "192.0.2.7"),
        (PASSWORD, "192.0.2.7"),
        (PASSWORD, "192.0.2.8"),
    ):
        tries(accounts, password, address=address)
        compared.append(len(hasher.compared))
    clock.advance(FRESH_SECONDS)
    assert tries(accounts, PASSWORD) == SID

    assert compared == [1, 1, 2, 2, 3]
    assert len(hasher.compared) == 4


def test_a_removed_account_is_refused_at_once(made: Made, accounts: Accounts) -> None:
    """T-O11: by a server that runs, when another process removes it, although its password was right a moment ago."""
    assert tries(accounts, PASSWORD) == SID
    made().remove("Ann", ADMIN)

    assert tries(accounts, PASSWORD) is None
    assert accounts.user_of("ann", "mail") is None


def test_an_old_password_is_refused_at_once(made: Made, accounts: Accounts, clock: FakeClock) -> None:
    """T-O11: the same for a password that was changed."""
    assert tries(accounts, PASSWORD) == SID
    clock.advance(1)
    made().change_password("ANN", OTHER_PASSWORD, ADMIN)

    assert tries(accounts, PASSWORD) is None
    assert tries(accounts, OTHER_PASSWORD) == SID


@pytest.mark.parametrize("change", ["remove", "change", "replace"])
def test_an_account_that_is_changed_while_its_password_is_compared(
    made: Made, accounts: Accounts, hasher: RecordingHasher, clock: FakeClock, change: str
) -> None:
    """T-O11: what counts is what is stored when the answer is given."""
    said: list[object] = []
    hasher.free.clear()
    caller = threading.Thread(target=lambda: said.append(tries(accounts, PASSWORD)))
    caller.start()
    assert hasher.waiting.wait(60)
    clock.advance(1)
    if change == "change":
        made().change_password("ann", OTHER_PASSWORD, ADMIN)
    else:
        made().remove("ann", ADMIN)
    if change == "replace":
        made().add("ann", OTHER_PASSWORD, OTHER_SID, (), ADMIN)
    hasher.free.set()
    caller.join(60)

    assert said == [None]
