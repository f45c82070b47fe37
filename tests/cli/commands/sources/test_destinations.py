"""`postscan destinations`: what there is, and whether jobs can be made for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import databases
import messages
import pytest
from plugin_names import unused
from sourced import ANNA, Processes
from typer.testing import Result
from works import PATIENCE

from postscan.cli.demo import sandbox
from postscan.core.engine import Engine
from postscan.core.settings import load
from postscan.soap.processes.folder import ProcessFolder

Postscan = Callable[..., Result]
ARCHIVE = Path(sandbox.__file__).parent / "samples" / "archive.xml"
OTHER = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def settings_file(settings_file: Path, tmp_path: Path) -> Path:
    """Settings with a destination that is in order, and two that are not."""
    text = f"""
        [plugins]
        disabled = {json.dumps(unused("fileshare", "smtp"))}
        probe_seconds = {PATIENCE}
        [filters.acme]
        folder = {json.dumps(str(tmp_path))}
        [users."{ANNA}"]
        name = "anna@fabrikam.example"
    """
    settings_file.write_text(settings_file.read_text() + text)
    settings = load(settings_file)
    databases.migrated(settings.storage.url)
    process = ProcessFolder(settings.processes_dir).add(ARCHIVE.read_bytes(), display_name="Archive")
    closed = ProcessFolder(settings.processes_dir).add(
        messages.PROCESS.encode(), display_name="Payroll", users=("boss@fabrikam.example",)
    )
    text = f"""
        [destinations.archive]
        label = "Archive (Anna)"
        process = "{process.identifier}"
        user = "{ANNA}"
        [destinations.payroll]
        label = "Payroll"
        process = "{closed.identifier}"
        user = "{ANNA}"
        [destinations.gone]
        label = "Gone"
        process = "{OTHER}"
        [sources.ftp]
        plugin = "ftp"
        enabled = false
        destinations = ["archive", "payroll"]
        [sources.mail]
        plugin = "smtp"
        destinations = ["archive"]
    """
    settings_file.write_text(settings_file.read_text() + text)
    return settings_file


def test_destinations_are_listed_with_the_identifier_that_devices_see(postscan: Postscan, settings_file: Path) -> None:
    """It is made by the first server, and stays."""
    before = json.loads(postscan("destinations", "list", "--json").stdout)
    with contextlib.closing(Engine(load(settings_file), Processes())) as core:
        core.origins.begin()
    after = json.loads(postscan("destinations", "list", "--json").stdout)
    table = postscan("destinations", "list").stdout

    assert [one["id"] for one in before] == [None] * 3
    assert len({one["id"] for one in after}) == 3
    assert [(one["name"], one["sources"]) for one in after] == [
        ("archive", ["ftp", "mail"]),
        ("payroll", ["ftp"]),
        ("gone", []),
    ]
    assert all(one["id"] in table for one in after)
    assert "that of the account" in table


def test_each_destination_is_checked(postscan: Postscan) -> None:
    """What is wrong, and what corrects it; one that is in order is said to be."""
    result = postscan("destinations", "check")
    lines = result.stdout.splitlines()

    assert result.exit_code == 1
    assert "ok       destination archive: jobs can be made for 'Archive (Anna)'" in lines
    assert f"problem  destination payroll: {ANNA} may not use the scan process Payroll" in lines
    assert f"problem  destination gone: there is no scan process {OTHER}" in lines
    assert "warning  destination gone: no source offers it" in lines
    offered = lines.index("warning  destination payroll: only disabled sources offer it: ftp")
    assert lines[offered + 1].strip() == "-> [sources.ftp] enabled = true"
    assert not [line for line in lines if "archive: only" in line]


def test_a_filter_that_no_plugin_has_is_named(postscan: Postscan) -> None:
    """A job can be made, and the filter fails in it: its plugin is disabled here."""
    lines = postscan("destinations", "check").stdout.splitlines()
    about = "destination payroll: process Payroll, email"
    missing = lines.index(f"warning  {about}: no ready plugin has the dialect {messages.FILTER}email")

    assert lines[missing + 1].split() == ["->", "postscan", "plugin", "list"]
    assert not [line for line in lines if "Payroll, fileshare" in line]
