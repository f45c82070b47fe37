"""The server of one inlet: its listeners, its loop, and its stop."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from postscan.plugins import CancellationToken, SourceContext
from postscan.plugins.sources.ftp.channels.commands import FtpSession
from postscan.plugins.sources.ftp.channels.library import Acceptor, IOLoop
from postscan.plugins.sources.ftp.channels.loop_calls import LoopCalls
from postscan.plugins.sources.ftp.channels.tls import server_context
from postscan.plugins.sources.ftp.service import FtpService, log_failure
from postscan.plugins.sources.ftp.settings import Settings
from postscan.plugins.sources.uploads.files import Files, KnownFile
from postscan.plugins.sources.uploads.folders import Folders
from postscan.plugins.sources.uploads.identity import peer_address, place_of
from postscan.plugins.sources.uploads.intake import Intake
from postscan.plugins.sources.uploads.places import Places
from postscan.plugins.sources.uploads.space import UploadSpace

TICK: Final = 0.2
"""Seconds between two looks at the token, and at the files that wait for a rename."""

PAUSE: Final = 1.0
"""Seconds for which a listener rests when the process can open no more connections."""

DESCRIPTORS: Final = 8
"""Open files for each session: both connections, its file, once more while it is examined, the token of its job."""

STACK: Final = 1 << 20
"""Bytes of address space for the stack of a thread: the limit of the process counts it, and 8 MiB are usual."""

HEAPS: Final = 4
"""Heaps of all threads. Each takes 64 MiB of address space, and by default there are eight for each core."""

_M_ARENA_MAX: Final = -8  # malloc.h

MOST_SESSIONS: Final = 10_000

LOGGED: Final = 60.0
"""Seconds between two log lines about connections that are too many."""

TOO_MANY: Final = "421 Too many connections; come again later."

_BACKLOG: Final = 100


def serve(inlet: SourceContext, token: CancellationToken, grace: float) -> None:
    """Serve until the token is set; then let transfers end, for most of *grace* seconds."""
    with _small_threads(), _loop() as loop, _library_log(inlet):
        service = _service(inlet, loop)
        listeners = list(_listeners(service, loop))
        inlet.health("ready", ", ".join(f"port {one.port}" for one in listeners))
        while not token.cancelled:
            _turn(loop, service)
        service.is_stopping = True
        for one in listeners:
            one.close()
        end = time.monotonic() + 0.8 * grace
        while _end_idle(service) and time.monotonic() < end:
            _turn(loop, service)


def _turn(loop: Any, service: FtpService) -> None:
    """Wait for something to do, for `TICK` seconds at most, and do it."""
    soonest = loop.sched.poll()
    loop.poll(TICK if soonest is None else min(soonest, TICK))
    loop.sched.poll()
    service.files.expire()


def _end_idle(service: FtpService) -> bool:
    """End the sessions that do nothing; return whether others are left."""
    for session in list(service.sessions):
        if not session.is_busy:
            session.end("421 The server stops; come again later.")
    return bool(service.sessions)


def _service(inlet: SourceContext, loop: Any) -> FtpService:
    settings: Settings = inlet.settings

    def expired(known: KnownFile) -> None:
        reason = "it was not renamed in time"
        inlet.log("upload refused", "warning", file=known.place.name, user=known.who.subject, reason=reason)

    return FtpService(
        inlet=inlet,
        settings=settings,
        context=server_context(*settings.pem()) if settings.certificate else None,
        intake=Intake(inlet),
        folders=Folders(inlet.destinations),
        files=Files(expired),
        space=UploadSpace(inlet.workdir, settings.spool_bytes),
        places=Places(min(settings.connections, _most_connections()), settings.connections_per_address),
        call=LoopCalls(loop, lambda: log_failure(inlet)).call,
    )


def _most_connections() -> int:
    """Return how many sessions the open files of this process allow."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_SESSIONS if most == resource.RLIM_INFINITY else min(MOST_SESSIONS, most // DESCRIPTORS)


def _listeners(service: FtpService, loop: Any) -> Iterator[FtpListener]:
    settings = service.settings
    if settings.port:
        yield FtpListener(service, loop, (settings.host, settings.port), implicit=False)
    if settings.implicit_port:
        yield FtpListener(service, loop, (settings.host, settings.implicit_port), implicit=True)


class FtpListener(Acceptor):
    """Accepts sessions on one port; with *implicit*, TLS begins with the first byte.

    pyftpdlib's own listener closes itself after any error. It counts connections in `ip_map`; here places do that.
    """

    ip_map = ()

    def __init__(self, service: FtpService, loop: Any, address: tuple[str, int], *, implicit: bool) -> None:
        """Listen; raise `OSError` with a sentence if the port cannot be had."""
        super().__init__(ioloop=loop)
        self.service = service
        self._implicit = implicit
        self._logged = -LOGGED
        try:
            self.bind_af_unspecified(address)
            self.listen(_BACKLOG)
        except OSError as error:
            self.close()
            cause = error.args[0] if error.args and isinstance(error.args[0], OSError) else error
            raise OSError(f"cannot listen on {address[0]} port {address[1]}: {cause.strerror or cause}") from error
        self.port: int = self.socket.getsockname()[1]

    def handle_accepted(self, connection: socket.socket, address: tuple[Any, ...]) -> None:
        """Begin a session, if there is a place for it."""
        caller = place_of(peer_address(address[0]))
        if not (self.service.places.take(caller) or self._make_room(caller)):
            self._turn_away(connection, caller)
            return
        session = FtpSession(connection, self, self.ioloop)
        if not session.connected:
            self.service.places.leave(caller)
        elif self._implicit:
            session.begin_secured()
        else:
            session.handle()

    def _make_room(self, caller: str) -> bool:
        """Take the place of a client with more of them that has not logged in; return False if there is none."""
        places = self.service.places
        others = [session for session in self.service.sessions if session.may_give_way]
        last = max(others, key=lambda session: places.of(session.caller), default=None)
        if last is None or places.of(last.caller) <= places.of(caller):
            return False
        last.end(TOO_MANY)
        return places.take(caller)

    def _turn_away(self, connection: socket.socket, caller: str) -> None:
        if time.monotonic() > self._logged + LOGGED:
            self._logged = time.monotonic()
            self.service.inlet.log("connection refused", "warning", source=caller, reason="too many connections")
        with contextlib.suppress(OSError):
            if not self._implicit:
                connection.setblocking(False)
                connection.send(f"{TOO_MANY}\r\n".encode())
        connection.close()

    def handle_error(self) -> None:
        """Rest for a moment: most likely the process can open no more connections."""
        self.service.failed("connection not accepted")
        self.del_channel()
        self.ioloop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        if not self._closed:
            self.add_channel()


@contextlib.contextmanager
def _small_threads() -> Iterator[None]:
    """Let the threads of sessions take little of the address space, which the process may not have much of."""
    with contextlib.suppress(AttributeError):  # the C library is not glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS)
    before = threading.stack_size(STACK)
    try:
        yield
    finally:
        threading.stack_size(before)


@contextlib.contextmanager
def _loop() -> Iterator[Any]:
    loop = IOLoop.factory()
    try:
        yield loop
    finally:
        loop.close()


class _ToInlet(logging.Handler):
    """Passes the errors of pyftpdlib on; the rest of its lines repeats what clients send."""

    def __init__(self, inlet: SourceContext) -> None:
        super().__init__(logging.ERROR)
        self._inlet = inlet

    def emit(self, record: logging.LogRecord) -> None:
        self._inlet.log("session failed", "error", reason=record.getMessage()[-1000:])


@contextlib.contextmanager
def _library_log(inlet: SourceContext) -> Iterator[None]:
    library, handler = logging.getLogger("pyftpdlib"), _ToInlet(inlet)
    before, library.propagate = library.propagate, False
    library.addHandler(handler)
    try:
        yield
    finally:
        library.removeHandler(handler)
        library.propagate = before
