"""`postscan plugin list` and `postscan plugin info`: what plugins bring, take and lack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from described_plugins import FEW, HAMPER, PARCEL, Install
from typer.testing import Result

# --- filters -----------------------------------------------------------------------------------------------------


def test_plugins_are_listed_with_what_they_bring(postscan: Callable[..., Result], install: Install) -> None:
    """The shipped ones come in through the door that is open to everybody."""
    install("parcel", PARCEL)
    plugins = {one["name"]: one for one in json.loads(postscan("plugin", "list", "--json").stdout)}

    assert plugins["fileshare"]["state"] == "ready"
    assert [one["dialect"] for one in plugins["stamp"]["filters"]] == ["urn:postscan:2026:filter:stamp"]
    parcel = plugins["parcel"]
    assert (parcel["version"], parcel["distribution"], parcel["state"]) == ("1.0", "parcel_module", "ready")
    assert parcel["filters"][0]["lacks"] == ["there is no string"]


def test_the_table_has_a_line_for_each_filter(postscan: Callable[..., Result], install: Install) -> None:
    """With its plugin, and what it lacks here."""
    install("parcel", PARCEL)
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("parcel "))

    assert " ".join(row.split()) == "parcel 1.0 parcel_module ready urn:test:parcel Parcel there is no string"


def test_a_quarantined_plugin_is_listed_with_its_reason_and_explained_with_its_traceback(
    postscan: Callable[..., Result], install: Install
) -> None:
    """Its author needs the line, and the terminal must stay in one piece."""
    install("broken", "raise RuntimeError('no \\x1b[31m paper')")
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("broken "))
    info = postscan("plugin", "info", "broken")

    assert r"quarantined: RuntimeError: no \x1b[31m paper" in row
    assert info.exit_code == 0
    assert 'broken_module.py", line 1, in <module>' in info.stdout
    assert info.stdout.count("\x1b") == 0


def test_info_says_what_a_filter_is_and_takes(postscan: Callable[..., Result], install: Install) -> None:
    """All of it from the dataclasses of its author."""
    install("parcel", PARCEL)
    lines = [" ".join(line.split()) for line in postscan("plugin", "info", "parcel").stdout.splitlines()]

    for line in (
        "Plugin: parcel 1.0, of parcel_module",
        "State: ready",
        "Filter: Parcel",
        "Dialect: urn:test:parcel",
        "About: Pack every page.",
        "Grace: 1.5 s",
        "Lacks: there is no string",
        "Instructions in ParcelConfig: how it is packed.",
        'Paper one of brown, red "brown" colour of the paper',
        "Labels/Label a text of at most 255 characters, any number of times [] what stands on it",
        "Weight a whole number, at least 1, at most 30 (required) in kilograms",
        "Settings in [filters.parcel]",
        'depot text "Berlin" where parcels are brought',
        "password text, secret of the depot",
    ):
        assert line in lines


def test_info_for_programs_has_the_same(postscan: Callable[..., Result], install: Install) -> None:
    """A form could be made of it."""
    install("parcel", PARCEL)
    (one,) = json.loads(postscan("plugin", "info", "parcel", "--json").stdout)["filters"]

    assert (one["dialect"], one["title"], one["summary"]) == ("urn:test:parcel", "Parcel", "Pack every page.")
    assert one["instructions"]["element"] == "ParcelConfig"
    assert [parameter["path"] for parameter in one["instructions"]["parameters"]] == ["Weight", "Paper", "Labels/Label"]
    assert one["settings"][0] == {
        "key": "depot",
        "type": "text",
        "many": False,
        "required": False,
        "default": "Berlin",
        "choices": [],
        "secret": False,
        "help": "where parcels are brought",
    }


def test_no_value_of_a_secret_and_nothing_that_is_set_comes_out(
    postscan: Callable[..., Result], settings_file: Path, install: Install
) -> None:
    """Neither the default of the author nor what the administrator wrote."""
    install("parcel", PARCEL)
    settings_file.write_text(
        f"storage.data_dir = 'data'\nplugins.{FEW}[filters.parcel]\npassword = 'trout'\ndepot = 'Rome'\n"
    )
    said = "".join(
        postscan(*words).output
        for words in (
            ("plugin", "info", "parcel"),
            ("plugin", "info", "parcel", "--json"),
            ("plugin", "list", "--json"),
        )
    )

    assert "Parcel" in said
    assert not any(value in said for value in ("swordfish", "trout", "Rome"))


@pytest.mark.usefixtures("few_plugins")
def test_an_unknown_plugin_is_an_error_that_names_the_installed_ones(postscan: Callable[..., Result]) -> None:
    """One line, and exit code 1."""
    result = postscan("plugin", "info", "stmap")

    assert result.exit_code == 1
    assert result.stderr.startswith("postscan: no plugin 'stmap' is installed; installed are: acme, ")
    assert "stamp" in result.stderr


# --- sources -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hamper")
def test_a_source_is_listed_among_the_plugins(postscan: Callable[..., Result]) -> None:
    """With what it brings in place of a dialect."""
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("hamper "))
    plugins = {one["name"]: one for one in json.loads(postscan("plugin", "list", "--json").stdout)}

    assert " ".join(row.split()) == "hamper 1.0 hamper_module ready (source) Hamper there is no lid"
    assert (plugins["hamper"]["brings"], plugins["hamper"]["filters"]) == ("source", [])
    assert plugins["hamper"]["source"]["proofs"] == ["device", "local"]
    assert (plugins["stamp"]["brings"], plugins["stamp"]["source"]) == ("filters", None)


@pytest.mark.usefixtures("hamper")
def test_info_says_what_a_source_is_and_takes(postscan: Callable[..., Result], settings_file: Path) -> None:
    """With what is wrong in the tables of its inlets, and without any of their values."""
    settings_file.write_text(
        f"{settings_file.read_text()}"
        '[destinations.all]\nlabel = "All"\nprocess = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"\n'
        '[sources.desk]\nplugin = "hamper"\npassword = "trout"\n'
        '[sources.door]\nplugin = "hamper"\nplaec = "trout"\n'
    )
    text = postscan("plugin", "info", "hamper").stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]

    for line in (
        "Plugin: hamper 1.0, of hamper_module",
        "Source: Hamper",
        "About: Take what is in the hamper.",
        "Proofs: device, local",
        "Grace: 1.5 s",
        "Pulls: an administrator can ask it for a scan",
        "Lacks: there is no lid",
        "Refuses: [sources.door] has no setting 'plaec'; it has: password, place",
        'Settings in an inlet with plugin = "hamper"',
        'place text "hall" where it stands',
        "password text, secret of the lid",
    ):
        assert line in lines
    text += postscan("plugin", "info", "hamper", "--json").stdout
    assert not any(value in text for value in ("swordfish", "trout"))


def test_filters_and_a_source_of_one_name_are_both_explained(postscan: Callable[..., Result], install: Install) -> None:
    """The name is that of a package, which may bring both."""
    install("basket_case", PARCEL)
    install("hamper", HAMPER, "postscan.sources", "basket_case")
    text = postscan("plugin", "info", "basket_case").stdout
    both = json.loads(postscan("plugin", "info", "basket_case", "--json").stdout)

    assert "Filter:   Parcel" in text
    assert "Source:   Hamper" in text
    assert [one["brings"] for one in both] == ["filters", "source"]
