"""Servers that many tests share, and the devices in front of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.scanning import Scanner
from acceptance.server import Server, running
from plugin_names import unused

PDF = {"plugins": {"disabled": unused("fileshare", "pdf")}}
PATIENT = {"storage": {"busy_seconds": 60}}
"""Where transactions wait as long as a busy machine takes: the tests of that time have servers of their own."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits. Nothing that a device sends ever makes it stumble: its log has no traceback."""
    with running(tmp_path_factory.mktemp("server"), {**PDF, **PATIENT}) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs one job at a time."""
    settings = {"running": {"slots": 1, "term_seconds": 0.3}, **PATIENT}
    with running(tmp_path_factory.mktemp("single"), settings) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def scanner(server: Server) -> Scanner:
    """A device at 127.0.0.1."""
    return Scanner(server)
