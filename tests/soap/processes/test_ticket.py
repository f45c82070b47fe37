"""The scan ticket of a stored process, as sources get it."""

from __future__ import annotations

from pathlib import Path

import messages
import pytest

from postscan.core.errors import InvalidArgument, StoredProcessInvalid
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.process import Instructions
from postscan.soap.processes import new_process
from postscan.soap.processes.folder import ProcessFolder, read_ticket

GUID = messages.PROCESS_ID
WSCN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
OLDER = "http://schemas.microsoft.com/windows/2006/01/wdp/scan"
JOB = (
    "<w:JobDescription><w:JobName>Invoice scan</w:JobName>"
    "<w:JobOriginatingUserName>FABRIKAM\\scanadmin</w:JobOriginatingUserName></w:JobDescription>"
)
REGION = (
    "<w:ScanRegion><w:ScanRegionXOffset>100</w:ScanRegionXOffset>"
    "<w:ScanRegionWidth>8000</w:ScanRegionWidth><w:ScanRegionHeight>11000</w:ScanRegionHeight></w:ScanRegion>"
)


def process(ticket: str, namespace: str = WSCN) -> bytes:
    """Return a process with this content of its scan ticket, whose prefix is w."""
    declared = f'<psp:ScanTicket xmlns:w="{namespace}">'
    return messages.PROCESS.replace(f"<psp:ScanTicket>{messages.TICKET}", declared + ticket).encode()


def wanted(parameters: str, namespace: str = WSCN) -> ScanTicket:
    """Return the ticket with these document parameters."""
    return read_ticket(process(f"{JOB}<w:DocumentParameters>{parameters}</w:DocumentParameters>", namespace))


def front(settings: str) -> str:
    """Return the settings of a front."""
    return f"<w:MediaSides><w:MediaFront>{settings}</w:MediaFront></w:MediaSides>"


@pytest.mark.parametrize("namespace", [WSCN, OLDER])
def test_a_ticket_is_read(namespace: str) -> None:
    """With every element that sources get, in the namespace of both generations."""
    found = wanted(
        '<w:Format w:MustHonor="true">pdf-a</w:Format><w:CompressionQualityFactor>80</w:CompressionQualityFactor>'
        "<w:ImagesToTransfer>7</w:ImagesToTransfer><w:InputSource> ADFDuplex\n</w:InputSource>"
        "<w:ContentType>Mixed</w:ContentType><w:Exposure><w:AutoExposure>true</w:AutoExposure></w:Exposure>"
        + front(
            f"{REGION}<w:ColorProcessing>Grayscale8</w:ColorProcessing>"
            '<w:Resolution MustHonor="1"><w:Width>300</w:Width><w:Height>600</w:Height></w:Resolution>'
        ),
        namespace,
    )

    assert found == ScanTicket(
        formats=("pdf-a",),
        input_source="ADFDuplex",
        images=7,
        color="Grayscale8",
        x_resolution=300,
        y_resolution=600,
        width=8000,
        height=11000,
        x_offset=100,
        content_type="Mixed",
        quality=80,
        job_name="Invoice scan",
        user_name="FABRIKAM\\scanadmin",
    )


def test_what_a_ticket_does_not_have_is_left_to_the_device() -> None:
    """A new process has a description of the job alone."""
    stored = new_process.write(Instructions("Scan", ()), repository="scan7", title="Notes", author="ann")

    assert read_ticket(stored) == ScanTicket(job_name="Notes", user_name="ann")


def test_a_resolution_without_height_is_the_same_along_both_axes() -> None:
    """scan-process.md section 4: absent = same as Width."""
    found = wanted(front("<w:Resolution><w:Width>200</w:Width></w:Resolution>"))

    assert (found.x_resolution, found.y_resolution) == (200, 200)


@pytest.mark.parametrize(
    ("size", "region", "expected"),
    [
        ("<w:InputMediaSize><w:Width>5000</w:Width><w:Height>7000</w:Height></w:InputMediaSize>", "", (5000, 7000, 0)),
        (
            "<w:InputMediaSize><w:Width>5000</w:Width><w:Height>7000</w:Height></w:InputMediaSize>",
            REGION,
            (8000, 11000, 100),
        ),
        ("<w:DocumentSizeAutoDetect>true</w:DocumentSizeAutoDetect>", "", (0, 0, 0)),
    ],
)
def test_the_region_is_that_of_the_front_or_the_size_of_the_media(
    size: str, region: str, expected: tuple[int, int, int]
) -> None:
    """Without both the device decides."""
    found = wanted(f"<w:InputSize>{size}</w:InputSize>{front(region)}")

    assert (found.width, found.height, found.x_offset) == expected


def test_elements_of_others_in_a_ticket_are_passed_over() -> None:
    """Every part of a ticket may have extensions."""
    found = wanted('<a:Blank xmlns:a="urn:acme">yes</a:Blank><w:InputSource>acme:Drum</w:InputSource>')

    assert found.input_source == "acme:Drum"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("<w:ImagesToTransfer>many</w:ImagesToTransfer>", "ImagesToTransfer"),
        ("<w:ImagesToTransfer>-1</w:ImagesToTransfer>", "ImagesToTransfer"),
        (f"<w:ImagesToTransfer>{1 << 31}</w:ImagesToTransfer>", "ImagesToTransfer"),
        (f"<w:ImagesToTransfer>{'9' * 100_000}</w:ImagesToTransfer>", "ImagesToTransfer"),
        ("<w:CompressionQualityFactor>101</w:CompressionQualityFactor>", "CompressionQualityFactor"),
        (f"<w:Format>{'x' * 256}</w:Format>", "Format"),
        ("<w:Format>jfif</w:Format><w:Format>png</w:Format>", "Format"),
        ("<w:InputSource><w:Platen/></w:InputSource>", "InputSource"),
        ("<w:Staple>true</w:Staple>", "Staple"),
        (front("<w:Resolution><w:Width>0</w:Width></w:Resolution>"), "Width"),
        (front(REGION.replace("8000", "0")), "ScanRegionWidth"),
    ],
)
def test_an_invalid_ticket_names_its_element(parameters: str, named: str) -> None:
    """One that was put into the folder by hand has not been validated."""
    with pytest.raises(InvalidArgument, match=named) as caught:
        wanted(parameters)

    assert len(str(caught.value)) < 400


def test_a_process_without_a_ticket_says_so() -> None:
    """The element is required."""
    with pytest.raises(InvalidArgument, match="ScanTicket is missing"):
        read_ticket(messages.PROCESS.replace(f"<psp:ScanTicket>{messages.TICKET}</psp:ScanTicket>", "").encode())


@pytest.mark.parametrize("broken", [b"", b"<", b"\xff\xfe\x00", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a/>"])
def test_the_ticket_of_a_broken_file_cannot_be_used(tmp_path: Path, broken: bytes) -> None:
    """The error names the process."""
    (tmp_path / f"{GUID}.xml").write_bytes(broken)

    with pytest.raises(StoredProcessInvalid, match=GUID):
        ProcessFolder(tmp_path).ticket(GUID)


def test_a_folder_has_the_ticket_of_today(tmp_path: Path) -> None:
    """Whatever the rest of the process is like; a process that is not there asks for nothing."""
    folder = ProcessFolder(tmp_path / "processes")
    (tmp_path / "processes").mkdir()
    place = tmp_path / "processes" / f"{GUID}.xml"
    before = folder.ticket(GUID)
    place.write_bytes(process(JOB).replace(b"FiltersToProcess", b"Filters"))
    first = folder.ticket(f"{{{GUID.lower()}}}")
    place.write_bytes(process(JOB.replace("Invoice scan", "Notes")))

    assert before == folder.ticket("no GUID") == ScanTicket()
    assert first.job_name == "Invoice scan"
    assert folder.ticket(GUID).job_name == "Notes"
