"""The stream of a page, and the polls that replace it, through the application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from console_browser import ORIGIN, Browser
from starlette.types import ASGIApp
from works import until

from postscan.console.http.app import create_app
from postscan.console.live import updates
from postscan.console.live.regions import Region
from postscan.console.pages.regions import REGIONS
from postscan.console.request import Console
from postscan.console.routes import ROUTES
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Role

PATIENCE = 30.0


def states(console: Console, by: Principal, _argument: str) -> Mapping[str, Any]:
    """Return what the region of the tests shows: how many jobs are in each state."""
    return {"is_running": sum(console.engine.listing.counts(by).values()) > 0}


@pytest.fixture
def console_app(core: Engine) -> ASGIApp:
    """The console with one region more, which shows whether there are jobs."""
    return create_app(core, ROUTES, {**REGIONS, "states": Region("regions/server.html", states)})


def test_a_poll_returns_the_regions_that_it_names(browser: Callable[..., Browser]) -> None:
    """And the one of the server, which each page has: here none runs."""
    found = browser(Role.VIEWER).get("/live/newest?region=states").json()

    assert len(found) == 2
    assert all("The server does not run" in html for html in found)


@pytest.mark.parametrize("query", ["", "?region=", "?region=states&region=none", f"?region=states&states={'a' * 3000}"])
def test_what_is_no_region_is_refused(browser: Callable[..., Browser], query: str) -> None:
    """The name chooses a function and a template, so it is one of the table."""
    one = browser(Role.VIEWER)

    assert [one.get(f"{path}{query}").status_code for path in ("/live", "/live/newest")] == [400, 400]


def test_a_region_is_for_those_who_see_its_page(browser: Callable[..., Browser]) -> None:
    """An owner has no dashboard: nothing of what it shows of the server, of other users, or of the disk."""
    statuses = {role: browser(role).get("/live/newest?region=today").status_code for role in Role}

    assert statuses == {Role.OWNER: 400, Role.VIEWER: 200, Role.OPERATOR: 200, Role.ADMINISTRATOR: 200}


def test_one_stream_too_many_is_refused_without_an_error(
    browser: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    """204: the browser does not try again by itself, and the page polls."""
    monkeypatch.setattr(updates, "STREAMS_OF_A_SESSION", 0)

    assert browser(Role.VIEWER).get("/live?region=states").status_code == 204


def test_polls_do_not_keep_a_session_from_ending(
    browser: Callable[..., Browser], core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that somebody has left open is no activity."""
    asked = []
    find = core.sessions.find
    monkeypatch.setattr(
        core.sessions, "find", lambda secret, *, active=True: asked.append(active) or find(secret, active=active)
    )
    one = browser(Role.VIEWER)
    for path in ("/live/newest?region=states", "/me"):
        one.get(path)

    assert asked == [False, True]


def test_a_stream_begins_with_its_regions_and_ends_with_the_application(
    browser: Callable[..., Browser], console_app: Any
) -> None:
    """As server-sent events, through the guard; closing the application ends it, so that a server can stop."""
    one = browser(Role.VIEWER)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "GET",
        "path": "/live",
        "query_string": b"region=states",
        "headers": [(b"host", ORIGIN.removeprefix("http://").encode()), (b"cookie", f"postscan={one.secret}".encode())],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 5363),
        "scheme": "http",
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message.get("body", b"").count(b"data: ") or len(shown()) == 2:
            await asyncio.to_thread(console_app.close)

    def shown() -> list[str]:
        lines = b"".join(message.get("body", b"") for message in sent).decode().splitlines()
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            await console_app(scope, receive, send)

    asyncio.run(run())

    assert sent[0]["status"] == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in sent[0]["headers"]
    assert (b"cache-control", b"no-store") in sent[0]["headers"]
    assert any("The server does not run" in html for html in shown())
    assert not sent[-1]["more_body"]


def test_each_live_page_says_when_nothing_is_processed(browser: Callable[..., Browser], core: Engine) -> None:
    """The jobs of a page stand still then, and a reader must know why; it is over when the server runs."""
    one = browser(Role.OWNER)

    def is_running() -> bool:
        return "does not run" not in one.get("/live/newest?region=states").json()[0]

    before = is_running()
    with core.running():
        until(is_running, "for the server to be seen")
    until(lambda: not is_running(), "for its end to be seen")

    assert not before
