"""The form by which users report a scanner: it is one that the platform shows, and names what there is."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer.main
import yaml
from documents import page

from postscan.cli.app import app
from postscan.core.filters import hookspecs, loader

FORM = ".github/ISSUE_TEMPLATE/scanner.yml"
KINDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}
"""What GitHub knows: docs.github.com, "Syntax for GitHub's form schema"."""


@pytest.fixture(scope="module")
def form() -> dict[str, Any]:
    """The form, parsed."""
    loaded: dict[str, Any] = yaml.safe_load(page(FORM))
    return loaded


def field(form: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the attributes of the field with this id."""
    (found,) = (one for one in form["body"] if one.get("id") == name)
    attributes: dict[str, Any] = found["attributes"]
    return attributes


def test_the_form_is_one_that_the_platform_shows(form: dict[str, Any]) -> None:
    """A form with a mistake is not offered at all."""
    fields = [one for one in form["body"] if one["type"] != "markdown"]
    ids = [one["id"] for one in fields]

    assert {"name", "description", "body"} <= form.keys() <= {"name", "description", "title", "labels", "body"}
    assert {one["type"] for one in form["body"]} <= KINDS
    assert len(ids) == len(set(ids))
    assert [one["id"] for one in fields if not one["attributes"]["label"]] == []
    assert all(re.fullmatch(r"[\w-]+", id) for id in ids)


def test_it_asks_for_model_firmware_way_inlet_and_doctor(form: dict[str, Any]) -> None:
    """What a report is of no use without."""
    required = {one["id"] for one in form["body"] if one.get("validations", {}).get("required")}

    assert {"model", "firmware", "way", "result", "panel", "doctor", "version"} == required
    assert field(form, "inlet")["label"] == "postscan sources show NAME"


def test_it_offers_every_shipped_source(form: dict[str, Any]) -> None:
    """By the name that the settings have."""
    options = field(form, "way")["options"]
    named = {name for option in options for name in re.findall(r"\((\w+)\)$", option)}
    shipped = {entry.name for entry in loader.installed(hookspecs.SOURCE_ENTRY_POINTS) if "postscan." in entry.value}

    assert named == shipped


def test_the_commands_that_it_asks_for_are_there() -> None:
    """`postscan sources show`, `postscan doctor`, `postscan jobs show`."""
    group = typer.main.get_command(app)
    for words in ("sources show", "doctor", "jobs show", "serve"):
        command: Any = group
        for word in words.split():
            command = command.commands[word]
        assert f"postscan {words}" in page(FORM)
