"""The port for probes and metrics: what it answers, and what a client cannot do to it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator

import pytest
from works import until

from postscan.cli.monitoring import port as port_module
from postscan.cli.monitoring.port import CONNECTIONS_PER_ADDRESS, HEAD_BYTES, MonitoringPort
from postscan.core.errors import SettingsError
from postscan.core.service.administration.metrics.health import LIMIT_SECONDS, Health
from postscan.core.settings.monitoring import MonitoringSettings

PAGE = b"# TYPE postscan_jobs gauge\npostscan_jobs 3\n"
WELL = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


class Site:
    """A port on loopback, of a process whose clock stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.page = PAGE
        self.health = Health(lambda: self.now)
        self.number = 0
        self.port = MonitoringPort(MonitoringSettings(port=0), self.health, lambda: self.page)

    def connect(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.number), timeout=30)

    def exchange(self, data: bytes) -> bytes:
        """Send these bytes, and return all of the response; b"" if the connection is closed without one."""
        with self.connect() as connection, contextlib.suppress(ConnectionError):
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))
        return b""

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes, str]:
        """Return status, body and type of a response, as Python's own client reads it."""
        client = http.client.HTTPConnection("127.0.0.1", self.number, timeout=30)
        with contextlib.closing(client):
            client.request(method, path)
            response = client.getresponse()
            return response.status, response.read(), response.headers["content-type"]


@pytest.fixture
def site() -> Iterator[Site]:
    """The open port."""
    site = Site()
    with site.port.open() as number:
        assert number is not None
        site.number = number
        yield site


def test_it_says_whether_the_process_works(site: Site) -> None:
    """The database is not asked: a process that is not ready may work."""
    site.health.went_round("scheduler")
    good = site.get("/livez")
    site.now = LIMIT_SECONDS + 2

    assert good == (200, b"ok\n", "text/plain; charset=utf-8")
    assert site.get("/livez")[:2] == (503, b"scheduler: no round for 12 s\n")


def test_it_says_whether_the_process_is_ready_and_why_not(site: Site) -> None:
    starting = site.get("/readyz")
    site.health.add("database", lambda: "the database does not answer")
    site.health.started()

    assert starting[:2] == (503, b"server: starting\n")
    assert site.get("/readyz")[:2] == (503, b"database: the database does not answer\n")


def test_it_serves_the_metrics(site: Site) -> None:
    good = site.get("/metrics?name=x")
    site.page = b""

    assert good == (200, PAGE, "text/plain; version=0.0.4; charset=utf-8")
    assert site.get("/metrics")[0] == 503


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/", "GET", 404), ("/metrics/", "GET", 404), ("/livez", "POST", 405), ("/metrics", "DELETE", 405)],
)
def test_there_is_nothing_else(site: Site, path: str, method: str, status: int) -> None:
    assert site.get(path, method)[0] == status


def test_a_connection_is_for_one_request(site: Site) -> None:
    response = site.exchange(WELL + WELL)

    assert response.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in response


@pytest.mark.parametrize("data", [b"GET /livez\r\n\r\n", b"hello\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_what_is_no_request_of_http_is_refused(site: Site, data: bytes) -> None:
    assert site.exchange(data).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_head_has_a_limit(site: Site) -> None:
    """A longer one gets no response, though it is whole."""
    assert site.exchange(b"GET /livez HTTP/1.1\r\nX: " + b"a" * (3 * HEAD_BYTES) + b"\r\n\r\n") == b""


def test_a_client_that_sends_no_head_is_hung_up_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that sends a byte now and then: the time is that of the whole head."""
    monkeypatch.setattr(port_module, "HEAD_SECONDS", 0.2)
    began = time.monotonic()
    with site.connect() as slow, contextlib.suppress(ConnectionError):
        slow.settimeout(0.05)
        while time.monotonic() - began < 30:
            slow.send(b"G")
            with contextlib.suppress(TimeoutError):
                if slow.recv(1) == b"":
                    break

    assert time.monotonic() - began < 30


def test_one_address_has_so_many_connections_and_others_are_closed_at_once(site: Site) -> None:
    """Those that end make room."""
    with contextlib.ExitStack() as held:
        silent = [held.enter_context(site.connect()) for _ in range(CONNECTIONS_PER_ADDRESS)]
        for one in silent:
            one.sendall(b"GET")
        refused = site.exchange(WELL)

    assert refused == b""
    until = time.monotonic() + 30
    while not site.exchange(WELL).startswith(b"HTTP/1.1 200"):
        assert time.monotonic() < until


def test_all_addresses_together_have_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "CONNECTIONS", 1)
    with site.connect() as silent:
        silent.sendall(b"GET")

        assert site.exchange(WELL) == b""


def test_a_page_that_cannot_be_made_ends_one_connection(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> bytes:
        raise ValueError("an event of a kind that is not known")

    site.port._page = fail

    assert site.exchange(WELL.replace(b"/livez", b"/metrics")) == b""
    assert site.get("/livez")[0] == 200
    until(lambda: "probe not answered" in caplog.text)


def test_by_default_there_is_no_port() -> None:
    with MonitoringPort(MonitoringSettings(), Health(), lambda: PAGE).open() as number:
        assert number is None


def test_a_port_that_is_taken_is_an_error_of_the_settings(site: Site) -> None:
    other = MonitoringPort(MonitoringSettings(port=site.number), Health(), lambda: PAGE)
    with pytest.raises(SettingsError, match=r"monitoring.port: cannot listen on 127.0.0.1:\d+: Address"), other.open():
        pass
