"""XML of a device is read within bounds: ESCL-006, ESCL-011, ESCL-014."""

from __future__ import annotations

import pytest

from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.escl.messages import xml
from postscan.plugins.sources.escl.messages.xml import MOST_BYTES, PWG, SCAN


def document(inside: str = "", root: str = "ScannerStatus", namespace: str = SCAN) -> bytes:
    """Return a document under a prefix of its own."""
    return f'<a:{root} xmlns:a="{namespace}" xmlns:b="{PWG}">{inside}</a:{root}>'.encode()


def refusal(data: bytes) -> str:
    """Return why a document is refused."""
    with pytest.raises(DeviceRefused) as caught:
        xml.parse(data, "ScannerStatus")
    return str(caught.value)


@pytest.mark.conformance("ESCL-011")
@pytest.mark.parametrize("namespace", [SCAN, PWG])
def test_any_prefix_and_either_namespace_will_do(namespace: str) -> None:
    """Some devices put elements of the one into the other."""
    found = xml.parse(document("<b:State> Idle\n</b:State><a:Other/>", namespace=namespace), "ScannerStatus")

    assert found.value("State") == "Idle"


def test_elements_of_other_namespaces_are_not_read() -> None:
    """A vendor's own State is another one."""
    found = xml.parse(document('<State xmlns="urn:vendor">Odd</State><b:State>Idle</b:State>'), "ScannerStatus")

    assert found.value("State") == "Idle"


@pytest.mark.conformance("ESCL-006")
def test_another_root_is_refused_with_its_begin() -> None:
    """So that a person sees what came."""
    assert "ScannerCapabilities" in refusal(document(root="ScannerCapabilities"))


@pytest.mark.conformance("ESCL-006")
@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html>Please log in</html>",
        b"\xef\xbb\xbf\n <HTML><p>Please log in</p>",
        b"<head>Please log in",
    ],
)
def test_a_web_page_is_called_so_and_quoted(page: bytes) -> None:
    """HP 9012e and Brother L2750DW have sent one."""
    assert "web page" in refusal(page)
    assert "Please log in" in refusal(page)


def test_what_is_quoted_has_no_control_characters() -> None:
    """It goes into logs and onto terminals."""
    assert "\x1b" not in refusal(b"\x1b[31mred \x00\xff")


@pytest.mark.conformance("ESCL-014")
def test_a_document_type_is_refused_before_anything_in_it_counts() -> None:
    """No entity of its own, and none from outside."""
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;</a>'

    assert "document type" in refusal(bomb)


@pytest.mark.conformance("ESCL-014")
@pytest.mark.parametrize(
    "data",
    [
        b" " * (MOST_BYTES + 1),
        document("<b:a>" * 40 + "</b:a>" * 40),
        document("<b:a/>" * 20_001),
        document("<b:a" + "".join(f' x{n}="1"' for n in range(40)) + "/>"),
        document(f"<b:{'a' * 300}/>"),
        document("<?pi data?>"),
    ],
    ids=["bytes", "depth", "elements", "attributes", "name", "instruction"],
)
def test_what_is_too_large_is_refused(data: bytes) -> None:
    """Each bound by itself."""
    assert refusal(data)


@pytest.mark.parametrize(
    "data", [b"", b"<", b"\xff\xfe\x00", document()[:-3], b'<?xml version="1.0" encoding="nonsense"?><a/>']
)
def test_what_is_no_xml_is_refused(data: bytes) -> None:
    """With one kind of error, whatever it is."""
    assert "well-formed" in refusal(data)


@pytest.mark.parametrize(("text", "number"), [("300", 300), ("", 0), ("-3", 0), ("3.5", 0), ("٣", 0), ("9" * 10, 0)])
def test_a_number_is_one_to_nine_digits(text: str, number: int) -> None:
    """Anything else counts as none."""
    assert xml.parse(document(f"<b:N>{text}</b:N>"), "ScannerStatus").number("N") == number
