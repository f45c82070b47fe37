"""Pages of the console in a real browser: the first paint of each beside 100,000 jobs, and events until they are seen.

Two consoles are compared in turn, one of a server without jobs and one of a server with many. The first paint is what
the browser says of itself (first-contentful-paint); an event is a cancel over SOAP, and its time ends when the page of
the job shows it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import ended_jobs, servers
from bench.servers import Server
from postscan.console.http.process import read_address
from postscan.console.routes import ROUTES
from postscan.core.engine import Engine
from postscan.core.model.principal import Proof, Role, at_console
from postscan.core.settings import load
from postscan.soap.processes.folder import ProcessFolder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

JOBS: Final = int(os.environ.get("BENCH_JOBS", "100000"))
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "7"))
EVENTS: Final = 100
NO_PAGES: Final = re.compile(r"live|support|csv|\.json|image|\{size\}|export|^/metrics|oidc|^/api")
RETENTION: Final = "[retention]\nimage_hours = 8760\ntimed_out_hours = 8760\njob_hours = 8760\nrequest_hours = 8760\n"
SLOW_MS: Final = 1000.0

PAINT: Final = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => resolve(list.getEntriesByName("first-contentful-paint")[0].startTime))
    .observe({ type: "paint", buffered: true });
})"""
SEEN: Final = """(text) => new Promise((resolve) => {
  const look = () => document.querySelector("#job").textContent.includes(text) && resolve(Date.now());
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  look();
})"""


def run() -> None:
    """Measure, and print."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        sys.exit("there is no chromium; on Debian: apt-get install chromium")
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(servers.folder())
        sites = {
            name: opened.enter_context(_running(folder / name, jobs)) for name, jobs in (("empty", 0), ("full", JOBS))
        }
        playwright = opened.enter_context(sync_playwright())
        browser = opened.enter_context(contextlib.closing(playwright.chromium.launch(executable_path=program)))
        contexts = {name: site.context(browser) for name, site in sites.items()}
        _print_paints(contexts, sites)
        _print_events(contexts["full"], sites["full"])


@dataclass(frozen=True)
class _Site:
    """A server with its console, the secret of an administrator's session, and the token of a job."""

    server: Server
    url: str
    secret: str
    token: str

    def context(self, browser: Browser) -> BrowserContext:
        """Return a browser that is signed in."""
        context = browser.new_context()
        context.add_cookies([{"name": "postscan", "value": self.secret, "url": self.url}])
        return context


@contextlib.contextmanager
def _running(folder: Path, jobs: int) -> Iterator[_Site]:
    """Run a server with so many ended jobs, and its console."""
    folder.mkdir()
    if jobs:
        ended_jobs.fill(ended_jobs.settings(folder / "data"), jobs)
    with servers.postscan(folder, RETENTION, has_console=True) as server:
        settings = load(folder / "postscan.toml")
        with contextlib.closing(Engine(settings, ProcessFolder(settings.processes_dir))) as engine:
            secret = engine.sessions.begin(at_console("bench", Proof.LINK, Role.ADMINISTRATOR), "link")
        until = time.monotonic() + 60
        while not (url := read_address(settings.storage.run_dir)):
            if time.monotonic() > until:
                raise TimeoutError("the console does not start")
            time.sleep(0.1)
        yield _Site(server, url, secret, servers.create_job(server))


def _print_paints(contexts: dict[str, BrowserContext], sites: dict[str, _Site]) -> None:
    paths = [row.path for row in ROUTES if row.method == "GET" and not row.is_api and not NO_PAGES.search(row.path)]
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(ROUNDS + 1):
        for path in paths:
            for name in sorted(contexts, reverse=bool(number % 2)):
                value = _paint(contexts[name], sites[name], path)
                if number:  # the first round fills caches
                    found[path][name].append(value)
    print(f"first paint of a page beside {JOBS:,} jobs, beside none, and the ratio; medians of {ROUNDS}, in ms")
    slow = 0
    for path, values in sorted(found.items()):
        full, empty = (statistics.median(values[name]) for name in ("full", "empty"))
        slow += full > max(SLOW_MS, 3 * empty)
        print(f"  {path:40} {full:7.0f} {empty:7.0f} {full / empty:6.2f}  longest {max(values['full']):.0f}")
    print(f"  pages above 1 s and three times an empty one: {slow} of {len(found)}")


def _paint(context: BrowserContext, site: _Site, path: str) -> float:
    page = context.new_page()
    values = {"token": site.token, "process": servers.PROCESS, "name": "stamp", "document": "1", "page": "1", "id": "1"}
    page.goto(site.url + re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: values[match[1]], path))
    try:
        return float(page.evaluate(PAINT))
    finally:
        page.close()


def _print_events(context: BrowserContext, site: _Site) -> None:
    took = []
    for _ in range(EVENTS):
        token = servers.create_job(site.server)
        page = context.new_page()
        page.goto(f"{site.url}/jobs/{token}")
        page.wait_for_timeout(300)  # the stream begins
        begun = time.time()
        servers.exchange(site.server, servers.envelope("CancelPostScanJob", f"<dsp:JobToken>{token}</dsp:JobToken>"))
        took.append(float(page.evaluate(SEEN, "Canceled")) - begun * 1000)
        page.close()
    parts = statistics.quantiles(took, n=100)
    print(
        f"cancel over SOAP to screen, {EVENTS} events: median {parts[49]:.0f} ms, p95 {parts[94]:.0f} ms, "
        f"longest {max(took):.0f} ms"
    )
