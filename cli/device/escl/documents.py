"""XML that the scanner sends: capabilities, status, image information.

Source: escl.md sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lxml import etree
from lxml.builder import ElementMaker

from postscan.cli.device.escl.machine.jobs import PulledJob
from postscan.cli.device.escl.machine.paper import PaperPath
from postscan.cli.device.escl.machine.sides import ScannedSide
from postscan.cli.device.escl.settings_reader import PWG, SCAN

COLORS: Final = ("BlackAndWhite1", "Grayscale8", "RGB24")
INTENTS: Final = ("Document", "TextAndGraphic", "Photo", "Preview")

_SPACES: Final = {"scan": SCAN, "pwg": PWG}
_SCAN = ElementMaker(namespace=SCAN, nsmap=_SPACES)
_PWG = ElementMaker(namespace=PWG, nsmap=_SPACES)


@dataclass(frozen=True, slots=True)
class OfferedSettings:
    """What the scanner offers. The largest region is in 1/300 inch, resolutions are in dots per inch."""

    width: int
    height: int
    resolutions: tuple[int, ...]
    media_types: tuple[str, ...]
    colors: tuple[str, ...] = COLORS

    @classmethod
    def of(cls, sides: tuple[ScannedSide, ...], resolutions: tuple[int, ...] = ()) -> OfferedSettings:
        """Offer what the images are: the largest of their sizes, their resolutions, their media types."""
        return cls(
            max(side.region[0] for side in sides),
            max(side.region[1] for side in sides),
            tuple(sorted({*resolutions} or {side.density for side in sides})),
            tuple(dict.fromkeys(side.media_type for side in sides)),
        )


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """What the scanner calls itself."""

    version: str
    make_and_model: str
    manufacturer: str
    serial_number: str
    uuid: str
    admin_url: str = ""


def capabilities(identity: DeviceIdentity, offered: OfferedSettings, path: PaperPath) -> bytes:
    """Write scan:ScannerCapabilities, with one profile for each input."""
    children = [
        _PWG.Version(identity.version),
        _PWG.MakeAndModel(identity.make_and_model),
        _PWG.SerialNumber(identity.serial_number),
        _SCAN.Manufacturer(identity.manufacturer),
        _SCAN.UUID(identity.uuid),
        _SCAN.AdminURI(identity.admin_url),
        _SCAN.Platen(_SCAN.PlatenInputCaps(*_input(offered))),
    ]
    if path is not PaperPath.PLATEN:
        feeder = [_SCAN.AdfSimplexInputCaps(*_input(offered))]
        options = ["DetectPaperLoaded"]
        if path is PaperPath.DUPLEX:
            feeder.append(_SCAN.AdfDuplexInputCaps(*_input(offered)))
            options.append("Duplex")
        capacity = _SCAN.FeederCapacity("50")
        children.append(_SCAN.Adf(*feeder, capacity, _SCAN.AdfOptions(*map(_SCAN.AdfOption, options))))
    children.append(
        _SCAN.CompressionFactorSupport(_SCAN.Min("0"), _SCAN.Max("100"), _SCAN.Normal("25"), _SCAN.Step("1"))
    )
    return _bytes(_SCAN.ScannerCapabilities(*children))


def _input(offered: OfferedSettings) -> list[etree._Element]:
    profile = _SCAN.SettingProfile(
        _SCAN.ColorModes(*map(_SCAN.ColorMode, offered.colors)),
        _SCAN.DocumentFormats(
            *map(_PWG.DocumentFormat, offered.media_types), *map(_SCAN.DocumentFormatExt, offered.media_types)
        ),
        _SCAN.SupportedResolutions(
            _SCAN.DiscreteResolutions(
                *(
                    _SCAN.DiscreteResolution(_SCAN.XResolution(str(one)), _SCAN.YResolution(str(one)))
                    for one in offered.resolutions
                )
            )
        ),
    )
    return [
        _SCAN.MinWidth("1"),
        _SCAN.MaxWidth(str(offered.width)),
        _SCAN.MinHeight("1"),
        _SCAN.MaxHeight(str(offered.height)),
        _SCAN.MaxScanRegions("1"),
        _SCAN.SettingProfiles(profile),
        _SCAN.SupportedIntents(*map(_SCAN.Intent, INTENTS)),
        _SCAN.MaxOpticalXResolution(str(max(offered.resolutions))),
        _SCAN.MaxOpticalYResolution(str(max(offered.resolutions))),
    ]


def status(version: str, states: tuple[str, str], jobs: list[PulledJob], root: str, now: float) -> bytes:
    """Write scan:ScannerStatus: state of the device and of the feeder, and the jobs with their paths below *root*."""
    state, feeder = states
    children = [_PWG.Version(version), _PWG.State(state)]
    if feeder:
        children.append(_SCAN.AdfState(feeder))
    if jobs:
        children.append(_SCAN.Jobs(*(_job(job, root, now) for job in jobs)))
    return _bytes(_SCAN.ScannerStatus(*children))


def _job(job: PulledJob, root: str, now: float) -> etree._Element:
    return _SCAN.JobInfo(
        _PWG.JobUri(f"{root}/ScanJobs/{job.name}"),
        _PWG.JobUuid(job.uuid),
        _SCAN.Age(str(max(0, int(now - job.created)))),
        _PWG.ImagesCompleted(str(job.images)),
        _PWG.ImagesToTransfer(str(len(job.sides))),
        _PWG.JobState(job.state),
        _PWG.JobStateReasons(_PWG.JobStateReason(job.reason)),
    )


def image_info(uri: str, uuid: str, side: ScannedSide) -> bytes:
    """Write scan:ScanImageInfo with the size of the last image, in pixels."""
    return _bytes(
        _SCAN.ScanImageInfo(
            _PWG.JobUri(uri),
            _PWG.JobUuid(uuid),
            _SCAN.ActualWidth(str(side.width)),
            _SCAN.ActualHeight(str(side.height)),
            _SCAN.ActualBytesPerLine(str(side.width * 3)),
        )
    )


def buffer_info(side: ScannedSide) -> bytes:
    """Write scan:ScanBufferInfo: the size of an image that the scanner would send."""
    return _bytes(
        _SCAN.ScanBufferInfo(
            _SCAN.ImageWidth(str(side.width)),
            _SCAN.ImageHeight(str(side.height)),
            _SCAN.BytesPerLine(str(side.width * 3)),
        )
    )


def _bytes(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
