"""The contract test on whole plugins: each faulty one is found, and the outside one with the defects that it has."""

from __future__ import annotations

from collections.abc import Iterator

import faulty_plugins
import pytest

from postscan.core.filters import loader
from postscan.plugins.testing import contract, defects
from postscan.plugins.testing.defects import DefectKind


@pytest.fixture(scope="module", autouse=True)
def _faulty_plugins_installed() -> Iterator[None]:
    """The faulty plugins are installed as far as Python can tell."""
    with faulty_plugins.installed():
        yield


def found_in(name, pages, out):
    """Return the kinds of defects of an installed plugin, as its author would learn of them."""
    try:
        (one,) = loader.load(name)
    except Exception as error:
        return [defects.refused(str(error)).kind]
    settings = {"folder": str(out)}
    found = contract.examine(one, pages, settings=settings)

    assert found.untried == ""
    assert all(defect.sentence for defect in found.defects)
    return [defect.kind for defect in found.defects]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("faulty-import-error", DefectKind.IMPORT),
        ("faulty-wrong-api", DefectKind.API),
        ("faulty-no-token", DefectKind.NO_TOKEN),
        ("faulty-never-checks", DefectKind.NEVER_CHECKS),
        ("faulty-swallows", DefectKind.SWALLOWS),
        ("faulty-publishes-after", DefectKind.AFTER),
        ("faulty-writes-outside", DefectKind.OUTSIDE),
        ("faulty-leaves-a-process", DefectKind.LEAVES),
        ("faulty-not-twice", DefectKind.TWICE),
        ("faulty-no-schema", DefectKind.SCHEMA),
        ("faulty-tells-a-secret", DefectKind.SECRET),
        ("faulty-changes-globals", DefectKind.GLOBAL),
    ],
)
def test_a_faulty_plugin_is_found_with_exactly_its_defect(pages, out, name, kind):
    """Twelve plugins, twelve defects."""
    assert found_in(name, pages, out) == [kind]


def test_there_is_a_faulty_plugin_for_every_kind_of_defect():
    """A kind that no plugin shows would be a promise that nobody keeps."""
    installed = [entry.name for entry in loader.installed() if entry.name.startswith("faulty-")]

    assert len(installed) == len(DefectKind) == 12


def test_an_instruction_schema_that_cannot_be_used_is_a_defect_too(pages):
    """As bad as none."""
    (one,) = loader.load("faulty-never-checks")

    class Unreadable(type(one)):
        Instructions = dict

    (defect,) = contract.examine(Unreadable(), pages).defects

    assert defect.kind is DefectKind.SCHEMA
    assert "Unreadable.Instructions cannot be used" in defect.sentence


@pytest.mark.parametrize(
    ("dialect", "kinds"),
    [
        ("urn:acme:copy", {DefectKind.SCHEMA, DefectKind.OUTSIDE}),
        ("urn:acme:sleep", {DefectKind.SCHEMA, DefectKind.OUTSIDE}),
        ("urn:acme:warn", {DefectKind.SCHEMA}),
    ],
)
def test_the_outside_plugin_has_the_defects_that_it_is_known_for(pages, out, dialect, kinds):
    """Its filters read their XML themselves, and some leave traces for other tests; nothing else is wrong."""
    one = next(one for one in loader.load("acme") if one.dialect == dialect)
    found = contract.examine(one, pages, instructions=b"<do>0.01</do>", settings={"folder": str(out)})

    assert found.untried == ""
    assert {defect.kind for defect in found.defects} == kinds
