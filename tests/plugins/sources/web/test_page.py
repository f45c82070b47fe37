"""The page: one file, nothing from elsewhere, and only its own script and style."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest
from lxml import html
from web_site import WebSite

import postscan.plugins.sources.web

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


def test_the_script_is_one(tmp_path: Path) -> None:
    """Node reads it, as browsers would."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = tmp_path / "page.js"
    script.write_text(re.findall(r"<script>(.*?)</script>", PAGE.read_text(), re.DOTALL)[0])

    subprocess.run([node, "--check", str(script)], check=True, timeout=60)


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
