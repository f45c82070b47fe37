"""The page: one file, nothing from elsewhere, and only its own script and style."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import image_files
import pytest
import web_site
from lxml import html
from web_site import WebSite
from works import until

import postscan.plugins.sources.web
from postscan.core.filters.source.messages import InletBusy, OpenRequest, Request

PNG = image_files.saved(image_files.noise(), "PNG")
PAGE = Path(postscan.plugins.sources.web.__file__).parent / "page.html"


@pytest.fixture
def response(client: httpx2.Client) -> httpx2.Response:
    """The page as a browser gets it."""
    return client.get("/", headers={"user-agent": "Mozilla/5.0", "accept": "text/html"})


def test_the_page_is_at_the_root_and_in_each_folder(client: httpx2.Client, response: httpx2.Response) -> None:
    """A person may open the address that a device has; a folder that is not there has none."""
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert client.get("/Scans/").content == client.get("/d2").content == response.content == PAGE.read_bytes()
    assert client.get("/Nowhere/").status_code == 404
    assert client.head("/").headers["content-length"] == str(len(response.content))


def policy(response: httpx2.Response) -> dict[str, list[str]]:
    """Return the content security policy by its directives."""
    parts = [part.split() for part in response.headers["content-security-policy"].split(";")]
    return {name: values for name, *values in parts}


def test_the_policy_allows_nothing_but_the_page_itself(response: httpx2.Response) -> None:
    """No inline handler, no other script, no frame, no form, no base."""
    directives = policy(response)
    script, style = directives.pop("script-src"), directives.pop("style-src")

    assert directives == {
        "default-src": ["'none'"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", one) for one in (*script, *style))
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_the_policy_has_the_hashes_of_script_and_style(response: httpx2.Response) -> None:
    """Else the page would do nothing."""
    for kind in ("script", "style"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>".encode(), response.content, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert policy(response)[f"{kind}-src"] == [f"'sha256-{digest}'"]


def test_nothing_of_the_page_comes_from_elsewhere() -> None:
    """No element has an address, a handler or a style of its own."""
    root = html.fromstring(PAGE.read_bytes())
    attributes = {name for one in root.iter() if isinstance(one.tag, str) for name in one.attrib}

    assert not attributes & {"src", "href", "action", "style", "srcset", "data", "background"}
    assert not [name for name in attributes if name.startswith("on")]
    assert b"://" not in PAGE.read_bytes()
    assert b"innerHTML" not in PAGE.read_bytes()


def test_every_control_has_a_name() -> None:
    """A screen reader says it; what changes is said as well."""
    root = html.fromstring(PAGE.read_bytes())
    labelled = {one.get("for") for one in root.iter("label")}

    assert root.get("lang") == "en"
    assert {one.get("id") for one in root.iter("select", "input")} == labelled
    assert [
        one.get("aria-live") for one in root.iter() if isinstance(one.tag, str) and one.get("role") == "status"
    ] == ["polite"]
    assert 'setAttribute("aria-label"' in PAGE.read_text()


class Browser:
    """A page whose script runs in Node, with these files chosen: their names and contents."""

    def __init__(self, url: str, files: dict[str, bytes]) -> None:
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
        chosen = [f"{name}={base64.b64encode(content).decode()}" for name, content in files.items()]
        self._process = subprocess.Popen(
            [node, str(Path(web_site.__file__).parent / "page_browser.js"), url, *chosen],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(json.loads(line))

    def wait_for(self, text: str) -> None:
        """Wait until an element has shown this text."""
        until(lambda: any(text in str(line) for line in self.lines), f"for {text!r}: {self.lines}")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


Browse = Callable[[str, dict[str, bytes]], Browser]


@pytest.fixture
def browse() -> Iterator[Browse]:
    """A function that opens the page and chooses files."""
    with contextlib.ExitStack() as stack:
        yield lambda url, files: stack.enter_context(contextlib.closing(Browser(url, files)))


def test_a_person_sends_a_file_and_sees_what_becomes_of_it(site: WebSite, browse: Browse) -> None:
    """To the destination whose folder is open; its name is shown, how much is sent, and the state as it changes."""
    browser = browse(f"{site.url}Invoices%20(Ann)/", {"Brief ä.png": PNG})
    (job,) = site.server.wait_for_jobs(1)
    browser.wait_for("Stored, waiting for its turn")
    job.state = "Processing"
    browser.wait_for("Being processed")
    job.state = "Completed"
    browser.wait_for("Brief ä.png: Done")

    assert {"destinations": ["Scans", "Invoices (Ann)"], "chosen": "/Invoices%20(Ann)/"} in browser.lines
    assert (job.request.destination, job.request.name, job.pages) == ("d2", "Brief ä.png", [PNG])
    assert {"element": "div", "text": "50 % sent"} in browser.lines


def test_a_person_reads_why_a_file_is_not_taken(site: WebSite, browse: Browse) -> None:
    """In a sentence, and may try again."""
    browser = browse(site.url, {"a.txt": b"text", "cut.png": PNG[:-1], "empty.png": b""})

    browser.wait_for("Not a scan: a.txt; expected a PDF")
    browser.wait_for("Not complete: cut.png: ")
    browser.wait_for("The file is empty, or a folder.")
    browser.wait_for("Try again")
    assert site.server.jobs == []


def test_the_page_comes_again_when_the_server_is_busy(site: WebSite, browse: Browse) -> None:
    """After the seconds that it is told; and there is one job, also if the response was lost."""
    opened: list[str] = []

    def busy_once(request: Request) -> InletBusy | None:
        if isinstance(request, OpenRequest):
            opened.append(request.key)
            return InletBusy(id=request.id, seconds=3.0) if len(opened) == 1 else None
        return None

    site.server.on_request = busy_once
    browser = browse(site.url, {"a.png": PNG})
    browser.wait_for("Trying again in 3 seconds.")
    site.server.wait_for_jobs(1)
    browser.wait_for("a.png: stored")

    assert len(opened) == 2
    assert opened[0] == opened[1]


def test_the_script_uses_what_the_server_has(site: WebSite, client: httpx2.Client) -> None:
    """The addresses, fields and keys of the responses that it reads."""
    script = PAGE.read_text()
    sent = client.post("/Scans/a.png", content=b"text", headers={"x-postscan-page": "1"})
    listed = client.get("/destinations", headers={"x-postscan-page": "1"})

    assert "X-Postscan-Page" in script
    assert "Idempotency-Key" in script
    assert "Retry-After" in script
    assert 'fetch("/destinations"' in script
    assert set(sent.json()) == {"error"}
    assert set(listed.json()) == {"destinations", "most_bytes"}
    assert set(listed.json()["destinations"][0]) == {"label", "folder"}
    for state in (
        "Creating",
        "Pending",
        "Pending-Held",
        "Started",
        "Processing",
        "Terminating",
        "Completed",
        "Aborted",
        "Canceled",
    ):
        assert f'"{state}":' in script
