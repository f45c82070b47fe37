"""A server with its console and jobs in several states, and people who look at it in a real browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import Server, running
from axe_playwright_python.base import AXE_SCRIPT
from console_browser import person
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from works import until

from postscan.console.http.process import read_address
from postscan.core.model.principal import Role

PROGRAM: Final = "chromium"
PATIENCE_MS: Final = 30_000
expect.set_options(timeout=PATIENCE_MS)

SEEN: Final = """
([selector, text]) => new Promise((resolve, reject) => {
  const look = () => document.querySelector(selector)?.textContent.includes(text) && resolve(performance.now());
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  look();
  setTimeout(() => reject(new Error(`no ${text} in ${selector}`)), 30000);
})
"""
"""Resolves when an element has a text; the policy of the pages forbids the functions of playwright that evaluate."""


@dataclass
class Site:
    """A running server, the URL of its console, and the tokens of its jobs by what became of them."""

    server: Server
    url: str
    scanner: Scanner
    jobs: dict[str, str] = field(default_factory=dict)

    def make_jobs(self) -> None:
        """Scan jobs that come to all kinds of ends, and one that runs until a test wakes or cancels it."""
        scanner, works = self.scanner, self.server.works
        self.jobs["completed"] = scanner.start("log one two", "copy")
        self.jobs["failed"] = scanner.start("copy", "fail PostScanFilterFailed")
        self.jobs["running"] = scanner.start("copy", "sleep until woken", "copy")
        self.jobs["canceled"] = scanner.start("sleep until woken")
        for name in ("running", "canceled"):
            works.await_trace(self.jobs[name], "sleep")
        good(scanner.device.cancel(self.jobs["canceled"]))
        self.jobs["creating"] = scanner.create("copy")
        for name in ("completed", "failed", "canceled"):
            scanner.ended(self.jobs[name])


class Person:
    """A person with one browser; what its console reports is kept, since our pages must report nothing."""

    def __init__(self, site: Site, context: BrowserContext) -> None:
        self.site = site
        self.context = context
        self.reports: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", self._watch)

    def open(self, path: str) -> Page:
        """Open a page in a tab of its own."""
        page = self.context.new_page()
        page.goto(self.site.url + path)
        return page

    def _watch(self, page: Page) -> None:
        page.on("console", lambda message: self._report(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self._report(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url))

    def _report(self, text: str) -> None:
        if not text.startswith(("info:", "log:")) and "the server responded with a status of" not in text:
            self.reports.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.site.url, "data:", "blob:")):
            self.reports.append(f"asked another host: {url}")


@contextlib.contextmanager
def open_site(home: Path, settings: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[Site]:
    """Run a server and its console while the body runs; neither logs a traceback."""
    with running(home, {"console": {"enabled": True, "port": 0}, **(settings or {})}) as server:
        run_dir = server.settings.storage.run_dir
        until(lambda: read_address(run_dir), "for the console")
        site = Site(server, read_address(run_dir), Scanner(server))
        yield site
    assert server.tracebacks() == []


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser while the body runs."""
    program = shutil.which(PROGRAM)
    if program is None:
        pytest.skip("there is no chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@contextlib.contextmanager
def at_console(site: Site, browser: Browser, role: Role | None = Role.ADMINISTRATOR, **how: Any) -> Iterator[Person]:
    """Be a person with this role, who is signed in; *how* is the browser's: colours, size, JavaScript."""
    context = browser.new_context(**how)
    if role is not None:
        secret = site.server.works.core.sessions.begin(person(role), "link")
        context.add_cookies([{"name": "postscan", "value": secret, "url": site.url}])
    yield Person(site, context)
    context.close()


def seen(page: Page, selector: str, text: str) -> float:
    """Wait until an element has a text, and return when that was by the clock of the page, in milliseconds."""
    return float(page.evaluate(SEEN, [selector, text]))


def violations(page: Page) -> list[str]:
    """Return what axe finds on a page that is serious or critical: the rule and the elements."""
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
