"""A server of S3, and a bucket for each test."""

import urllib.request
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """A server of S3."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def settings(endpoint: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of a bucket that has nothing in it."""
    bucket = f"scans-{abs(hash(request.node.name))}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")).close()
    return {"bucket": bucket, "endpoint": endpoint, "access_key": "postscan", "secret_key": "secret"}
