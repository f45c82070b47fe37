"""The names and origins that are ours, under TLS, behind a proxy, and on loopback (T-C1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from console_browser import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from postscan.console.http.guard import Guard
from postscan.core.settings import Settings

PUBLIC = "https://scans.example"


def site(url: str, **console: Any) -> TestClient:
    """Return a client of a guard alone, at this URL."""

    async def done(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/", done, methods=["GET", "POST"])])
    return TestClient(Guard(app, Settings.model_validate({"console": console})), base_url=url)


@pytest.mark.parametrize("host", ["127.0.0.1:5363", "127.8.9.1:5363", "localhost:8080", "localhost", "[::1]:5363"])
def test_this_machine_has_loopback_names(host: str) -> None:
    """At any port: a tunnel has another one. A write comes from the same name and port."""
    client = site(f"http://{host}")

    assert client.get("/").status_code == 200
    assert client.post("/", headers={"origin": f"http://{host}"}).status_code == 200
    assert client.post("/", headers={"origin": "http://localhost:1"}).status_code == 403


def test_a_public_url_is_another_name() -> None:
    """With the scheme that browsers use, whatever the proxy uses; the loopback names stay."""
    client = site("http://scans.example", public_url=PUBLIC)
    response = client.post("/", headers={"origin": PUBLIC})

    assert response.status_code == 200
    assert response.headers["strict-transport-security"] == "max-age=31536000"
    assert client.post("/", headers={"origin": "http://scans.example"}).status_code == 403
    assert client.get("/", headers={"host": "127.0.0.1:5363"}).status_code == 200
    assert client.get("/", headers={"host": "scans.example.evil.example"}).status_code == 421


@pytest.mark.parametrize("port", [":443", ""])
def test_browsers_leave_out_the_port_that_https_has(port: str) -> None:
    """In Host and in Origin."""
    client = site("http://scans.example", public_url=PUBLIC + port)

    assert client.post("/", headers={"origin": PUBLIC}).status_code == 200


@pytest.mark.parametrize(
    "host", ["user@localhost", "localhost:x", "localhost/..", "localhost:1:2", "[::1", "0.0.0.0", ""]
)
def test_what_only_looks_like_a_loopback_name_is_none(host: str) -> None:
    """Nor is an address that is not a loopback one."""
    assert site("http://localhost").get("/", headers={"host": host}).status_code == 421


def test_two_host_fields_are_refused() -> None:
    """A proxy may look at the one and we at the other."""
    response = site("http://localhost").get("/", headers=[("host", "localhost"), ("host", "localhost")])

    assert response.status_code == 421


def test_plain_loopback_sends_no_hsts() -> None:
    """A browser would refuse all else on this name."""
    assert "strict-transport-security" not in site("http://localhost").get("/").headers


def test_a_read_needs_no_origin_but_has_the_fields(browser: Callable[..., Browser]) -> None:
    """Errors and static files have them too; only what has its hash in its URL may be kept."""
    one = browser()
    page = one.get("/login")
    sheet = one.get(str(page.text).partition('rel="stylesheet" href="')[2].partition('"')[0])
    gone = one.get("/static/0000000000000000/console.css")

    assert (page.status_code, sheet.status_code, gone.status_code) == (200, 200, 404)
    assert page.headers["cache-control"] == gone.headers["cache-control"] == "no-store"
    assert sheet.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert sheet.headers["content-type"].startswith("text/css")
    assert {one.headers["x-content-type-options"] for one in (page, sheet, gone)} == {"nosniff"}
