"""The page about the person: rights, sessions, and the own password."""

from __future__ import annotations

from collections.abc import Callable

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
def ann(browser: Open, core: Engine) -> Browser:
    """Ann's browser, in which she has signed in with her password."""
    core.accounts.add("ann", PASSWORD, SID, (), ADMIN)
    return signed_in(browser, PASSWORD)


def signed_in(browser: Open, password: str) -> Browser:
    """Sign in as Ann in another browser."""
    one = browser()
    one.get("/login")
    assert one.post("/login", {"name": "ann", "password": password}).status_code == 303
    one.secret = one.http.cookies["postscan"]
    return one


def test_a_person_sees_rights_in_words_and_the_own_sessions(browser: Open, ann: Browser) -> None:
    """Not those of others."""
    browser(Role.OPERATOR)
    signed_in(browser, PASSWORD)
    ann.get("/me")

    assert ann.sees("see and cancel your own jobs")
    assert not ann.sees("change the jobs of all users")
    assert ann.page.count("<td>password</td>") == 2
    assert "<td>link</td>" not in ann.page


def test_a_person_logs_out_everywhere(browser: Open, ann: Browser) -> None:
    """In this browser, too."""
    other = signed_in(browser, PASSWORD)
    done = ann.post("/me/logout-everywhere")

    assert done.headers["location"] == "/login"
    assert [one.get("/me").status_code for one in (ann, other)] == [303, 303]


def test_a_person_changes_the_own_password(browser: Open, ann: Browser, core: Engine) -> None:
    """The other sessions end; this browser goes on, in a new one."""
    other, before = signed_in(browser, PASSWORD), ann.secret
    ann.get("/me")
    done = ann.post("/me/password", {"old": PASSWORD, "password": OTHER_PASSWORD, "again": OTHER_PASSWORD})
    line = core.service.audit(ADMIN, "account:ann")[-1]

    assert (done.status_code, done.headers["location"]) == (303, "/me")
    assert ann.http.cookies["postscan"] != before
    assert ann.get("/me").status_code == 200
    assert other.get("/me").status_code == 303
    assert core.accounts.sign_in("ann", PASSWORD, "192.0.2.1") is None
    assert core.accounts.sign_in("ann", OTHER_PASSWORD, "192.0.2.1") is not None
    assert (line.verb, line.who) == ("change-password", "account:ann")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"old": "wrong horse battery"}, "expected the password of the account"),
        ({"again": "something else"}, "expected the same password twice"),
        ({"password": "short", "again": "short"}, "expected at least 12 characters"),
        ({"password": "ann", "again": "ann"}, "expected another text than the account's name"),
    ],
)
def test_a_wrong_change_changes_nothing(ann: Browser, core: Engine, fields: dict[str, str], sentence: str) -> None:
    """The page says at the field what was expected; no page has a password."""
    form = {"old": PASSWORD, "password": OTHER_PASSWORD, "again": OTHER_PASSWORD} | fields
    response = ann.post("/me/password", form)

    assert response.status_code == 400
    assert ann.sees(sentence)
    assert "horse battery" not in ann.page
    assert core.accounts.sign_in("ann", PASSWORD, "192.0.2.1") is not None


def test_wrong_old_passwords_are_throttled_as_at_the_login(ann: Browser, core: Engine) -> None:
    """T-C3: a session that is left open does not let a passer-by guess."""
    form = {"password": OTHER_PASSWORD, "again": OTHER_PASSWORD}
    most = core.settings.limits.wrong_passwords
    answers = [
        ann.post("/me/password", {"old": f"wrong horse {number}", **form}).status_code for number in range(most + 1)
    ]

    assert answers == [400] * most + [429]


def test_who_came_without_a_password_has_none_to_change(browser: Open) -> None:
    """The form is not there, and what it would send is refused."""
    one = browser(Role.ADMINISTRATOR)
    one.get("/me")

    assert "/me/password" not in one.page
    assert one.post("/me/password", {"old": "x", "password": "y", "again": "y"}).status_code == 404
