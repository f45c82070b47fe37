"""The page of accounts, sessions and tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from console_browser import SID, Browser, person
from hashers import RecordingHasher

from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.core.service.accounts.passwords import Passwords

Open = Callable[..., Browser]

ADMIN = person(Role.ADMINISTRATOR)
PASSWORD, OTHER_PASSWORD = "right horse battery", "another horse battery"


@pytest.fixture(autouse=True)
def _cheap_hashes(core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real argon2 at its lowest cost."""
    monkeypatch.setattr(core.accounts, "_passwords", Passwords(RecordingHasher()))


@pytest.fixture
def site(browser: Open) -> Browser:
    """An administrator's browser."""
    return browser(Role.ADMINISTRATOR)


@pytest.fixture
def ann(core: Engine) -> None:
    """The account of Ann, an owner."""
    core.accounts.add("ann", PASSWORD, SID, (), ADMIN)


def new(**fields: str) -> dict[str, str]:
    """Return the fields of the form for a new account."""
    return {"name": "ann", "password": PASSWORD, "again": PASSWORD, "user": SID, "role": "operator"} | fields


def test_an_account_is_made_by_the_form(site: Browser, core: Engine) -> None:
    """With its role and where it counts; neither password nor hash is on a page or in the trail."""
    site.get("/accounts/new")
    done = site.post("/accounts/new", new() | {"inlet": ["console"]})
    site.get("/accounts")
    (account,) = core.accounts.all(ADMIN)

    assert (done.status_code, done.headers["location"]) == (303, "/accounts")
    assert (account.name, account.role, account.sid, account.inlets) == ("ann", Role.OPERATOR, SID, ("console",))
    assert core.accounts.sign_in("ann", PASSWORD, "192.0.2.1") is not None
    assert site.sees("ann")
    assert account.hash not in site.page
    assert not any(PASSWORD in line.detail for line in core.service.audit(ADMIN))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"again": "something else"}, "expected the same password twice"),
        ({"password": "short", "again": "short"}, "expected at least 12 characters"),
        ({"user": "ann"}, "expected a SID"),
        ({"name": "two words"}, "letters, digits and ASCII signs"),
        ({"role": "king"}, "owner, viewer, operator, administrator"),
        ({"inlet": "nowhere"}, "sources.<name>"),
    ],
)
def test_the_form_says_what_is_wrong_at_its_field(
    site: Browser, core: Engine, wrong: dict[str, str], sentence: str
) -> None:
    """The other fields keep their values; the password is sent back by no page."""
    response = site.post("/accounts/new", new(**wrong))

    assert response.status_code == 400
    assert site.sees(sentence)
    assert PASSWORD not in site.page
    assert core.accounts.all(ADMIN) == []


def test_another_role_password_or_a_removal_end_the_sessions(
    site: Browser, browser: Open, core: Engine, ann: None
) -> None:
    """Each counts at once."""
    changes = [
        ("/accounts/role", {"role": "viewer"}),
        ("/accounts/password", {"password": OTHER_PASSWORD, "again": OTHER_PASSWORD}),
        ("/accounts/remove", {}),
    ]
    for path, fields in changes:
        (account,) = core.accounts.all(ADMIN)
        other = browser(account.person)
        site.get("/accounts/edit?name=ann")
        done = site.post(path, {"name": "ann", **fields})

        assert done.status_code == 303
        assert other.get("/me").status_code == 303
    assert core.accounts.all(ADMIN) == []
    assert site.get("/accounts/edit?name=ann").status_code == 404


def test_a_person_is_logged_out_everywhere(site: Browser, browser: Open, ann: None, core: Engine) -> None:
    """By the administrator, in each browser."""
    (account,) = core.accounts.all(ADMIN)
    others = [browser(account.person) for _ in range(2)]
    site.get("/accounts")
    done = site.post("/accounts/sessions/end", {"name": account.person.name})

    assert done.headers["location"] == "/accounts#sessions"
    assert [one.get("/me").status_code for one in others] == [303, 303]
    assert site.get("/accounts").status_code == 200


def test_a_token_is_shown_once_and_counts_until_it_is_removed(site: Browser, core: Engine) -> None:
    """The list has its label alone."""
    site.get("/accounts/tokens/new")
    made = site.post("/accounts/tokens/new", {"label": "backup", "role": "viewer", "user": "", "days": "30"})
    secret = made.text.partition("postscan_")[2].partition("<")[0]
    found = core.tokens.find(f"postscan_{secret}")
    (token,) = core.tokens.all(ADMIN)
    site.get("/accounts")
    listed = site.page
    again = site.post("/accounts/tokens/new", {"label": "backup", "role": "viewer", "user": "", "days": "30"})
    site.post("/accounts/tokens/remove", {"label": "backup"})

    assert made.status_code == 200
    assert found is not None
    assert found.role is Role.VIEWER
    assert timedelta(days=29) < token.until - token.created <= timedelta(days=30)
    assert "backup" in listed
    assert secret not in listed
    assert again.status_code == 400
    assert core.tokens.find(f"postscan_{secret}") is None


@pytest.mark.parametrize("wrong", [{"days": "100000"}, {"days": ""}, {"label": "a b"}, {"user": "ann"}, {"role": ""}])
def test_a_wrong_token_is_not_made(site: Browser, core: Engine, wrong: dict[str, str]) -> None:
    """The form is shown again."""
    fields = {"label": "backup", "role": "viewer", "user": "", "days": "30"} | wrong

    assert site.post("/accounts/tokens/new", fields).status_code == 400
    assert site.sees("expected")
    assert core.tokens.all(ADMIN) == []
