"""What people do at the console, in as few clicks as it may take, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.site import Person, Site, at_console, open_site
from certificates import Authority, server_table
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.services


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without JavaScript"])
def someone(request: pytest.FixtureRequest, site: Site, browser: Browser) -> Iterator[Person]:
    """An administrator whose browser runs scripts, or runs none."""
    with at_console(site, browser, java_script_enabled=request.param) as admin:
        yield admin
        assert admin.reports == []


class Clicks:
    """Counts the clicks on a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def on(self, what: Locator) -> None:
        """Click."""
        what.click()
        self.count += 1


def test_a_job_is_canceled_in_2_clicks(site: Site, someone: Person) -> None:
    """From the dashboard: on Cancel... of the job, and on the button of the confirmation."""
    token = site.scanner.start("sleep until woken")
    site.server.works.await_trace(token, "sleep")
    clicks = Clicks(someone.open("/"))
    clicks.on(clicks.page.locator(f"a[href='/jobs/{token}/cancel']").first)
    clicks.on(clicks.page.get_by_role("button", name="Cancel this job"))

    assert clicks.count == 2
    assert site.scanner.ended(token).state == "Canceled"


def test_a_failure_is_found_and_retried_in_3_clicks(site: Site, someone: Person) -> None:
    """From the dashboard: on the job, on Retry..., and on the button of the confirmation."""
    token = site.scanner.start("copy", "fail PostScanFilterFailed")
    site.scanner.ended(token)
    clicks = Clicks(someone.open("/"))
    clicks.on(clicks.page.locator(f"#attention a[href='/jobs/{token}']").first)
    expect(clicks.page.locator("#job")).to_contain_text("it was told to fail")
    clicks.on(clicks.page.locator(f"a[href^='/jobs/{token}/retry']").first)
    clicks.on(clicks.page.get_by_role("button", name="Retry this job"))

    assert clicks.count == 3
    expect(clicks.page).not_to_have_url(f"{site.url}/jobs/{token}")
    expect(clicks.page).to_have_url(f"{site.url}/jobs/" + clicks.page.url.rpartition("/")[2])


def test_a_process_is_tested_in_2_clicks(site: Site, someone: Person) -> None:
    """From the dashboard: on Scan processes, and on the test page of one; it leads to the job."""
    clicks = Clicks(someone.open("/"))
    clicks.on(clicks.page.get_by_role("navigation").get_by_role("link", name="Processes"))
    clicks.on(clicks.page.get_by_role("button", name="Test page").first)

    assert clicks.count == 2
    expect(clicks.page.locator("#job")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_the_reason_of_a_quarantine_is_read_and_the_plugin_disabled_in_3_clicks(
    tmp_path: Path, browser: Browser, scripts: bool
) -> None:
    """From the dashboard: on Plugins, on the plugin, whose page has the reason, and on the switch."""
    with (
        open_site(tmp_path, {"filters.stamp": {"colour": "red"}}) as site,
        at_console(site, browser, java_script_enabled=scripts) as admin,
    ):
        clicks = Clicks(admin.open("/"))
        clicks.on(clicks.page.get_by_role("navigation").get_by_role("link", name="Plugins"))
        clicks.on(clicks.page.get_by_role("row", name="stamp").get_by_role("link"))
        expect(clicks.page.get_by_role("main")).to_contain_text("colour")
        clicks.on(clicks.page.get_by_role("button", name="Disable"))

        assert clicks.count == 3
        expect(clicks.page.get_by_role("button", name="Enable")).to_be_visible()
        assert admin.reports == []


def test_what_ends_soon_is_shown_with_its_fix_in_1_click(tmp_path: Path, browser: Browser) -> None:
    """The dashboard names the certificate that ends tomorrow; a click shows what to do, without a script too."""
    home = tmp_path / "site"
    home.mkdir()
    with open_site(home, {"tls": server_table(tmp_path, Authority())}) as site:
        for scripts in (True, False):
            with at_console(site, browser, java_script_enabled=scripts) as admin:
                page = admin.open("/")
                warning = page.locator("details.problem", has_text="TLS certificate").first
                fix = warning.get_by_text("postscan reload")
                expect(fix).to_be_hidden()
                warning.locator("summary").click()

                expect(fix).to_be_visible()
