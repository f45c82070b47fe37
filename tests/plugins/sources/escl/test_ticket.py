"""What is asked of a device: the nearest that it offers, with a sentence for what was replaced (ESCL-021)."""

from __future__ import annotations

import pytest
from escl_device import capabilities
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins import ScanTicket
from postscan.plugins.sources.escl.device.quirks import DeviceQuirk
from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.escl.messages import capabilities as messages
from postscan.plugins.sources.escl.messages.capabilities import EsclCapabilities, InputCapabilities, ResolutionRange
from postscan.plugins.sources.escl.messages.status import DeviceStatus
from postscan.plugins.sources.escl.ticket import ScanChoice, ScanPlan, plan

LOADED = DeviceStatus("Idle", "ScannerAdfLoaded")
EMPTY = DeviceStatus("Idle", "ScannerAdfEmpty")
DEVICE = messages.read(capabilities())


def planned(choice: ScanChoice | None = None, status: DeviceStatus = EMPTY, **fields: object) -> ScanPlan:
    """Return the plan for a ticket with these fields."""
    return plan(ScanTicket.model_validate(fields), choice or ScanChoice(), DEVICE, status)


def test_an_empty_ticket_is_a_page_in_color_of_the_whole_glass() -> None:
    """300 dpi, JPEG, and no sentence: nothing was asked for."""
    found = planned()

    assert found.settings.input == "platen"
    assert (found.settings.color, found.settings.format, found.settings.resolution) == ("RGB24", "image/jpeg", 300)
    assert found.settings.region is not None
    assert (found.settings.region.width, found.settings.region.height) == (2550, 4200)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("ticket", "choice", "status", "input"),
    [
        ("", "auto", LOADED, "feeder"),
        ("", "auto", EMPTY, "platen"),
        ("Platen", "auto", LOADED, "platen"),
        ("ADF", "auto", EMPTY, "feeder"),
        ("ADFDuplex", "auto", EMPTY, "duplex"),
        ("ADF", "platen", LOADED, "platen"),
        ("Film", "auto", EMPTY, "platen"),
    ],
)
def test_the_input_is_that_of_the_settings_then_of_the_ticket_then_where_paper_is(
    ticket: str, choice: str, status: DeviceStatus, input: str
) -> None:
    """In this order."""
    found = planned(ScanChoice(choice), status, input_source=ticket)  # type: ignore[arg-type]

    assert found.settings.input == input
    assert bool(found.notes) == (ticket == "Film")


@pytest.mark.conformance("ESCL-021")
def test_an_input_that_the_device_lacks_is_replaced_by_another_one() -> None:
    """With a sentence."""
    platen = EsclCapabilities(inputs=(InputCapabilities("platen"),))
    found = plan(ScanTicket(input_source="ADFDuplex"), ScanChoice(), platen, EMPTY)

    assert found.settings.input == "platen"
    assert "platen" in found.notes[0]
    with pytest.raises(DeviceRefused):
        plan(ScanTicket(), ScanChoice(), EsclCapabilities(), EMPTY)


@pytest.mark.conformance("ESCL-021")
@pytest.mark.parametrize(
    ("wanted", "offered", "color"),
    [
        ("Grayscale8", ("BlackAndWhite1", "Grayscale8", "RGB24"), "Grayscale8"),
        ("Grayscale16", ("Grayscale8", "RGB24"), "Grayscale8"),
        ("RGB48", ("Grayscale8", "RGB24"), "RGB24"),
        ("RGB24", ("BlackAndWhite1",), "BlackAndWhite1"),
        ("BlackAndWhite1", ("RGB24", "Grayscale8"), "Grayscale8"),
        ("", ("Grayscale8", "RGB24"), "RGB24"),
        ("RGB24", (), ""),
    ],
)
def test_the_color_mode_is_the_nearest(wanted: str, offered: tuple[str, ...], color: str) -> None:
    """With a sentence if it is another one than was asked for."""
    device = EsclCapabilities(inputs=(InputCapabilities("platen", colors=offered),))
    found = plan(ScanTicket(color=wanted), ScanChoice(), device, EMPTY)

    assert found.settings.color == color
    assert any(wanted in note for note in found.notes) == bool(wanted and offered and color != wanted)


@pytest.mark.conformance("ESCL-021")
@pytest.mark.parametrize(
    ("wanted", "found"), [(300, 300), (200, 150), (225, 300), (1200, 600), (75, 150), (449, 300), (451, 600)]
)
def test_the_resolution_is_the_nearest(wanted: int, found: int) -> None:
    """The higher one of two that are as near."""
    got = planned(x_resolution=wanted, y_resolution=wanted)

    assert got.settings.resolution == found
    assert bool(got.notes) == (wanted != found)


@pytest.mark.conformance("ESCL-021")
@pytest.mark.parametrize(("wanted", "found"), [(300, 300), (310, 300), (313, 325), (20, 75), (5000, 1200)])
def test_the_resolution_is_a_step_of_the_range(wanted: int, found: int) -> None:
    """From its begin on."""
    platen = InputCapabilities("platen", range=ResolutionRange(75, 1200, 25))
    got = plan(ScanTicket(x_resolution=wanted), ScanChoice(), EsclCapabilities(inputs=(platen,)), EMPTY)

    assert got.settings.resolution == found


@pytest.mark.conformance("ESCL-021")
def test_a_resolution_that_is_only_claimed_is_not_asked_for() -> None:
    """Canon iR2625 claims 600 dpi."""
    got = plan(ScanTicket(x_resolution=600), ScanChoice(), DEVICE, EMPTY, frozenset({DeviceQuirk.MOST_300_DPI}))

    assert got.settings.resolution == 300


@pytest.mark.conformance("ESCL-021")
@pytest.mark.parametrize(
    ("formats", "format"),
    [
        (("pdf-a", "jfif"), "application/pdf"),
        (("tiff-single-g4", "exif"), "image/jpeg"),
        (("png",), "image/jpeg"),
        ((), "image/jpeg"),
    ],
)
def test_the_format_is_the_first_of_the_ticket_that_is_offered(formats: tuple[str, ...], format: str) -> None:
    """Else the usual one, with a sentence."""
    got = planned(formats=formats)

    assert (got.settings.format, got.settings.format_ext) == (format, format)
    assert bool(got.notes) == (formats == ("png",))


def test_a_page_of_one_bit_is_asked_for_as_pdf() -> None:
    """JPEG has none."""
    assert planned(color="BlackAndWhite1").settings.format == "application/pdf"


@pytest.mark.conformance("ESCL-021")
@pytest.mark.parametrize(
    ("ticket", "region", "notes"),
    [
        ({"width": 8500, "height": 11000}, (0, 0, 2550, 3300), 0),
        ({"width": 8500, "height": 20000}, (0, 0, 2550, 4200), 1),
        ({"width": 1000, "height": 1000, "x_offset": 1000, "y_offset": 2000}, (300, 600, 300, 300), 0),
        ({"width": 8500, "height": 1000, "x_offset": 4000}, (1200, 0, 1350, 300), 1),
        ({"width": 1, "height": 1}, (0, 0, 16, 16), 1),
        ({"width": 1000, "height": 1000, "x_offset": 900000}, (2534, 0, 16, 300), 1),
    ],
)
def test_the_region_is_clipped(ticket: dict[str, int], region: tuple[int, ...], notes: int) -> None:
    """From thousandths of an inch to 1/300."""
    got = planned(**ticket)

    assert got.settings.region is not None
    assert (
        got.settings.region.x,
        got.settings.region.y,
        got.settings.region.width,
        got.settings.region.height,
    ) == region
    assert len(got.notes) == notes


@pytest.mark.parametrize(("quality", "factor"), [(100, 0), (1, 99), (50, 50), (0, None), (101, None)])
def test_the_compression_falls_as_the_quality_rises(quality: int, factor: int | None) -> None:
    """It is left to the device unless both name it."""
    device = EsclCapabilities(inputs=(InputCapabilities("platen"),), compression=(0, 100))
    ticket = ScanTicket.model_construct(**{**ScanTicket().__dict__, "quality": quality})

    assert plan(ticket, ScanChoice(), device, EMPTY).settings.compression == factor
    assert planned(quality=50).settings.compression is None


@pytest.mark.parametrize(("content", "intent"), [("Text", "Document"), ("Photo", "Photo"), ("Mixed", ""), ("Auto", "")])
def test_the_intent_is_that_of_the_content_if_it_is_offered(content: str, intent: str) -> None:
    """Without a sentence: it changes no size and no format."""
    assert planned(content_type=content).settings.intent == intent


def test_the_settings_of_the_inlet_win() -> None:
    """Color and resolution."""
    got = planned(ScanChoice(color="Grayscale8", resolution=150), color="RGB24", x_resolution=600)

    assert (got.settings.color, got.settings.resolution) == ("Grayscale8", 150)
    assert got.notes == ()


@pytest.mark.conformance("ESCL-021")
@given(
    st.integers(0, 3000), st.integers(0, 40_000), st.integers(0, 40_000), st.integers(0, 40_000),
    st.integers(1, 4000), st.integers(0, 200), st.integers(1, 1200), st.integers(0, 1200), st.integers(1, 200),
)  # fmt: skip
def test_no_ticket_leads_out_of_what_is_offered(
    wanted: int, width: int, offset: int, height: int, most: int, least: int, low: int, span: int, step: int
) -> None:
    """Whatever a device offers."""
    resolutions = ResolutionRange(low, low + span, step)
    platen = InputCapabilities(
        "platen", most_width=most, least_width=min(least, most), most_height=most, least_height=1, range=resolutions
    )
    ticket = ScanTicket.model_validate({"x_resolution": wanted, "width": width, "x_offset": offset, "height": height})
    found = plan(ticket, ScanChoice(), EsclCapabilities(inputs=(platen,)), EMPTY).settings

    assert low <= found.resolution <= low + span
    assert (found.resolution - low) % step == 0
    assert found.region is not None
    assert platen.least_width <= found.region.width <= most - found.region.x
    assert 1 <= found.region.height <= most
