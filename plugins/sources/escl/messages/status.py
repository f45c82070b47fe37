"""ScannerStatus: whether the device can scan, what its feeder has, and its jobs. Source: escl.md section 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from postscan.plugins.sources.escl.messages import xml
from postscan.plugins.sources.escl.messages.xml import EsclElement

LOADED: Final = "ScannerAdfLoaded"
EMPTY: Final = ("ScannerAdfEmpty", "ScannerAdfProcessing")
"""Kyocera reports the second while it feeds nothing."""

_FAULTS: Final = {
    "ScannerAdfJam": "paper is jammed in the feeder",
    "ScannerAdfDoorOpen": "the door of the feeder is open",
    "ScannerAdfHatchOpen": "the door of the feeder is open",
    "ScannerAdfMispick": "the feeder could not pick a sheet",
    "ScannerAdfMultipickDetected": "the feeder picked several sheets at once",
    "ScannerAdfInputTrayFailed": "the input tray of the feeder has failed",
    "ScannerAdfInputTrayOverloaded": "the input tray of the feeder is overloaded",
    "ScannerAdfDuplexPageTooShort": "a sheet is too short for duplex",
    "ScannerAdfDuplexPageTooLong": "a sheet is too long for duplex",
}
"""Sentences for the states of the feeder in which it does not go on."""

_MOST_REASONS: Final = 8


@dataclass(frozen=True)
class DeviceJobInfo:
    """A job in the list of the device: the path of its URI, its state, its reasons, and the images that it has made."""

    path: str
    state: str
    reasons: tuple[str, ...] = ()
    images: int = 0

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled, by whomever."""
        return self.state == "Canceled" or any(one.startswith("JobCanceled") for one in self.reasons)

    @property
    def is_failed(self) -> bool:
        """Whether it ended by an error."""
        return self.state == "Aborted"

    @property
    def is_completed(self) -> bool:
        """Whether it ended well."""
        return self.state == "Completed" and not self.is_cancelled

    @property
    def words(self) -> str:
        """State and reasons for people."""
        return f"{self.state} ({', '.join(self.reasons)})" if self.reasons else self.state


@dataclass(frozen=True)
class DeviceStatus:
    """`state` as in `pwg:State`, `feeder` as in `scan:AdfState`, "" if the device does not say."""

    state: str = ""
    feeder: str = ""
    jobs: tuple[DeviceJobInfo, ...] = ()

    @property
    def feeder_fault(self) -> str:
        """What keeps the feeder from going on, as a sentence; "" if nothing does."""
        return _FAULTS.get(self.feeder, "")

    @property
    def obstacle(self) -> str:
        """Why no scan can begin now, as a sentence; "" if one can, or if the device does not say."""
        if self.state in ("Stopped", "Down"):
            return self.feeder_fault or f"the device is {self.state.lower()}"
        return ""

    def job(self, path: str) -> DeviceJobInfo | None:
        """Return the job with this path, wherever it stands in the list (ESCL-030); None if it is not listed."""
        last = path.rstrip("/").rsplit("/", 1)[-1]
        named = [one for one in self.jobs if one.path == path.rstrip("/")]
        # Some devices write the path in another way than in Location; its last part is the name of the job.
        return next(iter(named or [one for one in self.jobs if one.path.rsplit("/", 1)[-1] == last]), None)


def read(data: bytes) -> DeviceStatus:
    """Return the status in a document; raise `DeviceRefused` if it is none."""
    root = xml.parse(data, "ScannerStatus")
    return DeviceStatus(
        state=root.value("State")[: xml.LONGEST_NAME],
        feeder=root.value("AdfState")[: xml.LONGEST_NAME],
        jobs=tuple(_job(one) for one in root.anywhere("JobInfo")),
    )


def _job(element: EsclElement) -> DeviceJobInfo:
    found = element.child("JobStateReasons")
    reasons = [one.text[: xml.LONGEST_NAME] for one in found.all("JobStateReason")] if found is not None else []
    return DeviceJobInfo(
        path=path_of(element.value("JobUri")),
        state=element.value("JobState")[: xml.LONGEST_NAME],
        reasons=tuple(reasons[:_MOST_REASONS]),
        images=element.number("ImagesCompleted"),
    )


def path_of(uri: str) -> str:
    """Return the path of an absolute or relative URI, without a slash at its end; "" if it cannot be read."""
    if "://" in uri:
        _, _, behind = uri.partition("://")
        uri = "/" + behind.partition("/")[2]  # not by urlsplit: the host may be an IPv6 address that was cut
    try:
        return urlsplit(uri).path.rstrip("/")
    except ValueError:
        return ""
