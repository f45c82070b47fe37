"""The tasks of the console by keyboard alone: Tab from the top of the page to what is needed, then Enter."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from browser.site import Person, Site, at_console, open_site
from certificates import Authority, server_table
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.services

TABS: Final = 120
"""Most elements of a page that come before the one that is needed."""


def press_on(page: Page, what: Locator) -> None:
    """Press Tab until this element has the focus, and then Enter; what has the focus is visible meanwhile."""
    expect(what).to_be_visible()
    for _ in range(TABS):
        page.keyboard.press("Tab")
        if what.evaluate("element => element === document.activeElement"):
            assert what.evaluate("element => element.matches(':focus-visible')")
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"Tab does not reach {what}")


def test_a_job_is_canceled(site: Site, admin: Person) -> None:
    """In the dialog the focus is inside, and Tab stays there."""
    token = site.scanner.start("sleep until woken")
    site.server.works.await_trace(token, "sleep")
    page = admin.open("/")
    press_on(page, page.locator(f"a[href='/jobs/{token}/cancel']").first)
    press_on(page, page.get_by_role("button", name="Cancel this job"))

    assert site.scanner.ended(token).state == "Canceled"


def test_a_failure_is_found_and_retried(site: Site, admin: Person) -> None:
    """From the dashboard to the job, to the confirmation, to the new job."""
    token = site.scanner.start("copy", "fail PostScanFilterFailed")
    site.scanner.ended(token)
    page = admin.open("/")
    press_on(page, page.locator(f"#attention a[href='/jobs/{token}']").first)
    expect(page.locator("#job")).to_contain_text("it was told to fail")
    press_on(page, page.locator(f"a[href^='/jobs/{token}/retry']").first)
    press_on(page, page.get_by_role("button", name="Retry this job"))

    expect(page).not_to_have_url(f"{site.url}/jobs/{token}")


def test_a_process_is_tested(admin: Person) -> None:
    """From the dashboard to the list of processes, to the job of the test page."""
    page = admin.open("/")
    press_on(page, page.get_by_role("navigation").get_by_role("link", name="Processes"))
    press_on(page, page.get_by_role("button", name="Test page").first)

    expect(page.locator("#job")).to_be_visible()


def test_a_plugin_is_disabled_and_enabled_again(admin: Person) -> None:
    """From the dashboard to the plugins, to the plugin, to its switch."""
    page = admin.open("/")
    press_on(page, page.get_by_role("navigation").get_by_role("link", name="Plugins"))
    press_on(page, page.locator("tr", has_not_text="disabled").get_by_role("link").first)
    press_on(page, page.get_by_role("button", name="Disable"))
    press_on(page, page.get_by_role("button", name="Enable"))

    expect(page.get_by_role("button", name="Disable")).to_be_visible()


def test_what_ends_soon_shows_its_fix(tmp_path: Path, browser: Browser) -> None:
    """A warning of the dashboard opens by Enter."""
    home = tmp_path / "site"
    home.mkdir()
    with (
        open_site(home, {"tls": server_table(tmp_path, Authority())}) as site,
        at_console(site, browser) as admin,
    ):
        page = admin.open("/")
        warning = page.locator("details.problem", has_text="TLS certificate").first
        press_on(page, warning.locator("summary"))

        expect(warning.get_by_text("postscan reload")).to_be_visible()
