"""A console whose catalogue has filters of the tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console_browser import Browser
from starlette.types import ASGIApp
from stored_processes import CATALOGUE, StoredProcesses

from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.core.registry.remembered import RememberedCatalogue


@pytest.fixture
def stored(core: Engine, console_app: ASGIApp) -> StoredProcesses:
    """No processes yet; the catalogue has a filter with fields, and one without."""
    core.remembered_catalogue = RememberedCatalogue(lambda: CATALOGUE, core.clock)
    return StoredProcesses(core.settings.processes_dir)


@pytest.fixture
def admin(browser: Callable[..., Browser], stored: StoredProcesses) -> Browser:
    """The browser of an administrator."""
    return browser(Role.ADMINISTRATOR)
