"""What a device states of itself: configuration, default ticket, status; lists and numbers have limits."""

from __future__ import annotations

import pytest
from lxml import etree
from scripted_scanner import envelope

from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import elements as codec
from postscan.soap.wsscan.messages import envelope as messages
from postscan.soap.wsscan.messages.configuration import BedRegion, WsdStatus

FRONT = (
    "<w:ADFResolutions><w:Widths><w:Width>300</w:Width><w:Width>200</w:Width></w:Widths><w:Heights>"
    "<w:Height>200</w:Height></w:Heights></w:ADFResolutions><w:ADFColor><w:ColorEntry>RGB24</w:ColorEntry>"
    "</w:ADFColor><w:ADFMaximumSize><w:Width>8500</w:Width><w:Height>14000</w:Height></w:ADFMaximumSize>"
)


def read(name: str, inside: str) -> codec.ScannerElements:
    """Return what is read of an answer with one element."""
    data = f'<w:ElementData Name="w:{name}"><w:{name}>{inside}</w:{name}></w:ElementData>'
    xml = f"<w:GetScannerElementsResponse><w:ScannerElements>{data}</w:ScannerElements></w:GetScannerElementsResponse>"
    return codec.read_elements(messages.read_answer(envelope(xml)))


def test_the_request_names_what_it_asks_for_as_qualified_names() -> None:
    """With a prefix that is declared."""
    data = messages.write_request("http://x/", "a", codec.write_get_elements([codec.CONFIGURATION, codec.STATUS]))
    names = list(etree.fromstring(data).iter("{*}Name"))

    assert [one.text for one in names] == ["wscn:ScannerConfiguration", "wscn:ScannerStatus"]
    assert names[0].nsmap["wscn"].endswith("2006/08/wdp/scan")


@pytest.mark.conformance("WSS-039")
def test_a_configuration_has_all_that_a_ticket_needs() -> None:
    """Formats in the device's order, and for each source its resolutions, colours and size."""
    found = read(
        "ScannerConfiguration",
        "<w:DeviceSettings><w:FormatsSupported><w:FormatValue>jfif</w:FormatValue><w:FormatValue> pdf-a "
        "</w:FormatValue></w:FormatsSupported><w:CompressionQualityFactorSupported><w:MinValue>10</w:MinValue>"
        "<w:MaxValue>90</w:MaxValue></w:CompressionQualityFactorSupported><w:ContentTypesSupported>"
        "<w:ContentTypeValue>Auto</w:ContentTypeValue></w:ContentTypesSupported></w:DeviceSettings>"
        f"<w:ADF><w:ADFSupportsDuplex>false</w:ADFSupportsDuplex><w:ADFFront>{FRONT}</w:ADFFront></w:ADF>",
    ).configuration

    assert found is not None
    assert (found.formats, found.quality, found.content_types) == (("jfif", "pdf-a"), (10, 90), ("Auto",))
    assert list(found.sources) == ["ADF"]
    feeder = found.sources["ADF"]
    assert (feeder.x_resolutions, feeder.y_resolutions, feeder.colors) == ((200, 300), (200,), ("RGB24",))
    assert (feeder.max_width, feeder.max_height) == (8500, 14000)


@pytest.mark.parametrize("inside", ["<w:ADFSupportsDuplex>true</w:ADFSupportsDuplex>", "<w:ADFBack/>"])
def test_a_feeder_with_a_back_is_duplex(inside: str) -> None:
    """One Brother has a back, and denies duplex."""
    found = read("ScannerConfiguration", f"<w:ADF>{inside}<w:ADFFront>{FRONT}</w:ADFFront></w:ADF>").configuration

    assert found is not None
    assert found.sources["ADFDuplex"].colors == ("RGB24",)


@pytest.mark.conformance("WSS-072")
@pytest.mark.parametrize("number", ["-1", "99999999999", "1e3", "\u0661", "0x10", "2147483648", ""])
def test_a_number_that_is_none_counts_as_missing(number: str) -> None:
    """Nothing is computed with it."""
    found = read(
        "ScannerConfiguration",
        f"<w:Platen><w:PlatenMaximumSize><w:Width>{number}</w:Width></w:PlatenMaximumSize></w:Platen>",
    ).configuration

    assert found is not None
    assert found.sources["Platen"].max_width == 0


@pytest.mark.conformance("WSS-072")
def test_a_long_list_is_cut() -> None:
    """At 200 entries, each of at most 255 characters."""
    values = f"<w:FormatValue>{'x' * 256}</w:FormatValue>" + "".join(
        f"<w:FormatValue>f{number}</w:FormatValue>" for number in range(1000)
    )
    found = read(
        "ScannerConfiguration",
        f"<w:DeviceSettings><w:FormatsSupported>{values}</w:FormatsSupported></w:DeviceSettings>",
    ).configuration

    assert found is not None
    assert len(found.formats) == 199
    assert found.formats[0] == "f0"


def test_a_region_of_nothing_is_the_whole_bed() -> None:
    """As the default ticket of a Samsung has it."""
    side = (
        "<w:DocumentParameters><w:MediaSides><w:MediaFront><w:ScanRegion><w:ScanRegionWidth>{0}</w:ScanRegionWidth>"
        "<w:ScanRegionHeight>{0}</w:ScanRegionHeight></w:ScanRegion></w:MediaFront></w:MediaSides>"
        "</w:DocumentParameters>"
    )
    nothing = read("DefaultScanTicket", side.format("0")).default_ticket
    some = read("DefaultScanTicket", side.format("100")).default_ticket

    assert nothing is not None
    assert nothing.front.region is None
    assert some is not None
    assert some.front.region == BedRegion(0, 0, 100, 100)


@pytest.mark.conformance("WSS-047")
def test_a_status_says_whether_it_is_worth_waiting() -> None:
    """While the lamp warms up."""
    reason = "<w:ScannerStateReasons><w:ScannerStateReason>LampWarming</w:ScannerStateReason></w:ScannerStateReasons>"
    status = read("ScannerStatus", f"<w:ScannerState>Stopped</w:ScannerState>{reason}").status

    assert status == WsdStatus("Stopped", ("LampWarming",))
    assert status.warming_up
    assert str(status) == "Stopped (LampWarming)"


def test_another_message_is_refused() -> None:
    """Whatever it has inside."""
    with pytest.raises(InvalidAnswer):
        codec.read_elements(messages.read_answer(envelope("<w:CreateScanJobResponse/>")))
