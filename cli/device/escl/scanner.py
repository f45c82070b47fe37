"""`SimulatedEsclScanner`: a whole scanner in threads of this process, for tests and for `postscan device --escl`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, Self

from postscan.cli.device.escl import certificate
from postscan.cli.device.escl.announcement import ScannerAnnouncement, text_record
from postscan.cli.device.escl.behaviour.behaviour import EsclBehaviour
from postscan.cli.device.escl.behaviour.misbehaviours import behaviour_of
from postscan.cli.device.escl.documents import DeviceIdentity, OfferedSettings
from postscan.cli.device.escl.http.handler import EsclHandler
from postscan.cli.device.escl.http.messages import EsclReply, EsclRequest
from postscan.cli.device.escl.http.server import BoundedHttpServer
from postscan.cli.device.escl.machine.jobs import PulledJob
from postscan.cli.device.escl.machine.machine import EsclMachine
from postscan.cli.device.escl.machine.paper import PaperPath
from postscan.cli.device.escl.machine.sides import ScannedSide, repeated
from postscan.cli.device.escl.resources import EsclResources, ScannerAddresses, Timing
from postscan.cli.device.escl.walkup.names import WalkupApi
from postscan.cli.device.escl.walkup.resources import WalkupResources
from postscan.cli.device.escl.walkup.walkup import ACTION_SECONDS, UnknownWalkupName, WalkupMachine
from postscan.core.errors import PostscanError

KEPT: Final = 100_000
"""Requests in the log."""

NOWHERE: Final = "http://192.0.2.1/eSCL"
"""What `redirect` and `foreign-location` name, unless a test gives another: an address of RFC 5737."""


class EsclLoggedRequest(NamedTuple):
    """A request in the log: monotonic seconds at which it came, method and path."""

    time: float
    method: str
    path: str


class EsclExchange(NamedTuple):
    """A request with its headers (names in lower case), and the status that it was answered with."""

    time: float
    method: str
    path: str
    headers: dict[str, str]
    secure: bool
    status: int


class SimulatedEsclScanner:
    """A scanner on `listen`, from `start` to `stop`; also a context manager.

    *pages* are bytes, files or `ScannedSide`s: sides of the paper in the feeder, and, one after the other, what lies
    on the platen. *source* is what the scanner has: "platen", "feeder" (and a platen), "duplex" (both). *number*
    repeats or cuts the pages. *resolutions* default to those of the pages: images are sent as they are, whatever
    resolution, colour and region a client asks for. With *tls*, or a quirk that needs it, there is a second port for
    HTTPS. *root* is the path of eSCL with or without slashes. *hp* adds HP's walk-up: "comp" (WalkupScanToComp) or
    "old" (WalkupScan); *multi_page* and *action_seconds* are what its capabilities say.

    Raises `PostscanError` for pages that no scanner sends, `InvalidArgument` for an unknown quirk, `OSError` for an
    address that cannot be listened on.
    """

    def __init__(
        self,
        pages: Sequence[bytes | Path | ScannedSide],
        *,
        source: str = "feeder",
        number: int = 0,
        quirks: Sequence[str] = (),
        misbehaviours: Sequence[str] = (),
        page_seconds: float = 0.0,
        pause: float = 20.0,
        cut_at: int = -1,
        cut_page: int = 1,
        jam_after: int = 0,
        cancel_after: int = 0,
        elsewhere: str = NOWHERE,
        foreign_page: bytes = b"",
        resolutions: tuple[int, ...] = (),
        listen: tuple[str, int] = ("127.0.0.1", 0),
        tls: bool = False,
        root: str = "eSCL",
        name: str = "",
        identity: str = "",
        hp: str = "",
        multi_page: bool = True,
        action_seconds: float = ACTION_SECONDS,
    ) -> None:
        if not pages:
            raise PostscanError("a scanner needs at least one page")
        sides = repeated([_side(page) for page in pages], number)
        behaviour = behaviour_of(tuple(quirks), tuple(misbehaviours))
        self.machine = EsclMachine(sides, PaperPath(source), behaviour, page_seconds=page_seconds)
        self.machine.jam_after, self.machine.cancel_after = jam_after, cancel_after
        self.uuid = identity or str(uuid.uuid4())
        self.exchanges: deque[EsclExchange] = deque(maxlen=KEPT)
        """What was asked and answered, in the order of the answers."""
        self.listener: Callable[[str], None] = lambda _line: None
        """Called with a line for each request that was answered."""
        self._requests: deque[EsclLoggedRequest] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        host = _reachable(listen[0])
        self._servers: list[BoundedHttpServer] = []
        self._plain = self._server(listen)
        path = f"/{root.strip('/')}".rstrip("/")
        self.url = f"http://{_bracketed(host)}:{self._plain.port}{path}"
        """Where eSCL is, without a slash at the end."""
        self.secure_url = self.fingerprint = self.certificate = ""
        """The same over HTTPS, with SHA-256 of the certificate, and that in PEM form; "" without TLS."""
        if tls or behaviour.to_https or behaviour.http_hangs:
            context, self.fingerprint, self.certificate = certificate.self_signed(host)
            secure = self._server((listen[0], 0), context)
            self.secure_url = f"https://{_bracketed(host)}:{secure.port}{path}"
        self.identity = _identity(behaviour, name, self.uuid)
        self.offered = OfferedSettings.of(tuple(sides), resolutions or _resolutions(sides, behaviour))
        self.resources = EsclResources(
            *(self.machine, self.identity, self.offered),
            ScannerAddresses(path, self.url, self.secure_url, elsewhere),
            Timing(pause, cut_at, cut_page),
            _side(foreign_page) if foreign_page else sides[-1],
            self.stop,
        )
        self.walkup: WalkupMachine | None = None
        """Registered names and events of HP's walk-up, with *hp*."""
        self._walkup_resources: WalkupResources | None = None
        if hp:
            api = WalkupApi[hp.upper()]
            self.walkup = walkup = WalkupMachine(api, multi_page=multi_page, action_seconds=action_seconds)
            self._walkup_resources = WalkupResources(walkup, self.url.removesuffix(path), path)
            self.machine.on_change = lambda _job: _note_job(walkup)
        self._stopped = threading.Event()

    def _server(self, listen: tuple[str, int], tls: ssl.SSLContext | None = None) -> BoundedHttpServer:
        server = BoundedHttpServer(
            listen, EsclHandler, self._respond, server_name=lambda: self.machine.behaviour.server, tls=tls
        )
        self._servers.append(server)
        return server

    # --- life

    def start(self) -> Self:
        """Serve, in threads; return itself."""
        for server in self._servers:
            server.start()
        return self

    def stop(self) -> None:
        """Stop listening and close all connections; a second call does nothing."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
        self.machine.stop()
        if self.walkup is not None:
            self.walkup.stop()
        for server in self._servers:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- what a test looks at

    @property
    def behaviour(self) -> EsclBehaviour:
        """The switches of this device."""
        return self.machine.behaviour

    @property
    def requests(self) -> list[EsclLoggedRequest]:
        """What was asked, answered or not, oldest first."""
        return list(self._requests)

    @property
    def jobs(self) -> list[PulledJob]:
        """All jobs, oldest first."""
        return self.machine.jobs

    # --- the panel

    def cancel(self) -> bool:
        """Press Cancel; return whether there was a job."""
        return self.machine.cancel()

    def jam(self) -> bool:
        """Jam the paper; return whether that aborted a job."""
        return self.machine.jam()

    def open_door(self) -> bool:
        """Open the door; return whether that aborted a job."""
        return self.machine.open_door()

    def clear(self) -> None:
        """Take out jammed paper, and close the door."""
        self.machine.clear()

    def load(self, pages: Sequence[bytes | Path | ScannedSide] | None = None) -> None:
        """Put paper into the feeder: *pages*, else those of the start."""
        self.machine.load(None if pages is None else [_side(page) for page in pages])

    def cut(self, at: int, page: int = 1) -> None:
        """Close the connection after *at* bytes of this page of each job; -1 ends that."""
        self.resources.timing = replace(self.resources.timing, cut_at=at, cut_page=page)

    def reboot(self) -> None:
        """Restart the device: it forgets its jobs and registered names, and closes all connections."""
        self.machine.reboot()
        if self.walkup is not None:
            self.walkup.reboot()
        for server in self._servers:
            server.disconnect()

    def press(self, label: str, *, shortcut: str = "SavePDF", duplex: bool = False, start: bool = True) -> str:
        """Choose a registered name at an HP panel; return the AgingStamp of the event. Raise `UnknownWalkupName`."""
        return self._hp().press(label, shortcut=shortcut, duplex=duplex, start=start)

    def next_page(self) -> str:
        """Put the next page on the platen, and ask for it to be scanned into the same document."""
        self.machine.turn_page()
        return self._hp().next_page()

    def done(self) -> str:
        """Say that there is no other page."""
        return self._hp().done()

    def _hp(self) -> WalkupMachine:
        if self.walkup is None:
            raise UnknownWalkupName("this scanner has no walk-up")
        return self.walkup

    def announce(self) -> ScannerAnnouncement:
        """Announce the scanner by mDNS, on the interface of its address; the caller closes the announcement."""
        root = self.url.split("/", 3)[3:] or [""]
        text = text_record(self.identity, self.offered, self.machine.path, root[0])
        return ScannerAnnouncement(self.identity.make_and_model, (self.url, self.secure_url), text)

    # --- inside

    def _respond(self, request: EsclRequest) -> EsclReply:
        self._requests.append(EsclLoggedRequest(request.arrived, request.method, request.path))
        walkup = self._walkup_resources
        reply = (walkup.respond(request) if walkup is not None else None) or self.resources.respond(request)
        exchange = EsclExchange(
            request.arrived, request.method, request.path, request.headers, request.secure, reply.status
        )
        self.exchanges.append(exchange)
        self.listener(f"{request.method} {request.path} {reply.status}")
        return reply


def _note_job(walkup: WalkupMachine) -> None:
    walkup.note("JobEvent")


def _side(page: bytes | Path | ScannedSide) -> ScannedSide:
    if isinstance(page, ScannedSide):
        return page
    return ScannedSide.of(page) if isinstance(page, bytes) else ScannedSide.read(page)


def _resolutions(sides: list[ScannedSide], behaviour: EsclBehaviour) -> tuple[int, ...]:
    """Return the resolutions of the pages; with a quirk of high resolutions also 600."""
    own = {side.density for side in sides}
    return tuple(sorted(own | {600})) if behaviour.largest_true_resolution else tuple(sorted(own))


def _identity(behaviour: EsclBehaviour, name: str, identity: str) -> DeviceIdentity:
    return DeviceIdentity(
        behaviour.version,
        name or behaviour.make_and_model,
        behaviour.manufacturer,
        "postscan-0001",
        identity,
    )


def _reachable(host: str) -> str:
    """Return the address that others reach; for a wildcard that of the route to the outside, else loopback."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - it is looked for, not bound
        return host
    family, outside, loopback = (
        (socket.AF_INET6, "2001:db8::1", "::1") if ":" in host else (socket.AF_INET, "192.0.2.1", "127.0.0.1")
    )
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((outside, 9))  # of UDP: nothing is sent
        return str(probe.getsockname()[0])
    return loopback


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
