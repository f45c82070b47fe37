"""The ticket that is sent: what is asked for as far as it is offered, and what differs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins import Destination, ScanTicket
from postscan.soap.wsscan.messages.configuration import (
    BedRegion,
    DocumentParameters,
    MediaSide,
    ScannerConfiguration,
    ScannerElements,
    SourceCapabilities,
)
from postscan.soap.wsscan.messages.tickets import write_ticket
from postscan.soap.wsscan.scan_job.quirks import NAMES, QUIRKS, quirks_of
from postscan.soap.wsscan.scan_job.ticket import ChosenTicket, choose_ticket

BED = SourceCapabilities(
    x_resolutions=(100, 200, 300, 600),
    y_resolutions=(100, 200, 300, 600),
    colors=("BlackAndWhite1", "Grayscale8", "RGB24"),
    max_width=8500,
    max_height=11700,
)
FEEDER = replace(BED, x_resolutions=(200, 300), y_resolutions=(200, 300), max_height=14000)
OFFERED = ScannerConfiguration(
    formats=("exif", "jfif", "tiff-single-g4", "pdf-a"),
    content_types=("Auto", "Text"),
    quality=(20, 80),
    sources=MappingProxyType({"Platen": BED, "ADF": FEEDER, "ADFDuplex": FEEDER}),
)
DEFAULT = DocumentParameters(
    format="exif",
    images=0,
    input_source="ADF",
    front=MediaSide("Grayscale8", 200, 200, BedRegion(0, 0, 8268, 11693)),
)
COLORS = ("BlackAndWhite1", "Grayscale4", "Grayscale8", "Grayscale16", "RGB24", "RGB48", "RGBa32", "RGBa64", "Odd", "")
FORMATS = ("jfif", "png", "tiff-single-g4", "tiff-multi-uncompressed", "pdf-a", "xps", "odd")


def choose(
    source: str = "", quirks: frozenset[str] = frozenset(), offered: Any = OFFERED, **asked: Any
) -> ChosenTicket:
    """Return the ticket for a destination that asks for these values."""
    destination = Destination(id="d1", label="Invoices", ticket=ScanTicket(**asked))
    return choose_ticket(destination, ScannerElements(offered, DEFAULT), input_source=source, known_quirks=quirks)


def texts(chosen: ChosenTicket) -> list[str]:
    """Return the changes as sentences."""
    return [str(change) for change in chosen.changes]


@pytest.mark.conformance("WSS-039")
def test_a_destination_that_asks_for_nothing_gets_the_default_of_the_device() -> None:
    """And no change is reported."""
    chosen = choose()

    assert chosen.ticket.parameters == replace(DEFAULT, images=0)
    assert chosen.changes == ()


@pytest.mark.conformance("WSS-037")
@pytest.mark.parametrize("pressed", ["Platen", "ADF", "ADFDuplex", "Film"])
def test_the_source_of_the_event_is_used(pressed: str) -> None:
    """Also if the destination asks for another one, or the device does not list it."""
    assert choose(pressed, input_source="ADF").ticket.parameters.input_source == pressed


def test_another_source_at_the_device_is_reported() -> None:
    """For the log."""
    assert texts(choose("Platen", input_source="ADFDuplex")) == [
        "input source Platen instead of ADFDuplex: it was chosen at the device"
    ]


@pytest.mark.parametrize(
    ("there", "asked", "used"),
    [
        (("Platen", "ADF"), "ADFDuplex", "ADF"),
        (("Platen",), "ADFDuplex", "Platen"),
        (("Platen",), "ADF", "Platen"),
        (("Platen", "ADF"), "Film", "Platen"),
        (("ADF",), "Platen", "ADF"),
        (("Film",), "ADF", "Film"),
        ((), "ADFDuplex", "ADFDuplex"),
    ],
)
def test_a_pull_uses_the_nearest_source_that_is_there(there: tuple[str, ...], asked: str, used: str) -> None:
    """A device that lists none is believed to have any."""
    offered = replace(OFFERED, sources=MappingProxyType(dict.fromkeys(there, BED)))

    assert choose(offered=offered, input_source=asked).ticket.parameters.input_source == used


@pytest.mark.conformance("WSS-038")
@pytest.mark.parametrize(
    ("source", "quirks", "asked", "images"),
    [
        ("Platen", (), 0, 1),
        ("Platen", (), 5, 1),
        ("ADF", (), 0, 0),
        ("ADFDuplex", (), 0, 0),
        ("ADF", (), 5, 5),
        ("ADF", ("broken-zero",), 0, 100),
        ("Platen", ("broken-zero",), 0, 1),
    ],
)
def test_how_many_images_are_asked_for(source: str, quirks: tuple[str, ...], asked: int, images: int) -> None:
    """One from the platen, all from a feeder, 100 where 0 is not understood, or the number of the scan process."""
    assert choose(source, frozenset(quirks), images=asked).ticket.parameters.images == images


@pytest.mark.conformance("WSS-039")
@pytest.mark.parametrize(
    ("asked", "color", "used", "others"),
    [
        (("png", "jfif", "exif"), "RGB24", "jfif", ("exif",)),
        (("pdf-a",), "", "pdf-a", ()),
        (("png",), "", "exif", ("jfif", "pdf-a", "tiff-single-g4")),
        (("tiff-single-g4", "jfif"), "RGB24", "jfif", ("tiff-single-g4",)),
        (("jfif", "tiff-single-g4"), "BlackAndWhite1", "tiff-single-g4", ("jfif",)),
    ],
)
def test_the_first_offered_format_that_can_have_the_colour(
    asked: tuple[str, ...], color: str, used: str, others: tuple[str, ...]
) -> None:
    """The others follow if the device refuses it."""
    chosen = choose(formats=asked, color=color)

    assert (chosen.ticket.parameters.format, chosen.formats) == (used, others)


def test_a_bilevel_format_has_only_black_and_white() -> None:
    """If it is the only one that is asked for."""
    chosen = choose(formats=("tiff-single-g4",), color="RGB24")

    assert chosen.ticket.parameters.front.color == "BlackAndWhite1"
    assert texts(chosen) == ["colour BlackAndWhite1 instead of RGB24: tiff-single-g4 has no other"]


@pytest.mark.conformance("WSS-039")
@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("RGB48", "RGB24"),
        ("RGBa64", "RGB24"),
        ("Grayscale16", "Grayscale8"),
        ("Grayscale4", "Grayscale8"),
        ("BlackAndWhite1", "BlackAndWhite1"),
        ("Odd", "RGB24"),
    ],
)
def test_the_nearest_colour(asked: str, used: str) -> None:
    """What differs is reported."""
    chosen = choose(color=asked)

    assert chosen.ticket.parameters.front.color == used
    assert bool(chosen.changes) is (asked != used)


@pytest.mark.conformance("WSS-039")
@pytest.mark.parametrize(
    ("x", "y", "used"),
    [
        (300, 300, (300, 300)),
        (400, 0, (300, 300)),
        (250, 250, (300, 300)),
        (0, 90, (200, 200)),
        (200, 1200, (200, 300)),
    ],
)
def test_the_nearest_resolution(x: int, y: int, used: tuple[int, int]) -> None:
    """The higher of two equally near ones; of the source that is used."""
    front = choose("ADF", x_resolution=x, y_resolution=y).ticket.parameters.front

    assert (front.x_resolution, front.y_resolution) == used


@pytest.mark.conformance("WSS-040")
@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ((0, 0, 8268, 11693), BedRegion(0, 0, 8268, 11693)),
        ((0, 0, 9000, 20000), BedRegion(0, 0, 8500, 11700)),
        ((8000, 100, 1000, 200), BedRegion(7500, 100, 1000, 200)),
        ((99999, 0, 1000, 200), BedRegion(7500, 0, 1000, 200)),
    ],
)
def test_a_region_lies_on_the_bed(asked: tuple[int, int, int, int], used: BedRegion) -> None:
    """In 1/1000 inch."""
    x, y, width, height = asked
    front = choose("Platen", x_offset=x, y_offset=y, width=width, height=height).ticket.parameters.front

    assert front.region == used


def test_a_bed_with_its_sides_exchanged_is_put_right() -> None:
    """As one Kyocera states it."""
    swapped = replace(BED, max_width=11700, max_height=8500)
    offered = replace(OFFERED, sources=MappingProxyType({"Platen": swapped}))
    right = choose("Platen", frozenset({"swapped-size"}), offered, width=8268, height=11693).ticket.parameters
    wrong = choose("Platen", frozenset(), offered, width=8268, height=11693).ticket.parameters

    assert right.front.region == BedRegion(0, 0, 8268, 11693)
    assert wrong.front.region == BedRegion(0, 0, 8268, 8500)


def test_uncompressed_tiff_is_not_asked_for_where_it_fails() -> None:
    """Above 150 dpi, at one Samsung."""
    offered = replace(OFFERED, formats=("tiff-single-uncompressed", "jfif"))
    quirk = frozenset({"coarse-tiff"})
    asked = {"formats": ("tiff-single-uncompressed", "jfif")}

    assert choose("ADF", quirk, offered, x_resolution=300, **asked).ticket.parameters.format == "jfif"
    coarse = replace(
        offered, sources=MappingProxyType({"ADF": replace(FEEDER, x_resolutions=(100,), y_resolutions=(100,))})
    )
    assert choose("ADF", quirk, coarse, x_resolution=100, **asked).ticket.parameters.format == asked["formats"][0]


@pytest.mark.parametrize(("asked", "used"), [(0, 0), (50, 50), (5, 20), (100, 80)])
def test_the_quality_is_within_the_range_of_the_device(asked: int, used: int) -> None:
    """Nothing is sent if it cannot be set."""
    assert choose(quality=asked).ticket.parameters.quality == used
    assert choose(quality=asked, offered=replace(OFFERED, quality=None)).ticket.parameters.quality == 0


@pytest.mark.parametrize(("asked", "used"), [("", ""), ("Text", "Text"), ("Photo", "Auto")])
def test_the_content_type_is_one_that_is_offered(asked: str, used: str) -> None:
    """Or the device's own choice."""
    assert choose(content_type=asked).ticket.parameters.content_type == used


@pytest.mark.conformance("WSS-036")
def test_the_description_is_never_empty() -> None:
    """A Canon refuses a ticket without JobInformation."""
    description = choose().ticket.description
    own = choose(job_name="Name", user_name="ann", information="x" * 255).ticket.description

    assert (description.name, description.user_name, description.information) == ("Invoices", "postscan", "postscan")
    assert (own.name, own.user_name, own.information) == ("Name", "ann", "x" * 255)


@pytest.mark.conformance("WSS-039", "WSS-040")
@given(
    asked=st.fixed_dictionaries(
        {
            "formats": st.lists(st.sampled_from(FORMATS), max_size=3).map(tuple),
            "input_source": st.sampled_from(("", "Platen", "ADF", "ADFDuplex", "Film", "Odd")),
            "color": st.sampled_from(COLORS),
            "x_resolution": st.integers(0, 2000),
            "y_resolution": st.integers(0, 2000),
            "width": st.integers(0, 30000),
            "height": st.integers(0, 30000),
            "x_offset": st.integers(0, 30000),
            "y_offset": st.integers(0, 30000),
            "quality": st.integers(0, 100),
        }
    ),
    offered=st.builds(
        ScannerConfiguration,
        formats=st.lists(st.sampled_from(FORMATS), min_size=1, max_size=4, unique=True).map(tuple),
        sources=st.dictionaries(
            st.sampled_from(("Platen", "ADF", "ADFDuplex", "Film")),
            st.builds(
                SourceCapabilities,
                x_resolutions=st.lists(st.integers(1, 1200), min_size=1, max_size=4).map(tuple),
                y_resolutions=st.lists(st.integers(1, 1200), min_size=1, max_size=4).map(tuple),
                colors=st.lists(st.sampled_from(COLORS[:-1]), min_size=1, max_size=4, unique=True).map(tuple),
                max_width=st.integers(1, 20000),
                max_height=st.integers(1, 20000),
            ),
            min_size=1,
        ),
    ),
    quirks=st.sets(st.sampled_from(sorted(NAMES))).map(frozenset),
)
def test_only_what_is_offered_is_sent(
    asked: dict[str, Any], offered: ScannerConfiguration, quirks: frozenset[str]
) -> None:
    """For any destination, device and quirks."""
    chosen = choose("", quirks, offered, **asked)
    sent = chosen.ticket.parameters
    able = offered.sources[sent.input_source]
    least = chosen.least().ticket.parameters

    assert sent.format in offered.formats
    assert set(chosen.formats) <= set(offered.formats)
    assert sent.front.color in able.colors
    assert sent.front.x_resolution in able.x_resolutions
    assert sent.front.y_resolution in able.y_resolutions
    region = sent.front.region
    if region is not None and asked["width"] and asked["height"]:
        width, height = able.max_width, able.max_height
        if "swapped-size" in quirks and width > height:
            width, height = height, width
        assert region.x_offset + region.width <= width
        assert region.y_offset + region.height <= height
    assert (least.format, least.images, least.input_source) == (sent.format, sent.images, sent.input_source)
    assert len(list(itertools.takewhile(lambda one: one is not None, _formats(chosen)))) == len(chosen.formats)


def _formats(chosen: ChosenTicket) -> Any:
    following: ChosenTicket | None = chosen
    while (following := following.next_format() if following is not None else None) is not None:
        yield following


@pytest.mark.conformance("WSS-040")
def test_numbers_are_written_as_numbers() -> None:
    """No boolean, no fraction, no blank."""
    xml = write_ticket(choose("ADF", x_resolution=300, width=8268, height=11693).ticket)

    assert "<wscn:ScanRegionWidth>8268</wscn:ScanRegionWidth>" in xml
    assert "<wscn:ImagesToTransfer>0</wscn:ImagesToTransfer>" in xml
    assert not any(word in xml for word in ("True", "False", " ", "."))


def test_a_model_has_the_rows_of_its_name() -> None:
    """Whatever its case; others have none."""
    assert quirks_of("RICOH Aficio MP 201") == {"broken-zero"}
    assert quirks_of("Kyocera ECOSYS M2040dn") == {"swapped-size"}
    assert quirks_of("Samsung M288x Series") == {"coarse-tiff"}
    assert quirks_of("Canon MF410 Series") == {"empty-feeder-busy"}
    assert quirks_of("") == frozenset()
    assert len(NAMES) == len(QUIRKS)
