"""The ways in and out, and the proof that accounts and plugins need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console_browser import SID, Browser, person

from postscan.core.engine import Engine
from postscan.core.model.principal import Role

Open = Callable[..., Browser]

PASSWORD = "right horse battery"


@pytest.fixture
def ann(core: Engine) -> None:
    """An account `ann` with the role of an operator."""
    core.accounts.add("ann", PASSWORD, SID, (), person(Role.ADMINISTRATOR), Role.OPERATOR)


def test_a_person_without_a_session_is_led_to_the_login_and_back(browser: Open, ann: None) -> None:
    """The path that was asked for is a field of the form, with its query."""
    one = browser()
    asked = one.get("/me?a=1&b=2")
    form = one.get(asked.headers["location"])
    came = one.post("/login", {"name": "ann", "password": PASSWORD, "next": "/me?a=1&b=2"})

    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Fme%3Fa%3D1%26b%3D2")
    assert 'name="next" value="/me?a=1&amp;b=2"' in form.text
    assert (came.status_code, came.headers["location"]) == (303, "/me?a=1&b=2")
    assert one.get("/me").status_code == 200
    assert one.sees("change the jobs of all users")


def test_a_wrong_password_begins_no_session(browser: Open, ann: None) -> None:
    """The answer for a name that does not exist is the same."""
    one = browser()
    one.get("/login")
    wrong = one.post("/login", {"name": "ann", "password": "wrong horse battery"})
    unknown = one.post("/login", {"name": "bob", "password": "wrong horse battery"})

    assert (wrong.status_code, unknown.status_code) == (403, 403)
    assert one.sees("Name or password is wrong.")
    assert one.get("/me").status_code == 303


def test_only_the_button_of_a_link_uses_it_up(browser: Open, core: Engine) -> None:
    """T-C3: a program that looks at a link, as mail programs do, leaves it to the person; a second use is refused."""
    secret = core.sessions.make_link(Role.VIEWER, person(Role.ADMINISTRATOR))
    one, other = browser(), browser()
    for _ in range(2):
        one.get(f"/login/link?secret={secret}")
    first = one.post("/login/link", {"secret": secret})
    other.get(f"/login/link?secret={secret}")
    second = other.post("/login/link", {"secret": secret})

    assert (first.status_code, second.status_code) == (303, 403)
    assert one.get("/me").status_code == 200
    assert other.get("/me").status_code == 303


def test_a_login_has_a_new_secret_and_ends_the_session_before(browser: Open, core: Engine, ann: None) -> None:
    """T-C3: the secret that a browser had before is of no use after it, to whoever has planted it."""
    one = browser(Role.VIEWER)
    before = one.secret
    one.post("/login", {"name": "ann", "password": PASSWORD})
    after = one.http.cookies.get("postscan")

    assert after not in (None, before)
    assert core.sessions.find(before) is None
    assert core.sessions.find(str(after)) is not None


def test_a_logout_ends_the_session_at_the_server(browser: Open, core: Engine) -> None:
    """Not in the browser alone."""
    one = browser(Role.VIEWER)
    left = one.post("/logout")

    assert (left.status_code, left.headers["location"]) == (303, "/login")
    assert core.sessions.find(one.secret) is None
    assert one.get("/login").status_code == 200
    assert one.sees("You are logged out.")


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "evil", "javascript:x"]
)
def test_a_login_leads_to_no_other_site(browser: Open, ann: None, path: str) -> None:
    """T-C1: a link to our login cannot end at a copy of it."""
    one = browser()
    one.get("/login")
    came = one.post("/login", {"name": "ann", "password": PASSWORD, "next": path})

    assert came.headers["location"] == "/"


def test_the_session_cookie_is_out_of_reach_of_scripts_and_of_other_sites(browser: Open, ann: None) -> None:
    """T-C3."""
    one = browser()
    one.get("/login")
    cookie = one.post("/login", {"name": "ann", "password": PASSWORD}).headers["set-cookie"]

    assert cookie.startswith("postscan=")
    assert "HttpOnly; Path=/; SameSite=strict" in cookie


def test_the_proof_is_the_own_password(browser: Open, core: Engine, ann: None) -> None:
    """That of the account with which the person has signed in; it leads on to the page that needs it."""
    core.accounts.add("bob", "another horse battery", SID, (), person(Role.ADMINISTRATOR), Role.OPERATOR)
    one = browser()
    one.get("/login")
    one.post("/login", {"name": "ann", "password": PASSWORD})
    one.secret = str(one.http.cookies.get("postscan"))
    one.get("/login/confirm?next=/me")
    wrong = one.post("/login/confirm", {"password": "another horse battery", "next": "/me"})
    right = one.post("/login/confirm", {"password": PASSWORD, "next": "/me"})

    assert wrong.status_code == 403
    assert (right.status_code, right.headers["location"]) == (303, "/me")


def test_a_session_by_a_link_is_confirmed_by_another_link(browser: Open) -> None:
    """It has no password; the page names the command."""
    one = browser(Role.ADMINISTRATOR)
    shown = one.get("/login/confirm").text
    sent = one.post("/login/confirm")

    assert "postscan console link" in shown
    assert sent.status_code == 403
