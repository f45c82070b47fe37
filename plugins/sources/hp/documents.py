"""The documents of HP's walk-up, as values; no I/O.

Elements are found by their local names in the namespaces of HP, of which devices use several generations. Every text is
cut, every number has bounds. Source: escl.md section 8; ESCL-050, ESCL-054.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from xml.sax.saxutils import escape

from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.escl.messages import status, xml
from postscan.plugins.sources.escl.messages.xml import EsclElement

MOST_DESTINATIONS: Final = 15
"""Most destinations that are registered, whatever a device offers."""

ACTION_SECONDS: Final = 60.0
"""UserActionTimeout of a device that states none."""

_LONGEST: Final = 255  # characters of a name, a path segment or a keyword
_LONGEST_PATH: Final = 1024
_LONGEST_ACTION: Final = 600.0  # seconds
_PATH: Final = re.compile(r"/[!-~]*")
_HP: Final = ("http://www.hp.com/schemas/imaging/", "http://schemas.hp.com/imaging/")


class WalkupKind(StrEnum):
    """The two interfaces: the newer WalkupScanToComp, and WalkupScan."""

    TO_COMP = "WalkupScanToComp"
    OLDER = "WalkupScan"

    @property
    def destinations(self) -> str:
        """The path of the list of destinations."""
        return f"/{self}/{self}Destinations"

    @property
    def namespace(self) -> str:
        """The namespace of a new destination; a device answers the other one with 400."""
        if self is WalkupKind.TO_COMP:
            return "http://www.hp.com/schemas/imaging/con/ledm/walkupscan/2010/09/28"
        return "http://www.hp.com/schemas/imaging/con/rest/walkupscan/2009/09/21"


class WalkupPressState(StrEnum):
    """What the person at a panel with WalkupScanToComp has done last; devices may have further words."""

    SELECTED = "HostSelected"
    REQUESTED = "ScanRequested"
    NEW_PAGE = "ScanNewPageRequested"
    COMPLETE = "ScanPagesComplete"


@dataclass(frozen=True)
class WalkupLimits:
    """How many destinations a device takes, whether a scan may have several sheets of the platen, and their pause."""

    destinations: int = MOST_DESTINATIONS
    several_sheets: bool = False
    action_seconds: float = ACTION_SECONDS


@dataclass(frozen=True)
class RegisteredDestination:
    """A destination that a device has, of this computer or of another: its path, its Name and its Hostname."""

    path: str
    name: str
    host: str


@dataclass(frozen=True)
class PanelChoice:
    """What the person chose beside the destination: a keyword such as SavePDF, and Simplex or Duplex; "" if unknown."""

    shortcut: str = ""
    plex: str = ""


@dataclass(frozen=True)
class ScanEvent:
    """An event of a press: its AgingStamp, the path of the destination, and that of the state of the press or ""."""

    stamp: str
    destination: str
    state: str = ""

    @property
    def key(self) -> str:
        """The name of the press at its device.

        A device that counts its events from 1 again has lost its registrations too, and names new ones otherwise.
        """
        return f"{self.stamp}/{self.destination.rpartition('/')[2]}"


def kind_in_tree(data: bytes) -> WalkupKind | None:
    """Return the interface that a DiscoveryTree names, the newer one of both; None if it names none."""
    root = _parse(data, "DiscoveryTree")
    types = {one.value("ResourceType") for one in root.all("SupportedIfc")}
    for kind in WalkupKind:
        if any(f"{kind}Manifest" in one for one in types):
            return kind
    return None


def limits(data: bytes, kind: WalkupKind) -> WalkupLimits:
    """Return the limits in a WalkupScanToCompCaps, or in a WalkupScanDestinations."""
    root = _parse(data, "WalkupScanToCompCaps" if kind is WalkupKind.TO_COMP else "WalkupScanDestinations")
    most = root.number("MaxNetworkDestinations") or MOST_DESTINATIONS
    return WalkupLimits(
        destinations=min(most, MOST_DESTINATIONS),
        several_sheets=root.value("SupportsMultiItemScanFromPlaten").lower() in ("true", "1"),
        action_seconds=_seconds(root.value("UserActionTimeout", "ValueFloat")),
    )


def destinations(data: bytes, kind: WalkupKind) -> tuple[RegisteredDestination, ...]:
    """Return the destinations in the list of a device; one without a usable path is left out."""
    root = _parse(data, f"{kind}Destinations")
    found = (
        RegisteredDestination(
            path_of(one.value("ResourceURI")), one.value("Name")[:_LONGEST], one.value("Hostname")[:_LONGEST]
        )
        for one in root.all(f"{kind}Destination")
    )
    return tuple(one for one in found if one.path)


def choice(data: bytes, kind: WalkupKind) -> PanelChoice:
    """Return what was chosen, from the document of a destination: it, or a list with it alone."""
    try:
        root = _parse(data, f"{kind}Destination")
    except DeviceRefused:
        root = _parse(data, f"{kind}Destinations")
    shortcut = next((one.text for one in root.anywhere("Shortcut")), "")
    plex = next((one.text for one in root.anywhere("ScanPlexMode")), "")
    return PanelChoice(shortcut[:_LONGEST], plex[:_LONGEST])


def scan_events(data: bytes) -> tuple[ScanEvent, ...]:
    """Return the events of presses in an EventTable, in its order, but for those that lack a stamp or a destination."""
    root = _parse(data, "EventTable")
    found = (_event(one) for one in root.all("Event") if one.value("UnqualifiedEventCategory") == "ScanEvent")
    return tuple(one for one in found if one.stamp and one.destination)


def press_state(data: bytes) -> str:
    """Return the state in a WalkupScanToCompEvent, usually a `WalkupPressState`."""
    return _parse(data, "WalkupScanToCompEvent").value("WalkupScanToCompEventType")[:_LONGEST]


def new_destination(kind: WalkupKind, name: str, host: str) -> bytes:
    """Return the document that registers a destination."""
    dictionaries = "http://www.hp.com/schemas/imaging/con/dictionaries"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<{kind}Destination xmlns="{kind.namespace}">'
        f'<Hostname xmlns="{dictionaries}/2009/04/06">{escape(host)}</Hostname>'
        f'<Name xmlns="{dictionaries}/1.0/">{escape(name)}</Name>'
        f"<LinkType>Network</LinkType></{kind}Destination>"
    ).encode()


def path_of(uri: str) -> str:
    """Return the path of a URI of the device, whatever host it names; "" if it is none that can be called."""
    path = status.path_of(uri)
    return path if _PATH.fullmatch(path) and path != "/" and len(path) <= _LONGEST_PATH else ""


def is_same(path: str, other: str) -> bool:
    """Return whether two paths name one destination: devices write the path in several ways, its last part in one."""
    return path == other or path.rpartition("/")[2] == other.rpartition("/")[2]


def _event(element: EsclElement) -> ScanEvent:
    paths = {one.value("ResourceType"): path_of(one.value("ResourceURI")) for one in element.all("Payload")}
    return ScanEvent(
        stamp=element.value("AgingStamp")[:_LONGEST],
        destination=next((path for kind, path in paths.items() if "Destination" in kind), ""),
        state=next((path for kind, path in paths.items() if "CompEvent" in kind), ""),
    )


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return ACTION_SECONDS
    return min(max(found, 1.0), _LONGEST_ACTION) if math.isfinite(found) and found > 0 else ACTION_SECONDS


def _parse(data: bytes, root: str) -> EsclElement:
    return xml.parse(data, root, lambda namespace: namespace.startswith(_HP))
