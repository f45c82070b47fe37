"""A server, and a connection to it.

Tests that use them fail if a new uvicorn calls the methods of its protocol in another way.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.rawhttp import Line, connected
from acceptance.server import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the usual deadlines: on a busy machine a client may take seconds for its first byte."""
    with running(tmp_path_factory.mktemp("http")) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    """A connection to it."""
    with connected(server.url) as line:
        yield line
