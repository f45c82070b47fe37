"""The HTTP endpoint for the events of scanners: one listener for each address of this machine, on one event loop.

A path is random and belongs to one subscription; everything else is answered 404, and so is a request that does not
come from the device of the path. What is behind a path gets the message in a thread, and the answer waits for it at
most `ANSWER_SECONDS`. Connections, heads and bodies have the limits of the server's own port.
Source: ws-scan.md sections 2, 5 and 11; WSS-025, WSS-026; T-A2, T-A6.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, Protocol, Self

import uvicorn
from lxml import etree
from uvicorn.server import ServerState

from postscan.core.model.rate_limit import RateLimit
from postscan.soap.http.acceptor import Acceptor, AcceptSettings, Loop
from postscan.soap.http.connections import Connections
from postscan.soap.http.protocol import ConnectionLimits, protocol
from postscan.soap.http.turns import LoopTurns
from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import envelope
from postscan.soap.xml import namespaces, writing

ANSWER_SECONDS: Final = 0.7
"""Seconds after which an event is answered in any case (WSS-025)."""

BODY_BYTES: Final = 64 * 1024
BODY_SECONDS: Final = 5.0

CONNECTIONS: Final = 64
CONNECTIONS_PER_ADDRESS: Final = 8

EVENTS: Final = 20
EVENTS_SECONDS: Final = 10.0
"""Most events of one path within so many seconds; further ones are answered 503."""

THREADS: Final = 4
WAITING: Final = 32
"""Threads that read messages, and most messages that are read or wait for one of them."""

_PREFIX: Final = "/wsd/"
_END: Final = "/end"
_CLOSE_SECONDS: Final = 1.0


class SinkUnavailable(Exception):
    """The address or the port cannot be used; the text says why."""


class EventReceiver(Protocol):
    """What is behind a path."""

    def admits(self, address: str) -> bool:
        """Return whether the device of the path has this address."""

    def receive(self, path: str, envelope: etree._Element) -> bool:
        """Take a message for a path; return False if there is no room for it now. Called in a thread."""


class EventSink:
    """Listens from entering its block to its end; *answer* is the answer to an event, as in the settings."""

    def __init__(self, *, answer: Literal["empty", "soap"], log: Callable[..., None]) -> None:
        self._answer = answer
        self._log = log
        self._receivers: dict[str, EventReceiver] = {}
        self._listeners: dict[tuple[str, int], Acceptor] = {}
        self._lock = threading.Lock()
        self._refusals = RateLimit(1, 60.0, time.monotonic)
        self._events = RateLimit(EVENTS, EVENTS_SECONDS, time.monotonic)
        self._places = asyncio.Semaphore(WAITING)
        self._threads = ThreadPoolExecutor(THREADS, "wsscan-event")
        turns = LoopTurns()
        self._settings = AcceptSettings(Connections(CONNECTIONS, CONNECTIONS_PER_ADDRESS), 5.0, 10.0, turns)
        self._loop = Loop(self._settings)
        for name in ("uvicorn.error", "uvicorn.access", "asyncio"):
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False  # clients cause these lines, as many as they like
        self._config = uvicorn.Config(
            self._serve,
            http=protocol(ConnectionLimits(5.0, 15.0), turns),
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        self._config.load()
        self._state = ServerState()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wsscan-events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def listen(self, address: str, port: int = 0) -> int:
        """Listen at an address and return the port, the same one for each call with port 0; raise `SinkUnavailable`."""
        with self._lock:
            for known, used in self._listeners:
                if known == address and port in (0, used):
                    return used
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                listener = socket.create_server((address, port), family=family, backlog=CONNECTIONS)
            except OSError as error:
                raise SinkUnavailable(f"cannot listen on {address}, port {port}: {error.strerror or error}") from None
            number: int = listener.getsockname()[1]
            self._listeners[address, number] = asyncio.run_coroutine_threadsafe(
                self._accept(listener), self._loop
            ).result()
            return number

    def add(self, path: str, receiver: EventReceiver) -> None:
        """Pass the messages for a path to *receiver* from now on."""
        with self._lock:
            self._receivers[path] = receiver

    def remove(self, path: str) -> None:
        """Answer 404 at a path from now on; does nothing if it is unknown."""
        with self._lock:
            self._receivers.pop(path, None)

    # --- on the event loop -------------------------------------------------------------------------------------

    async def _accept(self, listener: socket.socket) -> Acceptor:
        return Acceptor(self._loop, listener, self._protocol, None, self._settings)

    def _protocol(self) -> Any:
        made: Any = self._config.http_protocol_class
        return made(config=self._config, server_state=self._state, app_state={}, _loop=self._loop)

    async def _close(self) -> None:
        for acceptor in self._listeners.values():
            acceptor.close()
            for one in acceptor.sockets:
                one.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = [one for one in self._state.tasks if not one.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        for connection in list(self._state.connections):
            with contextlib.suppress(Exception):
                connection.transport.abort()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, as an ASGI application."""
        status, body = 404, b""
        receiver = self._receiver(scope)
        if receiver is not None:
            status, body = await self._respond(receiver, scope["path"], receive)
        headers = [(b"content-length", str(len(body)).encode())]
        if body:
            headers.append((b"content-type", b"application/soap+xml; charset=utf-8"))
        if status not in (200, 202):
            headers.append((b"connection", b"close"))
        with contextlib.suppress(OSError):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _receiver(self, scope: Any) -> EventReceiver | None:
        """Return what is behind the path of a POST from its device; None otherwise."""
        address = str((scope.get("client") or ("",))[0])
        path = scope["path"].removesuffix(_END)
        receiver = self._receivers.get(path.removeprefix(_PREFIX)) if path.startswith(_PREFIX) else None
        if receiver is not None and scope["method"] == "POST" and receiver.admits(address):
            return receiver
        if not self._refusals.take(address):
            reason = "unknown path" if receiver is None else "not the device of the path"
            self._log("event refused", "warning", source=address, reason=reason)
        return None

    async def _respond(self, receiver: EventReceiver, path: str, receive: Any) -> tuple[int, bytes]:
        if self._events.take(path):
            return 503, b""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                data = await _body(receive)
        except TimeoutError:
            return 408, b""
        if data is None:
            return 413, b""
        if self._places.locked():
            return 503, b""
        async with self._places:
            work = asyncio.wrap_future(self._threads.submit(self._take, receiver, path, data))
            done, _ = await asyncio.wait([work], timeout=ANSWER_SECONDS)
            return work.result() if done else (202, b"")

    def _take(self, receiver: EventReceiver, path: str, data: bytes) -> tuple[int, bytes]:
        """Read a message and pass it on; return the status and the body of the answer."""
        try:
            root = envelope.read_envelope(data)
            taken = receiver.receive(path.removesuffix(_END).removeprefix(_PREFIX), root)
        except InvalidAnswer as error:
            self._log("event not understood", "warning", reason=error)
            return 400, b""
        except Exception as error:  # noqa: BLE001  (a defect must not end the sink)
            self._log("event not processed", "error", reason=f"{type(error).__name__}: {error}")
            return 500, b""
        if not taken:
            return 503, b""
        return (200, _empty_answer(root)) if self._answer == "soap" else (202, b"")


async def _body(receive: Any) -> bytes | None:
    """Return the body of a request; None if it is larger than `BODY_BYTES` or its client has gone."""
    data = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        data += message.get("body", b"")
        if len(data) > BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(data)


def _empty_answer(root: etree._Element) -> bytes:
    """Return an envelope with an empty Body that relates to a message."""
    message_id = next(
        (one.text or "" for one in envelope.headers_of(root) if one.tag == namespaces.wsa("MessageID")), ""
    )
    action = envelope.action_of(root) + "Response"
    return writing.write(action, message_id.strip() or namespaces.UNSPECIFIED, writing.new_message_id(), "")
