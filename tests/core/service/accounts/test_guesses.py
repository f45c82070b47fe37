"""Guesses: they learn nothing, they are limited, and no device that was right waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import sqlalchemy as sa
from hashers import RecordingHasher
from known_accounts import ADMIN, PASSWORD, SID, WRONG, Made, tries
from works import until

from postscan.core.errors import Throttled
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.service.accounts.attempts import FRESH_SECONDS, WINDOW
from postscan.plugins.testing.runner import FakeClock


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
