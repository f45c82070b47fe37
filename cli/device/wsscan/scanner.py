"""The simulated scanner: its parts, its power switch, and what happens on its panel and in its feeder.

Source: ws-scan.md, seen from the device.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from postscan.cli.device.wsscan.behaviour.misbehaviours import WsdMisbehaviours
from postscan.cli.device.wsscan.behaviour.quirks import model_of, traits_of
from postscan.cli.device.wsscan.description.status import DeviceCondition, ScannerStatus, state_of
from postscan.cli.device.wsscan.eventing.durations import LONGEST
from postscan.cli.device.wsscan.eventing.event_source import WsdEventSource
from postscan.cli.device.wsscan.eventing.notifier import WsdNotifier
from postscan.cli.device.wsscan.eventing.subscriptions import SubscriptionTable, WsdSubscription
from postscan.cli.device.wsscan.jobs import pages as paper
from postscan.cli.device.wsscan.jobs.job_list import FIRST_SECONDS, DeviceJob, JobList, WsdJobState
from postscan.cli.device.wsscan.jobs.pages import ScannedPage
from postscan.cli.device.wsscan.operations import SOURCES, ScanServiceParts
from postscan.cli.device.wsscan.panel import PRESS_SECONDS, PanelPress, ScannerPanel, shown_destinations
from postscan.cli.device.wsscan.protocol import discovery
from postscan.cli.device.wsscan.protocol.discovery import DiscoverySocket
from postscan.cli.device.wsscan.protocol.http_server import WsdHttpServer
from postscan.cli.device.wsscan.protocol.request_log import LoggedEvent, LoggedRequest, RequestLog
from postscan.cli.device.wsscan.protocol.soap import SoapWriter
from postscan.cli.device.wsscan.service import DEVICE_PATH, MANAGER_PATH, SERVICE_PATH, DeviceEndpoints, ScannerService
from postscan.core.errors import InvalidArgument

START_SECONDS: Final = 30.0
"""Seconds for which a scanner with the trait `starts_slowly` does not respond after power-on."""

DRAIN_SECONDS: Final = 2.0
"""Seconds that running responses get at a stop; a power cut gives them none."""

ANY_ADDRESS: Final = ("0.0.0.0", "::", "")  # noqa: S104  # compared, not listened at
_ELSEWHERE: Final = "192.0.2.1"  # an address that no machine has (RFC 5737), for the route to others
_TICK: Final = 0.05


@dataclass
class LoadedFeeder:
    """The paper, and its place: `platen`, `feeder` or `duplex`."""

    source: str
    pages: Sequence[ScannedPage]


class WsdScanner:
    """A WSD scanner with a panel, as an object: use it in a `with` block, or call `start` and `stop`.

    *pages* are files or bytes, repeated or cut to *count*; without any there are generated ones. *source* is where
    they lie. *quirks* and *misbehaviours* are names of the tables. `first_seconds` is how long a job waits for
    RetrieveImage, `press_seconds` how long a press waits for its job, `longest_grant` the longest subscription,
    `start_seconds` how long a slow scanner does not respond after power-on. With *announce* it sends Hello and Bye,
    and responds to Probe at the multicast group. *log* gets each line of the panel.
    """

    def __init__(
        self,
        pages: Iterable[Path | bytes] = (),
        *,
        count: int | None = None,
        source: str = "feeder",
        host: str = "127.0.0.1",
        port: int = 0,
        quirks: Iterable[str] = (),
        misbehaviours: Iterable[str] = (),
        name: str = "Simulated scanner",
        identity: str = "",
        first_seconds: float = FIRST_SECONDS,
        press_seconds: float = PRESS_SECONDS,
        longest_grant: float = LONGEST,
        start_seconds: float = START_SECONDS,
        announce: bool = False,
        discovery_port: int = discovery.PORT,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        if source not in SOURCES:
            raise InvalidArgument("--source", source, f"one of {', '.join(SOURCES)}")
        self.uuid = identity or f"urn:uuid:{uuid.uuid4()}"
        self.name = name
        quirks = tuple(quirks)
        self.traits = traits_of(quirks)
        self.model = model_of(quirks)
        self.misbehaviours = WsdMisbehaviours(misbehaviours)
        self._record = RequestLog()
        self.instance = int(time.time())
        """InstanceId of WS-Discovery: it grows with each start."""
        self._feeder = LoadedFeeder(source, paper.load(pages, count))
        self._writer = SoapWriter(self.traits.odd_names, self.traits.https_namespaces)
        self._lock = threading.RLock()
        self._power = threading.RLock()
        self._on = False
        self._stopped = threading.Event()
        self._start_seconds = start_seconds
        self._jobs = JobList(self._lock, self._job_changed, first_seconds)
        self._status = ScannerStatus(self._condition_raised, self._condition_cleared)
        self._log = log
        self._shown: list[str] = []
        self._subscriptions = SubscriptionTable(self._destinations_changed, longest_grant)
        self._notifier = WsdNotifier(
            self._writer, self._may_send, self._sent, wants_soap_reply=self.traits.wants_soap_reply
        )
        self._events = WsdEventSource(self._writer, self._subscriptions, self._notifier)
        self._panel = ScannerPanel(
            self._subscriptions,
            self._jobs,
            self._notifier,
            self._writer,
            self.misbehaviours,
            log,
            self._lock,
            press_seconds,
        )
        self._parts = ScanServiceParts(
            name,
            self.model,
            self._writer,
            self._feeder,
            self._jobs,
            self._panel,
            self._status,
            self.traits,
            self.misbehaviours,
            self._lock,
        )
        self._service = ScannerService(self._parts, self._subscriptions, self)
        self._http = WsdHttpServer(host, port, self._service.handle)
        self._host = host
        self._announce, self._discovery_port = announce, discovery_port
        self._discovery: DiscoverySocket | None = None
        self._clock = threading.Thread(target=self._watch_the_time, name="wsd-clock", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- addresses ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The address of the device, for metadata."""
        return self.endpoints().device

    @property
    def service_url(self) -> str:
        """The address of the scan service."""
        return self.endpoints().service

    @property
    def manager_url(self) -> str:
        """The address of the subscription manager."""
        return self.endpoints().manager

    def endpoints(self, local: str = "") -> DeviceEndpoints:
        """Return what the scanner tells of itself in its metadata to a client that reaches it at the address *local*.

        If it listens at one address, it tells that one; an empty *local* stands for this machine's first.
        """
        host = self._host
        if host in ANY_ADDRESS:
            host = local or discovery.local_address(_ELSEWHERE)
        origin = f"http://{f'[{host}]' if ':' in host else host}:{self._http.port}"
        return DeviceEndpoints(self.uuid, origin + DEVICE_PATH, origin + SERVICE_PATH, origin + MANAGER_PATH)

    # --- power ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Switch on for the first time; raise `OSError` if the port is taken."""
        self.power_on()
        self._clock.start()

    def stop(self) -> None:
        """Stop in order: SubscriptionEnd to the subscribers, then off."""
        self._stopped.set()
        if self._on:
            self.end_subscriptions("SourceShuttingDown")
        if self._discovery is not None:
            self._discovery.announce("Bye", lambda _address: self._service.bye())
        self.power_off(drain=DRAIN_SECONDS)
        if self._clock.is_alive():
            self._clock.join()

    def power_on(self) -> None:
        """Switch on, with a new instance."""
        with self._power:
            if not self._on:
                self.instance = max(int(time.time()), self.instance + 1)
                self._service.awake_at = time.monotonic() + (self._start_seconds if self.traits.starts_slowly else 0.0)
                self._service.deaf = False
                self._http.start()
                self._on = True
                if self._announce:
                    self._start_discovery()

    def power_off(self, *, keep_subscriptions: bool = False, drain: float = 0.0) -> None:
        """Cut the power: connections break, jobs are forgotten, and so are subscriptions if they are not kept.

        Responses get *drain* seconds to be sent.
        """
        with self._power:
            if not self._on:
                return
            self._on = False
            self._http.stop(drain)
            if self._discovery is not None:
                self._discovery.close()
                self._discovery = None
        if not keep_subscriptions:
            self._subscriptions.forget()
        with self._lock:
            self._jobs.forget()
            self._panel.forget()

    def reboot(self, *, keep_subscriptions: bool = False) -> None:
        """Switch off and on."""
        self.power_off(keep_subscriptions=keep_subscriptions)
        self.power_on()

    @property
    def is_on(self) -> bool:
        """True between power-on and power-off."""
        return self._on

    def _start_discovery(self) -> None:
        respond = self._service.discover
        self._discovery = DiscoverySocket(self._writer, self.instance, respond, self._discovery_port)
        self._discovery.announce("Hello", lambda address: self._service.match("wsd:Hello", self.endpoints(address)))

    # --- panel and paper ------------------------------------------------------------------------------------------

    @property
    def destinations(self) -> list[str]:
        """The labels on the panel, in the order of the subscriptions."""
        return [destination.label for destination, _ in self._panel.entries]

    def press(self, label: str) -> PanelPress:
        """Choose a destination at the panel; raise `PanelError`."""
        return self._panel.press(label, SOURCES[self._feeder.source])

    def cancel(self) -> bool:
        """Press Stop; false if the scan has ended."""
        return self._panel.cancel()

    def jam(self) -> None:
        """Jam the paper: the active job is aborted, and no job is accepted until `clear`."""
        self._stop_scanning("MediaJam")

    def open(self) -> None:
        """Open the cover: the active job is aborted, and no job is accepted until `close`."""
        self._stop_scanning("CoverOpen")

    def clear(self) -> bool:
        """Take the jammed paper out; false if none is jammed."""
        return self._status.clear("MediaJam")

    def close(self) -> bool:
        """Close the cover; false if it is not open."""
        return self._status.clear("CoverOpen")

    def load(self, pages: Iterable[Path | bytes], source: str | None = None) -> None:
        """Put other paper in, or none; subscribers learn of a change of the formats."""
        given, formats = list(pages), self._parts.formats()
        self._feeder.pages = paper.load(given) if given else ()
        self._feeder.source = source or self._feeder.source
        if formats != self._parts.formats():
            self._events.configuration_changed(self._parts.configuration)

    @property
    def pages(self) -> Sequence[ScannedPage]:
        """The paper in the scanner."""
        return self._feeder.pages

    # --- what has happened ----------------------------------------------------------------------------------------

    @property
    def jobs(self) -> list[DeviceJob]:
        """All jobs, those from before a restart as well."""
        return self._jobs.ever

    @property
    def subscriptions(self) -> list[WsdSubscription]:
        """The live subscriptions."""
        return self._subscriptions.live

    @property
    def deviations(self) -> list[str]:
        """What clients have done differently from the protocol, without being refused."""
        return self._parts.deviations

    @property
    def state(self) -> str:
        """Idle, Processing or Stopped."""
        return state_of(self._status, self._jobs.active is not None)

    @property
    def conditions(self) -> list[str]:
        """What is wrong with the scanner."""
        return [one.name for one in self._status.conditions]

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests of clients."""
        return self._record.requests

    @property
    def events(self) -> list[LoggedEvent]:
        """The events that were sent."""
        return self._record.events

    def bodies(self, operation: str) -> list[bytes]:
        """Return the last hundred requests of an operation as they were received."""
        return self._record.bodies(operation)

    def record(self, method: str, what: str, data: bytes) -> None:
        """Add a request to the log."""
        self._record.add_request(method, what, data)

    def end_subscriptions(self, status: str = "SourceCancelling") -> None:
        """End all subscriptions, with SubscriptionEnd to those that have an EndTo."""
        self._events.end_subscriptions(self.manager_url, status)

    # --- events ---------------------------------------------------------------------------------------------------

    def _stop_scanning(self, condition: str) -> None:
        job = self._jobs.active
        if job is not None:
            self._jobs.end(job, WsdJobState.ABORTED, "ScannerStopped")
        self._status.set(condition)

    def _job_changed(self, job: DeviceJob) -> None:
        self._events.job_changed(job)
        self._panel.job_changed(job)
        self._state_may_have_changed()

    def _condition_raised(self, condition: DeviceCondition) -> None:
        self._events.condition_raised(condition)
        self._state_may_have_changed()

    def _condition_cleared(self, condition: DeviceCondition) -> None:
        self._events.condition_cleared(condition)
        self._state_may_have_changed()

    def _state_may_have_changed(self) -> None:
        with self._lock:
            self._events.state_may_have_changed(self._status, self._jobs.active is not None)

    def _may_send(self, action: str) -> bool:
        name = action.rpartition("/")[2]
        self._service.cut_power_at(name, "before")
        if self._on:
            self._record.add_event(action)
        return self._on

    def _sent(self, action: str) -> None:
        self._service.cut_power_at(action.rpartition("/")[2], "after")

    def _destinations_changed(self) -> None:
        labels = self.destinations
        if labels != self._shown:
            self._shown = labels
            self._log(shown_destinations(labels))

    # --- time -----------------------------------------------------------------------------------------------------

    def _watch_the_time(self) -> None:
        while not self._stopped.wait(_TICK):
            self._jobs.end_late_ones()
            self._panel.end_late_ones()
            if self._subscriptions.remove_expired() and self.traits.deaf_after_lost_client:
                self._service.deaf = True
