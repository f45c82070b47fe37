"""What capabilities say: ESCL-004, ESCL-005 and section 3 of escl.md."""

from __future__ import annotations

import pytest
from escl_device import PWG, SCAN, UUID, capabilities, input_caps

from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.escl.messages import capabilities as messages
from postscan.plugins.sources.escl.messages.capabilities import ResolutionRange


def of(inside: str) -> bytes:
    """Return capabilities with these elements alone."""
    return f'<s:ScannerCapabilities xmlns:s="{SCAN}" xmlns:p="{PWG}">{inside}</s:ScannerCapabilities>'.encode()


def test_inputs_have_sizes_and_what_their_profiles_list() -> None:
    """In 1/300 inch, and in the order of the device."""
    found = messages.read(capabilities("HP OfficeJet Pro 9010"))
    platen = found.input("platen")

    assert (found.model, found.version) == ("HP OfficeJet Pro 9010", "2.63")
    assert [one.name for one in found.inputs] == ["platen", "feeder", "duplex"]
    assert platen is not None
    assert (platen.most_width, platen.most_height) == (2550, 4200)
    assert platen.colors == ("BlackAndWhite1", "Grayscale8", "RGB24")
    assert platen.all_formats == ("image/jpeg", "application/pdf")
    assert platen.resolutions == (150, 300, 600)
    assert platen.intents == ("Document", "Photo")


@pytest.mark.conformance("ESCL-004")
@pytest.mark.parametrize("text", [UUID, UUID.upper(), f"urn:uuid:{UUID}", f"  {UUID}\n"])
def test_a_uuid_has_one_form(text: str) -> None:
    """Devices write it in several."""
    assert messages.read(capabilities(uuid=text)).uuid == UUID


@pytest.mark.conformance("ESCL-005")
def test_version_1_is_refused_by_name() -> None:
    """HP Officejet 6600 and others of that time speak another protocol under the same name."""
    with pytest.raises(DeviceRefused, match=r"Officejet 6600 .* eSCL 1\.0"):
        messages.read(capabilities("HP Officejet 6600", version="1.0"))


def test_duplex_may_be_an_option_of_the_feeder() -> None:
    """Then both sides have what one side has."""
    option = (
        "<s:AdfOptions><s:AdfOption>DetectPaperLoaded</s:AdfOption><s:AdfOption>Duplex</s:AdfOption></s:AdfOptions>"
    )
    found = messages.read(of(f"<s:Adf>{input_caps('AdfSimplexInputCaps')}{option}</s:Adf>"))

    assert [one.name for one in found.inputs] == ["feeder", "duplex"]
    assert found.reports_paper


def test_resolutions_may_be_a_range() -> None:
    """Both axes have it."""
    axis = "<s:Min>75</s:Min><s:Max>1200</s:Max><s:Normal>300</s:Normal><s:Step>25</s:Step>"
    ranges = f"<s:XResolutionRange>{axis}</s:XResolutionRange><s:YResolutionRange>{axis}</s:YResolutionRange>"
    found = messages.read(
        of(
            f"<s:Platen><s:PlatenInputCaps><s:ResolutionRange>{ranges}</s:ResolutionRange></s:PlatenInputCaps></s:Platen>"
        )
    )
    platen = found.input("platen")

    assert platen is not None
    assert platen.range == ResolutionRange(75, 1200, 25)


def test_a_device_without_an_input_is_refused() -> None:
    """Nothing can be scanned with it."""
    with pytest.raises(DeviceRefused, match="neither a platen nor a feeder"):
        messages.read(of("<p:Version>2.0</p:Version>"))


def test_what_a_device_lists_is_bounded() -> None:
    """A thousand color modes with long names take no room."""
    modes = "".join(f"<s:ColorMode>{n}{'x' * 5000}</s:ColorMode>" for n in range(150))
    platen = messages.read(of(f"<s:Platen><s:PlatenInputCaps>{modes}</s:PlatenInputCaps></s:Platen>")).input("platen")

    assert platen is not None
    assert len(platen.colors) == 64
    assert max(map(len, platen.colors)) == 127
