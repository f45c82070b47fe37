"""Every page of the route table in a real browser: nothing is blocked, and everyone can use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser.site import Site, at_console, violations
from playwright.sync_api import Browser

from postscan.console.request import ConsoleRoute
from postscan.console.routes import ROUTES
from postscan.core.model.principal import Role

pytestmark = pytest.mark.services

NO_PAGES = ("/live", "/live/newest")
DOWNLOADS = re.compile(r"support|csv|\.json|picture|image|export|/xml$")
PAGES = [
    row
    for row in ROUTES
    if row.method == "GET" and not row.is_api and row.path not in NO_PAGES and not DOWNLOADS.search(row.path)
]
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 640}},
    "200 %": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
    "without JavaScript": {"java_script_enabled": False},
}


def addresses(site: Site, row: ConsoleRoute) -> Iterator[str]:
    """Yield the addresses of a row's pages: for each job where it names one, and for what does not exist."""
    found = dict.fromkeys(re.findall(r"\{(\w+)(?::\w+)?\}", row.path))
    if not found:
        yield row.path
        return
    tokens = site.jobs.values() if row.path.startswith("/jobs/") else ()
    for value in (*tokens, "none-such"):
        yield re.sub(r"\{\w+\}", value, re.sub(r"\{\w+:int\}", "1", row.path))


@pytest.mark.parametrize("look", LOOKS)
def test_no_page_is_blocked_or_hard_to_use(site: Site, browser: Browser, look: str) -> None:
    """The policy (CSP, Trusted Types) reports nothing, no other host is asked, axe finds nothing serious, and a
    narrow page does not scroll sideways.
    """
    wrong = []
    with at_console(site, browser, **LOOKS[look]) as admin:
        page = admin.context.new_page()
        for row in PAGES:
            for address in addresses(site, row):
                page.goto(site.url + address)
                wrong += [f"{address}: {one}" for one in admin.reports]
                admin.reports.clear()
                if look == "without JavaScript":
                    continue
                wrong += [f"{address}: {one}" for one in violations(page)]
                if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                    wrong.append(f"{address}: it scrolls sideways")

    assert wrong == []


@pytest.mark.parametrize("role", [None, *Role], ids=str)
def test_the_first_page_of_each_person_is_easy_to_use(site: Site, browser: Browser, role: Role | None) -> None:
    """Of those who may do little, and of those who have not signed in."""
    with at_console(site, browser, role) as someone:
        page = someone.open("/")

        assert violations(page) == []
        assert someone.reports == []
