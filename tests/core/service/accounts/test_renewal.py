"""Hashes that are stored: those of older parameters are renewed when the password is known, and no others."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from hashers import RecordingHasher
from known_accounts import ADMIN, OTHER_PASSWORD, PASSWORD, SID, WRONG, Made, busy, tries

from postscan.core.model.accounts.account import Account
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.store.store import Store


def stored(store: Store) -> str:
    """Return the hash that is stored for Anna."""
    with store.reading() as db:
        return str(db.scalar(sa.text("select hash from account where name = 'ann'")))


def test_a_hash_of_older_parameters_is_replaced_when_the_password_is_known(
    made: Made, accounts: Accounts, store: Store
) -> None:
    """Once; a wrong password replaces nothing. When the password was set does not change."""
    before, (account,) = stored(store), accounts.all(ADMIN)
    newer = made(RecordingHasher(time_cost=2))
    assert tries(newer, WRONG) is None
    unchanged = stored(store)
    assert tries(newer, PASSWORD) == SID
    renewed = stored(store)
    assert tries(made(RecordingHasher(time_cost=2)), PASSWORD) == SID

    assert unchanged == before
    assert (",t=1," in before, ",t=2," in renewed) == (True, True)
    assert stored(store) == renewed
    assert [one.changed for one in newer.all(ADMIN)] == [account.changed]


def test_two_devices_may_renew_the_hash_of_their_account_at_once(made: Made, accounts: Accounts) -> None:
    """The one that comes second is right as well."""
    newer, second = RecordingHasher(time_cost=2), RecordingHasher(time_cost=2)
    second.free.clear()
    said: list[object] = []
    server = made(second)
    caller = threading.Thread(target=lambda: said.append(tries(server, PASSWORD, address="192.0.2.8")))
    caller.start()
    assert second.waiting.wait(60)
    said.append(tries(made(newer), PASSWORD))
    second.free.set()
    caller.join(60)

    assert said == [SID, SID]


def test_a_hash_is_not_renewed_over_another_password(made: Made, accounts: Accounts, store: Store) -> None:
    """T-O11: a password that is changed at that moment stays changed."""
    newer = RecordingHasher(time_cost=2)
    newer.free.clear()
    caller = threading.Thread(target=tries, args=(made(newer), PASSWORD))
    caller.start()
    assert newer.waiting.wait(60)
    accounts.change_password("ann", OTHER_PASSWORD, ADMIN)
    changed = stored(store)
    newer.free.set()
    caller.join(60)

    assert stored(store) == changed


def test_a_hash_in_the_settings_stays_as_it_is(made: Made, hasher: RecordingHasher, store: Store) -> None:
    """The file is the administrator's; the doctor names one that is weak."""
    listed = {"ann": {"hash": hasher.hash(PASSWORD), "user": SID}}
    newer = made(RecordingHasher(time_cost=2), accounts=listed)

    assert tries(newer, PASSWORD) == SID
    assert newer.all(ADMIN) == [Account("ann", listed["ann"]["hash"], SID)]
    assert stored(store) == "None"


def test_a_damaged_hash_is_an_error_in_the_log(
    accounts: Accounts, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """T-O11: an administrator has to act; the caller learns nothing, and the hash is not shown."""
    with store.writing() as db:
        db.execute(sa.text("update account set hash = 'damaged-hash'"))

    assert tries(accounts, PASSWORD) is None
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "hash of account not usable")
    assert vars(record)["account"] == "ann"
    assert "damaged" not in str(vars(record))


def test_a_hash_that_cannot_be_renewed_now_keeps_nobody_out(made: Made, accounts: Accounts, store: Store) -> None:
    """The database may be read, and not be written."""
    before = stored(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "writing", busy)
        assert tries(made(RecordingHasher(time_cost=2)), PASSWORD) == SID

    assert stored(store) == before
