"""ScannerDescription and ScannerConfiguration: what the simulated scanner has to offer.

Source: ws-scan.md sections 6 and 7.
"""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from postscan.cli.device.wsscan.description.ticket import A4, COLORS, RESOLUTIONS
from postscan.cli.device.wsscan.protocol.soap import SoapWriter


def scanner_description(w: SoapWriter, name: str) -> etree._Element:
    """Return ScannerDescription."""
    e = w.element
    return e(
        "wscn:ScannerDescription",
        e("wscn:ScannerName", name[:127]),
        e("wscn:ScannerInfo", "A scanner in software"),
        e("wscn:ScannerLocation", "This machine"),
    )


def scanner_configuration(
    w: SoapWriter, formats: Sequence[str], *, says_duplex: bool = True, swapped: bool = False
) -> etree._Element:
    """Return ScannerConfiguration with a platen and a feeder for both sides.

    Without *says_duplex* only ADFBack shows that both sides are scanned; *swapped* exchanges width and height.
    """
    e = w.element
    largest = (A4[1], A4[0]) if swapped else A4
    return e(
        "wscn:ScannerConfiguration",
        _settings(w, formats),
        e("wscn:Platen", *_entry(w, "Platen", largest)),
        e(
            "wscn:ADF",
            e("wscn:ADFSupportsDuplex", "true" if says_duplex else "false"),
            e("wscn:ADFFront", *_entry(w, "ADF", largest)),
            e("wscn:ADFBack", *_entry(w, "ADF", largest)),
        ),
    )


def _settings(w: SoapWriter, formats: Sequence[str]) -> etree._Element:
    e = w.element
    return e(
        "wscn:DeviceSettings",
        e("wscn:FormatsSupported", *(e("wscn:FormatValue", name) for name in formats)),
        e("wscn:CompressionQualityFactorSupported", e("wscn:MinValue", "0"), e("wscn:MaxValue", "100")),
        e("wscn:ContentTypesSupported", *(e("wscn:ContentTypeValue", name) for name in ("Auto", "Text", "Photo"))),
        e("wscn:DocumentSizeAutoDetectSupported", "false"),
        e("wscn:AutoExposureSupported", "false"),
        e("wscn:BrightnessSupported", "false"),
        e("wscn:ContrastSupported", "false"),
        e(
            "wscn:ScalingRangeSupported",
            *(
                e(f"wscn:Scaling{side}", e("wscn:MinValue", "100"), e("wscn:MaxValue", "100"))
                for side in ("Width", "Height")
            ),
        ),
        e("wscn:RotationsSupported", e("wscn:RotationValue", "0")),
    )


def _entry(w: SoapWriter, prefix: str, largest: tuple[int, int]) -> list[etree._Element]:
    e = w.element
    best = str(RESOLUTIONS[-1])
    return [
        e(f"wscn:{prefix}OpticalResolution", e("wscn:Width", best), e("wscn:Height", best)),
        e(
            f"wscn:{prefix}Resolutions",
            e("wscn:Widths", *(e("wscn:Width", str(one)) for one in RESOLUTIONS)),
            e("wscn:Heights", *(e("wscn:Height", str(one)) for one in RESOLUTIONS)),
        ),
        e(f"wscn:{prefix}Color", *(e("wscn:ColorEntry", one) for one in COLORS)),
        e(f"wscn:{prefix}MinimumSize", e("wscn:Width", "1"), e("wscn:Height", "1")),
        e(
            f"wscn:{prefix}MaximumSize",
            e("wscn:Width", str(largest[0])),
            e("wscn:Height", str(largest[1])),
        ),
    ]
