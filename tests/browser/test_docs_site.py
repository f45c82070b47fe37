"""The documents as a site: built without a warning, read in a browser, and searched."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import runpy
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from documents import ROOT
from playwright.sync_api import Browser, Page, expect

TOOL = runpy.run_path(str(ROOT / "tools" / "docs_site.py"))

pytestmark = pytest.mark.services


@dataclass
class DocsSite:
    """The folder of a built site, and the URL that it is served at."""

    folder: Path
    url: str


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocsSite]:
    """The site, built with warnings as errors: pages that are in no menu, links and anchors that lead nowhere."""
    folder = tmp_path_factory.mktemp("docs-site")
    made = TOOL["build"](folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    with contextlib.closing(server.socket):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield DocsSite(made, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.fixture
def page(docs: DocsSite, browser: Browser) -> Iterator[Page]:
    """The first page of the newest version; nothing is loaded from another host."""
    asked: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{docs.url}/index.html")
    page.wait_for_url(f"**/{TOOL['version']()}/index.html")
    yield page
    context.close()
    assert [url for url in asked if not url.startswith((docs.url, "data:", "blob:"))] == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cancel", "cancellation.html"),
        ("owner", "cancellation.html"),
        ("FTP", "connect-your-scanner.html"),
        ("certificate", "tls.html"),
    ],
)
def test_a_search_finds_the_right_page_first(page: Page, words: str, found: str) -> None:
    """The index is a part of the site."""
    page.locator("input.md-search__input").click()
    expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")  # the index is loaded
    page.locator("input.md-search__input").press_sequentially(words)  # it listens to keys
    first = page.locator("a.md-search-result__link").first
    expect(first).to_have_attribute("href", re.compile(f"/{re.escape(found)}"))


def test_a_page_of_the_repository_leads_to_pages_of_the_site(docs: DocsSite) -> None:
    """README.md is the first page; SECURITY.md and its like are pages as well."""
    first, security = (docs.folder / name for name in ("index.html", "project/security.html"))

    assert 'href="project/security.html"' in first.read_text()
    assert 'href="../security/threats.html"' in security.read_text()
    for text in (first.read_text(), security.read_text()):
        assert not re.search(r'href="[^":]*(\.md|docs/)', text)


def test_all_versions_are_listed(docs: DocsSite) -> None:
    """The first page leads to the newest one."""
    folder = docs.folder.parent

    assert json.loads((folder / "versions.json").read_text()) == [docs.folder.name]
    assert f"url={docs.folder.name}/index.html" in (folder / "index.html").read_text()
