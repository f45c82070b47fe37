"""Streams of the console beside a real server: what they bring, and that nothing waits for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
from acceptance.scanning import Scanner
from acceptance.server import Server
from console_browser import person
from works import PATIENCE, until

from postscan.console.http.process import read_address
from postscan.core.model.principal import Role


def events(response: httpx2.Response) -> Iterator[str]:
    """Yield the HTML of each event that has some, until the stream ends."""
    for line in response.iter_lines():
        if line.startswith("data: ") and (html := json.loads(line.removeprefix("data: "))):
            yield html


def test_a_stream_brings_what_changes_and_a_stop_ends_it(tmp_path: Path) -> None:
    """The server does not wait for the browsers that have pages open: else each stop would take the whole drain."""
    server = Server(tmp_path, {"console": {"enabled": True, "port": 0}})
    server.start()
    until(lambda: read_address(server.settings.storage.run_dir), "for the console")
    url = read_address(server.settings.storage.run_dir)
    secret = server.works.core.sessions.begin(person(Role.VIEWER), "link")
    with (
        httpx2.Client(base_url=url, cookies={"postscan": secret}, timeout=PATIENCE) as browser,
        browser.stream("GET", "/live?region=running") as response,
    ):
        found = events(response)
        first = {next(found) for _ in range(2)}
        Scanner(server).create("copy")
        changed = next(found)
        server.close()
        rest = list(found)

    assert any('id="server"' in html for html in first)
    assert any('id="running"' in html for html in first)
    assert 'id="running"' in changed
    assert rest == [] or all("server" in html or "running" in html for html in rest)
    assert "timeout graceful shutdown exceeded" not in server.log()
    assert server.tracebacks() == []
