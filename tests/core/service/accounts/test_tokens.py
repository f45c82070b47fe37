"""Tokens of the API: what they may do, until when, and what is seen of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from known_accounts import ADMIN, SID

from postscan.core.errors import InvalidArgument, NotAdministrator, Throttled, Unavailable
from postscan.core.model.principal import Principal, Proof, Role, at_console
from postscan.core.service.accounts import tokens as rules
from postscan.core.service.accounts.sessions import MISSES
from postscan.core.service.accounts.tokens import PREFIX, ApiTokens
from postscan.core.service.refusals import Refusals
from postscan.core.settings import Settings
from postscan.core.store.callers.tables import TOKEN
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

OPERATOR = at_console("account:otto", Proof.ACCOUNT, Role.OPERATOR, SID)


@pytest.fixture
def tokens(store: Store, clock: FakeClock) -> ApiTokens:
    """The tokens of a server."""
    return ApiTokens(store, Refusals(store, Settings().limits, clock), clock)


@pytest.fixture
def soon(clock: FakeClock) -> datetime:
    """An hour from now."""
    return clock.now() + timedelta(hours=1)


def test_a_token_stands_for_a_program_with_a_role(tokens: ApiTokens, soon: datetime, store: Store) -> None:
    """Until its end; the secret is nowhere in the database and in no list."""
    secret = tokens.add("grafana", Role.VIEWER, soon, ADMIN)
    listed = tokens.all(ADMIN)

    assert secret.startswith(PREFIX)
    assert tokens.find(secret) == at_console("token:grafana", Proof.API, Role.VIEWER)
    assert [(one.label, one.role, one.until, one.created_by) for one in listed] == [
        ("grafana", Role.VIEWER, soon, "local:root")
    ]
    with store.reading() as db:
        rows = db.execute(sa.select(TOKEN)).all()
    assert secret.removeprefix(PREFIX) not in repr((rows, listed, store.audit()))


def test_a_token_of_a_user_sees_what_is_the_users(tokens: ApiTokens, soon: datetime) -> None:
    """A script of one person needs no more."""
    found = tokens.find(tokens.add("mine", Role.OWNER, soon, ADMIN, SID))

    assert found == Principal("token:mine", Proof.API, sid=SID, role=Role.OWNER)


def test_a_token_ends_at_its_time_or_when_it_is_removed(tokens: ApiTokens, soon: datetime, clock: FakeClock) -> None:
    """At once; its label is free then, and the old secret does not count for the new one."""
    removed, expired = tokens.add("one", Role.VIEWER, soon, ADMIN), tokens.add("two", Role.VIEWER, soon, ADMIN)
    tokens.remove("one", ADMIN)
    assert tokens.find(removed) is None
    again = tokens.add("one", Role.OPERATOR, soon + timedelta(days=1), ADMIN)
    assert tokens.find(removed) is None
    clock.advance(3600)

    assert tokens.find(expired) is None
    assert tokens.find(again) == at_console("token:one", Proof.API, Role.OPERATOR)
    assert [one.label for one in tokens.all(ADMIN)] == ["one", "two"]


@pytest.mark.parametrize("secret", ["", "x", PREFIX, "x" * 10_000, "\udcff"])
def test_no_other_text_is_a_token(tokens: ApiTokens, soon: datetime, secret: str) -> None:
    """Headers are whatever a client sends."""
    tokens.add("one", Role.VIEWER, soon, ADMIN)

    assert tokens.find(secret) is None


def test_wrong_tokens_are_recorded_and_limited(tokens: ApiTokens, soon: datetime, store: Store) -> None:
    """A program behind the same address with a token that counts is not affected."""
    secret = tokens.add("one", Role.VIEWER, soon, ADMIN)
    for _ in range(MISSES):
        assert tokens.find("guessed", "192.0.2.7") is None
    with pytest.raises(Throttled):
        tokens.find("guessed", "192.0.2.7")

    assert tokens.find(secret, "192.0.2.7")
    assert [line.who for line in store.audit() if line.outcome == "refused"] == ["api:192.0.2.7"] * (MISSES + 1)
    assert "guessed" not in repr(store.audit())


@pytest.mark.parametrize(
    ("label", "hours", "sid", "argument"),
    [
        ("", 1, "", "label"),
        ("with space", 1, "", "label"),
        ("<img>", 1, "", "label"),
        ("x" * 65, 1, "", "label"),
        ("taken", 1, "", "label"),
        ("late", 0, "", "until"),
        ("one", 1, "ann", "user"),
    ],
)
def test_what_is_no_token(
    tokens: ApiTokens, clock: FakeClock, soon: datetime, label: str, hours: int, sid: str, argument: str
) -> None:
    """Nothing is stored."""
    tokens.add("taken", Role.VIEWER, soon, ADMIN)
    with pytest.raises(InvalidArgument) as error:
        tokens.add(label, Role.VIEWER, clock.now() + timedelta(hours=hours), ADMIN, sid)

    assert error.value.argument == argument
    assert [one.label for one in tokens.all(ADMIN)] == ["taken"]


def test_only_administrators_have_to_do_with_tokens(
    tokens: ApiTokens, soon: datetime, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change has a line in the audit trail; there are not too many tokens."""
    monkeypatch.setattr(rules, "MOST", 1)
    tokens.add("one", Role.VIEWER, soon, ADMIN)
    for call in (
        lambda: tokens.add("two", Role.VIEWER, soon, OPERATOR),
        lambda: tokens.all(OPERATOR),
        lambda: tokens.remove("one", OPERATOR),
    ):
        with pytest.raises(NotAdministrator):
            call()
    with pytest.raises(Unavailable):
        tokens.add("two", Role.VIEWER, soon, ADMIN)
    tokens.remove("one", ADMIN)
    with pytest.raises(InvalidArgument):
        tokens.remove("one", ADMIN)

    assert [(line.verb, line.token) for line in store.audit()] == [
        ("add-token", "token:one"),
        ("remove-token", "token:one"),
    ]
