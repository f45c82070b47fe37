"""Programs at the API of the console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from api_client import ApiClient
from starlette.types import ASGIApp

from postscan.core.engine import Engine
from postscan.core.model.principal import Role


@pytest.fixture
def api(console_app: ASGIApp, core: Engine) -> Iterator[Callable[..., ApiClient]]:
    """Make a program: `api(Role.VIEWER)`, `api(Role.OWNER, sid)`, or `api()` without a token."""
    with ExitStack() as opened:

        def make(role: Role | None = None, sid: str = "") -> ApiClient:
            one = ApiClient(console_app, core, role, sid)
            opened.enter_context(one.http)  # one event loop for all requests of it
            return one

        yield make
