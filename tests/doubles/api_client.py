"""A program at the API of the console, without a server: it has a token of its own."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any, Final

from console_browser import ORIGIN
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from postscan.console.api.operations import BASE
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof, Role

ADMIN: Final = Principal("local:root", Proof.LOCAL, admin=True)
_NUMBERS: Final = itertools.count()


class ApiClient:
    """A program with a token of a role, for the user with a SID or for none; without a role it sends no token."""

    def __init__(self, app: ASGIApp, engine: Engine, role: Role | None = None, sid: str = "") -> None:
        self.http = TestClient(app, base_url=ORIGIN, follow_redirects=False, client=("127.0.0.1", 50_000))
        self.token = ""
        if role is not None:
            until = engine.clock.now() + timedelta(days=1)
            self.token = engine.tokens.add(f"test-{next(_NUMBERS)}", role, until, ADMIN, sid)

    def get(self, path: str, **query: Any) -> Any:
        """Return the response to a GET below the base of the API, or of the address that a page has given."""
        address = path if path.startswith(BASE) else BASE + path
        return self.http.get(address, params=query or None, headers=self._fields())

    def post(self, path: str, **query: Any) -> Any:
        """Return the response to a POST below the base of the API."""
        return self.http.post(BASE + path, params=query or None, headers=self._fields())

    def _fields(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}
