"""A scripted HP device on loopback: the eSCL device with destinations at its panel, and a table of events.

    with HpDevice([page]) as device:
        device.press("Invoices")

It has none of the code of `postscan device --escl`, and none of the source.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from xml.sax.saxutils import escape

from escl_device import EsclDevice, Exchange
from works import until

DD = "http://www.hp.com/schemas/imaging/con/dictionaries/1.0/"
DD3 = "http://www.hp.com/schemas/imaging/con/dictionaries/2009/04/06"
EV = "http://www.hp.com/schemas/imaging/con/ledm/events/2007/09/16"
LEDM = "http://www.hp.com/schemas/imaging/con/ledm/2007/09/21"
SCANTYPE = "http://www.hp.com/schemas/imaging/con/ledm/scantype/2008/03/17"
NAMESPACES = {
    "WalkupScanToComp": "http://www.hp.com/schemas/imaging/con/ledm/walkupscan/2010/09/28",
    "WalkupScan": "http://www.hp.com/schemas/imaging/con/rest/walkupscan/2009/09/21",
}
MANIFESTS = {"WalkupScanToComp": "ledm:hpLedmWalkupScanToCompManifest", "WalkupScan": "hpCnxWalkupScanManifest"}


class HpDevice(EsclDevice):
    """The device; `kind` is its interface. `registered` has Name and Hostname by path.

    The panel is `scan`, `press` and `ask`.
    """

    def __init__(self, pages: list[bytes], kind: str = "WalkupScanToComp", feeder: str = "ScannerAdfEmpty") -> None:
        super().__init__(list(pages), model="HP Acme 1", feeder=feeder)
        self.kind = kind
        self.namespace = NAMESPACES[kind]
        self.registered: dict[str, tuple[str, str]] = {}
        self.most = 15
        self.several_sheets = True
        self.action_seconds = 60.0
        self.has_tree = True
        self.longest_name = 255
        self.shortcut, self.plex, self.press_state = "SavePDF", "Simplex", ""
        self.starts, self.number = 0, 0
        self.events: dict[str, tuple[str, str]] = {}  # category and path of the destination by AgingStamp
        self.waiting = self.most_waiting = 0
        self.changed = threading.Condition(self.lock)
        self.pressed = ""
        self.is_off = False
        self.reboot()

    # --- the panel -----------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The names at the panel, sorted."""
        with self.lock:
            return sorted(name for name, _ in self.registered.values())

    def press(self, name: str, state: str = "ScanRequested") -> str:
        """Choose a name, as soon as it is there and the source waits, and return the AgingStamp."""
        until(lambda: name in self.names and self.waiting, f"for {name}: {self.names}")
        with self.changed:
            self.pressed = next(path for path, (known, _) in self.registered.items() if known == name)
            return self.ask(state)

    def scan(self, name: str) -> str:
        """Choose a name, and say that there is no further sheet when the scan has begun; return the AgingStamp."""
        before = len(self.jobs)
        stamp = self.press(name)
        until(lambda: len(self.jobs) > before, f"for the scan of {name}")
        self.ask("ScanPagesComplete")
        return stamp

    def ask(self, state: str) -> str:
        """Let the person ask for something, which is an event, and return its AgingStamp."""
        with self.changed:
            self.press_state = state
            return self.note("ScanEvent", self.pressed)

    def note(self, category: str, path: str = "") -> str:
        """Put an event into the table in place of the one before of its kind, and return its AgingStamp."""
        with self.changed:
            self.number += 1
            stamp = self.etag
            self.events = {one: about for one, about in self.events.items() if about != (category, path)}
            self.events[stamp] = category, path
            self.changed.notify_all()
            return stamp

    def reboot(self) -> None:
        """Forget destinations and events."""
        with self.changed:
            self.starts, self.number = self.starts + 1, 0
            self.registered, self.events, self.press_state = {}, {}, ""
            self.note("PowerUpEvent")

    def switch(self, *, on: bool) -> None:
        """Switch the device off, so that every connection breaks, or on, as after a reboot."""
        with self.changed:
            self.is_off = not on
            self.reboot()

    @property
    def etag(self) -> str:
        """The ETag of the table."""
        return f"{self.starts}-{self.number}"

    # --- requests ------------------------------------------------------------------------------------------------

    def usual(self, exchange: Exchange) -> None:
        """Answer as the device does."""
        if self.is_off:
            exchange.cut(reset=True)
            return
        method, (path, _, query) = exchange.request.method, exchange.request.path.partition("?")
        known = {
            "/DevMgmt/DiscoveryTree.xml": self.tree,
            f"/{self.kind}/{self.kind}Destinations": self.list,
            "/WalkupScanToComp/WalkupScanToCompCaps": self.caps,
            "/WalkupScanToComp/WalkupScanToCompEvent": self.state_of_press,
        }
        if path == "/EventMgmt/EventTable":
            self.answer_events(exchange, query)
        elif path in known and method == "GET":
            body = known[path]()
            exchange.answer(200 if body else 404, body)
        elif path == f"/{self.kind}/{self.kind}Destinations" and method == "POST":
            self.register(exchange)
        elif path in self.registered:
            if method == "DELETE":
                del self.registered[path]
                exchange.answer(204)
            else:
                exchange.answer(200, self.one(path))
        else:
            super().usual(exchange)

    def register(self, exchange: Exchange) -> None:
        """Add a destination, of the right namespace alone."""
        body = exchange.request.body.decode()
        names = dict(re.findall(r"<(Name|Hostname)\b[^>]*>([^<]*)<", body))
        if self.namespace not in body or names.keys() != {"Name", "Hostname"}:
            exchange.answer(400)
        elif len(self.registered) >= self.most:
            exchange.answer(503)
        else:
            path = f"/{self.kind}/{self.kind}Destinations/{uuid.uuid4()}"
            with self.lock:
                self.registered[path] = names["Name"][: self.longest_name], names["Hostname"]
            exchange.answer(201, Location=f"http://192.0.2.7:8080{path}")

    def answer_events(self, exchange: Exchange, query: str) -> None:
        """Answer at once, or, with the present ETag and a timeout, when there is another one."""
        known = exchange.request.headers.get("if-none-match", "")
        end = time.monotonic() + int(query.removeprefix("timeout=") or 0) / 10
        with self.changed:
            self.waiting += bool(query)
            self.most_waiting = max(self.most_waiting, self.waiting)
            while known == self.etag and (left := end - time.monotonic()) > 0:
                self.changed.wait(left)
            self.waiting -= bool(query)
            etag, body = self.etag, self.table()
        if self.is_off:
            exchange.cut(reset=True)
            return
        if known == etag:
            exchange.answer(304, ETag=etag)
        else:
            exchange.answer(200, body, ETag=etag)

    # --- documents -----------------------------------------------------------------------------------------------

    def tree(self) -> bytes:
        """Return the DiscoveryTree, nothing without `has_tree`."""
        manifests = (MANIFESTS[self.kind], "eSCL:eSclManifest")
        interfaces = "".join(
            f"<l:SupportedIfc><d:ResourceType>{one}</d:ResourceType></l:SupportedIfc>" for one in manifests
        )
        whole = f'<l:DiscoveryTree xmlns:l="{LEDM}" xmlns:d="{DD}">{interfaces}</l:DiscoveryTree>'
        return whole.encode() if self.has_tree else b""

    def caps(self) -> bytes:
        """Return WalkupScanToCompCaps, nothing with the older interface."""
        whole = (
            f'<w:WalkupScanToCompCaps xmlns:w="{self.namespace}" xmlns:d="{DD}">'
            f"<w:MaxNetworkDestinations>{self.most}</w:MaxNetworkDestinations>"
            f"<w:SupportsMultiItemScanFromPlaten>{str(self.several_sheets).lower()}</w:SupportsMultiItemScanFromPlaten>"
            f"<w:UserActionTimeout><d:ValueFloat>{self.action_seconds}</d:ValueFloat><d:Unit>seconds</d:Unit>"
            "</w:UserActionTimeout></w:WalkupScanToCompCaps>"
        )
        return whole.encode() if self.kind == "WalkupScanToComp" else b""

    def list(self) -> bytes:
        """Return the destinations."""
        with self.lock:
            ones = "".join(self._one(path) for path in self.registered)
        most = f"<w:MaxNetworkDestinations>{self.most}</w:MaxNetworkDestinations>"
        return self._walkup(f"{self.kind}Destinations", ones + most * (self.kind == "WalkupScan"))

    def one(self, path: str) -> bytes:
        """Return a destination with what was chosen; the older interface has a list around it."""
        settings = f"{self.kind}Settings"
        shortcut = f"<w:Shortcut>{self.shortcut}</w:Shortcut>" if self.shortcut else ""
        chosen = (
            f'<w:{settings}><t:ScanSettings xmlns:t="{SCANTYPE}"><d:ScanPlexMode>{self.plex}</d:ScanPlexMode>'
            f"</t:ScanSettings>{shortcut}</w:{settings}>"
        )
        if self.kind == "WalkupScan":
            return self._walkup("WalkupScanDestinations", self._one(path, chosen))
        return self._walkup("WalkupScanToCompDestination", self._parts(path) + chosen)

    def state_of_press(self) -> bytes:
        """Return what the person asks for."""
        inside = f"<w:WalkupScanToCompEventType>{self.press_state}</w:WalkupScanToCompEventType>"
        return self._walkup("WalkupScanToCompEvent", inside)

    def table(self) -> bytes:
        """Return the table of events."""
        events = "".join(map(self._event, self.events))
        return f'<e:EventTable xmlns:e="{EV}" xmlns:d="{DD}">{events}</e:EventTable>'.encode()

    def _event(self, stamp: str) -> str:
        category, path = self.events[stamp]
        payloads = [(f"http://192.0.2.7:8080{path}", f"wus:{self.kind}Destination")] if path else []
        if path and self.kind == "WalkupScanToComp":
            payloads.append(("/WalkupScanToComp/WalkupScanToCompEvent", "wus:WalkupScanToCompEvent"))
        inside = "".join(
            f"<e:Payload><d:ResourceURI>{uri}</d:ResourceURI><d:ResourceType>{kind}</d:ResourceType></e:Payload>"
            for uri, kind in payloads
        )
        return (
            f"<e:Event><d:UnqualifiedEventCategory>{category}</d:UnqualifiedEventCategory>"
            f"<d:AgingStamp>{stamp}</d:AgingStamp>{inside}</e:Event>"
        )

    def _one(self, path: str, more: str = "") -> str:
        return f"<w:{self.kind}Destination>{self._parts(path)}{more}</w:{self.kind}Destination>"

    def _parts(self, path: str) -> str:
        name, host = self.registered[path]
        return (
            f"<d:ResourceURI>http://192.0.2.7:8080{path}</d:ResourceURI><d:Name>{escape(name)}</d:Name>"
            f"<d3:Hostname>{escape(host)}</d3:Hostname><w:LinkType>Network</w:LinkType>"
        )

    def _walkup(self, root: str, inside: str) -> bytes:
        return f'<w:{root} xmlns:w="{self.namespace}" xmlns:d="{DD}" xmlns:d3="{DD3}">{inside}</w:{root}>'.encode()
