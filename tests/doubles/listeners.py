"""Event sinks for tests: real HTTP servers on loopback that behave as they are told, and a Notifier that runs."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvloop
from lxml import etree

from postscan.core.cluster.leadership import Leadership
from postscan.core.engine import Engine
from postscan.core.model.subscription import Subscription
from postscan.core.settings import Settings
from postscan.soap.eventing.notifier import Notifier

WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
SOAP = "http://www.w3.org/2003/05/soap-envelope"


class Listener:
    """A sink at `url`. `heard` are the bodies that it was sent, `heads` their headers; `manner` is how it answers.

    A manner is a status, "hang", "close", "endless" (an answer that never ends), or a function that returns one.
    """

    def __init__(self, manner: Any = 202, *, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.manner = manner
        self.heard: list[bytes] = []
        self.heads: list[dict[str, str]] = []
        self.over = threading.Event()
        self.lock = threading.Lock()
        self._server = _Server((address, 0), type("Handler", (_Handler,), {"listener": self}))
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.origin = f"{'https' if tls else 'http'}://{address}:{self.port}"
        self.url = f"{self.origin}/events/3?of=anna"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def manner_of(self, _body: bytes) -> Any:
        """Return how to answer this message."""
        return self.manner() if callable(self.manner) else self.manner

    @property
    def told(self) -> list[tuple[str, str]]:
        """The name of each event, and the state that it tells of, in the order of arrival."""
        return [summary(body) for body in list(self.heard)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    listener: Listener

    def do_POST(self) -> None:
        """Take a message, and answer in the manner of the listener."""
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            return  # its sender died in the middle of it
        head = {"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}
        with self.listener.lock:  # so that the head of a body has the same place, whoever else sends
            self.listener.heads.append(head)
            self.listener.heard.append(body)
        manner = self.listener.manner_of(body)
        if isinstance(manner, int):
            self.send_response(manner)
            self.send_header("Location", f"{self.listener.origin}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif manner == "hang":
            self.listener.over.wait(600)
        elif manner == "endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not self.listener.over.is_set():
                    self.wfile.write(b"x" * 65536)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class Telling:
    """A Notifier of *core*, on an event loop of its own, with the settings of the core or others.

    *pause* are the seconds before it tries again.
    """

    def __init__(
        self,
        core: Engine,
        settings: Settings | None = None,
        *,
        pause: float = 0.05,
        leadership: Leadership | None = None,
    ) -> None:
        self.notifier = Notifier(
            core.subscriptions, settings or core.settings, pause=lambda _failures: pause, leadership=leadership
        )
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Telling:
        self._thread.start()
        self.run(self.notifier.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.notifier.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something on its loop, and return the result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def read(self, id: str) -> Subscription | None:
        """Return a subscription as it was when the list was last read; None if it was not on it."""
        state = self.notifier._subscribers.get(id)
        return state and state.subscription

    def is_idle(self) -> bool:
        """Return whether no delivery is under way: what a sink has accepted is known to be accepted."""
        return not self.notifier._deliveries

    def wake(self) -> None:
        """Wake it, as the server does after a Subscribe."""
        self._loop.call_soon_threadsafe(self.notifier.relist)

    @contextlib.contextmanager
    def creating(self, by: Any) -> Iterator[None]:
        """Be a Create of that caller whose answer is not written before the end of the body."""

        async def call(step: Callable[[], Any]) -> Any:
            return step()

        under_way = self.notifier.creating(by)
        self.run(call(under_way.__enter__))
        try:
            yield
        finally:
            self.run(call(lambda: under_way.__exit__(None, None, None)))


def summary(message: bytes) -> tuple[str, str]:
    """Return the name of the event in a message, and the state of what it tells of."""
    body = etree.fromstring(message).find(f"{{{SOAP}}}Body/*")
    assert body is not None
    names = ("JobState", "JobCompletedState", "RepositoryState", "Status")
    found = [(one.text or "") for one in body.iter() if etree.QName(one).localname in names]
    return etree.QName(body).localname, found[0] if found else ""
