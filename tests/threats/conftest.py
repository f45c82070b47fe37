"""The server that subscribers stand in front of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.server import Server, running
from threats.events import forget_all


@pytest.fixture(scope="session")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives a sink one second, and two tries. Nothing that subscribers send makes it stumble."""
    with running(tmp_path_factory.mktemp("telling"), {"events": {"deadline_seconds": 1, "tries": 2}}) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def server(telling: Server) -> Server:
    """The server that tells, without any subscription."""
    forget_all(telling)
    return telling
