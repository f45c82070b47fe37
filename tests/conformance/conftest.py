"""The server that the checklists are held against, and the device that looks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.scanning import Scanner
from acceptance.server import Server, running
from conformance.desk import Desk, Office, open_office
from plugin_names import unused

PATIENT = {
    "running": {"term_seconds": 0.3, "cancel_answer_seconds": 20.0},
    "events": {"deadline_seconds": 60.0},
    "plugins": {"disabled": unused("fileshare", "email", "sharepoint")},
}
"""A busy machine may take longer than a second to stop a filter that looks at its token, or to take an event."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits, and patience. Nothing that a device sends makes it stumble: see its log."""
    with running(tmp_path_factory.mktemp("conformance"), PATIENT) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the test's own, to be killed and started again."""
    with running(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
def scanner(server: Server) -> Scanner:
    """A device at 127.0.0.1."""
    return Scanner(server)


@pytest.fixture
def token(scanner: Scanner) -> str:
    """A job of that device, in Creating, without images."""
    return scanner.create("copy")


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A server with TLS and an administrator. Nothing that either service hears makes it stumble."""
    with open_office(tmp_path_factory.mktemp("office")) as office:
        yield office
    assert office.server.tracebacks() == []


@pytest.fixture
def desk(office: Office) -> Desk:
    """The administrator's desk."""
    return office.desk


@pytest.fixture
def job(office: Office) -> str:
    """A job of a device in front of that server, in Creating, without images."""
    return office.scanner.create("copy")
