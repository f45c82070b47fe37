"""A listening socket with limits, with or without TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Final

from postscan.cli.device.escl.http.messages import EsclReply, EsclRequest

CONNECTIONS: Final = 64
PER_PEER: Final = 48
SILENCE: Final = 60.0  # seconds that a connection may be idle


class BoundedHttpServer(ThreadingTCPServer):
    """One listening socket, with or without TLS; at most `CONNECTIONS` connections, `PER_PEER` from one address."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseRequestHandler],
        respond: Callable[[EsclRequest], EsclReply],
        *,
        server_name: Callable[[], str],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.respond = respond
        self.server_name = server_name
        self.tls = tls
        self.stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._peers: Counter[str] = Counter()
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the listening socket and all connections; also of a server that was never started."""
        self.stopping.set()
        if self._thread is not None:
            self.shutdown()
        self.server_close()
        self.disconnect()

    def disconnect(self) -> None:
        """Close all connections; the server goes on listening."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuse a connection beyond the limits, without an answer."""
        with self._lock:
            peer = str(client_address[0])
            if self._peers.total() >= CONNECTIONS or self._peers[peer] >= PER_PEER:
                return False
            self._peers[peer] += 1
            self._open.add(request)
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection; the handshake of TLS is part of it, so that a silent client blocks no other."""
        connection = request
        try:
            request.settimeout(SILENCE)
            if self.tls is not None:
                connection = self.tls.wrap_socket(request, server_side=True)
                with self._lock:
                    self._open.add(connection)
            self.finish_request(connection, client_address)
        except (OSError, ValueError):  # the client's connection, not ours
            pass
        finally:
            with self._lock:
                peer = str(client_address[0])
                self._peers[peer] -= 1
                self._peers += Counter()  # drops peers without a connection
                self._open -= {request, connection}
            self.shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a broken connection is usual here."""
