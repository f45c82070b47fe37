"""The page about the health of the installation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console_browser import Browser
from works import until

from postscan.console.http.app import create_app
from postscan.console.state.examinations import Examinations
from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.doctor.findings import ok, problem, warning

EVIL = "<img src=x onerror=alert(1)>"
FOUND = [ok("clock", "is synchronised"), warning("TLS certificate", "expires soon", "renew it")]
OTHERS = [problem("plugins", f"{EVIL}\x1b[1m is broken", "postscan plugin info x")]


@pytest.fixture
def site(core: Engine) -> Browser:
    """An operator's browser at a console whose checks find what is above."""
    examinations = Examinations(lambda: OTHERS, lambda: FOUND, core.clock)
    return Browser(create_app(core, examinations=examinations), core).sign_in(Role.OPERATOR)


def test_problems_come_first_with_what_mends_them(site: Browser) -> None:
    """At first only those of this machine; after Check again the others too, which stay text."""
    site.get("/health")
    before = site.page
    answer = site.post("/health/check")
    until(lambda: site.get("/health") and site.sees("is broken"))

    assert "renew it" in before
    assert "is broken" not in before
    assert (answer.status_code, answer.headers["location"]) == (303, "/health")
    assert site.page.index("is broken") < site.page.index("expires soon") < site.page.index("is synchronised")
    assert site.sees("postscan plugin info x")
    assert EVIL not in site.page


def test_the_text_for_support_is_plain(site: Browser) -> None:
    """With versions, and without characters that a terminal would follow."""
    site.post("/health/check")
    until(lambda: "is broken" in site.get("/health/support.txt").text)
    response = site.get("/health/support.txt")

    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text.startswith("postscan ")
    assert "warning  TLS certificate: expires soon\n         -> renew it\n" in response.text
    assert "\\x1b[1m" in response.text


def test_a_viewer_sees_the_findings_and_begins_no_checks(browser: Callable[..., Browser]) -> None:
    """The button is for operators, and so is what it does."""
    one = browser(Role.VIEWER)

    assert one.get("/health").status_code == 200
    assert "/health/check" not in one.page
    assert one.post("/health/check").status_code == 403
