"""Which devices do what otherwise: section 7 of escl.md."""

from __future__ import annotations

import pytest

from postscan.plugins.sources.escl.device import quirks
from postscan.plugins.sources.escl.device.quirks import DeviceQuirk


@pytest.mark.parametrize(
    ("model", "server", "quirk"),
    [
        ("Brother MFC-L2750DW series", "", DeviceQuirk.PAUSE_BETWEEN_PAGES),
        ("Xerox B205", "", DeviceQuirk.NOT_READY_IS_404),
        ("Xerox B215 MFP", "", DeviceQuirk.NO_DELETE),
        ("Xerox WorkCentre 3345", "", DeviceQuirk.JAM_IS_EMPTY),
        ("HP Color LaserJet MFP", "HP HTTP Server; HP_Compact_Server", DeviceQuirk.HOST_LOCALHOST),
        ("HP LaserJet MFP M630", "", DeviceQuirk.HOST_LOCALHOST),
        ("HP Color LaserJet MFP M578", "", DeviceQuirk.HOST_LOCALHOST),
        ("EPSON ET-2750 Series", "", DeviceQuirk.HOST_WITH_PORT),
        ("HP LaserJet MFP M28w", "", DeviceQuirk.OFTEN_BUSY),
        ("Canon iR2625/2630", "", DeviceQuirk.MOST_300_DPI),
        ("Canon iR 2630", "", DeviceQuirk.MOST_300_DPI),
        ("RICOH SP C261SFNw", "", DeviceQuirk.HANGS_OVER_HTTP),
    ],
)
def test_a_device_is_found_by_its_model_or_its_server(model: str, server: str, quirk: DeviceQuirk) -> None:
    """Whatever their case."""
    assert quirk in quirks.of(model, server)


@pytest.mark.parametrize(
    "model", ["HP OfficeJet Pro 9010", "Canon TS3100", "Xerox B235", "Kyocera M2040dn", "Seiko Epson", ""]
)
def test_other_devices_have_none(model: str) -> None:
    """Those that are known to do as the others."""
    assert quirks.of(model, "Apache") == frozenset()


def test_the_settings_may_name_others() -> None:
    """For a device whose name does not tell."""
    assert quirks.of("Acme", "", ["no-delete"]) == {DeviceQuirk.NO_DELETE}
