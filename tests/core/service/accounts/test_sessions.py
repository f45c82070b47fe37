"""Sessions of people at the console: how they begin, what keeps them, and all that ends them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hashers import RecordingHasher
from known_accounts import ADMIN, OTHER_PASSWORD, OTHER_SID, PASSWORD, SID, WRONG, Made

from postscan.core.errors import AccountNotFound, InvalidArgument, NotAdministrator, Throttled, Unavailable
from postscan.core.model.accounts.session import IDLE, LONGEST
from postscan.core.model.principal import Principal, Proof, Role, at_console
from postscan.core.service.accounts import sessions as rules
from postscan.core.service.accounts.accounts import Accounts
from postscan.core.service.accounts.sessions import LINK_LIFE, LOGINS, MISSES, MOST_OF_NAME, Sessions
from postscan.core.service.refusals import Refusals
from postscan.core.settings import Settings
from postscan.core.store.callers.tables import LINK, SESSION
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

VERA = at_console("oidc:vera", Proof.OIDC, Role.VIEWER, OTHER_SID)

Opened = Callable[[Accounts], Sessions]


@pytest.fixture
def opened(store: Store, clock: FakeClock) -> Opened:
    """Open the sessions of a store as one process does, with its accounts."""
    refusals = Refusals(store, Settings().limits, clock)
    return lambda accounts: Sessions(store, accounts, refusals, clock)


@pytest.fixture
def sessions(opened: Opened, accounts: Accounts) -> Sessions:
    """The sessions of a console that has Anna's account."""
    return opened(accounts)


def signed_in(sessions: Sessions, accounts: Accounts, password: str = PASSWORD) -> str:
    """Sign in with Anna's account, as the page for it does."""
    account = accounts.sign_in("Ann", password, "192.0.2.7")
    assert account is not None
    return sessions.begin(account.person, "password", account.stamp)


def test_a_person_is_found_by_the_secret_of_its_session(
    sessions: Sessions, accounts: Accounts, clock: FakeClock, store: Store
) -> None:
    """With the role and the user of its account; the database does not have the secret."""
    secret = signed_in(sessions, accounts)
    found = sessions.find(secret)

    assert found is not None
    assert found.principal == at_console("account:ann", Proof.ACCOUNT, Role.OWNER, SID)
    assert found.way == "password"
    assert found.begun == found.seen == found.confirmed == clock.now()
    with store.reading() as db:
        assert secret not in repr(db.execute(sa.select(SESSION)).all())
    assert sessions.find(signed_in(sessions, accounts)) == found


@pytest.mark.parametrize("secret", ["", "x", "x" * 10_000, "\udcff", "\0"])
def test_no_other_text_is_a_session(sessions: Sessions, secret: str) -> None:
    """Cookies are whatever a browser sends."""
    sessions.begin(VERA, "oidc")

    assert sessions.find(secret) is None
    assert sessions.confirm(secret) is False
    sessions.end(secret)
    assert len(sessions.all(VERA)) == 1


def test_requests_keep_a_session_and_a_stream_does_not(sessions: Sessions, clock: FakeClock) -> None:
    """8 hours after the last request it has ended."""
    asked, streamed = sessions.begin(VERA, "oidc"), sessions.begin(VERA, "oidc")
    clock.advance(IDLE.total_seconds() - 1)
    assert sessions.find(asked)
    assert sessions.find(streamed, active=False)
    clock.advance(1)

    assert sessions.find(asked, active=False)
    assert sessions.find(streamed) is None


def test_a_session_ends_after_a_day_however_busy_it_is(sessions: Sessions, clock: FakeClock) -> None:
    """And so does one that has begun in the future of a clock that was set back."""
    secret = sessions.begin(VERA, "oidc")
    for _ in range(int(LONGEST / timedelta(hours=1)) - 1):
        clock.advance(3600)
        assert sessions.find(secret)
    clock.advance(3600)
    assert sessions.find(secret) is None

    later = sessions.begin(VERA, "oidc")
    clock.advance(-3600)
    assert sessions.find(later) is None


def test_the_time_of_the_last_request_is_written_once_a_minute(
    sessions: Sessions, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write is a commit, which devices wait for."""
    secret = sessions.begin(VERA, "oidc")
    written = []
    write = rules.queries.write_seen
    monkeypatch.setattr(rules.queries, "write_seen", lambda *args: (written.append(args), write(*args)))
    for _ in range(120):
        clock.advance(1)
        assert sessions.find(secret)

    assert len(written) == 2


def test_a_person_proves_again_who_it_is(sessions: Sessions, clock: FakeClock) -> None:
    """For 15 minutes after that, what asks for it is allowed."""
    secret = sessions.begin(VERA, "oidc")
    clock.advance(15 * 60)
    before = sessions.find(secret)
    assert sessions.confirm(secret)
    after = sessions.find(secret)

    assert before is not None
    assert after is not None
    assert not before.is_confirmed(clock.now())
    assert after.is_confirmed(clock.now())
    assert (after.begun, after.confirmed) == (before.begun, clock.now())


def test_a_logout_ends_one_session_or_all_of_a_name(sessions: Sessions) -> None:
    """An owner ends its own, an administrator those of anyone."""
    first, second, third = (sessions.begin(VERA, "oidc") for _ in range(3))
    other = sessions.begin(at_console("oidc:otto", Proof.OIDC, Role.OWNER), "oidc")
    sessions.end(first)
    assert [sessions.find(one) is not None for one in (first, second, third)] == [False, True, True]

    with pytest.raises(NotAdministrator):
        sessions.end_all("oidc:otto", VERA)
    assert sessions.end_all("oidc:vera", VERA) == 2
    assert sessions.find(other)
    assert sessions.end_all("oidc:otto", ADMIN) == 1
    assert sessions.find(other) is None


CHANGES: dict[str, Callable[[Accounts], object]] = {
    "another password": lambda accounts: accounts.change_password("ann", OTHER_PASSWORD, ADMIN),
    "the same password again": lambda accounts: accounts.change_password("ann", PASSWORD, ADMIN),
    "another role": lambda accounts: accounts.change_role("ann", Role.VIEWER, ADMIN),
    "removed": lambda accounts: accounts.remove("ann", ADMIN),
    "removed and added again": lambda accounts: (
        accounts.remove("ann", ADMIN),
        accounts.add("ann", PASSWORD, SID, (), ADMIN),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_an_account_ends_its_sessions(
    sessions: Sessions, accounts: Accounts, clock: FakeClock, change: str
) -> None:
    """At once, in a process that has not made the change too; those of others go on."""
    secret, other = signed_in(sessions, accounts), sessions.begin(VERA, "oidc")
    clock.advance(1)
    CHANGES[change](accounts)

    assert sessions.find(secret) is None
    assert [one.principal.name for one in sessions.all(ADMIN)] == ["oidc:vera"]
    assert sessions.find(other)


@pytest.mark.parametrize("change", ["password", "role", "user", "inlets", "removed"])
def test_a_change_of_the_settings_ends_sessions_too(
    made: Made, opened: Opened, hasher: RecordingHasher, change: str
) -> None:
    """After `postscan reload`: the accounts are compared as they are then."""
    row = {"hash": hasher.hash(PASSWORD), "user": SID}
    changed: dict[str, object] = {
        "password": {"hash": hasher.hash(PASSWORD)},
        "role": {"role": "administrator"},
        "user": {"user": OTHER_SID},
        "inlets": {"inlets": ["mail"]},
    }.get(change, {})
    before = opened(made(accounts={"carl": row}))
    account = made(accounts={"carl": row}).sign_in("carl", PASSWORD, "192.0.2.7")
    assert account is not None
    secret = before.begin(account.person, "password", account.stamp)
    assert before.find(secret)
    after = opened(made(accounts={} if change == "removed" else {"carl": {**row, **changed}}))

    assert after.find(secret) is None
    assert after.all(ADMIN) == []


def test_a_login_that_was_overtaken_by_a_change_begins_no_session(
    sessions: Sessions, accounts: Accounts, clock: FakeClock
) -> None:
    """The old password was right when it was compared."""
    account = accounts.sign_in("ann", PASSWORD, "192.0.2.7")
    assert account is not None
    accounts.remove("ann", ADMIN)
    with pytest.raises(AccountNotFound):
        sessions.begin(account.person, "password")
    clock.advance(1)
    accounts.add("ann", OTHER_PASSWORD, SID, (), ADMIN, account.role)
    with pytest.raises(AccountNotFound):
        sessions.begin(account.person, "password", account.stamp)

    assert sessions.all(ADMIN) == []


def test_one_more_session_than_a_person_may_have_ends_the_oldest(
    sessions: Sessions, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so for all together: a login never fails because others have forgotten to log out."""
    secrets = []
    for _ in range(MOST_OF_NAME + 1):
        secrets.append(sessions.begin(VERA, "oidc"))
        clock.advance(1)
    assert [sessions.find(one) is not None for one in secrets] == [False] + [True] * MOST_OF_NAME

    monkeypatch.setattr(rules, "MOST", 5)
    sessions.begin(at_console("oidc:otto", Proof.OIDC, Role.OWNER), "oidc")
    assert len(sessions.all(ADMIN)) == 5


def test_rows_of_ended_sessions_are_removed(sessions: Sessions, clock: FakeClock, store: Store) -> None:
    """By the next login: the table does not grow."""
    for _ in range(3):
        sessions.begin(VERA, "oidc")
    clock.advance(LONGEST.total_seconds())
    sessions.begin(VERA, "oidc")

    with store.reading() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(SESSION)) == 1


def test_logins_of_one_person_are_limited(sessions: Sessions, clock: FakeClock, store: Store) -> None:
    """Each has a line in the audit trail, which a password that is known could else fill."""
    for _ in range(LOGINS):
        sessions.begin(VERA, "oidc")
    with pytest.raises(Throttled, match="logins"):
        sessions.begin(VERA, "oidc")
    assert sessions.begin(at_console("oidc:otto", Proof.OIDC, Role.OWNER), "oidc")
    clock.advance(60)

    assert sessions.begin(VERA, "oidc")
    assert len(store.audit(limit=1000)) == LOGINS + 3


def test_only_people_at_the_console_have_sessions(sessions: Sessions) -> None:
    """A device has no role."""
    with pytest.raises(ValueError, match="no role"):
        sessions.begin(Principal("device:192.0.2.7", Proof.ADDRESS), "password")


# --- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inlets", "counts"), [((), True), (("mail",), False), (("mail", "console"), True), (("console",), True)]
)
def test_an_account_of_some_inlets_counts_at_the_console_if_it_lists_it(
    accounts: Accounts, inlets: tuple[str, ...], counts: bool
) -> None:
    """One that a device uses for its mail opens no page."""
    accounts.add("desk", PASSWORD, SID, inlets, ADMIN, Role.OPERATOR)
    found = accounts.sign_in("desk", PASSWORD, "192.0.2.7")

    assert (found is not None) is counts
    assert found is None or found.person == at_console("account:desk", Proof.ACCOUNT, Role.OPERATOR, SID)


def test_wrong_passwords_at_the_console_are_recorded_and_limited(accounts: Accounts, store: Store) -> None:
    """An unknown name costs as much as a wrong password; the line has no name that is none."""
    for _ in range(5):
        assert accounts.sign_in("ann", WRONG, "192.0.2.7") is None
        assert accounts.sign_in("nobody", WRONG, "192.0.2.7") is None
    lines = [line for line in store.audit() if line.outcome == "refused"]

    assert {(line.who, line.proof, line.verb) for line in lines} == {("console:192.0.2.7", "address", "login")}
    assert {line.token for line in lines} == {"account:ann", ""}
    with pytest.raises(Throttled):
        for _ in range(20):
            accounts.sign_in("ann", WRONG, "192.0.2.7")
    assert accounts.sign_in("ann", PASSWORD, "192.0.2.8") is not None


def test_only_administrators_give_roles(accounts: Accounts) -> None:
    """An account that is not there has none, and one of the settings is changed there."""
    with pytest.raises(NotAdministrator):
        accounts.change_role("ann", Role.ADMINISTRATOR, VERA)
    with pytest.raises(AccountNotFound):
        accounts.change_role("bob", Role.ADMINISTRATOR, ADMIN)

    assert [one.role for one in accounts.all(ADMIN)] == [Role.OWNER]


# --- one-time links --------------------------------------------------------------------------------------------------


def test_a_link_signs_in_once_and_for_ten_minutes(sessions: Sessions, clock: FakeClock, store: Store) -> None:
    """As a person of its role, whose name tells who has made it; the database does not have the secret."""
    secret, late = sessions.make_link(Role.OPERATOR, ADMIN, SID), sessions.make_link(Role.VIEWER, ADMIN)
    with store.reading() as db:
        assert secret not in repr(db.execute(sa.select(LINK)).all())
    person = sessions.use_link(secret)

    assert person == at_console("link:local:root", Proof.LINK, Role.OPERATOR, SID)
    assert sessions.use_link(secret) is None
    session = sessions.find(sessions.begin(person, "link"))
    assert session is not None
    assert session.principal == person
    clock.advance(LINK_LIFE.total_seconds())
    assert sessions.use_link(late) is None


def test_of_two_uses_of_a_link_at_once_one_wins(sessions: Sessions) -> None:
    """The database decides."""
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        secret = sessions.make_link(Role.VIEWER, ADMIN)
        use = functools.partial(sessions.use_link, secret)
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(use, [address] * 4))

        assert sum(one is not None for one in found) == 1


def test_wrong_links_are_recorded_and_limited(sessions: Sessions, store: Store) -> None:
    """By the client's address; the line does not have the secret."""
    for _ in range(MISSES):
        assert sessions.use_link("guessed", "192.0.2.7") is None
    with pytest.raises(Throttled):
        sessions.use_link("guessed", "192.0.2.7")

    assert sessions.use_link("guessed", "192.0.2.8") is None
    assert {(line.who, line.verb, line.outcome) for line in store.audit() if line.outcome == "refused"} == {
        ("console:192.0.2.7", "login", "refused"),
        ("console:192.0.2.8", "login", "refused"),
    }
    assert "guessed" not in repr(store.audit())


def test_only_administrators_make_links_and_not_too_many(
    sessions: Sessions, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old ones make room."""
    monkeypatch.setattr(rules, "MOST_LINKS", 2)
    with pytest.raises(NotAdministrator):
        sessions.make_link(Role.OWNER, VERA)
    with pytest.raises(InvalidArgument, match="user"):
        sessions.make_link(Role.OWNER, ADMIN, "ann")
    for _ in range(2):
        sessions.make_link(Role.OWNER, ADMIN)
    with pytest.raises(Unavailable):
        sessions.make_link(Role.OWNER, ADMIN)
    clock.advance(LINK_LIFE.total_seconds())

    assert sessions.make_link(Role.OWNER, ADMIN)


def test_logins_and_logouts_have_lines_in_the_audit_trail(sessions: Sessions, accounts: Accounts, store: Store) -> None:
    """Who, how and as what."""
    secret = signed_in(sessions, accounts)
    sessions.end(secret)
    sessions.end(secret)
    sessions.begin(VERA, "oidc")
    sessions.end_all("oidc:vera", ADMIN)
    sessions.make_link(Role.VIEWER, ADMIN)

    assert [(line.who, line.proof, line.verb, line.detail) for line in store.audit()][1:] == [
        ("account:ann", "account", "login", "by password, role owner"),
        ("account:ann", "account", "logout", ""),
        ("oidc:vera", "oidc", "login", "by oidc, role viewer"),
        ("local:root", "local", "logout", "1 sessions of oidc:vera"),
        ("local:root", "local", "make-link", "role viewer"),
    ]
