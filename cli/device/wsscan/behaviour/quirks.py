"""The quirks that the simulated scanner can have: one row for each device of ws-scan.md section 10.

A row names the traits of one device; a scanner with several quirks has the traits of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from postscan.core.errors import InvalidArgument

USUAL_MODEL: Final = "postscan simulated"
"""ModelName of a scanner without the quirks of a model."""


@dataclass(frozen=True)
class WsdTraits:
    """How a scanner differs from a well-behaved one."""

    panel_only: bool = False
    """A scan that was not started at the panel is answered ServerErrorNotAcceptingJobs."""

    swapped_size: bool = False
    """Width and height of the largest region are exchanged; a region is confirmed and ignored."""

    undeclared_duplex: bool = False
    """ADFSupportsDuplex is false, although ADFBack is there."""

    zero_is_none: bool = False
    """ImagesToTransfer 0 is no image instead of all."""

    end_is_unknown_job: bool = False
    """After the last page RetrieveImage is answered ClientErrorJobIdNotFound."""

    information_required: bool = False
    """A ticket without JobInformation is answered InvalidArgs."""

    empty_feeder_refuses: bool = False
    """With an empty feeder, CreateScanJob is answered ServerErrorNotAcceptingJobs, and the state stays Idle."""

    misspelt_token_fault: bool = False
    """The fault of a wrong token is ClientErrorInvalidDetinationToken."""

    region_unset: bool = False
    """The region of DefaultScanTicket is 0 x 0."""

    tiff_up_to_150_dpi: bool = False
    """Uncompressed TIFF above 150 dpi is answered OperationFailed."""

    silent_to_probes: bool = False
    """Probes by multicast are not answered; by HTTP they are."""

    foreign_address: bool = False
    """The first of XAddrs is of another interface."""

    replaces_tokens: bool = False
    """A new Subscribe of the same client makes its older tokens invalid."""

    deaf_after_lost_client: bool = False
    """A subscription that expires without Unsubscribe makes Get unanswered until a restart."""

    starts_slowly: bool = False
    """For a while after power-on no request is answered."""

    one_scan: bool = False
    """After one job every other is answered ServerErrorNotAcceptingJobs until a restart."""

    hangs: bool = False
    """RetrieveImage is never answered."""

    faults_with_200: bool = False
    """Faults have HTTP status 200."""

    odd_names: bool = False
    """Other prefixes than usual, and no RelatesTo."""

    https_namespaces: bool = False
    """Namespaces begin with https instead of http."""

    odd_mtom: bool = False
    """The image comes before the envelope, the boundary has no quotes, and XOP has its namespace of 2003."""

    inline_images: bool = False
    """Images are base64 in the envelope."""

    refuses_all_elements: bool = False
    """GetScannerElements with DefaultScanTicket among others is answered InvalidArgs."""

    wants_soap_reply: bool = False
    """An event that is answered 202 counts as failed; 200 with a SOAP body is expected."""


@dataclass(frozen=True)
class WsdQuirk:
    """A row: the device, what it does, the traits for that, and the ModelName that it tells; "" for any device."""

    device: str
    text: str
    traits: WsdTraits
    model: str = ""


QUIRKS: Final = {
    "kyocera-panel-only": WsdQuirk(
        "Kyocera ECOSYS, TASKalfa, FS",
        "scans only when started at the panel",
        WsdTraits(panel_only=True),
        "Kyocera ECOSYS",
    ),
    "kyocera-swapped-region": WsdQuirk(
        "Kyocera M2040dn",
        "largest width and height exchanged; the region is ignored",
        WsdTraits(swapped_size=True),
        "ECOSYS M2040dn",
    ),
    "brother-duplex": WsdQuirk(
        "Brother MFC-9340CDW",
        "denies duplex, and has an ADFBack",
        WsdTraits(undeclared_duplex=True),
        "MFC-9340CDW",
    ),
    "ricoh-mp201": WsdQuirk(
        "Ricoh Aficio MP 201",
        "0 images are none; the end of the pages is ClientErrorJobIdNotFound",
        WsdTraits(zero_is_none=True, end_is_unknown_job=True),
        "RICOH Aficio MP 201",
    ),
    "canon-tr7500": WsdQuirk(
        "Canon TR7500",
        "InvalidArgs without JobInformation",
        WsdTraits(information_required=True),
        "Canon TR7500 series",
    ),
    "canon-mf410": WsdQuirk(
        "Canon MF410",
        "an empty feeder is ServerErrorNotAcceptingJobs",
        WsdTraits(empty_feeder_refuses=True),
        "Canon MF410 Series",
    ),
    "samsung-m288x": WsdQuirk(
        "Samsung M288x",
        "no answer to multicast, a foreign address, a region of 0 x 0, TIFF up to 150 dpi, a misspelt fault, tokens "
        "that a new Subscribe replaces, deaf after a lost client, slow after power-on",
        WsdTraits(
            silent_to_probes=True,
            foreign_address=True,
            region_unset=True,
            tiff_up_to_150_dpi=True,
            misspelt_token_fault=True,
            replaces_tokens=True,
            deaf_after_lost_client=True,
            starts_slowly=True,
        ),
        "Samsung M288x Series",
    ),
    "oki-mc362": WsdQuirk("OKI MC362dn", "one scan, then busy until restarted", WsdTraits(one_scan=True), "OKI MC362"),
    "xerox-b225": WsdQuirk("Xerox B225, B235", "RetrieveImage is never answered", WsdTraits(hangs=True), "Xerox B225"),
    "lexmark-http200": WsdQuirk(
        "Lexmark MB2236adw, Xerox WorkCentre 3225",
        "faults with HTTP 200",
        WsdTraits(faults_with_200=True),
        "Lexmark MB2236adw",
    ),
    "odd-names": WsdQuirk("some devices", "other prefixes, and no RelatesTo", WsdTraits(odd_names=True)),
    "https-namespaces": WsdQuirk(
        "devices made from the pages on the web", "namespaces with https", WsdTraits(https_namespaces=True)
    ),
    "odd-mtom": WsdQuirk(
        "some devices",
        "the image before the envelope, a boundary without quotes, XOP as in the document's example",
        WsdTraits(odd_mtom=True),
    ),
    "inline-images": WsdQuirk("some devices", "images as base64 in the envelope", WsdTraits(inline_images=True)),
    "epson-elements": WsdQuirk(
        "Epson WF-3640",
        "InvalidArgs when all elements are asked for at once",
        WsdTraits(refuses_all_elements=True),
        "WF-3640 Series",
    ),
    "event-200": WsdQuirk(
        "some devices", "wants 200 with a SOAP body as answer to an event", WsdTraits(wants_soap_reply=True)
    ),
}
"""The rows of ws-scan.md section 10, and more of its sections 1, 5 and 6."""


def traits_of(names: Iterable[str]) -> WsdTraits:
    """Return the traits of all these quirks; raise `InvalidArgument` for an unknown one."""
    traits = WsdTraits()
    for name in names:
        if name not in QUIRKS:
            raise InvalidArgument("--quirk", name, f"one of {', '.join(QUIRKS)}")
        traits = replace(traits, **_set(QUIRKS[name].traits))
    return traits


def model_of(names: Iterable[str]) -> str:
    """Return the ModelName of the first of these quirks that has one, else that of a device without quirks."""
    return next((QUIRKS[name].model for name in names if name in QUIRKS and QUIRKS[name].model), USUAL_MODEL)


def _set(traits: WsdTraits) -> dict[str, Any]:
    return {one.name: True for one in fields(traits) if getattr(traits, one.name)}
