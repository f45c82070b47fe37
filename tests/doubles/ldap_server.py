"""A server of LDAP that misbehaves as a test wants: real ones answer correctly, or not at all."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import sansldap
from certificates import SERVER, Authority
from cryptography import x509
from sansldap import BindRequest, ExtendedRequest, LDAPMessage, LDAPResultCode, SearchRequest

Answer = Callable[[sansldap.LDAPServer, LDAPMessage], bytes | None]
"""What is sent instead of the usual answer; None for the usual one. It may sleep, or raise `ConnectionError`."""


@dataclass
class LdapServer:
    """A server on a free port of loopback; `seen` are the requests of all connections, `calls` counts these.

    It speaks TLS from the first byte, or with `starttls` when it is asked to; its certificate comes from `ca`. Each
    password is right but for `wrong`; each search finds nothing.
    """

    ca: Path
    context: ssl.SSLContext
    answer: Answer = lambda _server, _message: None
    starttls: bool = False
    wrong: str = "wrong"
    seen: list[LDAPMessage] = field(default_factory=list)
    clear: bytes = b""
    calls: int = 0

    def __post_init__(self) -> None:
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._streams: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def server(self) -> str:
        """Host and port, as in the settings."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        """End it, with all connections."""
        self.over.set()
        for one in (self._listener, *self._streams):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(60)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                self.calls += 1
                self._streams.append(stream)
                thread = threading.Thread(target=self._serve, args=(stream,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError, sansldap.LDAPError), contextlib.ExitStack() as opened:
            opened.callback(lambda: stream.close())
            if not self.starttls:
                stream = self._secured(stream)
            server = sansldap.LDAPServer()
            while data := stream.recv(65536):
                if not isinstance(stream, ssl.SSLSocket):
                    self.clear += data
                for message in server.receive(data):
                    self.seen.append(message)
                    own = self.answer(server, message)
                    if own is None:
                        self._usual(server, message)
                    stream.sendall(server.data_to_send() if own is None else own)
                    if isinstance(message, ExtendedRequest) and own is None:
                        stream, server = self._secured(stream), sansldap.LDAPServer()

    def _secured(self, stream: socket.socket) -> ssl.SSLSocket:
        secured = self.context.wrap_socket(stream, server_side=True)
        self._streams.append(secured)
        return secured

    def _usual(self, server: sansldap.LDAPServer, message: LDAPMessage) -> None:
        if isinstance(message, BindRequest):
            right = getattr(message.authentication, "password", "") != self.wrong
            code = LDAPResultCode.SUCCESS if right else LDAPResultCode.INVALID_CREDENTIALS
            server.bind_response(message.message_id, result_code=code)
        elif isinstance(message, SearchRequest):
            server.search_result_done(message.message_id)
        elif isinstance(message, ExtendedRequest):
            server.extended_response(message.message_id)


@contextlib.contextmanager
def ldap_server(folder: Path, answer: Answer = lambda _server, _message: None, **more: object) -> Iterator[LdapServer]:
    """Lend such a server, whose certificate names 127.0.0.1."""
    authority = Authority("Directory CA")
    names = [x509.IPAddress(ip_address("127.0.0.1"))]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("ldap", usage=(SERVER,), names=names).write(folder, f"ldap-{id(answer)}"))
    server = LdapServer(authority.write(folder, f"ca-{id(authority)}"), context, answer, **more)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()
