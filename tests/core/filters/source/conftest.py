"""A source that waits for its stop, the server's double at its other end, and jobs that the test brings through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import source_server
from idle_sources import Idle, IdleWithJob, Job
from source_server import SourceServer
from works import PATIENCE

from postscan.plugins import SourceContext, SourceJob


@pytest.fixture
def source() -> IdleWithJob:
    """The source of the test."""
    return IdleWithJob()


@pytest.fixture
def server(source: Idle, tmp_path: Path) -> Iterator[SourceServer]:
    """The server's side of its inlet."""
    with source_server.running(source, tmp_path, destinations=("Invoices", "Letters")) as server:
        assert source.ready.wait(PATIENCE)
        yield server


@pytest.fixture
def inlet(server: SourceServer, source: Idle) -> SourceContext:
    """The source's side of it."""
    return source.inlet


@pytest.fixture
def job(inlet: SourceContext) -> Job:
    """A way to open a job."""

    def job(key: str = "one", destination: str = "Invoices") -> SourceJob:
        return inlet.job(key=key, destination=destination, proof="device", subject="10.0.0.9", name="from the test")

    return job
