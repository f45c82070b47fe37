"""A real WebDAV server on loopback: WsgiDAV behind cheroot, with passwords, TLS if wanted, and faults on order."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

USER, PASSWORD = "svc-scan", "s3cret-of-the-service"

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Fault = Callable[["WebDav", Application, Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass
class WebDav:
    """A running server: `root` holds the library `docs`, and `readonly` below it takes nothing.

    `requests` is what it was asked, as `METHOD /path`. A fault that is put into `faults[method]` happens at the next
    request of that method, and then is over.
    """

    root: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)
    faults: defaultdict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    hanging: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def library(self) -> str:
        """The address of the library."""
        return f"{self.url}/docs"

    def methods(self) -> list[str]:
        """Return the methods that were asked for, in their order."""
        return [request.partition(" ")[0] for request in self.requests]

    def files(self) -> dict[str, bytes]:
        """Return every file below the root with its content, hidden ones too; the server may remove some meanwhile."""
        found = {}
        for file in self.root.rglob("*"):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                found[str(file.relative_to(self.root))] = file.read_bytes()
        return found


def answers(status: str, *headers: tuple[str, str], body: bytes = b"") -> Fault:
    """Answer with this status, and do nothing."""

    def fault(_: WebDav, __: Application, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        while environ["wsgi.input"].read(1 << 16):
            """Read what was sent, so that the connection can go on."""
        start(status, [("Content-Length", str(len(body))), *headers])
        return [body]

    return fault


def cuts_after(size: int) -> Fault:
    """Cut the connection when so many bytes of the body have come, and let the server keep those."""

    def fault(server: WebDav, app: Application, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        piece = environ["wsgi.input"].read(size)
        environ["wsgi.input"] = Piece(piece)
        environ["CONTENT_LENGTH"] = str(len(piece))
        return loses_the_answer(server, app, environ, start)  # kept before the cut: the client sends all again at once

    return fault


def loses_the_answer(_: WebDav, app: Application, environ: Environ, __: Callable[..., Any]) -> Iterable[bytes]:
    """Do what was asked, and cut the connection before the answer."""
    for _piece in app(environ, lambda *_: None):
        """Let it finish."""
    _shut(environ)
    return []


def hangs(server: WebDav, _: Application, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
    """Say nothing until the test is over; `hanging` tells that it has begun."""
    server.hanging.set()
    server.stopping.wait(60)
    _shut(environ)
    return []


@contextlib.contextmanager
def serve(root: Path, certificate: Path | None = None) -> Iterator[WebDav]:
    """Run a server on a free port for the length of the body; over TLS if there is a certificate with its key."""
    (root / "docs").mkdir(parents=True)
    (root / "readonly").mkdir()
    running = WebDav(root)
    server = wsgi.Server(("127.0.0.1", 0), _Faulty(running, _dav(root)), numthreads=4, timeout=60, shutdown_timeout=1)
    server.gateway = _Gateway
    server.expiration_interval = 0.02  # seconds; how soon it notices that it should stop
    server.error_log = lambda *_, **__: None  # it would write about each cut connection
    if certificate:
        server.ssl_adapter = BuiltinSSLAdapter(str(certificate), str(certificate))
    server.prepare()
    running.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.bind_addr[1]}"
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield running
    finally:
        running.stopping.set()
        server.stop()
        thread.join()


@dataclass
class _Faulty:
    """The layer before WsgiDAV: it notes each request, and lets a fault have it if there is one."""

    running: WebDav
    app: Application

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.running.requests.append(f"{method} {environ['PATH_INFO']}")
        if faults := self.running.faults[method]:
            return faults.pop(0)(self.running, self.app, environ, start)
        return self.app(environ, start)


class _Gateway(wsgi.Gateway_10):
    """Cheroot's own, which also tells the application about its socket."""

    version = "tests"

    def get_environ(self) -> Environ:
        return {**super().get_environ(), "tests.socket": self.req.conn.socket}


@dataclass
class Piece:
    """A body that ends too early."""

    content: bytes

    def read(self, size: int = -1) -> bytes:
        size = len(self.content) if size < 0 else size
        piece, self.content = self.content[:size], self.content[size:]
        return piece


def _shut(environ: Environ) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(environ["tests.socket"], socket.SHUT_RDWR)


def _dav(root: Path) -> Application:
    """Return WsgiDAV over two folders, for one user."""
    return WsgiDAVApp(
        {
            "provider_mapping": {
                "/docs": FilesystemProvider(str(root / "docs")),
                "/readonly": FilesystemProvider(str(root / "readonly"), readonly=True),
            },
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "lock_storage": True,
            "property_manager": None,
            "logging": {"enable": False},
            "dir_browser": {"enable": False},
            "verbose": 0,
        }
    )
