"""A server with jobs, and a browser, for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser.site import Person, Site, at_console, chromium, open_site
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a console, and jobs in several states."""
    with open_site(tmp_path_factory.mktemp("site")) as site:
        site.make_jobs()
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def admin(site: Site, browser: Browser) -> Iterator[Person]:
    """An administrator at the console; no page of the test has reported anything."""
    with at_console(site, browser) as admin:
        yield admin
        assert admin.reports == []
