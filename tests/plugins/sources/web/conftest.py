"""A running web source, and its clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import web_site
from web_site import LoopbackTls, StartSite, WebSite


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LoopbackTls:
    """A certificate for loopback."""
    return web_site.loopback_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def start(tmp_path: Path, tls: LoopbackTls) -> Iterator[StartSite]:
    """A function that starts an inlet."""
    with web_site.starting(tmp_path, tls) as start:
        yield start


@pytest.fixture
def site(start: StartSite) -> WebSite:
    """An inlet without TLS that takes this machine for a device."""
    return start()


@pytest.fixture
def client(site: WebSite) -> httpx2.Client:
    """A device."""
    return site.client()
