"""Write locks: one program at a time, by tokens that really exist, and only within what one sender sees."""

from __future__ import annotations

import itertools

import pytest

from postscan.plugins.sources.web.body import HttpRefused
from postscan.plugins.sources.web.dav.locks import (
    LONGEST_SECONDS,
    MOST,
    MOST_OF_SENDER,
    DavLock,
    LockTable,
    seconds_in,
    tokens_in,
)
from postscan.plugins.sources.web.paths import WebPath

FILE = WebPath(("Scans", "a.pdf"))
FOLDER = WebPath(("Scans", "May"), is_folder=True)
BELOW = WebPath(("Scans", "May", "a.pdf"))


class Ticks:
    """Monotonic seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    """A clock that stands still."""
    return Ticks()


@pytest.fixture
def locks(ticks: Ticks) -> LockTable:
    """No locks yet."""
    return LockTable(ticks)


def take(
    locks: LockTable, path: WebPath = FILE, sender: str = "ann", *, shared: bool = False, deep: bool = False
) -> DavLock:
    """Lock a path for a minute."""
    return locks.take(sender, path, shared=shared, deep=deep, owner=("Explorer", False), seconds=60)


def status(locks: LockTable, path: WebPath, condition: str | None, sender: str = "ann") -> int:
    """Return the status of a change with this If field; 200 if it is allowed."""
    try:
        locks.check_condition(sender, path, condition)
        locks.check_change(sender, path, condition)
    except HttpRefused as refused:
        return refused.status
    return 200


def test_a_change_needs_the_token_of_the_lock(locks: LockTable) -> None:
    """Without it 423, with another one 412, as RFC 4918 section 10.4.1 says."""
    lock = take(locks)

    assert status(locks, FILE, f"(<{lock.token}>)") == 200
    assert status(locks, FILE, f"<http://server/Scans/a.pdf> (<{lock.token}>)") == 200
    assert status(locks, FILE, None) == 423
    assert status(locks, FILE, "(<urn:uuid:00000000-0000-4000-8000-000000000000>)") == 412
    assert status(locks, FILE, '(["tag"])') == 423


def test_a_file_without_a_lock_needs_none(locks: LockTable) -> None:
    """A token of a lock that is over is not one of the file."""
    lock = take(locks)
    locks.release("ann", FILE, lock.token)

    assert status(locks, FILE, None) == 200
    assert status(locks, FILE, f"(<{lock.token}>)") == 412


def test_a_second_exclusive_lock_is_refused(locks: LockTable) -> None:
    """That is what a lock is for."""
    take(locks)

    with pytest.raises(HttpRefused) as refused:
        take(locks)
    assert refused.value.status == 423


def test_shared_locks_exclude_exclusive_ones_alone(locks: LockTable) -> None:
    """In either order."""
    first, second = take(locks, shared=True), take(locks, shared=True)

    assert {lock.token for lock in locks.of("ann", FILE)} == {first.token, second.token}
    with pytest.raises(HttpRefused):
        take(locks)


def test_a_deep_lock_holds_below_its_folder(locks: LockTable) -> None:
    """And is not given if something there is locked already."""
    lock = take(locks, FOLDER, deep=True)

    assert status(locks, BELOW, None) == 423
    assert status(locks, FILE, None) == 200
    locks.release("ann", FOLDER, lock.token)
    take(locks, BELOW)
    with pytest.raises(HttpRefused):
        take(locks, FOLDER, deep=True)
    take(locks, FOLDER)


def test_a_lock_ends_by_itself(locks: LockTable, ticks: Ticks) -> None:
    """A client that has gone keeps nothing."""
    take(locks)

    ticks.now = 59.9
    assert status(locks, FILE, None) == 423
    ticks.now = 60.0
    assert status(locks, FILE, None) == 200


def test_a_renewed_lock_lasts_from_then_on(locks: LockTable, ticks: Ticks) -> None:
    """With the same token."""
    lock = take(locks)
    ticks.now = 50.0

    renewed = locks.renew("ann", FILE, {lock.token}, 30)

    ticks.now = 79.0
    assert (renewed.token, renewed.seconds) == (lock.token, 30)
    assert status(locks, FILE, None) == 423
    with pytest.raises(HttpRefused) as refused:
        locks.renew("ann", FILE, {"urn:uuid:00000000-0000-4000-8000-000000000000"}, 30)
    assert refused.value.status == 412


def test_only_its_own_token_ends_a_lock(locks: LockTable) -> None:
    """Of this path and this sender."""
    lock = take(locks)

    for sender, path in (("bob", FILE), ("ann", BELOW)):
        with pytest.raises(HttpRefused) as refused:
            locks.release(sender, path, lock.token)
        assert refused.value.status == 409
    assert status(locks, FILE, None) == 423


def test_another_sender_neither_sees_nor_meets_a_lock(locks: LockTable) -> None:
    """Each has files of its own, so nobody can lock the others out."""
    take(locks)

    assert locks.of("bob", FILE) == []
    assert take(locks, sender="bob").token != locks.of("ann", FILE)[0].token


def test_the_locks_of_a_removed_file_are_gone(locks: LockTable) -> None:
    """Also those below a folder."""
    take(locks, BELOW)
    locks.forget("ann", FOLDER)

    assert locks.of("ann", BELOW) == []


def test_locks_are_bounded_for_each_sender_and_in_all(locks: LockTable, ticks: Ticks) -> None:
    """And there is room again when some are over."""
    for number in range(MOST_OF_SENDER):
        take(locks, WebPath(("Scans", str(number))))
    with pytest.raises(HttpRefused) as refused:
        take(locks)
    assert refused.value.status == 503

    count = itertools.count(MOST_OF_SENDER)
    with pytest.raises(HttpRefused):
        for number in count:
            take(locks, sender=f"sender-{number // MOST_OF_SENDER}", path=WebPath(("Scans", str(number))))
    assert next(count) - 1 == MOST

    ticks.now = 60.0
    take(locks)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("Second-5", 5),
        ("Second-3600", LONGEST_SECONDS),
        ("Infinite, Second-30", 30),
        ("Second-0", 1),
        ("Infinite", LONGEST_SECONDS),
        ("Second-99999999999999", LONGEST_SECONDS),
        (None, LONGEST_SECONDS),
    ],
)
def test_a_lock_lasts_as_long_as_asked_within_the_bound(field: str | None, seconds: int) -> None:
    """An Epson asks for five seconds, Explorer for an hour."""
    assert seconds_in(field) == seconds


def test_tokens_are_found_in_both_forms_of_the_if_field() -> None:
    """And in a Lock-Token field; other things in angle brackets are none."""
    one, two = "urn:uuid:00000000-0000-4000-8000-000000000001", "urn:uuid:00000000-0000-4000-8000-000000000002"

    assert tokens_in(f'<http://server/a> (<{one}> ["tag"]) (Not <DAV:no-lock> <{two}>)') == {one, two}
