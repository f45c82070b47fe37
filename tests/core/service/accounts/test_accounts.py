"""Accounts at the service, on each kind of database: who is let in, and what administrators do with them."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import ANNA
from hashers import RecordingHasher
from works import until

from postscan.core.errors import (
    AccountNotFound,
    InvalidArgument,
    NotAdministrator,
    PostscanError,
    StoreBusy,
    Throttled,
)
from postscan.core.model.account import Account, AccountUser
from postscan.core.model.principal import Principal, Proof
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.service.accounts.attempts import FRESH_SECONDS, WINDOW
from postscan.core.service.accounts.passwords import Passwords
from postscan.core.service.refusals import Refusals
from postscan.core.settings import Settings
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
SID, OTHER_SID = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
PASSWORD, OTHER_PASSWORD, WRONG = "right horse battery", "another horse battery", "wrong horse battery"
TYPED = "right-horse-battery"
"""A password that could be the name of an account."""

TABLES: dict[str, Any] = {
    "destinations": {"all": {"label": "All", "process": "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10", "user": SID}},
    "sources": {"mail": {"plugin": "smtp"}, "ftp": {"plugin": "ftp"}},
}

Made = Callable[..., Accounts]


@pytest.fixture
def hasher() -> RecordingHasher:
    """A cheap argon2."""
    return RecordingHasher()


@pytest.fixture
def made(store: Store, clock: FakeClock, hasher: RecordingHasher) -> Made:
    """Open the accounts of the store as one process does, with more tables in its settings."""

    def make(hasher: RecordingHasher = hasher, **tables: Any) -> Accounts:
        settings = Settings.model_validate(TABLES | tables)
        refusals = Refusals(store, settings.limits, clock)
        return Accounts(settings, store, refusals, clock, Passwords(hasher))

    return make


@pytest.fixture
def accounts(made: Made) -> Accounts:
    """The accounts of a server: one for Anna, at all inlets."""
    accounts = made()
    accounts.add("ann", PASSWORD, SID, (), ADMIN)
    return accounts


def tries(accounts: Accounts, password: str, *, account: str = "ann", address: str = "192.0.2.7") -> object:
    """Try a password at the inlet for mail; return the SID, None, or the class of the error."""
    try:
        found = accounts.verify(account, password, "mail", address)
    except PostscanError as error:
        return type(error)
    return found and found.sid


# --- who is let in -----------------------------------------------------------------------------------------------


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


# --- nothing can be learned --------------------------------------------------------------------------------------


@contextmanager
def work(hasher: RecordingHasher) -> Iterator[list[object]]:
    """Record the statements and the comparisons of the body."""
    done: list[object] = []

    def record(_db: object, _cursor: object, sql: str, *_others: object) -> None:
        done.append(sql)

    hasher.compared.clear()
    sa.event.listen(sa.Engine, "before_cursor_execute", record)
    try:
        yield done
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", record)
    done += [parameters for parameters, _ in hasher.compared]


def test_an_unknown_name_takes_the_same_work_as_a_wrong_password(made: Made, hasher: RecordingHasher) -> None:
    """T-O10: the same statements, and one comparison of the same cost; the time tells nothing."""
    listed = {"hash": hasher.hash(PASSWORD), "user": SID}
    accounts = made(accounts={"carl": listed, "unreadable": {**listed, "hash": "$argon2id$v=1$m=1,t=1,p=1$a$a"}})
    accounts.add("ann", PASSWORD, SID, (), ADMIN)
    accounts.add("device", PASSWORD, SID, ("ftp",), ADMIN)
    works = []
    for number, (account, password) in enumerate(
        [
            ("ann", WRONG),
            ("nobody", WRONG),
            ("carl", WRONG),
            ("device", PASSWORD),
            ("unreadable", PASSWORD),
            ("no name", WRONG),
            ("ann", ""),
        ]
    ):
        with work(hasher) as done:
            assert accounts.verify(account, password, "mail", f"192.0.2.{number}") is None
        works.append(done)

    assert len(works[0]) >= 3  # reads, compares, and writes a line of the audit trail
    assert all(one == works[0] for one in works)


def test_guesses_are_limited(accounts: Accounts, clock: FakeClock, hasher: RecordingHasher) -> None:
    """T-O10: then not even the right one is compared, from there, for a minute; a known and an unknown name alike."""
    for account in ("ann", "nobody"):
        address = f"192.0.2.{len(account)}"
        assert {tries(accounts, f"{WRONG} {number}", account=account, address=address) for number in range(10)} == {
            None
        }
        compared = len(hasher.compared)
        assert tries(accounts, PASSWORD, account=account, address=address) is Throttled
        assert len(hasher.compared) == compared

    assert tries(accounts, PASSWORD, address="192.0.2.99") == SID
    clock.advance(WINDOW)
    assert tries(accounts, PASSWORD, address="192.0.2.3") == SID


def test_right_passwords_are_no_guesses(accounts: Accounts, clock: FakeClock) -> None:
    """A device may log on as often as it likes; nor does it forgive a client its wrong ones."""
    for _ in range(30):
        assert tries(accounts, PASSWORD) == SID
        clock.advance(1)
    for _ in range(10):
        assert tries(accounts, WRONG) is None
    assert tries(accounts, PASSWORD) is Throttled


def test_guesses_at_the_same_time_are_limited_as_well(accounts: Accounts, hasher: RecordingHasher) -> None:
    """T-O10: hundreds that were sent before the first answer are not compared either."""
    with ThreadPoolExecutor(50) as threads:
        said = list(threads.map(lambda number: tries(accounts, f"{WRONG} {number}"), range(300)))

    assert said.count(None) <= 10
    assert len(hasher.compared) == said.count(None)
    assert SID not in said


def test_one_password_is_compared_at_a_time(accounts: Accounts, hasher: RecordingHasher) -> None:
    """T-O11: each takes 64 MiB. Those of clients that were right before are compared beside the others."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: tries(accounts, WRONG, address=f"192.0.2.{n}", account=f"user{n}"), range(8)))
    alone = hasher.most_at_once

    assert alone == 1


def test_a_device_that_was_right_before_does_not_wait_for_guesses(
    accounts: Accounts, hasher: RecordingHasher, clock: FakeClock
) -> None:
    """T-O10, T-O11: while all others have no limit left, and the comparison of one stands still."""
    assert tries(accounts, PASSWORD, address="192.0.2.99") == SID
    clock.advance(FRESH_SECONDS)
    for number in range(60):
        assert tries(accounts, WRONG, account=f"user{number}", address=f"10.0.0.{number}") is None
    assert tries(accounts, PASSWORD, address="192.0.2.8") is Throttled
    clock.advance(WINDOW)
    hasher.free.clear()
    try:
        guess = threading.Thread(target=tries, args=(accounts, WRONG), kwargs={"address": "10.0.0.1"})
        guess.start()
        assert hasher.waiting.wait(60)
        before = len(hasher.compared)
        device = threading.Thread(target=tries, args=(accounts, PASSWORD), kwargs={"address": "192.0.2.99"})
        device.start()
        until(lambda: len(hasher.compared) > before, "for the comparison of the device")
    finally:
        hasher.free.set()
    guess.join(60)
    device.join(60)

    assert hasher.most_at_once == 2


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


# --- hashes ------------------------------------------------------------------------------------------------------


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


# --- the database does not answer --------------------------------------------------------------------------------


def _busy(*_arguments: object) -> Any:
    raise StoreBusy("locked")


@pytest.mark.parametrize("method", ["reading", "record"])
def test_a_busy_database_is_not_a_wrong_password(
    accounts: Accounts, store: Store, method: str, hasher: RecordingHasher
) -> None:
    """The caller learns that it may come again, and a device is not counted as one that guesses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, method, _busy)
        for _ in range(5):
            assert tries(accounts, WRONG) is StoreBusy
        if method == "reading":
            for _ in range(30):
                assert tries(accounts, PASSWORD) is StoreBusy
            assert not hasher.compared
            with pytest.raises(StoreBusy):
                accounts.user_of("ann", "mail")

    assert tries(accounts, PASSWORD) == SID


def test_a_hash_that_cannot_be_renewed_now_keeps_nobody_out(made: Made, accounts: Accounts, store: Store) -> None:
    """The database may be read, and not be written."""
    before = stored(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "writing", _busy)
        assert tries(made(RecordingHasher(time_cost=2)), PASSWORD) == SID

    assert stored(store) == before


# --- administrators ----------------------------------------------------------------------------------------------


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


# --- what is written about it ------------------------------------------------------------------------------------


def test_each_change_has_a_line_in_the_audit_trail(accounts: Accounts, store: Store, clock: FakeClock) -> None:
    """T-O11: who did what with which account; a change that failed has none."""
    accounts.add("device", PASSWORD, OTHER_SID, ("ftp", "mail"), ADMIN)
    accounts.change_password("Device", OTHER_PASSWORD, ADMIN)
    accounts.remove("device", ADMIN)
    with pytest.raises(AccountNotFound):
        accounts.remove("device", ADMIN)
    with pytest.raises(InvalidArgument):
        accounts.add("ann", PASSWORD, SID, (), ADMIN)

    assert [(line.who, line.verb, line.token, line.outcome, line.detail) for line in store.audit()] == [
        ("local:root", "add-account", "account:ann", "done", f"for {SID}, at all inlets"),
        ("local:root", "add-account", "account:device", "done", f"for {OTHER_SID}, at ftp, mail"),
        ("local:root", "change-password", "account:device", "done", ""),
        ("local:root", "remove-account", "account:device", "done", ""),
    ]


def test_each_refused_attempt_has_a_line(accounts: Accounts, store: Store, hasher: RecordingHasher) -> None:
    """T-O10: with the inlet, the client, and the account if there is one; those that were right have none."""
    accounts.add("device", PASSWORD, OTHER_SID, ("ftp",), ADMIN)
    before = len(store.audit())
    tries(accounts, PASSWORD)
    tries(accounts, WRONG)
    tries(accounts, PASSWORD, account="device")
    tries(accounts, WRONG, account="nobody", address="")
    for _ in range(10):
        tries(accounts, WRONG, address="192.0.2.9")

    lines = store.audit()[before:]
    tries(accounts, WRONG, address="192.0.2.9")
    assert [(line.who, line.proof, line.verb, line.token, line.outcome, line.detail) for line in lines[:3]] == [
        ("source:mail:192.0.2.7", "source", "authenticate", "account:ann", "refused", "wrong password"),
        (
            "source:mail:192.0.2.7",
            "source",
            "authenticate",
            "account:device",
            "refused",
            "the account does not count at this inlet",
        ),
        ("source:mail", "source", "authenticate", "", "refused", "there is no such account"),
    ]
    assert (store.audit()[-1].detail, store.audit()[-1].outcome) == ("too many wrong passwords", "refused")


def test_a_flood_of_guesses_has_few_lines(made: Made, store: Store) -> None:
    """T-O9: as many as other refused requests."""
    accounts = made(limits={"bad_tokens": 5, "refused_lines": 8})
    for number in range(100):
        tries(accounts, WRONG, address=f"192.0.2.{number % 2}")

    assert len(store.audit(limit=1000)) == 8


def test_no_password_and_no_hash_is_written_anywhere(
    made: Made, accounts: Accounts, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """T-O11: also where a password was typed in place of the name, and where the database refuses a statement."""
    caplog.set_level(logging.DEBUG)
    said = []
    for account, password in (("ann", WRONG), (TYPED, WRONG), (OTHER_PASSWORD, WRONG), ("ann", PASSWORD), (WRONG, "")):
        try:
            said.append(repr(accounts.verify(account, password, "mail", "192.0.2.7")))
        except PostscanError as error:
            said.append(repr(error))
    for call in (
        lambda: accounts.add("ann", OTHER_PASSWORD, SID, (), ADMIN),
        lambda: accounts.add("bob", OTHER_PASSWORD, "x", (), ADMIN),
        lambda: accounts.change_password("bob", OTHER_PASSWORD, ADMIN),
    ):
        with pytest.raises(PostscanError) as error:
            call()
        said.append(repr(error.value) + str(error.value))
    with store.writing() as db:
        db.execute(sa.text("drop table account"))
    with pytest.raises(Exception, match="account") as failed:
        accounts.add("bob", OTHER_PASSWORD, SID, (), ADMIN)
    said += [*traceback.format_exception(failed.value), repr(failed.value), repr(vars(accounts))]
    said += [str(vars(record)) for record in caplog.records]
    said += [repr(line) for line in store.audit()]

    everything = "\n".join(said)
    assert "ann" in everything
    assert [text for text in (PASSWORD, OTHER_PASSWORD, WRONG, TYPED, "$argon2") if text in everything] == []
