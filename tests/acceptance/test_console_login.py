"""The first login at a real console: by the link that the server prints, and by a client certificate over TLS."""

from __future__ import annotations

import os
import re
import socket
import ssl
from pathlib import Path

import certificates
import commands
import httpx2
from acceptance.server import Server
from certificates import Authority, sid_extension
from plugin_names import unused
from works import PATIENCE, until

ANNA = "S-1-5-21-1-2-3-1001"


def token(page: str) -> str:
    """Return the token of the forms of a page."""
    found = re.search(r'name="csrf" value="(\w+)"', page)
    assert found, page
    return found[1]


def test_a_server_on_a_terminal_prints_a_link_that_signs_in_an_administrator(tmp_path: Path) -> None:
    """There is no default password: who sees the terminal could open the database as well."""
    config = tmp_path / "postscan.toml"
    config.write_text(
        f'[server]\nport = 0\n[console]\nport = 0\n[storage]\ndata_dir = "data"\n[plugins]\ndisabled = {unused()}\n'
    )
    log = tmp_path / "log"
    ours, theirs = os.openpty()
    with log.open("w") as stderr, open(theirs, "w") as terminal:  # noqa: PTH123  (a descriptor)
        server = commands.start(["--config", str(config), "serve"], stdout=terminal, stderr=stderr)
    try:
        until(lambda: "/login/link?secret=" in log.read_text(), "for the link")
        link = next(word for word in log.read_text().split() if "/login/link?secret=" in word)
        origin, _, secret = link.partition("/login/link?secret=")
        with httpx2.Client(base_url=origin, timeout=PATIENCE) as browser:
            form = {"csrf": token(browser.get(link).text), "secret": secret}
            came = browser.post("/login/link", data=form, headers={"origin": origin})
            me = browser.get("/me").text
    finally:
        server.terminate()
        server.wait(PATIENCE)
        os.close(ours)

    assert (came.status_code, came.headers["location"]) == (303, "/")
    assert "administer the server" in me


def test_a_client_certificate_signs_in_over_tls(tmp_path: Path) -> None:
    """The user whom it names, as an owner; a browser without it does not see that way in."""
    root = Authority()
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    url = f"https://127.0.0.1:{port}"
    tables = {
        "tls": certificates.server_table(tmp_path, root, mode="server"),
        "console": {"enabled": True, "host": "0.0.0.0", "port": port, "public_url": url},
    }
    server = Server(tmp_path, tables)
    server.start()
    try:
        until(lambda: "console ready" in server.log(), "for the console")
        with httpx2.Client(base_url=url, timeout=PATIENCE, verify=_context(tmp_path, root, ANNA)) as anna:
            page = anna.get("/login").text
            came = anna.post("/login/certificate", data={"csrf": token(page)}, headers={"origin": url})
            me = anna.get("/me").text
        with httpx2.Client(base_url=url, timeout=PATIENCE, verify=_context(tmp_path, root)) as other:
            without = other.get("/login").text
    finally:
        server.close()

    assert came.status_code == 303
    assert came.headers["set-cookie"].startswith("__Host-postscan=")
    assert came.headers["strict-transport-security"] == "max-age=31536000"
    assert ANNA in me
    assert "/login/certificate" in page
    assert "/login/certificate" not in without


def _context(folder: Path, root: Authority, sid: str = "") -> ssl.SSLContext:
    shows = root.issue("anna", also=[sid_extension(sid)]) if sid else None
    return certificates.client(folder, root, shows)
