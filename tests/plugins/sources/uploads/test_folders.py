"""Which folder is which destination, and where a path leads."""

from __future__ import annotations

import pytest

from postscan.plugins import Destination
from postscan.plugins.sources.uploads.folders import Folders

INVOICES = Destination(id="d-1", label="Invoices (Ann)")
OFFICE = Destination(id="d-2", label="Büro / 2. Stock")


@pytest.mark.parametrize(
    "path",
    [
        "/Invoices (Ann)/a.jpg",
        "/invoices (ann)/a.jpg",
        "/d-1/a.jpg",
    ],
)
def test_a_path_names_its_destination_by_label_or_id(path):
    """In any case of letters, since menus of devices have their own ideas of it."""
    found = Folders([INVOICES, OFFICE]).find(path)

    assert found is not None
    assert (found.destination, found.path, found.name) == (INVOICES, "a.jpg", "a.jpg")


@pytest.mark.parametrize("name", ["Büro _ 2. Stock", "Bu\u0308ro _ 2. Stock", "B\udcfcro _ 2. Stock"])
def test_a_label_is_found_in_every_encoding(name):
    """UTF-8, composed or not, and Latin-1; what separates paths has become an underscore."""
    found = Folders([INVOICES, OFFICE]).find(f"/{name}/x/y.jpg")

    assert found is not None
    assert (found.destination, found.path, found.name) == (OFFICE, "x/y.jpg", "y.jpg")


@pytest.mark.parametrize("path", ["/", "/a.jpg", "/Nobody/a.jpg", "/Invoices", ""])
def test_what_is_below_no_destination_leads_nowhere(path):
    """There is no folder that everything else falls into."""
    assert Folders([INVOICES, OFFICE]).find(path) is None


def test_with_one_destination_the_root_is_its_folder_too():
    """Some devices have no place in their menu for a folder."""
    found = Folders([INVOICES]).find("/a.jpg")

    assert found is not None
    assert (found.destination, found.path) == (INVOICES, "a.jpg")


def test_every_destination_has_a_folder_of_its_own():
    """Also those with equal labels, and with labels that are no names of folders."""
    same = [Destination(id=f"d-{number}", label="Scans") for number in range(3)]
    odd = [Destination(id="d-7", label=".."), Destination(id="d-8", label="  ")]
    folders = Folders([*same, *odd])

    assert folders.names == ["Scans", "Scans d-1", "Scans d-2", "d-7", "d-8"]
    for name, destination in zip(folders.names, [*same, *odd], strict=True):
        found = folders.find(f"/{name}")
        assert found is not None
        assert found.destination == destination


def test_two_labels_that_differ_in_case_are_told_apart():
    """A name that fits both by its letters alone leads to neither."""
    upper, lower = Destination(id="d-1", label="SCANS"), Destination(id="d-2", label="scans")
    folders = Folders([upper, lower])

    found = folders.find("/scans/a.jpg")
    assert found is not None
    assert found.destination == lower
    assert folders.find("/Scans/a.jpg") is None
