"""How many wrong passwords a client may send, who counts as one client, and what is remembered of right ones."""

from __future__ import annotations

import pytest

from postscan.core.errors import Throttled
from postscan.core.service.accounts import attempts
from postscan.core.service.accounts.attempts import ACCOUNTS, FRESH_SECONDS, WINDOW, Attempt, Attempts
from postscan.core.settings.engine import LimitSettings
from postscan.plugins.testing.runner import FakeClock

HASH = "$argon2id$..."
PASSWORD = "right horse battery"


@pytest.fixture
def made(clock: FakeClock) -> Attempts:
    """Limits of 3 for a client and an account, so 6 for a client, and of 20 in all."""
    return Attempts(LimitSettings(wrong_passwords=3, all_wrong_passwords=20), clock)


def wrong(made: Attempts, *, address: str = "192.0.2.7", account: str = "ann", inlet: str = "mail") -> bool:
    """Send a wrong password; return whether it was compared."""
    attempt = Attempt(inlet, address, account)
    try:
        made.check(attempt)
    except Throttled:
        return False
    made.wrong(attempt)
    return True


def test_a_client_may_be_wrong_about_an_account_so_often_in_a_minute(made: Attempts, clock: FakeClock) -> None:
    """T-O10: at another inlet, with another account, or from another address it is another count."""
    assert [wrong(made) for _ in range(5)] == [True, True, True, False, False]
    assert wrong(made, inlet="ftp")
    assert wrong(made, account="bob")
    assert wrong(made, address="192.0.2.8")
    with pytest.raises(Throttled, match=r"source:mail:192\.0\.2\.7 has sent too many wrong passwords") as error:
        made.check(Attempt("mail", "192.0.2.7", "ann"))
    assert error.value.seconds == WINDOW
    clock.advance(WINDOW)
    assert wrong(made)


def test_a_client_may_be_wrong_about_all_accounts_so_often(made: Attempts) -> None:
    """T-O10: one password tried on many accounts is found as well."""
    tried = [wrong(made, account=f"user{number}") for number in range(10)]

    assert tried == [True] * 3 * ACCOUNTS + [False] * (10 - 3 * ACCOUNTS)
    assert wrong(made, address="192.0.2.8", account="user9")


def test_all_clients_together_may_be_wrong_so_often(made: Attempts, clock: FakeClock) -> None:
    """T-O10: a thousand addresses have no more than that in a minute."""
    tried = [wrong(made, address=f"10.0.{number // 250}.{number % 250}", account="ann") for number in range(1000)]

    assert tried.count(True) == 20
    clock.advance(WINDOW)
    assert wrong(made, address="192.0.2.8")


def test_clients_that_were_right_before_are_heard_all_the_same(made: Attempts) -> None:
    """T-O10: an attack on accounts does not stop the devices that work. Their own limit holds on."""
    device = {"address": "192.0.2.99", "account": "device"}
    made.right(Attempt("mail", **device), PASSWORD, HASH)
    for number in range(1000):
        wrong(made, address=f"10.0.{number // 250}.{number % 250}")

    assert not wrong(made, address="192.0.2.8")
    assert [wrong(made, **device) for _ in range(5)] == [True, True, True, False, False]
    assert not wrong(made, address="192.0.2.99", account="other")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:1"),
        ("2001:db8:0:0:1::", "2001:db8::"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("x" * 64 + "1", "x" * 64 + "2"),
    ],
)
def test_addresses_of_one_client(one: str, other: str) -> None:
    """T-O10: a client has a whole network of IPv6, which must not give it as many tries."""
    assert Attempt("mail", one, "ann").key == Attempt("mail", other, "ann").key
    assert Attempt("mail", one, "ann").client == Attempt("mail", other, "ann").client


@pytest.mark.parametrize(
    ("one", "other"), [("192.0.2.7", "192.0.2.8"), ("2001:db8::1", "2001:db8:0:1::1"), ("", "192.0.2.7"), ("a", "b")]
)
def test_addresses_of_two_clients(one: str, other: str) -> None:
    """Devices of IPv4 have one address each."""
    assert Attempt("mail", one, "ann").key != Attempt("mail", other, "ann").key


def test_parts_of_an_attempt_cannot_be_confused() -> None:
    """Each part may have any character."""
    assert Attempt("a", "b'), ('c", "d").key != Attempt("a", "b", "c', 'd").key
    assert len({Attempt(*parts).key for parts in (("a", "", "b"), ("a", "b", ""), ("", "a", "b"))}) == 3


def test_the_caller_is_named_without_an_address_that_is_not_known() -> None:
    """In errors and in the audit trail."""
    assert Attempt("mail", "::ffff:192.0.2.7", "ann").caller == "source:mail:192.0.2.7"
    assert Attempt("mail", "", "ann").caller == "source:mail"


def test_a_right_password_is_fresh_for_a_minute(made: Attempts, clock: FakeClock) -> None:
    """The same one, of the same client, for the same stored hash; being asked does not make it fresh again."""
    attempt = Attempt("web", "192.0.2.7", "ann")
    made.right(attempt, PASSWORD, HASH)
    clock.advance(FRESH_SECONDS / 2)

    assert made.is_fresh(attempt, PASSWORD, HASH)
    assert not made.is_fresh(attempt, PASSWORD + "!", HASH)
    assert not made.is_fresh(attempt, PASSWORD, HASH + "!")
    assert not made.is_fresh(Attempt("web", "192.0.2.8", "ann"), PASSWORD, HASH)
    assert not made.is_fresh(Attempt("ftp", "192.0.2.7", "ann"), PASSWORD, HASH)
    assert not made.is_fresh(Attempt("web", "192.0.2.7", "bob"), PASSWORD, HASH)
    clock.advance(FRESH_SECONDS / 2)
    assert not made.is_fresh(attempt, PASSWORD, HASH)


def test_what_is_remembered_is_bounded(made: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-O11: of more clients than that, those are forgotten whose password was right the longest ago."""
    monkeypatch.setattr(attempts, "MOST_RIGHT", 3)
    devices = [Attempt("ftp", f"192.0.2.{number}", "ann") for number in range(5)]
    for device in (*devices[:3], devices[0], *devices[3:]):
        made.right(device, PASSWORD, HASH)

    assert [made.was_right(device) for device in devices] == [True, False, False, True, True]
    assert [made.is_fresh(device, PASSWORD, HASH) for device in devices] == [True, False, False, True, True]


def test_no_password_is_remembered_as_it_is(made: Attempts) -> None:
    """T-O11: not even in memory, and no two processes have the same digest of one."""
    other = Attempts(LimitSettings(), FakeClock())
    for one in (made, other):
        one.right(Attempt("ftp", "", "ann"), PASSWORD, HASH)
    digests = {right.digest for one in (made, other) for right in one._fresh.values()}

    assert len(digests) == 2
    assert PASSWORD not in repr(vars(made))


def test_a_digest_is_dropped_when_it_is_not_fresh_any_more(made: Attempts, clock: FakeClock) -> None:
    """T-O11: at the next login of any client. That the client was right is still known."""
    attempt = Attempt("ftp", "192.0.2.7", "ann")
    made.right(attempt, PASSWORD, HASH)
    clock.advance(FRESH_SECONDS)
    made.right(Attempt("ftp", "192.0.2.8", "bob"), PASSWORD, HASH)

    assert len(made._fresh) == 1
    assert made.was_right(attempt)
