"""What is sent with ScanJobs: ESCL-022."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from postscan.plugins.sources.escl.messages.scan_settings import EsclScanSettings, ScanRegion
from postscan.plugins.sources.escl.messages.xml import PWG, SCAN


@pytest.mark.conformance("ESCL-022")
def test_the_elements_have_the_order_of_section_5() -> None:
    """All of them."""
    settings = EsclScanSettings(
        "duplex", "RGB24", "image/jpeg", "image/jpeg", 300, ScanRegion(2550, 3300, 10, 20), "Document", 25
    )
    names = re.findall(r"<((?:scan|pwg):\w+)", settings.document().decode())

    assert names == [
        "scan:ScanSettings", "pwg:Version", "scan:Intent", "pwg:ScanRegions", "pwg:ScanRegion",
        "pwg:ContentRegionUnits", "pwg:XOffset", "pwg:YOffset", "pwg:Width", "pwg:Height", "pwg:InputSource",
        "scan:CompressionFactor", "scan:ColorMode", "pwg:DocumentFormat", "scan:DocumentFormatExt",
        "scan:XResolution", "scan:YResolution", "scan:Duplex",
    ]  # fmt: skip


@pytest.mark.conformance("ESCL-022")
def test_what_is_not_asked_for_is_not_sent() -> None:
    """The platen has no Duplex."""
    root = ElementTree.fromstring(EsclScanSettings("platen").document())

    assert [one.tag for one in root] == [f"{{{PWG}}}Version", f"{{{PWG}}}InputSource"]
    assert root.tag == f"{{{SCAN}}}ScanSettings"


def test_a_text_is_escaped() -> None:
    """A format that a device lists may have any characters."""
    root = ElementTree.fromstring(EsclScanSettings("platen", format="a<&>b").document())

    assert root.findtext(f"{{{PWG}}}DocumentFormat") == "a<&>b"
