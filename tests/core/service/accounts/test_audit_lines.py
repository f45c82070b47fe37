"""What is written about accounts: a line for each change and each refused attempt, and never a password or a hash."""

from __future__ import annotations

import logging
import traceback

import pytest
import sqlalchemy as sa
from hashers import RecordingHasher
from known_accounts import ADMIN, OTHER_PASSWORD, OTHER_SID, PASSWORD, SID, WRONG, Made, tries

from postscan.core.errors import AccountNotFound, InvalidArgument, PostscanError
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

TYPED = "right-horse-battery"
"""A password that could be the name of an account."""


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
