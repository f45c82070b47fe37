"""One connection: the limits and deadlines of its requests, and the client certificate, all of which uvicorn lacks.

The class overrides methods of uvicorn's httptools protocol, so uvicorn is pinned to a minor version. If they no longer
fit, tests in `tests/soap/http` fail: `test_head_limits.py`, `test_deadlines.py`, `test_waiting_requests.py` and
`test_framing.py`.

A connection always has a deadline of its own, or the application works on a request of it:

* for the whole head of the first request, from the accept, and of each later one, from its first byte;
* for the first byte of the next request, from the end of a response. Blank lines and the rest of an answered request
  do not move it.

A request waits for a turn when its head is complete, and so does what arrives of its body later in small reads or in
chunks (`postscan.soap.http.turns`). A request that waits has no deadline, since every turn comes; no more is read
meanwhile.

One timer looks at the deadlines of all connections, so that a request costs no timer of its own.
`postscan.soap.http.body` has the deadlines of a body, and the kernel (TCP_USER_TIMEOUT) that of a response. One request
is parsed and served at a time. Bytes around the chunks of a body count as head bytes, since the parser keeps any number
of fields behind the last chunk.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from postscan.soap.http.body import HAS_ARRIVED
from postscan.soap.http.connections import ConnectionPlace, spread
from postscan.soap.http.framing import RequestCutter
from postscan.soap.http.turns import LoopTurn, LoopTurns

log = logging.getLogger(__name__)

HEAD_BYTES: Final = 16 * 1024
HEAD_FIELDS: Final = 100

SMALL: Final = 16 * 1024
"""Most bytes of a read within a body, or of its rest, that take a turn: a read costs as much whatever its size.

A chunked body has no rest of known length, so all of its reads take turns. An envelope that is parsed on the event loop
is no larger, so the read that completes it has a turn.
"""

MOST_CHUNKS: Final = 256
"""Pieces of bytes and chunks after which the parser needs a further turn; the last piece may have 680 chunks more."""

BUFFERED: Final = 64 * 1024
"""Bytes on one side of TLS at which the other side is stopped; uvloop has 256 KiB to read and 512 KiB to write."""

LOOK_SECONDS: Final = 0.25
"""Seconds between two looks at the deadlines: a connection has up to so much longer."""

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~-]+)?\])(?::[0-9]*)?")


def _bare(status: bytes) -> bytes:
    return b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


_BAD: Final = _bare(b"400 Bad Request")
_FORBIDDEN: Final = _bare(b"403 Forbidden")
_TOO_SLOW: Final = _bare(b"408 Request Timeout")
_TOO_LARGE: Final = _bare(b"431 Request Header Fields Too Large")
_NOT_IMPLEMENTED: Final = _bare(b"501 Not Implemented")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The deadlines of a connection in seconds, and which client certificates may use it."""

    head_seconds: float
    idle_seconds: float
    admits: Callable[[str], bool] = lambda _pem: True


def protocol(limits: ConnectionLimits, turns: LoopTurns) -> type[HttpToolsProtocol]:
    """Return the protocol class of connections with these limits, whose requests take these turns."""
    shared = {"limits": limits, "deadlines": Deadlines(), "turns": turns}
    return type("LimitedProtocol", (_LimitedProtocol,), shared)


class Deadlines:
    """The deadlines of all connections of one event loop, with one timer for all; it runs while there are any."""

    def __init__(self) -> None:
        self._connections: set[_LimitedProtocol] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: _LimitedProtocol) -> None:
        """Look at the deadline of this connection from now on."""
        self._connections.add(connection)
        if self._timer is None:
            self._wait(connection.loop)

    def remove(self, connection: _LimitedProtocol) -> None:
        """Look at it no more; does nothing if it was removed before."""
        self._connections.discard(connection)
        if not self._connections and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(LOOK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wait(loop)
        now = loop.time()
        for one in [one for one in self._connections if one.deadline <= now]:
            one.time_out()


class _Flow(FlowControl):
    """Pauses reading, also against the application, while bytes wait to be parsed."""

    _is_held = False

    def hold(self, is_held: bool) -> None:
        """Read nothing from now on; or read again when the application does."""
        self._is_held = is_held
        if is_held:
            self.pause_reading()

    def resume_reading(self) -> None:
        """Read again, unless bytes are waiting."""
        if not self._is_held:
            super().resume_reading()


class _BodyCallbacks:
    """What a parser calls that parses the body of a request that has begun already."""

    def __init__(self, connection: _LimitedProtocol) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete


class _LimitedProtocol(HttpToolsProtocol):
    flow: _Flow
    limits: ConnectionLimits
    deadlines: Deadlines
    turns: LoopTurns
    place: ConnectionPlace | None = None
    deadline: float = math.inf

    _certificates: tuple[str, ...] = ()
    _is_idle = False
    _is_in_body = False
    _is_received = False
    _body_head = b""
    _chunks = 0
    _start: LoopTurn | None = None
    _going_on: LoopTurn | None = None
    _ahead = b""
    _at = 0
    _unfinished = 0
    _size = 0
    _fields = 0

    def connection_made(self, transport: Any) -> None:
        """Set the deadline at once, and disconnect a client whose certificate is not admitted."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self._cutter = RequestCutter()
        if self.place is not None:
            self.place.closed_by(transport.abort)
        if (connection := transport.get_extra_info("ssl_object")) is not None:
            transport.set_read_buffer_limits(BUFFERED)
            transport.set_write_buffer_limits(BUFFERED)
            self._certificates = _verified(connection)
        self.deadlines.add(self)
        self._arm(self.limits.head_seconds)
        if self._certificates and not self.limits.admits(self._certificates[0]):
            log.info("connection refused: its certificate names no user", extra={"source": (self.client or ("",))[0]})
            self._refuse(_FORBIDDEN)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the place and the turns to others."""
        self.deadlines.remove(self)
        self._ahead, self._at = b"", 0
        for turn in (self._start, self._going_on):
            if turn is not None:
                turn.give_up()
        self._start = self._going_on = None
        if self.place is not None:
            self.place.release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes up to the end of the request; keep what follows until its response is sent."""
        self._ahead, self._at = (self._ahead[self._at :] + data if self._ahead else data), 0
        if self._going_on is None:
            if self._is_in_body and min(len(self._ahead), self._cutter.left) <= SMALL:
                self._parse_in_turn()
            else:
                self._parse()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may have arrived already; uvicorn would make a timer for that."""
        self.server_state.total_requests += 1
        self._serving(False)
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._is_idle = True
        self._arm(self.limits.idle_seconds)
        if self._going_on is None:
            self._parse()

    def on_message_begin(self) -> None:
        """Begin a new head; put the client's certificate into the `tls` extension of the ASGI scope."""
        super().on_message_begin()
        extensions: dict[Any, Any] = {
            "tls": {"client_cert_chain": self._certificates},
            HAS_ARRIVED: self._has_arrived,
        }
        self.scope["extensions"] = extensions
        self._fields, self._size = 0, 0
        self._is_received = False
        if self._is_idle:
            self._is_idle = False
            self._arm(self.limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one field of the head or of the trailer."""
        self._fields += 1
        self._size += len(name) + len(value) + 4
        if self._fields > HEAD_FIELDS or self._size > HEAD_BYTES:
            self._too_large()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the deadline, and refuse a head before the application is called."""
        self.deadline = math.inf
        if self._size > HEAD_BYTES:
            self._too_large()
        self._check_fields()
        self._unfinished = 0
        self._is_in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Reset the byte count: a piece of the body is complete."""
        self._unfinished = 0
        self._chunks += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Reset the byte count: the request is complete."""
        self._unfinished = 0
        if self._body_head and self.parser.should_upgrade():
            return  # the parser has ended with the head
        if self._body_head:
            self._body_head = b""
            self.parser = httptools.HttpRequestParser(self)
        self._is_in_body, self._is_received = False, True
        self._serving(self._start is None and not self.cycle.response_complete)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Count a client that does not read its response as not being served: its place may go to another one."""
        self._serving(False)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Count a client that reads again as before."""
        self._serving(self._is_waiting() and self._start is None)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Send 400 for bytes that are no HTTP, unless a response was sent already."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore that the client offers another protocol (RFC 9110 section 7.8).

        The parser has ended with the head. A new one gets what follows; if that is a body, behind a head of its own.
        """
        self.parser = httptools.HttpRequestParser(_BodyCallbacks(self) if self._body_head else self)
        if self._body_head:
            self.parser.feed_data(self._body_head)

    def _parse(self) -> None:
        """Pass bytes to the parser; keep the others for the next turn, or until the response is sent."""
        self._going_on = None
        data, at, most = self._ahead, self._at, self._chunks + MOST_CHUNKS
        while at < len(data) and self._chunks < most and not self._is_waiting() and not self.transport.is_closing():
            end = self._cutter.cut(data, at)
            self._chunks += 1
            self._unfinished += end - at
            super().data_received(data[at:end])
            if self._unfinished > HEAD_BYTES:
                self._refuse(_TOO_LARGE)
            at = end
        self._keep(data, at)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Call the application in a turn of this client."""
        turn = self._take_turn(partial(self._start_in_turn, cycle, app))
        if turn is not None:
            self._start = turn

    def _start_in_turn(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._start = None
        if not self.transport.is_closing():
            self._serving(self._is_received)
            super()._start_asgi_task(cycle, app)

    def _parse_in_turn(self) -> None:
        """Parse what has arrived in a turn of this client; read no more until then."""
        turn = self._take_turn(self._parse)
        if turn is not None:
            self._going_on = turn
            self.flow.hold(True)

    def _take_turn(self, work: Callable[[], None]) -> LoopTurn | None:
        return self.turns.take((self.client or ("",))[0], work)

    def _keep(self, data: bytes, at: int) -> None:
        """Keep the bytes from *at* on, which are not parsed yet, and read no more as long as there are any."""
        has_more = at < len(data) and not self.transport.is_closing()
        if 2 * at > len(data):  # each copy is less than half of the one before, so all of them cost little
            data, at = data[at:], 0
        self._ahead, self._at = (data, at) if has_more else (b"", 0)
        self.flow.hold(has_more)
        if not self._ahead:
            if self.cycle is None or self.cycle.response_complete or len(self.cycle.body) <= HIGH_WATER_LIMIT:
                self.flow.resume_reading()
        elif not self._is_waiting():
            self._parse_in_turn()

    def _is_waiting(self) -> bool:
        """Return whether a whole request has no response yet."""
        return self._is_received and not self.cycle.response_complete

    def _serving(self, is_served: bool) -> None:
        if self.place is not None:
            self.place.is_served = is_served

    def _too_large(self) -> NoReturn:
        self._refuse(_TOO_LARGE)
        raise ValueError("the head of the request is too large")  # ends the parser, and so the connection

    def _check_fields(self) -> None:
        """Refuse a head whose receiver, or whose end, is not certain (RFC 9112 sections 3.2 and 6.1)."""
        hosts = [value for name, value in self.headers if name == b"host"]
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        is_old = self.parser.get_http_version() == "1.0"
        if len(hosts) > 1 or not (hosts or is_old) or not all(map(_HOST.fullmatch, hosts)) or (codings and is_old):
            self._refuse(_BAD)
            raise ValueError("the head of the request is not valid")
        if codings not in ([], [b"chunked"]):
            self._refuse(_NOT_IMPLEMENTED)
            raise ValueError("the transfer coding of the request is not known")
        if self.parser.get_method() == b"CONNECT":
            self._refuse(_NOT_IMPLEMENTED)
            raise ValueError("the method of the request is not known")
        length = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        if not codings:
            self._cutter.expect(length)
        if self.parser.should_upgrade() and (codings or length):
            field = b"transfer-encoding: chunked" if codings else b"content-length: %d" % length
            self._body_head = b"POST / HTTP/1.1\r\nhost: test\r\n" + field + b"\r\n\r\n"

    def _has_arrived(self) -> bool:
        return self._is_received

    def _arm(self, seconds: float) -> None:
        self.deadline = self.loop.time() + spread(seconds)

    def time_out(self) -> None:
        """End the connection, whose deadline has passed."""
        self.deadline = math.inf
        if self._is_idle:
            self.transport.close()
        else:
            self._refuse(_TOO_SLOW)

    def _refuse(self, response: bytes) -> None:
        self.deadline = math.inf
        if not self.transport.is_closing():
            self.transport.write(response)
            self.transport.close()


def _verified(connection: ssl.SSLObject) -> tuple[str, ...]:
    """Return the client certificate that OpenSSL has verified, in PEM form; empty if there is none."""
    certificate = connection.getpeercert(binary_form=True)
    return (ssl.DER_cert_to_PEM_cert(certificate),) if certificate else ()
