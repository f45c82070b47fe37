"""Namespaces, paths and words of HP's walk-up interfaces.

Source: escl.md section 8, and the recorded documents that it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

DD: Final = "http://www.hp.com/schemas/imaging/con/dictionaries/1.0/"
DD3: Final = "http://www.hp.com/schemas/imaging/con/dictionaries/2009/04/06"
EVENTS: Final = "http://www.hp.com/schemas/imaging/con/ledm/events/2007/09/16"
LEDM: Final = "http://www.hp.com/schemas/imaging/con/ledm/2007/09/21"
MANIFEST: Final = "http://www.hp.com/schemas/imaging/con/ledm/manifest/2009/03/24"
MAP: Final = "http://www.hp.com/schemas/imaging/con/ledm/resourcemap/2009/01/27"
SCANTYPE: Final = "http://www.hp.com/schemas/imaging/con/ledm/scantype/2008/03/17"

DISCOVERY_TREE: Final = "/DevMgmt/DiscoveryTree.xml"
EVENT_TABLE: Final = "/EventMgmt/EventTable"
ESCL_MANIFEST: Final = "/eSCL/eSclManifest.xml"

MAX_DESTINATIONS: Final = 15
SHORTCUTS: Final = ("SavePDF", "SaveJPEG", "EmailPDF", "EmailJPEG", "GeneralScan")


class WalkupState(StrEnum):
    """The resource WalkupScanToCompEvent."""

    HOST_SELECTED = "HostSelected"
    SCAN_REQUESTED = "ScanRequested"
    NEW_PAGE = "ScanNewPageRequested"
    COMPLETE = "ScanPagesComplete"


@dataclass(frozen=True, slots=True)
class WalkupWords:
    """The names of one generation of the interface."""

    namespace: str
    folder: str
    """Path of the interface; also the element that stands for it."""
    manifest_type: str
    payload_type: str
    """ResourceType of the destination in an event."""

    @property
    def destinations(self) -> str:
        """Path of the list of destinations."""
        return f"/{self.folder}/{self.folder}Destinations"

    @property
    def manifest(self) -> str:
        """Path of the manifest."""
        return f"/{self.folder}/{self.folder}Manifest.xml"

    @property
    def caps(self) -> str:
        """Path of the capabilities; only ToComp has them."""
        return f"/{self.folder}/{self.folder}Caps"

    @property
    def event(self) -> str:
        """Path of the state of a press; only ToComp has it."""
        return f"/{self.folder}/{self.folder}Event"


class WalkupApi(Enum):
    """The two generations."""

    COMP = WalkupWords(
        "http://www.hp.com/schemas/imaging/con/ledm/walkupscan/2010/09/28",
        "WalkupScanToComp",
        "ledm:hpLedmWalkupScanToCompManifest",
        "wus:WalkupScanToCompDestination",
    )
    OLD = WalkupWords(
        "http://www.hp.com/schemas/imaging/con/rest/walkupscan/2009/09/21",
        "WalkupScan",
        "hpCnxWalkupScanManifest",
        "hpCnxWalkupScanDestinations",
    )
