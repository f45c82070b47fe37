"""Devices that break the protocol, as switches of `EsclBehaviour`; `--misbehave` takes the names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from postscan.cli.device.escl.behaviour.behaviour import EsclBehaviour, LocationStyle
from postscan.cli.device.escl.behaviour.quirks import QUIRKS
from postscan.core.errors import InvalidArgument

_ROWS: Final = (
    ("half-page", "closes the connection in the middle of each page", {"half_page": True}),
    ("short-image", "sends half of each image as a whole answer", {"short_image": True}),
    ("stall", "sends half of each page, and then nothing", {"stalls": True}),
    ("hang", "never answers NextDocument", {"hangs": True}),
    ("late", "answers each NextDocument after a pause", {"late": True}),
    ("slow", "sends each page in small pieces, over a pause", {"slow": True}),
    ("repeat-page", "sends the last page once more", {"repeats_last_page": True}),
    ("other-job", "sends an image of another job", {"page_of_other_job": True, "content_location": True}),
    ("endless-pages", "has always one more page", {"endless_pages": True}),
    ("endless-page", "sends a page that never ends", {"endless_page": True}),
    ("vanish", "stops listening in the middle of its first page", {"vanishes": True}),
    ("deaf", "never answers DELETE", {"deaf": True}),
    ("busy", "answers 503 to all of ScanJobs", {"always_busy": True}),
    (
        "forget",
        "answers 404 after a cancel, and no longer lists the job",
        {"cancelled": 404, "forgets_cancelled": True},
    ),
    ("html", "sends an HTML page where XML is expected", {"html": True}),
    ("redirect", "redirects ScannerCapabilities and ScanJobs to another host", {"redirects_elsewhere": True}),
    ("foreign-location", "names another host in Location", {"location": LocationStyle.ELSEWHERE}),
    ("wrong-type", "gives wrong media types", {"wrong_media_type": True}),
    ("bomb", "sends capabilities with entities that expand to gigabytes", {"entity_bomb": True}),
    ("huge", "sends capabilities without an end", {"huge_capabilities": True}),
    ("gzip-bomb", "sends compressed capabilities of 256 MiB", {"compressed_bomb": True}),
    ("chunked", "sends everything in chunks (allowed)", {"chunked": True}),
    ("gzip", "compresses XML without being asked", {"gzip": True}),
)

MISBEHAVIOURS: Final = {name: (title, changes) for name, title, changes in _ROWS}
"""Title and switches, by name."""

PARAMETERS: Final = {
    "cut=BYTES": "closes the connection after so many bytes of the first page of each job",
    "scan=SECONDS": "takes so long for the scan of each page",
    "jam=PAGES": "jams after so many pages of a job",
    "cancel=PAGES": "is cancelled at the panel after so many pages of a job",
}
"""Names with a value that `--misbehave` takes as well."""


@dataclass(frozen=True, slots=True)
class MisbehaviourValues:
    """The values of `PARAMETERS`; the defaults change nothing."""

    cut: int = -1
    scan: float = 0.0
    jam: int = 0
    cancel: int = 0


def behaviour_of(quirks: tuple[str, ...], misbehaviours: tuple[str, ...]) -> EsclBehaviour:
    """Return the device with these quirks and misbehaviours; a later one overrides an earlier one.

    Raises `InvalidArgument` that names an unknown one.
    """
    behaviour = EsclBehaviour()
    for name in quirks:
        if name not in QUIRKS:
            raise InvalidArgument("--quirk", name, f"one of {', '.join(QUIRKS)}")
        behaviour = behaviour.with_changes(QUIRKS[name].switches)
    for name in misbehaviours:
        if name not in MISBEHAVIOURS:
            raise InvalidArgument("--misbehave", name, f"one of {', '.join(MISBEHAVIOURS)}")
        behaviour = behaviour.with_changes(MISBEHAVIOURS[name][1])
    return behaviour


def parameters_of(names: tuple[str, ...]) -> tuple[tuple[str, ...], MisbehaviourValues]:
    """Split *names* into those without a value and the values of the others.

    Raises `InvalidArgument` for a name that takes none, and for a value that is no number.
    """
    plain: list[str] = []
    values = MisbehaviourValues()
    for name in names:
        key, equals, value = name.partition("=")
        if not equals:
            plain.append(name)
        elif key == "scan" and value.isascii() and value.replace(".", "", 1).isdecimal():
            values = replace(values, scan=float(value))
        elif key in ("cut", "jam", "cancel") and value.isascii() and value.isdecimal():
            values = replace(values, **{key: int(value)})
        else:
            raise InvalidArgument("--misbehave", name, f"one of {', '.join((*MISBEHAVIOURS, *PARAMETERS))}")
    return tuple(plain), values
