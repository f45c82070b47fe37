"""The console on an engine that is not running, and browsers at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from console_browser import Browser
from starlette.types import ASGIApp

from postscan.console.http.app import create_app
from postscan.console.state.examinations import Examinations
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Role
from postscan.core.registry.catalogue import Catalogue
from postscan.core.registry.remembered import RememberedCatalogue
from postscan.doctor import examination


@pytest.fixture
def console_app(core: Engine) -> ASGIApp:
    """The application of the console on the engine `core`; no worker has to start for it.

    It finds no plugins, and the checks that take long find nothing.
    """
    core.remembered_catalogue = RememberedCatalogue(lambda: Catalogue(()), core.clock)
    machine = partial(examination.examine_machine, core.settings)
    return create_app(core, examinations=Examinations(lambda: (), machine, core.clock))


@pytest.fixture
def browser(console_app: ASGIApp, core: Engine) -> Iterator[Callable[..., Browser]]:
    """Open a browser: `browser(Role.VIEWER)` is signed in, `browser()` is not; `address` is the client's."""
    opened = []

    def open_one(by: Principal | Role | None = None, address: str = "127.0.0.1") -> Browser:
        one = Browser(console_app, core, address)
        one.http.__enter__()  # one event loop for all requests of it
        opened.append(one)
        return one if by is None else one.sign_in(by)

    yield open_one
    for one in opened:
        one.http.__exit__(None, None, None)
