"""Paths of requests: names in any encoding, none of which leads anywhere, and the folders of destinations."""

from __future__ import annotations

import unicodedata

import pytest

from postscan.plugins import Destination
from postscan.plugins.sources.web.paths import (
    LONGEST,
    MOST_PARTS,
    BadPath,
    DestinationFolders,
    WebPath,
    file_name,
    parse,
    parse_url,
)

ANN = Destination(id="d-1", label="Invoices (Ann)")


@pytest.mark.parametrize(
    ("target", "parts", "is_folder"),
    [
        (b"/", (), True),
        (b"/Scans", ("Scans",), False),
        (b"/Scans/", ("Scans",), True),
        (b"/Scans/a.pdf?x=/../y", ("Scans", "a.pdf"), False),
        (b"//Scans///a.pdf", ("Scans", "a.pdf"), False),
        (b"/Invoices%20(Ann)/a%2Bb.pdf", ("Invoices (Ann)", "a+b.pdf"), False),
        (b"/Scans/%C3%A4.pdf", ("Scans", "ä.pdf"), False),
        (b"/Scans/%E4.pdf", ("Scans", "ä.pdf"), False),
        (b"http://server:8480/Scans/a.pdf", ("Scans", "a.pdf"), False),
        (b"http://server", (), True),
    ],
)
def test_the_names_of_a_path_are_decoded(target: bytes, parts: tuple[str, ...], is_folder: bool) -> None:
    """As UTF-8, else as Latin-1, which older devices send."""
    assert parse(target) == WebPath(parts, is_folder)


@pytest.mark.parametrize(
    "target",
    [
        b"/Scans/..",
        b"/Scans/%2e%2e/a.pdf",
        b"/./a",
        b"/Scans/a%2Fb",
        b"/Scans/a%5Cb",
        b"/Scans/a%00b",
        b"/Scans/a%0Db",
        b"/Scans/" + b"a" * (LONGEST + 1),
        b"/a" * (MOST_PARTS + 1),
    ],
)
def test_what_is_no_name_is_refused(target: bytes) -> None:
    """Also a separator or a step upwards that is percent-encoded."""
    with pytest.raises(BadPath):
        parse(target)


def test_a_path_of_the_most_and_longest_names_is_one() -> None:
    """The bounds are included."""
    path = parse(b"/" + b"/".join([b"a" * LONGEST] * MOST_PARTS))

    assert len(path.parts) == MOST_PARTS


def test_two_spellings_of_a_character_are_one_name() -> None:
    """macOS sends an ä as two characters."""
    composed, decomposed = WebPath(("ä",)), WebPath((unicodedata.normalize("NFD", "ä"),))

    assert composed != decomposed
    assert composed.key == decomposed.key


@pytest.mark.parametrize("parts", [(), ("Scans",), ("Invoices (Ann)", "a b+ä#?.pdf")])
@pytest.mark.parametrize("is_folder", [False, True])
def test_the_href_of_a_path_leads_to_it(parts: tuple[str, ...], is_folder: bool) -> None:
    """What a listing says can be requested."""
    path = WebPath(parts, is_folder or not parts)

    assert parse(path.href.encode()) == path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://server:8480/Scans/b.pdf", ("server:8480", WebPath(("Scans", "b.pdf")))),
        ("https://ann@server/Scans/b%20c.pdf", ("server", WebPath(("Scans", "b c.pdf")))),
        ("/Scans/b.pdf", ("", WebPath(("Scans", "b.pdf")))),
    ],
)
def test_the_url_of_a_destination_field_has_host_and_path(url: str, expected: tuple[str, WebPath]) -> None:
    """RFC 4918 section 10.3 allows a path alone."""
    assert parse_url(url) == expected


@pytest.mark.parametrize("url", ["", "b.pdf", "ftp://server/b.pdf", "http://[::1/b.pdf", "http://server/../b.pdf"])
def test_any_other_url_is_refused(url: str) -> None:
    """Another scheme, a relative path, and no URL at all."""
    with pytest.raises(BadPath):
        parse_url(url)


@pytest.mark.parametrize("name", ["Invoices (Ann)", "invoices (ANN)", "d-1", "D-1"])
def test_a_destination_is_found_by_label_and_by_id(name: str) -> None:
    """A person types it into the menu of a device."""
    assert DestinationFolders([ANN]).find(name) == ANN


def test_an_unknown_destination_is_none() -> None:
    """Nothing is guessed."""
    assert DestinationFolders([ANN]).find("Invoices") is None


def test_a_label_that_is_no_name_becomes_one() -> None:
    """And leads to its destination."""
    odd = Destination(id="d-2", label="In/Out\\Box\n")
    folders = DestinationFolders([odd])

    assert list(folders.by_name) == ["In_Out_Box_"]
    assert folders.find("In_Out_Box_") == odd


@pytest.mark.parametrize("label", ["jobs", "Destinations", ANN.label.upper()])
def test_a_name_that_is_taken_gets_the_id(label: str) -> None:
    """By another destination, or by what the page asks for."""
    other = Destination(id="d-2", label=label)
    folders = DestinationFolders([ANN, other])

    assert list(folders.by_name) == ["Invoices (Ann)", f"{label} (d-2)"]
    assert folders.find(f"{label} (d-2)") == folders.find("d-2") == other
    assert folders.find(ANN.label) == ANN


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.pdf", "a.pdf"),
        ("C:\\Scans\\a.pdf", "a.pdf"),
        ("/home/ann/a.pdf", "a.pdf"),
        ("..", ""),
        ("a/..", ""),
        ("a\r\nb.pdf", "a__b.pdf"),
        (" ", ""),
    ],
)
def test_a_clients_name_of_a_file_is_its_last_one(text: str, name: str) -> None:
    """Whatever folders the client has, and whatever else stands there."""
    assert file_name(text) == name
