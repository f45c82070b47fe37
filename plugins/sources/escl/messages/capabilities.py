"""ScannerCapabilities: what the device is, and what each of its inputs offers. Source: escl.md section 3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.escl.messages import xml
from postscan.plugins.sources.escl.messages.xml import EsclElement

InputName = Literal["platen", "feeder", "duplex"]

_MOST_VALUES: Final = 64  # of one list; a device has some dozen resolutions
_LONGEST: Final = 127  # characters of a name


@dataclass(frozen=True)
class ResolutionRange:
    """Resolutions from `least` to `most` in steps, in dots per inch."""

    least: int
    most: int
    step: int = 1


@dataclass(frozen=True)
class InputCapabilities:
    """One input: sizes in 1/300 inch (0: the device does not say), and what its profile lists."""

    name: InputName
    most_width: int = 0
    most_height: int = 0
    least_width: int = 0
    least_height: int = 0
    colors: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    formats_ext: tuple[str, ...] = ()
    resolutions: tuple[int, ...] = ()
    range: ResolutionRange | None = None
    intents: tuple[str, ...] = ()

    @property
    def all_formats(self) -> tuple[str, ...]:
        """Media types of both lists, in lower case."""
        return tuple(dict.fromkeys([*self.formats, *self.formats_ext]))


@dataclass(frozen=True)
class EsclCapabilities:
    """What a device says of itself; `compression` is the range of its factor, or None."""

    version: str = ""
    model: str = ""
    manufacturer: str = ""
    serial: str = ""
    uuid: str = ""
    inputs: tuple[InputCapabilities, ...] = ()
    compression: tuple[int, int] | None = None
    reports_paper: bool = False

    def input(self, name: InputName) -> InputCapabilities | None:
        """Return what an input offers; None if the device has none of this name."""
        return next((one for one in self.inputs if one.name == name), None)


_INPUTS: Final[tuple[tuple[InputName, tuple[str, ...]], ...]] = (
    ("platen", ("Platen", "PlatenInputCaps")),
    ("feeder", ("Adf", "AdfSimplexInputCaps")),
    ("duplex", ("Adf", "AdfDuplexInputCaps")),
)


def read(data: bytes) -> EsclCapabilities:
    """Return the capabilities in a document; raise `DeviceRefused` if it is none, or of version 1 (ESCL-005)."""
    root = xml.parse(data, "ScannerCapabilities")
    version, model = root.value("Version")[:_LONGEST], root.value("MakeAndModel")[:_LONGEST]
    if version.partition(".")[0] == "1":
        device = model or "the device"
        raise DeviceRefused(f"{device} speaks eSCL {version}, an older and different protocol; 2.0 or newer is needed")
    found = [_input(name, element) for name, path in _INPUTS if (element := root.child(*path)) is not None]
    if not found:
        raise DeviceRefused("the capabilities of the device name neither a platen nor a feeder")
    options = root.child("Adf", "AdfOptions")
    offered = {one.text for one in options.all("AdfOption")} if options is not None else set()
    if "Duplex" in offered and not any(one.name == "duplex" for one in found):
        found += [replace(one, name="duplex") for one in found if one.name == "feeder"]
    factor = root.child("CompressionFactorSupport")
    return EsclCapabilities(
        version=version,
        model=model,
        manufacturer=root.value("Manufacturer")[:_LONGEST],
        serial=root.value("SerialNumber")[:_LONGEST],
        uuid=canonical_uuid(root.value("UUID")),
        inputs=tuple(found),
        compression=(factor.number("Min"), factor.number("Max")) if factor is not None else None,
        reports_paper="DetectPaperLoaded" in offered,
    )


def canonical_uuid(text: str) -> str:
    """Return a UUID in lower case without urn:uuid:; the text itself, cut, if a device has another name for itself."""
    return text.strip().lower().removeprefix("urn:").removeprefix("uuid:")[:_LONGEST]


def _input(name: InputName, element: EsclElement) -> InputCapabilities:
    discrete = {
        one.number("XResolution")
        for one in element.anywhere("DiscreteResolution")
        if one.number("XResolution") == one.number("YResolution")
    }
    return InputCapabilities(
        name=name,
        most_width=element.number("MaxWidth"),
        most_height=element.number("MaxHeight"),
        least_width=element.number("MinWidth"),
        least_height=element.number("MinHeight"),
        colors=_texts(element.anywhere("ColorMode")),
        formats=_texts(element.anywhere("DocumentFormat"), lower=True),
        formats_ext=_texts(element.anywhere("DocumentFormatExt"), lower=True),
        resolutions=tuple(sorted(discrete - {0}))[:_MOST_VALUES],
        range=_range(element),
        intents=_texts(element.anywhere("Intent", "SupportedIntent")),
    )


def _range(element: EsclElement) -> ResolutionRange | None:
    """Return the range that both axes have, or None."""
    found = next(iter(element.anywhere("ResolutionRange")), None)
    if found is None:
        return None
    axes = [axis for name in ("XResolutionRange", "YResolutionRange", "XResolution", "YResolution")
            if (axis := found.child(name)) is not None]  # fmt: skip
    if not axes:
        return None
    least = max(axis.number("Min") for axis in axes)
    most = min(axis.number("Max") or axis.number("Normal") for axis in axes)
    step = max(axis.number("Step") for axis in axes) or 1
    return ResolutionRange(least, most, step) if 0 < least <= most else None


def _texts(elements: Iterable[EsclElement], *, lower: bool = False) -> tuple[str, ...]:
    found = (one.text[:_LONGEST].lower() if lower else one.text[:_LONGEST] for one in elements)
    return tuple(dict.fromkeys(text for text in found if text))[:_MOST_VALUES]
