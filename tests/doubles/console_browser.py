"""A browser at the console, without a server: it keeps cookies, and sends forms with the token of its session."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.testclient import TestClient
from starlette.types import ASGIApp

from postscan.console.http.cookies import form_token
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof, Role, at_console

ORIGIN: Final = "http://127.0.0.1:5363"
SID: Final = "S-1-5-21-1-2-3-1001"
"""The user whom each person of `person` has proven to be."""


def person(role: Role, sid: str = SID) -> Principal:
    """Return a person with a role, who came in by a link."""
    return at_console(f"link:{role}", Proof.LINK, role, sid)


class Browser:
    """One browser; `page` has the text of the last response."""

    def __init__(self, app: ASGIApp, engine: Engine, address: str = "127.0.0.1") -> None:
        self.engine = engine
        self.http = TestClient(app, base_url=ORIGIN, follow_redirects=False, client=(address, 50_000))
        self.secret = ""
        self.page = ""

    def sign_in(self, by: Principal | Role, way: str = "link") -> Browser:
        """Have a session of this person, or of one with this role."""
        self.secret = self.engine.sessions.begin(person(by) if isinstance(by, Role) else by, way)
        self.http.cookies.set("postscan", self.secret, domain="127.0.0.1")
        return self

    def get(self, path: str, **fields: str) -> Any:
        """Return the response to a GET."""
        return self._seen(self.http.get(path, headers=fields))

    def post(self, path: str, form: Mapping[str, str | list[str]] | None = None, **fields: str) -> Any:
        """Return the response to a form as our own page sends it; a field of *fields* that is "" is not sent."""
        headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin"} | {
            k.replace("_", "-"): v for k, v in fields.items()
        }
        data = {"csrf": self.token} | dict(form or {})
        sent = {name: value for name, value in headers.items() if value}
        return self._seen(self.http.post(path, data=data, headers=sent))

    @property
    def token(self) -> str:
        """The token of forms: that of the session, else the one in the last page."""
        if self.secret:
            return form_token(self.secret)
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.page)
        return found[1] if found else ""

    def sees(self, text: str) -> bool:
        """Return whether the last page has this text, as a reader sees it."""
        return text in html.unescape(re.sub(r"<[^>]*>", "", self.page))

    def _seen(self, response: Any) -> Any:
        self.page = response.text
        return response
